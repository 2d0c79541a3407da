"""The workshop: lessons, checks, hints and panels, as the notebooks use them.

    from workshop import check, details, hint, lesson, predict, recap, show
    fc = lesson(5)                  # starts or attaches to fclocal and returns it
    show("functions/05-reconnect/main.py", "resume")
    predict("5.a", "c")             # commits a guess; predict("5.a") afterwards says what is right, and why
    check("5.1")                    # PASS | NOT YET | NOT STARTED | CRASHED | OUR FAULT, in words
    recap()                         # what you can do now, what is left, what comes next

How an exercise is written: see `workshop.exercises`. How a lesson is described: see `workshop.lessons`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from workshop.workspace import wrong_kernel

if TYPE_CHECKING:
    from workshop.coach import catch_up, check, details, hint, progress, reset
    from workshop.course import lesson, parity, predict, recap
    from workshop.listing import show
    from workshop.panels import console

__all__ = ["catch_up", "check", "console", "details", "hint", "lesson", "parity", "predict", "progress", "recap",
           "reset", "show"]

_HOMES = {"lesson": "course", "parity": "course", "predict": "course", "recap": "course", "console": "panels",
          "show": "listing"}


def __getattr__(name: str) -> Any:
    """Resolved on first use, so that a kernel without the kit's packages gets words instead of a traceback."""
    if name not in __all__:
        raise AttributeError(f"module 'workshop' has no attribute '{name}'")
    try:
        return getattr(import_module(f"workshop.{_HOMES.get(name, 'coach')}"), name)
    except ModuleNotFoundError as missing:
        said = wrong_kernel(missing)
        return lambda *args, **kwargs: print(said)
