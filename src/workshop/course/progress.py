"""progress() and catch_up(): where the learner stands, and how to skip to a lesson."""

from html import escape

from workshop.checking import generation
from workshop.checking.catalog import exercises
from workshop.checking.commands import in_words
from workshop.checking.judge import shown
from workshop.course.catalog import find_lesson, lessons, tasks_of
from workshop.views.html import badge, file_link, present
from workshop.views.progress_strip import Box, strip, text
from workshop.workspace import Progress, root, stamp, state

SHOWN = 5  # open tasks that progress() shows; the others are folded


def boxes() -> list[Box]:
    """Return the lessons, and the project after the last one, with the verdicts of their tasks."""
    store = Progress(state(root()))
    places = [(number, lesson.title, lesson.notebook) for number, lesson in lessons().items()]
    places += [(exercise.number, exercise.title, f"../{shown(exercise, 'README.md')}")
               for exercise in exercises().values() if exercise.project]
    return [Box(number, title, page, {task: facts["verdict"] for task, facts in store.tasks(tasks_of(number)).items()})
            for number, title, page in places]


@in_words
def progress() -> None:
    """Show where you stand: the lessons as a strip, and each task that is open with its verdict, tries and hints."""
    known = Progress(state(root())).tasks(task for exercise in exercises().values() for task in exercise.tasks)
    lines, rows, following = [text(boxes(), None)], [], ""
    for exercise in exercises().values():
        for task in exercise.tasks.values():
            facts = known[task.id]
            if facts["verdict"] == "PASS":
                continue
            following = following or f'Next: {exercise.slug}, check("{task.id}")'
            lines.append(f"{task.id:<5} {facts['verdict']:<12} {facts['tries']} tries, {facts['hints']} hints  "
                         f"{task.title}")
            file = "README.md" if exercise.project else exercise.edit[0]
            rows.append(f"<dt>{task.id} {badge(facts['verdict'])}</dt><dd>"
                        f"{file_link(shown(exercise, file), task.title)} <span class='dim'>"
                        f"{facts['tries']} tries, {facts['hints']} hints</span></dd>")
    lines.append(following or "All tasks passed.")
    more = f"<details><summary>{len(rows) - SHOWN} more</summary><dl>{''.join(rows[SHOWN:])}</dl></details>"
    below = (f"<dl>{''.join(rows[:SHOWN])}</dl>" + (more if len(rows) > SHOWN else "")
             + f"<div>{escape(lines[-1])}</div>")
    present("\n".join(lines), strip(boxes(), None, below))


@in_words
def catch_up(lesson: int) -> None:
    """Prepare everything for a lesson: earlier exercises get their solution, and your files are kept."""
    notebook = find_lesson(lesson).notebook
    project, now = root(), stamp()
    for exercise in exercises().values():
        if exercise.number >= lesson:
            continue
        saved = generation.keep(project, exercise, now)
        for path, content in exercise.solution.items():
            file = project / "exercises" / exercise.slug / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(content, encoding="utf-8")
        kept = f"; your files are in {saved.relative_to(project).as_posix()}" if saved else ""
        print(f"{shown(exercise)} has its solution{kept}")
    print(f"Ready for lesson {lesson}: notebooks/{notebook}")
