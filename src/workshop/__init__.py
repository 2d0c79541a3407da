"""The workshop: lessons, checks, pictures and tools. Notebooks import every name from here.

    from workshop import check, details, hint, lesson, predict, recap, show
    fc = lesson(5)                  # start fclocal, or attach to it, and return it
    show("functions/05-reconnect/main.py", "resume")
    predict("5.a")                  # buttons with the options; predict("5.a", "c") is the same as text
    check("5.1")                    # PASS | NOT YET | NOT STARTED | CRASHED | OUR FAULT, in words
    recap()                         # what you can do now, what is open, what comes next

The rooms: `course` frames a lesson, `checking` judges exercises, `labs` makes an effect visible, `views` draws.
How an exercise is written: see `workshop.exercises`. How a lesson is described: see `workshop.lessons`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from workshop.workspace import wrong_kernel

if TYPE_CHECKING:
    from workshop.checking.commands import check, details, hint, reset
    from workshop.course.lesson import lesson
    from workshop.course.listing import show
    from workshop.course.parity import parity
    from workshop.course.predictions import predict
    from workshop.course.progress import catch_up, progress
    from workshop.course.recap import recap
    from workshop.labs.cost_model import Plan, cost_table
    from workshop.labs.cost_panel import cost_planner
    from workshop.labs.go_live import go_live_checklist, with_packages
    from workshop.labs.http_requests import http_request, try_echo
    from workshop.labs.nat import Nat
    from workshop.labs.reconnect_storm import reconnect_storm
    from workshop.labs.separate_platform import separate_platform
    from workshop.labs.traffic_replay import replay_traffic
    from workshop.labs.urls import to_wss
    from workshop.labs.variant import variant
    from workshop.views.console import console
    from workshop.views.frames_inspector import frames
    from workshop.views.page_links import page_links
    from workshop.views.sequence import sequence
    from workshop.views.timeline import timeline

__all__ = ["Nat", "Plan", "catch_up", "check", "console", "cost_planner", "cost_table", "details", "frames",
           "go_live_checklist", "hint", "http_request", "lesson", "page_links", "parity", "predict",
           "progress", "recap", "reconnect_storm", "replay_traffic", "reset", "separate_platform",
           "sequence", "show", "timeline", "to_wss", "try_echo", "variant", "with_packages"]

_MODULES = {
    "checking.commands": ("check", "details", "hint", "reset"),
    "course.lesson": ("lesson",),
    "course.listing": ("show",),
    "course.parity": ("parity",),
    "course.predictions": ("predict",),
    "course.progress": ("catch_up", "progress"),
    "course.recap": ("recap",),
    "labs.cost_model": ("Plan", "cost_table"),
    "labs.cost_panel": ("cost_planner",),
    "labs.go_live": ("go_live_checklist", "with_packages"),
    "labs.http_requests": ("http_request", "try_echo"),
    "labs.nat": ("Nat",),
    "labs.reconnect_storm": ("reconnect_storm",),
    "labs.separate_platform": ("separate_platform",),
    "labs.traffic_replay": ("replay_traffic",),
    "labs.urls": ("to_wss",),
    "labs.variant": ("variant",),
    "views.console": ("console",),
    "views.frames_inspector": ("frames",),
    "views.page_links": ("page_links",),
    "views.sequence": ("sequence",),
    "views.timeline": ("timeline",),
}
_HOMES = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    """Import a public name on first use, so that a kernel without the kit's packages prints a fix, not a traceback."""
    if name not in _HOMES:
        raise AttributeError(f"module 'workshop' has no attribute '{name}'")
    try:
        return getattr(import_module(f"workshop.{_HOMES[name]}"), name)
    except ModuleNotFoundError as missing:
        explanation = wrong_kernel(missing)
        return lambda *args, **kwargs: print(explanation)
