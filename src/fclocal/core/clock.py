"""The one source of time.

Everything that asks for the time takes a `Clock`; tests hand in a `FakeClock` and move it themselves.
"""

import time
from typing import Protocol


class Clock(Protocol):
    """What the platform may ask of a clock; all values are seconds."""

    def now(self) -> float:
        """Seconds since 1970 that never run backwards, whatever is done to the machine's clock.

        For journal, timers and bills.
        """
        ...

    def wall(self) -> float:
        """Seconds since 1970 as the machine's clock has them now: for signatures and tokens only."""
        ...


class SystemClock:
    """Real time: `now` starts at the wall clock and then follows the monotonic clock."""

    def __init__(self) -> None:
        self._offset = time.time() - time.monotonic()

    def now(self) -> float:
        return self._offset + time.monotonic()

    def wall(self) -> float:
        return time.time()


class FakeClock:
    """A clock that stands still until a test moves it."""

    def __init__(self, start: float = 1_767_323_045.0) -> None:
        self._now = start
        self._jump = 0.0

    def now(self) -> float:
        return self._now

    def wall(self) -> float:
        return self._now + self._jump

    def advance(self, seconds: float) -> None:
        """Let `seconds` (>= 0) pass."""
        if seconds < 0:
            raise ValueError("time does not run backwards; use jump() for the wall clock")
        self._now += seconds

    def jump(self, seconds: float) -> None:
        """Set the wall clock forward or back by `seconds` without time passing."""
        self._jump += seconds
