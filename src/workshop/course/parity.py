"""parity(): what the real service does where a lesson touches a difference."""

import textwrap
import tomllib
from html import escape
from importlib import resources
from typing import Any

from workshop.course.catalog import find_lesson
from workshop.views.html import block, present, prose
from workshop.views.plain_text import WIDTH

SHOWN = 3  # rows that a lesson shows; the others are folded


def parity(number: int, *, every: bool = False) -> None:
    """Show what the real service does where the lesson touches it, and how sure that is.

    The first three rows of the lesson are shown; in a notebook the others are folded, in a terminal `every` adds them.
    """
    table = tomllib.loads(resources.files("fclocal").joinpath("parity.toml").read_text("utf-8"))
    known = {row["id"]: row for row in table.get("row", [])}
    rows = [known[name] for name in find_lesson(number).parity]
    printed = rows if every else rows[:SHOWN]
    lines = ["On the real platform (documented, measured, guessed, or different here):"]
    for row in printed:
        lines.append(textwrap.fill(f"{row['status']:<10} {_words(row)}", WIDTH, subsequent_indent=" " * 11,
                                   break_on_hyphens=False))
    if len(rows) > len(printed):
        lines.append(f"{len(rows) - len(printed)} more: parity({number}, every=True)")
    folded = f"<details><summary>{len(rows) - SHOWN} more</summary>{_html(rows[SHOWN:])}</details>"
    present("\n".join(lines), block(_html(rows[:SHOWN]) + (folded if len(rows) > SHOWN else ""),
                                    "On the real platform"))  # the lesson has the heading


def _words(row: dict[str, Any]) -> str:
    return f"{row['behaviour']} {row.get('note', '')}".strip()


def _html(rows: list[dict[str, Any]]) -> str:
    items = "".join(f"<dt>{escape(row['status'])}</dt><dd>{prose(_words(row))}</dd>" for row in rows)
    return f"<dl>{items}</dl>"
