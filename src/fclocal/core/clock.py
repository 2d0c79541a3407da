"""The one source of time, timers included.

Code that reads the time or waits takes a `Clock`; tests pass a fake one (tests/fake_clock.py) and advance it.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from typing import Any, Protocol


class Timer(Protocol):
    """A call that is scheduled."""

    def cancel(self) -> None: ...


class Clock(Protocol):
    """What the platform may ask of a clock; all values are seconds."""

    def now(self) -> float:
        """Return seconds since 1970 that never run backwards, even if the machine's clock is set back.

        For journal, timers and bills.
        """
        ...

    def wall(self) -> float:
        """Return seconds since 1970 as the machine's clock has them now: for signatures and tokens only."""
        ...

    def call_later(self, seconds: float, callback: Callable[..., object], *args: Any) -> Timer:
        """Call `callback(*args)` on the event loop after `seconds`, unless the timer is cancelled."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait for `seconds`."""
        ...


class SystemClock:
    """Real time: `now` starts at the wall clock and then follows the monotonic clock."""

    def __init__(self) -> None:
        self._offset = time.time() - time.monotonic()

    def now(self) -> float:
        return self._offset + time.monotonic()

    def wall(self) -> float:
        return time.time()

    def call_later(self, seconds: float, callback: Callable[..., object], *args: Any) -> Timer:
        return asyncio.get_running_loop().call_later(seconds, callback, *args)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


@contextlib.asynccontextmanager
async def timeout(clock: Clock, seconds: float) -> AsyncIterator[None]:
    """Cancel the block after `seconds` of `clock` and raise TimeoutError, as `asyncio.timeout` does."""
    async with asyncio.timeout(None) as limit:
        timer = clock.call_later(seconds, limit.reschedule, 0.0)
        try:
            yield
        finally:
            timer.cancel()
