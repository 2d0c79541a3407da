"""lesson(n), predict, parity and recap: what frames a lesson."""

import asyncio
import os
import sys
import textwrap
import time
import tomllib
from importlib import resources
from typing import Any

from fclocal.core.errors import FcError
from workshop.catalog import Lesson, Trouble, exercises, find, lessons
from workshop.verdict import WIDTH
from workshop.workspace import Progress, root, state, wrong_kernel


def lesson(number: int) -> Any:
    """Begin a lesson: start fclocal or attach to it, and return it (None when that failed, with the cure printed).

    Where it works, nest_asyncio is applied, so that a script with `asyncio.run` runs unchanged in a cell.
    """
    try:
        this = _lesson(number)
        os.chdir(root())  # "functions/01-echo" then means the same in a notebook, in a terminal and in the text
        fc = platform()
        nested = nest()
    except (Trouble, FcError) as trouble:
        print(f"Lesson {number} is not ready: {trouble.message}\n{trouble.cure}")
        return None
    except ModuleNotFoundError as missing:
        print(wrong_kernel(missing))
        return None
    with Progress(state(root()) / "progress.json").change() as data:
        data["lessons"].setdefault(str(number), time.time())
    print(f"Setup complete. Lesson {number}: {this.title}. About {this.teach} min reading, {this.do} min doing.")
    print(f"Needs: {this.needs or 'nothing but this kit'}. Platform: fclocal, on this machine.")
    if not nested:
        print("Here asyncio.run() does not work in a cell: write `await main()` instead.")
    return fc


def platform() -> Any:
    """fclocal of this project, started if need be. Raises FcError."""
    import fclocal

    return fclocal.start(state=state(root()))


def nest() -> bool:
    """Let asyncio.run() work inside the notebook's own loop; False where no library can."""
    try:
        running = asyncio.get_running_loop()
    except RuntimeError:
        return True
    try:
        if sys.version_info >= (3, 14):
            import nest_asyncio2 as nest_asyncio
        else:
            import nest_asyncio
        nest_asyncio.apply(running)
    except (ImportError, ValueError):
        return False
    return True


CHOICES = ("a", "b", "c")  # every prediction of a lesson offers these


def predict(question: str, guess: str | None = None) -> None:
    """Commit a guess before the run; `predict("3.a")` after the run says what is right and why."""
    try:
        number = int(question.partition(".")[0])
        prediction = _lesson(number).predictions.get(question)
        if prediction is None:
            raise Trouble(f'Lesson {number} has no question "{question}".')
    except (Trouble, ValueError) as trouble:
        print(trouble)
        return
    store = Progress(state(root()) / "progress.json")
    if guess is None:
        mine = store.read()["guesses"].get(question)
        said = "You did not guess" if mine is None else f"You said {mine}"
        verdict = "and that is right." if mine == prediction.answer else f"and it is {prediction.answer}."
        print(textwrap.fill(f"{question}  {said}, {verdict} {prediction.because}", WIDTH))
    elif (choice := str(guess).strip().lower()) not in CHOICES:
        print(f'{question}  Put a, b or c in place of the question mark, for example predict("{question}", "a").')
    else:
        with store.change() as data:
            data["guesses"][question] = choice
        print(f"{question}  Noted: {choice}. Now run the next cell and see.")


def parity(number: int) -> None:
    """Print the rows of the parity table that a lesson touches: what the real service does, and how sure that is."""
    table = tomllib.loads(resources.files("fclocal").joinpath("parity.toml").read_text("utf-8"))
    rows = {row["id"]: row for row in table.get("row", [])}
    print("On the real platform (documented, measured, guessed, or different here):")
    for name in _lesson(number).parity:
        row = rows[name]
        note = f" {row['note']}" if row.get("note") else ""
        print(textwrap.fill(f"{row['status']:<10} {row['behaviour']}{note}", WIDTH, subsequent_indent=" " * 11,
                            break_on_hyphens=False))


def recap(number: int | None = None) -> None:
    """What you can do now, how the tasks of the lesson stand, and what comes next (default: the lesson opened last)."""
    store = Progress(state(root()) / "progress.json").read()
    if number is None:
        opened = store["lessons"]
        number = int(max(opened, key=opened.get)) if opened else 0
    this = _lesson(number)
    print(f"Lesson {number}: {this.title}. You can now:")
    for point in this.can:
        print(textwrap.fill(f"- {point}", WIDTH, initial_indent="  ", subsequent_indent="    "))
    for name, known in ((name, store["tasks"].get(name, {})) for name in tasks_of(number)):
        _, task = find(name)
        stretch = " (stretch)" if task.stretch else ""
        print(f"  {name}  {known.get('verdict', 'NOT STARTED'):<12} {task.title}{stretch}")
    following = lessons().get(number + 1)
    print(f"Next: notebooks/{following.notebook}, {following.title}" if following else "That was the last lesson.")


def tasks_of(number: int) -> list[str]:
    """The ids of a lesson's tasks."""
    return [name for exercise in exercises().values() if exercise.number == number for name in exercise.tasks]


def _lesson(number: int) -> Lesson:
    if number not in lessons():
        raise Trouble(f"There is no lesson {number}.", f"Lessons: {' '.join(map(str, lessons()))}")
    return lessons()[number]
