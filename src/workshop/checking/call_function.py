"""Runs in a process of its own: calls a function of a learner's file. Job on stdin, results after "===" on stdout."""

import asyncio
import importlib.util
import inspect
import json
import sys
import traceback
from collections.abc import Callable
from pathlib import Path


def main() -> None:
    """Read [file, function, argument lists]; write one {"value"} or {"error"} per list. Exit 1 if it cannot begin."""
    file, name, calls = json.load(sys.stdin)
    sys.path.insert(0, str(Path(file).parent))
    spec = importlib.util.spec_from_file_location(Path(file).stem, file)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    function = getattr(module, name, None)
    if not callable(function):
        sys.exit(f"{Path(file).name} has no function {name}")
    print("\n===\n" + json.dumps([outcome(function, arguments) for arguments in calls]))


def outcome(function: Callable[..., object], arguments: list[object]) -> dict[str, object]:
    """Return the value of the call (awaited if it is a coroutine), or its error with the traceback."""
    try:
        value = function(*arguments)
        if inspect.iscoroutine(value):
            value = asyncio.run(value)
        json.dumps(value)
        return {"value": value}
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}", "trace": traceback.format_exc()}


if __name__ == "__main__":
    main()
