"""The panels of the notebooks (ipywidgets), each a view of a model that works without them."""

from typing import Any


def console(fc: Any, app: Any = None) -> Any:
    """The platform's console: tabs Trigger, Test, Timeline, Logs, Bill. In a terminal: the same as text."""
    raise NotImplementedError
