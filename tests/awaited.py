"""Waiting in tests: coroutines bounded in time, and the one way to wait for what sends no event."""

import asyncio
import functools
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import Any

PAUSE = 0.02  # seconds between two questions


def awaited(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Run the test in a new loop for at most a minute."""
    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        asyncio.run(asyncio.wait_for(test(*args, **kwargs), 60))
    return run


def until(condition: Callable[[], Any], limit: float = 10.0) -> Any:
    """Ask another process or thread until the answer is true, and return it; an error after `limit` seconds.

    A record of the journal is awaited with `fclocal.testing.wait_for`, the end of a process with its `wait`.
    """
    end = time.monotonic() + limit
    while not (answer := condition()):
        assert time.monotonic() < end, f"it did not come true in {limit:g} s"
        time.sleep(PAUSE)
    return answer


async def eventually(condition: Callable[[], Any], limit: float = 10.0) -> Any:
    """`until` on an event loop. `condition` may also be a coroutine function."""
    async with asyncio.timeout(limit):
        while True:
            answer = condition()
            if inspect.isawaitable(answer):
                answer = await answer
            if answer:
                return answer
            await asyncio.sleep(PAUSE)
