"""recap(): what the learner can do now, what is open, what comes next."""

import textwrap

from workshop.checking.catalog import find
from workshop.checking.verdict import WIDTH
from workshop.course.catalog import find_lesson, lessons, tasks_of
from workshop.workspace import Progress, root, state


def recap(number: int | None = None) -> None:
    """What you can do now, how the tasks of the lesson stand, and what comes next (default: the lesson opened last)."""
    store = Progress(state(root()) / "progress.json").read()
    if number is None:
        opened = store["lessons"]
        number = int(max(opened, key=opened.get)) if opened else 0
    this = find_lesson(number)
    print(f"Lesson {number}: {this.title}. You can now:")
    for point in this.can:
        print(textwrap.fill(f"- {point}", WIDTH, initial_indent="  ", subsequent_indent="    "))
    for name, known in ((name, store["tasks"].get(name, {})) for name in tasks_of(number)):
        _, task = find(name)
        stretch = " (stretch)" if task.stretch else ""
        print(f"  {name}  {known.get('verdict', 'NOT STARTED'):<12} {task.title}{stretch}")
    following = lessons().get(number + 1)
    print(f"Next: notebooks/{following.notebook}, {following.title}" if following else "That was the last lesson.")
