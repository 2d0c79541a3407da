"""A verdict as a card: the word in its colour, wanted and seen as a two-line diff, links to file and line."""

import re
from html import escape

from workshop.checking.verdict import Verdict
from workshop.views.html import VERDICT, badge, block, file_link, prose

WANTED, SAW = ("I wanted", "Expected"), ("I saw", "Received")
FILE = re.compile(r"\b((?:exercises|solutions|functions)/[\w./-]*\w)(,? line \d+)?")


def card(verdict: Verdict) -> str:
    """Return the verdict as HTML. The frames of the check are folded below it."""
    colour, _ = VERDICT[verdict.word]
    before = "".join(f"<div class='dim'>{escape(line)}</div>" for line in verdict.before)
    rows = "".join(_row(label, text) for label, text in verdict.lines)
    frames = "" if verdict.word in ("PASS", "NOT STARTED") else (
        f"<details><summary>Details: the frames of the check</summary><pre>{escape(verdict.details())}</pre></details>")
    return block(f'{before}<div class="card" style="border-left-color:var(--{colour})">{badge(verdict.word)} '
                 f"<b>{escape(verdict.task)}</b> {prose(verdict.headline)}<dl>{rows}</dl>{frames}</div>",
                 f"Verdict of task {verdict.task}: {verdict.word}")


def _row(label: str, text: str) -> str:
    if not label:
        return f"<dt></dt><dd><pre>{escape(text)}</pre></dd>"
    words = _linked(text)
    if label in WANTED:
        words = f'<span style="color:var(--good)">+ {words}</span>'
    elif label in SAW:
        words = f'<span style="color:var(--bad)">- {words}</span>'
    return f"<dt>{escape(label)}</dt><dd>{words}</dd>"


def _linked(text: str) -> str:
    """Escape a line, with a link on each file of the project that it names."""
    linked, at = "", 0
    for match in FILE.finditer(text):
        linked += prose(text[at:match.start()]) + file_link(match[1], match[0])
        at = match.end()
    return linked + prose(text[at:])
