"""check, hint, details and reset: the commands of a learner, in a notebook and in a terminal."""

import asyncio
import textwrap
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec

from fclocal.core.errors import FcError
from workshop.checking import generation
from workshop.checking.catalog import Exercise, Task, find
from workshop.checking.judge import judge, shown
from workshop.checking.verdict import Verdict
from workshop.classroom import member
from workshop.errors import UserError
from workshop.views.html import in_notebook, present, present_widget
from workshop.views.plain_text import WIDTH
from workshop.views.progress_line import working
from workshop.views.verdict_card import card
from workshop.workspace import Progress, platform, root, stamp, state

if TYPE_CHECKING:
    from fclocal import Platform

P = ParamSpec("P")
TRIES = 3  # failed checks after which more help is offered


def in_words(act: Callable[P, None]) -> Callable[P, None]:
    """Print an error as a sentence and its fix, never as a traceback."""
    @wraps(act)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            act(*args, **kwargs)
        except (UserError, FcError) as error:
            print(f"{error.message}\n{error.cure}".rstrip())
        except KeyboardInterrupt:
            print("Stopped.")
    return wrapper


@in_words
def check(*tasks: str | float, url: str = "") -> None:
    """Judge tasks: check("1.1"), or check("1.1", url="wss://...") for a function deployed elsewhere."""
    for name in tasks:
        exercise, task = find(name)
        with working(f"Checking {task.id} ..."):
            result = verdict(exercise, task, url=url)
        present(result.text(), card(result))
        if result.word != "PASS" and in_notebook():
            from workshop.views.hint_button import hint_button

            present_widget("", "", hint_button(partial(next_hint, task.id)))


def verdict(exercise: Exercise, task: Task, *, project: Path | None = None, url: str = "",
            fc: Callable[[], "Platform"] = platform) -> Verdict:
    """Judge one task, note it in the progress file and keep its frames for details(). Raises UserError, FcError."""
    project = project or root()
    folder = project / "exercises" / exercise.slug
    result = _apart(lambda: asyncio.run(judge(exercise, task, folder, fc, url)))
    store = Progress(state(project))
    known = store.task(task.id)
    failed = result.word in ("NOT YET", "CRASHED")
    # A passed task stays passed, also when the learner experiments afterwards.
    best = "PASS" if "PASS" in (result.word, known["verdict"]) else result.word
    facts = {"verdict": best, "tries": known["tries"] + (result.word != "NOT STARTED"),
             "fails": known["fails"] + failed}
    facts["line"] = result.headline if best not in ("PASS", "NOT STARTED") else ""
    if result.word == "PASS":
        facts["passed"] = known.get("passed", time.time())
    store.note(task.id, **facts)
    member.report(state(project))
    if failed and facts["fails"] >= TRIES:
        result = replace(result, lines=(*result.lines[:-1], ("Next", _offer(exercise, task, known["hints"]))))
    frames_file = store.path.parent / "details" / f"{task.id}.txt"
    frames_file.parent.mkdir(parents=True, exist_ok=True)
    frames_file.write_text(result.details(), encoding="utf-8")
    return result


@in_words
def details(task: str | float) -> None:
    """Print the frames of the last check, with a mark where the check expected something else."""
    _, entry = find(task)
    frames_file = Progress(state(root())).path.parent / "details" / f"{entry.id}.txt"
    if frames_file.is_file():
        print(frames_file.read_text(encoding="utf-8"))
    else:
        print(f'Nothing yet: run check("{entry.id}") first.')


@in_words
def hint(task: str | float) -> None:
    """Print the next hint of a task; after the last one, where the solution is."""
    print(next_hint(task))


def next_hint(task: str | float) -> str:
    """Return the next hint of a task and count it; after the last one, return where the solution is."""
    exercise, entry = find(task)
    hints = exercise.hints[entry.id]
    store = Progress(state(root()))
    number = store.task(entry.id)["hints"]
    if number >= len(hints):
        return f"Those were all {len(hints)} hints. A solution: {exercise.solution_of(entry.id)}"
    store.note(entry.id, hints=number + 1)
    left = len(hints) - number - 1
    rest = f"{left} more." if left else f"That was the last one. A solution: {exercise.solution_of(entry.id)}"
    return textwrap.fill(f"Hint {number + 1} of {len(hints)}: {hints[number]}", WIDTH) + f"\n{rest}"


@in_words
def reset(task: str | float) -> None:
    """Put the stub of the task's exercise back, after saving a copy of your folder."""
    exercise, _ = find(task)
    project = root()
    saved = generation.keep(project, exercise, stamp())
    generation.write(project, [exercise])
    print(f"{shown(exercise)} has its original files again.")
    if saved:
        print(f"Your files are saved in {saved.relative_to(project).as_posix()}")


def _offer(exercise: Exercise, task: Task, used: int) -> str:
    """Return what to try after several failed checks: a hint, and after the last one the solution."""
    left = len(exercise.hints[task.id]) - used
    more = f'hint("{task.id}"), {left} left' if left > 0 else exercise.solution_of(task.id)
    return f'{more}; or details("{task.id}") for the frames'


def _apart(work: Callable[[], Verdict]) -> Verdict:
    """Run `work` in a thread of its own: a notebook's thread has a running event loop already."""
    box: list[Any] = []

    def run() -> None:
        try:
            box.append(work())
        except BaseException as error:
            box.append(error)

    thread = threading.Thread(target=run, name="workshop-check", daemon=True)
    thread.start()
    thread.join()
    if isinstance(box[0], BaseException):
        raise box[0]
    result: Verdict = box[0]
    return result
