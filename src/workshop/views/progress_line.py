"""working(): one line that says what takes a while, and is gone when it is done.

    with working("Starting the platform ...") as say:
        ...
        say("Connecting 60 clients ...")
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from workshop.views.html import block, in_notebook, prose


@contextmanager
def working(words: str) -> Iterator[Callable[[str], None]]:
    """Show `words` while the block runs; the function that it yields replaces them. A pipe or a file gets nothing."""
    say = _in_notebook() if in_notebook() else _in_terminal
    say(words)
    try:
        yield say
    finally:
        say("")


def _in_notebook() -> Callable[[str], None]:
    from IPython.display import display

    handle = display({"text/plain": ""}, raw=True, display_id=True)  # type: ignore[no-untyped-call]

    def say(words: str) -> None:
        html = block(f'<span class="dim">{prose(words)}</span>') if words else ""
        handle.update({"text/plain": words, "text/html": html}, raw=True)

    return say


def _in_terminal(words: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\x1b[K{words}", end="", file=sys.stderr, flush=True)
