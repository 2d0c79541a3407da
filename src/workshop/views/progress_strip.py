"""The progress strip: one box per lesson, one dot per task, how many passed, and a link to the next."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from workshop.views.html import block

DOTS = {"PASS": ("●", "good"), "NOT STARTED": ("○", "dim")}  # every other verdict: tried
TRIED = ("◐", "ping")


@dataclass(frozen=True, slots=True)
class Box:
    """One lesson: its number, title and notebook, and the verdicts of its tasks (id -> word)."""

    number: int
    title: str
    notebook: str
    tasks: dict[str, str]


def counted(boxes: Sequence[Box]) -> tuple[int, int]:
    """Return how many tasks passed, and how many there are."""
    words = [word for box in boxes for word in box.tasks.values()]
    return words.count("PASS"), len(words)


def strip(boxes: Sequence[Box], here: int | None, below: str = "") -> str:
    """Return the strip as HTML; `here` is the lesson that is open, `below` more HTML."""
    passed, every = counted(boxes)
    following = next((box for box in boxes if here is not None and box.number == here + 1), None)
    cells = "".join(_cell(box, here) for box in boxes)
    link = (f' · next: <a href="{escape(following.notebook)}">{following.number}. {escape(following.title)}</a>'
            if following else "")
    return block(f'<div class="strip">{cells}</div>{below}<div><b>{passed} of {every}</b> tasks passed{link}</div>',
                 "Progress")


def _cell(box: Box, here: int | None) -> str:
    dots = "".join(f'<span style="color:var(--{colour})">{sign}</span>'
                   for sign, colour in (DOTS.get(word, TRIED) for word in box.tasks.values()))
    kind = "Lesson" if box.notebook.endswith(".ipynb") else "Project"
    label = f"{kind} {box.number}: {box.title}. " + (
        ", ".join(f"{task} {word}" for task, word in box.tasks.items()) or "no tasks")
    return (f'<a class="box{" here" * (box.number == here)}" href="{escape(box.notebook)}" title="{escape(label)}" '
            f'aria-label="{escape(label)}">{box.number}<span class="dots" aria-hidden="true">{dots}</span></a>')


def text(boxes: Sequence[Box], here: int | None) -> str:
    """Return the strip in one or two lines of ASCII: x passed, ~ tried, . not started."""
    signs = {"PASS": "x", "NOT STARTED": "."}
    cells = [f"{'>' if box.number == here else ''}{box.number}:"
             + ("".join(signs.get(word, "~") for word in box.tasks.values()) or "-") for box in boxes]
    passed, every = counted(boxes)
    return f"Tasks: {' '.join(cells)}   {passed} of {every} passed"
