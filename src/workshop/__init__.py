"""The workshop: lessons, checks, hints and panels, as the notebooks use them.

    from workshop import check, details, hint, lesson, predict, recap, show
    fc = lesson(5)                  # starts or attaches to fclocal and returns it
    show("functions/05-reconnect/main.py", "resume")
    predict("5.a", "c")             # commits a guess; predict("5.a") afterwards says what is right, and why
    check("5.1")                    # PASS | NOT YET | NOT STARTED | CRASHED | OUR FAULT, in words
    recap()                         # what you can do now, what is left, what comes next

How an exercise is written: see `workshop.exercises`. How a lesson is described: see `workshop.lessons`.
"""

from workshop.coach import catch_up, check, details, hint, progress, reset
from workshop.lesson import lesson, parity, predict, recap
from workshop.panels import console
from workshop.show import show

__all__ = ["catch_up", "check", "console", "details", "hint", "lesson", "parity", "predict", "progress", "recap",
           "reset", "show"]
