"""Tests that are coroutines: each in an event loop of its own, bounded in time."""

import asyncio
import functools
from collections.abc import Awaitable, Callable
from typing import Any


def awaited(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Run the test in a new loop for at most a minute."""
    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        asyncio.run(asyncio.wait_for(test(*args, **kwargs), 60))
    return run
