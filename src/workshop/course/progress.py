"""progress() and catch_up(): where the learner stands, and how to skip to a lesson."""

import time

from workshop.checking import generation
from workshop.checking.catalog import exercises, find
from workshop.checking.commands import in_words
from workshop.checking.judge import shown
from workshop.course.catalog import find_lesson
from workshop.workspace import Progress, root, state


@in_words
def progress() -> None:
    """Where you stand: each task with its verdict, tries and hints."""
    known = Progress(state(root()) / "progress.json").read()
    print("task  verdict      tries  hints  what")
    for exercise in exercises().values():
        for task in exercise.tasks.values():
            facts = {"verdict": "NOT STARTED", "tries": 0, "hints": 0, **known["tasks"].get(task.id, {})}
            print(f"{task.id:<5} {facts['verdict']:<12} {facts['tries']:>5}  {facts['hints']:>5}  {task.title}")
    every = [task for exercise in exercises().values() for task in exercise.tasks]
    done = sum(known["tasks"].get(task, {}).get("verdict") == "PASS" for task in every)
    print(f"{done} of {len(every)} tasks passed.")
    following = next((task for task in every if known["tasks"].get(task, {}).get("verdict") != "PASS"), None)
    if following:
        print(f'Next: {find(following)[0].slug}, check("{following}")')


@in_words
def catch_up(lesson: int) -> None:
    """Everything as it must be to begin a lesson: earlier exercises get their solution, your files are kept."""
    notebook = find_lesson(lesson).notebook
    project, stamp = root(), time.strftime("%Y%m%d-%H%M%S")
    for exercise in exercises().values():
        if exercise.number >= lesson:
            continue
        saved = generation.keep(project, exercise, stamp)
        for path, text in exercise.solution.items():
            file = project / "exercises" / exercise.slug / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
        kept = f"; your files are in {saved.relative_to(project).as_posix()}" if saved else ""
        print(f"{shown(exercise)} has its solution{kept}")
    print(f"Ready for lesson {lesson}: notebooks/{notebook}")
