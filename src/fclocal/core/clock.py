"""The one source of time, timers included.

Code that reads the time or waits takes a `Clock`; tests pass a `FakeClock` and advance it.
"""

import asyncio
import contextlib
import heapq
import itertools
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


class FakeClock:
    """A clock that only a test advances."""

    def __init__(self, start: float = 1_767_323_045.0) -> None:
        self._now = start
        self._jump = 0.0
        self._timers: list[_FakeTimer] = []
        self._order = itertools.count()

    def now(self) -> float:
        return self._now

    def wall(self) -> float:
        return self._now + self._jump

    def call_later(self, seconds: float, callback: Callable[..., object], *args: Any) -> Timer:
        timer = _FakeTimer(self._now + seconds, next(self._order), callback, args)
        heapq.heappush(self._timers, timer)
        return timer

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            return await asyncio.sleep(0)
        over = asyncio.get_running_loop().create_future()
        timer = self.call_later(seconds, over.set_result, None)
        try:
            await over
        finally:
            timer.cancel()

    @property
    def pending(self) -> int:
        """The number of timers that are set: a test waits until the code under test has set its own."""
        return sum(timer.active for timer in self._timers)

    def advance(self, seconds: float) -> None:
        """Let `seconds` (>= 0) pass: the timers due until then are called, in order, each at its time.

        Tasks that a timer wakes run when the test next awaits.
        """
        if seconds < 0:
            raise ValueError("time does not run backwards; use jump() for the wall clock")
        end = self._now + seconds
        while self._timers and self._timers[0].due <= end:
            timer = heapq.heappop(self._timers)
            self._now = max(self._now, timer.due)
            timer.call()
        self._now = end

    def jump(self, seconds: float) -> None:
        """Set the wall clock forward or back by `seconds` without time passing."""
        self._jump += seconds


class _FakeTimer:
    """A call that a fake clock makes when it is advanced to `due`."""

    def __init__(self, due: float, order: int, callback: Callable[..., object], args: tuple[Any, ...]) -> None:
        self.due = due
        self._order = order
        self._callback: Callable[..., object] | None = callback
        self._args = args

    def __lt__(self, other: "_FakeTimer") -> bool:
        return (self.due, self._order) < (other.due, other._order)

    @property
    def active(self) -> bool:
        return self._callback is not None

    def cancel(self) -> None:
        self._callback = None

    def call(self) -> None:
        if self._callback is not None:
            self._callback(*self._args)


@contextlib.asynccontextmanager
async def timeout(clock: Clock, seconds: float) -> AsyncIterator[None]:
    """Cancel the block after `seconds` of `clock` and raise TimeoutError, as `asyncio.timeout` does."""
    async with asyncio.timeout(None) as limit:
        timer = clock.call_later(seconds, limit.reschedule, 0.0)
        try:
            yield
        finally:
            timer.cancel()
