"""The judge: runs the steps of a task against the learner's folder and turns what happened into a verdict."""

import asyncio
import importlib.util
import re
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from fclocal import Platform
from fclocal.core.errors import FcError
from workshop.checking import marks
from workshop.checking.catalog import Exercise, Task
from workshop.checking.client import Unexpected
from workshop.checking.common_mistakes import GENERAL
from workshop.checking.target import Findings, Mistake, Step, Target
from workshop.checking.verdict import Trace, Verdict, crash, find_trace
from workshop.errors import UserError

# Seconds to wait for a traceback in the log: long when the connection ended as it does after one.
LOG_PATIENCE, CRASH_PATIENCE = 0.3, 4.0


@dataclass(frozen=True)
class Script:
    """A loaded checks.py."""

    steps: tuple[Step, ...]
    mistakes: tuple[Mistake, ...]

    def of(self, task: str, remote: bool) -> list[Step]:
        return [step for step in self.steps if step.task == task and not (remote and step.local)]


@cache
def script(folder: Path) -> Script:
    """Return the checks of an exercise; they are loaded once per kernel."""
    spec = importlib.util.spec_from_file_location(f"workshop_checks_{folder.name[:2]}", folder / "checks.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    steps = tuple(value for value in vars(module).values() if isinstance(value, Step))
    return Script(steps, tuple(getattr(module, "MISTAKES", ())))


async def judge(exercise: Exercise, task: Task, folder: Path, platform: Callable[[], Platform],
                url: str = "") -> Verdict:
    """Judge one task of the learner's `folder` (or of the function at `url`). Never raises for what the learner did.

    `platform` gives fclocal's client; it is asked only when a step will run. Raises UserError if the folder is missing.
    """
    if not url and (early := _without_running(exercise, task, folder)):
        return early
    began = time.monotonic()
    steps = script(exercise.folder).of(task.id, bool(url))
    passed = 0
    async with Target(folder, platform, url) as target:
        step = None
        try:
            for step in steps:
                await step.run(target)
                passed += 1
        except (Unexpected, FcError) as error:
            if isinstance(error, FcError) and error.owner == "platform":
                return _our_fault(task, error)
            return await _failed(exercise, task, target, step, error, f"{passed} of {len(steps)} passed")
        except Exception as error:
            return _our_fault(task, error)
        seconds = time.monotonic() - began
        return Verdict(task.id, "PASS", f"({passed} of {passed} step{'s' * (passed > 1)}, {seconds:.1f} s)",
                       (("You can now", task.goal), *_after(exercise, task)), tuple(target.notices), tuple(target.wire))


def shown(exercise: Exercise, file: str = "") -> str:
    """Return the learner's path as verdicts show it."""
    return f"exercises/{exercise.slug}/{file}".rstrip("/")


def _after(exercise: Exercise, task: Task) -> list[tuple[str, str]]:
    names = list(exercise.tasks)
    rest = names[names.index(task.id) + 1:]
    return [("Compare", exercise.solution_of(task.id)), *([("Next", f"task {rest[0]}")] if rest else [])]


def _without_running(exercise: Exercise, task: Task, folder: Path) -> Verdict | None:
    if not folder.is_dir():
        raise UserError(f"The folder {shown(exercise)} is missing.", f'reset("{task.id}") restores it.')
    if exercise.project and not any((folder / file).is_file() for file in exercise.edit):
        return Verdict(task.id, "NOT STARTED", task.title, (
            ("Read", shown(exercise, "README.md")), ("Create", ", ".join(exercise.edit)),
            ("Next", f'save your files, then check("{task.id}") again; or hint("{task.id}")')))
    return _broken(exercise, task, folder) or _not_started(exercise, task, folder)


def _broken(exercise: Exercise, task: Task, folder: Path) -> Verdict | None:
    """Return CRASHED if a Python file that may be edited does not compile."""
    folders = {file.rpartition("/")[0] for file in exercise.files_of(task.id)}
    # A project grows: only the files of this milestone and those before it must exist.
    needed = exercise.edit if not exercise.project else _milestone(exercise, task)
    for file in needed:
        path = folder / file
        if file.rpartition("/")[0] not in folders:
            continue
        if not path.is_file():
            fix = "create it: the README says what belongs in it" if exercise.project else (
                f'reset("{task.id}") restores it')
            return Verdict(task.id, "NOT YET", f"the file {file} is missing", (("Next", fix),))
        if path.suffix != ".py":
            continue
        try:
            compile(path.read_text(encoding="utf-8"), file, "exec", dont_inherit=True)
        except SyntaxError as error:
            code = (error.text or "").rstrip("\n")
            caret = " " * max((error.offset or 1) - 1, 0) + "^"
            place = f"{file} line {error.lineno}"
            return Verdict(task.id, "CRASHED", crash(task.id, f"{type(error).__name__}: {error.msg}", place),
                           (("", f"{code}\n{caret}"), ("Look at", shown(exercise, place)), ("Next", _next(task))))
        except (UnicodeDecodeError, ValueError) as error:
            return Verdict(task.id, "CRASHED", f"{file} is not plain text: {error}",
                           (("Look at", shown(exercise, file)), ("Next", _next(task))))
    return None


def _milestone(exercise: Exercise, task: Task) -> list[str]:
    """Return the files of a project that a milestone needs; a region of a later task belongs to a later file."""
    names = list(exercise.tasks)
    later = {file for name in names[names.index(task.id) + 1:] for file in exercise.files_with(name)}
    earlier = {file for name in names[:names.index(task.id) + 1] for file in exercise.files_with(name)}
    return [file for file in exercise.edit if file in earlier or file not in later]


def _not_started(exercise: Exercise, task: Task, folder: Path) -> Verdict | None:
    if exercise.project:
        return None
    files = exercise.files_of(task.id)
    for file in files:
        path = folder / file
        if not path.is_file() or not marks.untouched(_text(path), exercise.stub[file], task.id):
            return None
    at = marks.region(_text(folder / files[0]), task.id)
    where = (("Open", shown(exercise, files[0])), ("Look for", f'"TODO {task.id}" (line {at[0]})')) if at else (
        ("Open", shown(exercise, files[0].rpartition("/")[0])),)
    return Verdict(task.id, "NOT STARTED", task.title,
                   (*where, ("Next", f'edit, save, then check("{task.id}") again; or hint("{task.id}")')))


async def _failed(exercise: Exercise, task: Task, target: Target, step: Step | None,
                  error: Unexpected | FcError, steps: str) -> Verdict:
    saw = str(error)
    log, trace = await _read_log(exercise, target, f"{saw}\n{getattr(error, 'trace', '')}")
    code = "\n".join(_region(target.folder / file, task.id) for file in exercise.files_of(task.id))
    where = "deployed function" if target.remote else "fclocal"
    facts = [("Steps", f"{steps}; target: {where}; exercise v{exercise.version}")]
    if isinstance(error, FcError):
        facts += [("I did", f"deployed {shown(exercise)}"), ("I wanted", "fclocal accepts it")]
    elif step:
        facts += [("I did", step.did), ("I wanted", step.wanted)]
    facts.append(("I saw", saw))
    findings = Findings(task.id, saw, log, code)
    known = next((m for m in (*script(exercise.folder).mistakes, *GENERAL) if m.fits(findings)), None)
    # An exception because the connection ended is a consequence. A known cause is more useful, so it comes first.
    if trace and not (known and trace.error.startswith("ConnectionClosed")):
        place = f"{trace.file} line {trace.line}"
        headline = crash(task.id, trace.error, place)
        more = [] if headline.startswith(trace.error) else [("Error", trace.error)]
        more += [("Python", trace.advice)] if trace.advice else []
        lines = [("", _code_line(target.folder / trace.file, trace.line)), *more, *facts,
                 *([("Likely", known.likely)] if known and known.log and known.likely else []),
                 ("Look at", shown(exercise, place)), ("Next", _next(task))]
        return Verdict(task.id, "CRASHED", headline, tuple(lines),
                       tuple(target.notices), tuple(target.wire))
    if likely := known.likely if known else getattr(error, "cure", ""):
        facts.append(("Likely", likely))
    if not target.remote:
        line = re.match(r"s\.yaml (line \d+)", saw)
        file = exercise.files_of(task.id)[0]
        facts.append(("Look at", shown(exercise, f"{file} {line[1]}") if line and file.endswith("s.yaml")
                     else _place(exercise, task, target.folder)))
    return Verdict(task.id, "NOT YET", known.says if known else saw, (*facts, ("Next", _next(task))),
                   tuple(target.notices), tuple(target.wire))


async def _read_log(exercise: Exercise, target: Target, saw: str) -> tuple[str, Trace | None]:
    """Return the function's log and the learner's line in it. A traceback can follow the closed connection."""
    folders = {"" if folder == "." else f"{folder}/" for folder in target.apps} | ({""} if target.output else set())
    own = {path.removeprefix(folder): path for folder in folders or {""} for path in _programs(exercise, target.folder)
           if path.startswith(folder)}
    crashed = "closed with 1011" in saw or "without a Close frame" in saw
    until = time.monotonic() + (CRASH_PATIENCE if crashed else LOG_PATIENCE)
    while True:
        log = f"{await target.logs()}\n{saw}"
        trace = find_trace(log, own)
        if trace or target.remote or not target.apps or time.monotonic() > until:
            return log, replace(trace, file=own[trace.file]) if trace else None
        await asyncio.sleep(0.05)


def _programs(exercise: Exercise, folder: Path) -> set[str]:
    """Return the learner's files: those of the exercise, and added ones."""
    added = {path.relative_to(folder).as_posix() for kind in ("*.py", "*.js", "*.mjs", "*.cjs")
             for path in folder.rglob(kind) if "node_modules" not in path.parts}
    return added | set(exercise.sources)


def _place(exercise: Exercise, task: Task, folder: Path) -> str:
    file = exercise.files_of(task.id)[0]
    path = folder / file
    if region := marks.region(_text(path), task.id) if path.is_file() else None:
        return f"{shown(exercise, file)} line {region[0]}"
    return shown(exercise, file.rpartition("/")[0])


def _region(path: Path, task: str) -> str:
    text = _text(path) if path.is_file() else ""
    region = marks.region(text, task)
    return "\n".join(region[1]) if region else text


def _code_line(path: Path, number: int) -> str:
    lines = _text(path).splitlines() if path.is_file() else []
    return f"{number} | {lines[number - 1].strip()}" if 0 < number <= len(lines) else ""


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace")


def _next(task: Task) -> str:
    return f'hint("{task.id}"), or details("{task.id}") for the frames'


def _our_fault(task: Task, error: BaseException) -> Verdict:
    text = "".join(traceback.format_exception(error))
    last = traceback.extract_tb(error.__traceback__)[-1:]
    where = f" ({Path(last[0].filename).name} line {last[0].lineno})" if last else ""
    return Verdict(task.id, "OUR FAULT", "this is a fault in the kit, not in your code",
                   (("Unexpected", f"{type(error).__name__}: {error}{where}"),
                    ("Report", f'the text that details("{task.id}") prints')), (), (), text)
