"""From one marked source to stub and solution: pure functions on text. The format is in `workshop.exercises`."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

_BEGIN = re.compile(r"^\s*(?:#|//|<!--): begin (solution|fix) (\d+\.\d+)(?:\s*-->)?\s*$")
_ELSE = re.compile(r"^\s*(?:#|//|<!--): else(?:\s*-->)?\s*$")
_END = re.compile(r"^\s*(?:#|//|<!--): end(?:\s*-->)?\s*$")
_COMMENT = re.compile(r"^\s*(#|//|<!--)")


class MarksError(Exception):
    """A source whose marks do not fit together; names file and line."""


@dataclass(frozen=True, slots=True)
class Region:
    """The text between two marks: the lines of the solution, and those of the stub."""

    task: str
    solution: tuple[str, ...]
    stub: tuple[str, ...]
    end: str  # the stub's line that closes the region; "" for a fix, which leaves no trace in the stub


def parse(text: str, where: str = "source") -> list[str | Region]:
    """Return the lines and regions of a marked text. Raises MarksError."""
    parts: list[str | Region] = []
    task, halves = "", ([], [])  # type: tuple[str, tuple[list[str], list[str]]]
    half, hidden = 0, False
    for number, line in enumerate(text.splitlines(), 1):
        if begin := _BEGIN.match(line):
            if task:
                raise MarksError(f"{where}:{number}: begin inside the region of {task}")
            task, halves, half, hidden = begin[2], ([], []), 0, begin[1] == "fix"
            if not hidden and not any(isinstance(part, str) and f"TODO {task}" in part for part in parts):
                raise MarksError(f'{where}:{number}: no line "TODO {task}" before the region')
        elif _ELSE.match(line) and task:
            half = 1
        elif _END.match(line):
            if not task:
                raise MarksError(f"{where}:{number}: end without begin")
            indent, comment = line[: len(line) - len(line.lstrip())], _COMMENT.match(line)
            sign = comment[1] if comment else "#"
            closing = f"{indent}{sign} end of {task}{' -->' if sign == '<!--' else ''}"
            parts.append(Region(task, tuple(halves[0]), tuple(halves[1]), "" if hidden else closing))
            task = ""
        elif task:
            halves[half].append(line)
        else:
            parts.append(line)
    if task:
        raise MarksError(f"{where}: the region of {task} never ends")
    return parts


def tasks_in(text: str) -> set[str]:
    """Return the tasks that have a region in a marked text."""
    return {part.task for part in parse(text) if isinstance(part, Region)}


def stub(text: str) -> str:
    """Return the text that the learner starts from."""
    return _join(line for part in parse(text)
                 for line in ([part] if isinstance(part, str) else _closed(part, part.stub)))


def solution(text: str) -> str:
    """Return the solution, without marks."""
    return _join(line for part in parse(text)
                 for line in ([re.sub(r"\bTODO (\d+\.\d+)", r"\1", part)] if isinstance(part, str) else part.solution))


def answered(text: str, task: str, bodies: Sequence[str]) -> str:
    """Return the learner's file with `bodies` in the regions of `task` (one each), and the solution in all others."""
    rest = list(bodies)
    lines: list[str] = []
    for part in parse(text):
        if isinstance(part, str):
            lines.append(part)
        elif part.task == task:
            if not rest:
                raise MarksError(f"{task} has more regions than this answer has parts")
            lines += _closed(part, rest.pop(0).splitlines())
        else:
            lines += _closed(part, part.solution)
    return _join(lines)


def _closed(part: Region, body: Iterable[str]) -> list[str]:
    return [*body, part.end] if part.end else list(body)


def solution_lines(text: str) -> set[str]:
    """Return what must not be given away: stripped lines of solutions, 20 characters or more, not in the stub.

    The line that fixes a fault is an ordinary one (other folders have it too); it gives nothing away.
    """
    shown = {line.strip() for line in stub(text).splitlines()}
    return {line.strip() for part in parse(text) if isinstance(part, Region) and part.end for line in part.solution
            if len(line.strip()) >= 20 and line.strip() not in shown and not _COMMENT.match(line)}


def region(text: str, task: str) -> tuple[int, list[str]] | None:
    """Return the learner's lines for `task` and the number of the first line, or None if a mark is missing."""
    lines: list[str] = []
    first = 0
    inside = False
    for number, line in enumerate(text.splitlines(), 1):
        if re.search(rf"\bTODO {re.escape(task)}\b", line):
            inside, first = True, first or number
        elif re.search(rf"\bend of {re.escape(task)}\b", line):
            inside = False
        elif inside:
            lines.append(line)
    return (first, lines) if first and not inside else None


def untouched(learner: str, stub_text: str, task: str) -> bool:
    """Return whether the regions of `task`, and the lines outside all regions, are as in the stub.

    Comments, blank lines and imports do not count. An answer outside its region is an answer: a `try` can stand around
    a loop instead of around the call of its function.
    """
    mine, theirs = region(learner, task), region(stub_text, task)
    if mine is None or theirs is None:
        return _bare(learner.splitlines()) == _bare(stub_text.splitlines())
    return _bare(mine[1]) == _bare(theirs[1]) and _bare(_outside(learner)) == _bare(_outside(stub_text))


def _outside(text: str) -> list[str]:
    """Return the lines outside the regions of all tasks, without imports."""
    lines: list[str] = []
    inside = ""
    for line in text.splitlines():
        if begin := re.search(r"\bTODO (\d+\.\d+)\b", line):
            inside = begin[1]
        elif inside and re.search(rf"\bend of {re.escape(inside)}\b", line):
            inside = ""
        elif not inside and not re.match(r"\s*(?:import|from) ", line):
            lines.append(line)
    return lines


def _bare(lines: list[str]) -> list[str]:
    return [line.strip() for line in lines if line.strip() and not _COMMENT.match(line)]


def _join(lines: Iterable[str]) -> str:
    text = "\n".join(lines)
    return f"{text}\n" if text else ""
