"""Log the exception of a background task soon after the task ends; loaded before the code that a check runs.

asyncio logs such an exception when the task is garbage-collected. A program that keeps its tasks in a dictionary never
gets that far, so its log stays empty and the verdict could not name the cause.
"""

import asyncio
import sys
import traceback
from collections.abc import Coroutine
from typing import Any

GRACE = 0.1  # seconds in which the program can still collect the exception itself

_create_task = asyncio.create_task


def create_task(coroutine: Coroutine[Any, Any, Any], **options: Any) -> "asyncio.Task[Any]":
    """Create the task, and report its exception unless the program collects it."""
    task = _create_task(coroutine, **options)
    task.add_done_callback(_later)
    return task


def _later(task: "asyncio.Task[Any]") -> None:
    if not task.cancelled():
        task.get_loop().call_later(GRACE, _report, task)


def _report(task: "asyncio.Task[Any]") -> None:
    # The public task.exception() would count as collecting it, and silence asyncio's own report.
    error = getattr(task, "_exception", None)
    collected = not getattr(task, "_log_traceback", False)
    if error is None or collected or type(error).__name__.startswith("ConnectionClosed"):
        return
    print("Exception in a background task:", file=sys.stderr)
    traceback.print_exception(error)


asyncio.create_task = create_task
