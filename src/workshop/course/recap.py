"""recap(): what the learner can do now, what is open, what comes next."""

import textwrap
from html import escape

from workshop.checking.catalog import exercises, find
from workshop.checking.judge import shown
from workshop.course.catalog import Lesson, find_lesson, lessons, tasks_of
from workshop.views.html import badge, block, file_link, present, prose
from workshop.views.plain_text import WIDTH
from workshop.workspace import Progress, root, state

PROJECT = next(shown(exercise, "README.md") for exercise in exercises().values() if exercise.project)


def recap(number: int | None = None) -> None:
    """Show which objectives of a lesson its passed tasks prove, what is open, and what comes next.

    Default: the lesson that was opened last.
    """
    store = Progress(state(root()))
    if number is None:
        opened = store.read()["lessons"]
        number = int(max(opened, key=opened.get)) if opened else 0
    this = find_lesson(number)
    verdicts = {task: facts["verdict"] for task, facts in store.tasks(tasks_of(number)).items()}
    proved = objectives(this, verdicts)
    open_tasks = {task: word for task, word in verdicts.items() if word != "PASS"}
    following = lessons().get(number + 1)
    lines = [f"Lesson {number}: {this.title}. You can now:" if all(proved.values()) or not verdicts
             else f"Lesson {number}: {this.title}. [x] proved by your tasks, [ ] open:"]
    for objective, done in proved.items():
        lines.append(textwrap.fill(objective, WIDTH, initial_indent=f"  {'[x]' if done else '[ ]'} ",
                                   subsequent_indent="      "))
    for task, word in open_tasks.items():
        optional = " (optional)" if find(task)[1].stretch else ""
        lines.append(f"  {task}  {word:<12} {find(task)[1].title}{optional}")
    lines.append(f"Next: notebooks/{following.notebook}, {following.title}" if following
                 else f"Next: {PROJECT}, a project of your own")
    present("\n".join(lines), _html(this, proved, open_tasks, following))


def objectives(lesson: Lesson, verdicts: dict[str, str]) -> dict[str, bool]:
    """Return each objective and whether its tasks passed; one without tasks is proved by all required tasks."""
    required = [task for task in verdicts if not find(task)[1].stretch]
    return {objective: all(verdicts[task] == "PASS" for task in lesson.proof.get(objective) or required)
            for objective in lesson.can}


def _html(this: Lesson, proved: dict[str, bool], open_tasks: dict[str, str], following: Lesson | None) -> str:
    ticks = "".join(f'<dt style="color:var(--{"good" if done else "dim"})">{"✓" if done else "○"}</dt>'
                    f"<dd>{prose(objective)}</dd>" for objective, done in proved.items())
    rows = "".join(f"<dt>{task} {badge(word)}</dt><dd>{_where(task)}</dd>" for task, word in open_tasks.items())
    still = f"<b>Open</b><dl>{rows}</dl>" if rows else ""
    link = (f'Next: <a href="{escape(following.notebook)}">{following.number}. {escape(following.title)}</a>'
            if following else f'Next: <a href="../{PROJECT}">a project of your own</a>')
    return block(f'<div class="card"><b>Lesson {this.number}: {escape(this.title)}</b><dl>{ticks}</dl>{still}{link}'
                 "</div>", f"Recap of lesson {this.number}")


def _where(task: str) -> str:
    exercise, known = find(task)
    words = known.title + " (optional)" * known.stretch
    return file_link(shown(exercises()[exercise.slug], exercise.edit[0]), words)
