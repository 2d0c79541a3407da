"""A clock that a test advances, for code that takes a `fclocal.core.clock.Clock`."""

import asyncio
import heapq
import itertools
from collections.abc import Callable
from typing import Any

from fclocal.core.clock import Timer


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
