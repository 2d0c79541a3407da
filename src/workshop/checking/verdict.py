"""A verdict in words: plain ASCII, at most 76 columns, the same in a notebook and a terminal."""

import re
import textwrap
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from rich.text import Text

from workshop.checking.client import Wire
from workshop.views.plain_text import WIDTH, cut, to_ascii

Word = Literal["PASS", "NOT YET", "NOT STARTED", "CRASHED", "OUR FAULT"]


@dataclass(frozen=True)
class Verdict:
    """What a check found: the word, one headline, the lines below it, and the frames of the check."""

    task: str
    word: Word
    headline: str
    lines: tuple[tuple[str, str], ...] = ()  # (label, text); label "" for a line of the learner's code
    before: tuple[str, ...] = ()  # said before the verdict, e.g. that the code was reloaded
    wire: tuple[Wire, ...] = field(default=(), repr=False)
    report: str = field(default="", repr=False)  # for OUR FAULT: the report for the authors

    def first_line(self) -> str:
        """Return word and headline, cut at the width."""
        return cut(f"{self.task} {self.word}  {to_ascii(self.headline)}")

    def text(self) -> str:
        """Return the whole verdict as it is printed."""
        lines = [*map(to_ascii, self.before), self.first_line()]
        for label, text in self.lines:
            if not label:
                lines += [cut(f"    {to_ascii(line)}") for line in text.splitlines()]
                continue
            lines += textwrap.wrap(to_ascii(" ".join(text.split())), WIDTH, initial_indent=f"  {label:<9}: ",
                                  subsequent_indent=" " * 13, max_lines=4, placeholder=" ...")
        return "\n".join(lines)

    def details(self) -> str:
        """Return the frames in order, the last one marked if the check expected something else."""
        if self.report:
            return to_ascii(self.report)
        if not self.wire:
            return f"{self.task}: the check sent and received no frames."
        lines = [f"{self.task} {self.word}: what the check's clients sent (-> fn) and received (fn ->)"]
        ways = [f"{w.sender} -> {w.receiver}" for w in self.wire]
        wide = max(map(len, ways))
        lines += [cut(f"  {w.at:7.3f}  {way:<{wide}}  {w.kind:<7} {to_ascii(w.text)}".rstrip())
                 for way, w in zip(ways, self.wire, strict=True)]
        if self.word in ("NOT YET", "CRASHED"):
            wanted = next((text for label, text in self.lines if label == "I wanted"), "")
            lines += textwrap.wrap(to_ascii(f"the check expected: {wanted}"), WIDTH,
                                  initial_indent="           ^-- ", subsequent_indent=" " * 15)
        return "\n".join(lines)


COLOURS = {"PASS": "bold green", "NOT YET": "bold yellow", "NOT STARTED": "bold", "CRASHED": "bold red",
           "OUR FAULT": "bold magenta"}


def coloured(verdict: Verdict) -> Text:
    """Return the text of a verdict for a terminal, with its word in colour."""
    text = Text(verdict.text())
    start = text.plain.index(verdict.word, text.plain.index(f"{verdict.task} {verdict.word}"))
    text.stylize(COLOURS[verdict.word], start, start + len(verdict.word))
    return text


def crash(task: str, error: str, place: str) -> str:
    """Return the headline of CRASHED: the error, shortened if necessary, and the place."""
    room = WIDTH - len(f"{task} CRASHED   ({place})")
    error = to_ascii(error)
    return f"{error if len(error) <= room else f'{error[: room - 3]}...'} ({place})"


@dataclass(frozen=True)
class Trace:
    """The learner's own line in a traceback. `file` is relative to the learner's folder.

    `advice` is what Python adds to the error from 3.12 on: "Did you mean: 'message'?".
    """

    error: str
    file: str
    line: int
    advice: str = ""


_FRAME = re.compile(r'^\s*File "(.+?)", line (\d+)')
_PY_ERROR = re.compile(r"^((?:[A-Za-z_][\w.]*)(?:Error|Exception|Warning|Exit|Interrupt|Closed\w*)\b.*)$")
_NODE_FRAME = re.compile(r"(?:\(|at |^)(?:file://)?(/[^():]+):(\d+)(?::\d+\)?)?\s*$")
_NODE_ERROR = re.compile(r"^((?:[A-Za-z]*Error|Error \[\w+\])\b.*)$")


def find_trace(log: str, files: Iterable[str]) -> Trace | None:
    """Return the last traceback (Python or Node) in `log` that passes through one of the learner's `files`."""
    last: Trace | None = None
    mine: tuple[str, int] | None = None
    inside = False
    for line in log.splitlines():
        if "Traceback (most recent call last)" in line:
            inside, mine = True, None
        elif frame := _FRAME.match(line):
            inside = True  # a SyntaxError at start has no "Traceback" line
            if name := _own(frame[1], files):
                mine = (name, int(frame[2]))
        elif inside and (error := _PY_ERROR.match(line)):
            if mine:
                text, _, advice = re.sub(r"^[\w.]*\.(?=\w)", "", error[1]).partition(". Did you ")
                last = Trace(text, *mine, f"Did you {advice}" if advice else "")
            inside, mine = False, None
        elif frame := _NODE_FRAME.search(line):
            if mine is None and (name := _own(frame[1], files)):
                mine = (name, int(frame[2]))
        elif not inside and mine and (error := _NODE_ERROR.match(line)):
            last, mine = Trace(error[1], *mine), None
    return last


def _own(path: str, files: Iterable[str]) -> str:
    if "/site-packages/" in path or "/node_modules/" in path:
        return ""
    return next((file for file in sorted(files, key=len, reverse=True) if f"/{path}".endswith(f"/{file}")), "")
