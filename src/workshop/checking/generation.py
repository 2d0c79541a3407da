"""`workshop build`: exercises/ and solutions/ from their one source. `generated` decides, `write` writes."""

import shutil
from collections.abc import Iterable
from pathlib import Path

from workshop.checking.catalog import Exercise, exercises


def generated(exercise: Exercise) -> dict[str, str]:
    """Return project path -> text, for the stub and the solution of one exercise."""
    files = {f"exercises/{exercise.slug}/{path}": text for path, text in exercise.stub.items()}
    files[f"exercises/{exercise.slug}/README.md"] = readme(exercise)
    for path, text in exercise.solution.items():
        files[f"solutions/{exercise.slug}/{path}"] = text
    why = exercise.folder / "WHY.md"
    if why.is_file():
        files[f"solutions/{exercise.slug}/WHY.md"] = why.read_text(encoding="utf-8")
    return files


def readme(exercise: Exercise) -> str:
    """Return the README of an exercise's folder: the story, the tasks, and how to check them."""
    tasks = [f"| {t.id} | {t.title}{' (optional)' if t.stretch else ''} | {t.minutes} |"
             for t in exercise.tasks.values()]
    first = next(iter(exercise.tasks))
    marked = any(f"TODO {first}" in text for text in exercise.stub.values())
    where = ", between `TODO` and `end of`" if marked else ", where you find the fault"
    files = ", ".join(f"`{file}`" for file in exercise.edit)
    edit = f"**Create** {files} in this folder." if exercise.project else f"**Edit only** {files}{where}."
    rights = "Generated" if exercise.project else "Safe to edit: yes, it is yours. Generated"
    return "\n".join([
        f"# Exercise {exercise.number:02}: {exercise.title}", "", exercise.story.strip(), "",
        "| Task | What to do | Minutes |", "|---|---|---|", *tasks, "",
        edit,
        f'**Done when** `check("{first}")` says PASS, in the notebook or with `workshop check {first}` in a terminal.',
        f"**Minutes** {sum(task.minutes for task in exercise.tasks.values())} in all.",
        f"**Needs** {exercise.needs}. **Not needed** {exercise.not_needed}.", "",
        f'Stuck: `hint("{first}")`. Restart: `reset("{first}")`; your files are saved in `exercises/mine/`.', "",
        f"{rights} from src/workshop/exercises/{exercise.slug} by `workshop build`.",
        ""])


def write(project: Path, only: Iterable[Exercise] = ()) -> list[str]:
    """Write all (or `only` some) exercises and solutions; folders of exercises that are gone are removed.

    Returns the paths whose text changed, relative to the project.
    """
    chosen = list(only) or list(exercises().values())
    files = {path: text for exercise in chosen for path, text in generated(exercise).items()}
    changed = [path for path, text in files.items() if _differs(project / path, text)]
    for path in changed:
        (project / path).parent.mkdir(parents=True, exist_ok=True)
        (project / path).write_text(files[path], encoding="utf-8")
    for path in stray(project, chosen):
        (project / path).unlink()
        changed.append(path)
    return sorted(changed)


def stray(project: Path, chosen: Iterable[Exercise]) -> list[str]:
    """Return the files in generated folders that have no source, caches of programs excluded."""
    names = []
    for exercise in chosen:
        wanted = generated(exercise)
        for base in (project / "exercises" / exercise.slug, project / "solutions" / exercise.slug):
            for path in base.rglob("*"):
                name = path.relative_to(project).as_posix()
                if path.is_file() and name not in wanted and not {"__pycache__", "node_modules"} & set(path.parts):
                    names.append(name)
    return sorted(names)


def _differs(path: Path, text: str) -> bool:
    return not path.is_file() or _text(path) != text


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace")


def keep(project: Path, exercise: Exercise, stamp: str) -> Path | None:
    """Copy the learner's folder to exercises/mine/; None if it holds nothing of the learner's (or is missing)."""
    folder = project / "exercises" / exercise.slug
    there = {path: _text(folder / path) for path in exercise.sources if (folder / path).is_file()}
    added = any(path.startswith("exercises/") for path in stray(project, [exercise]))
    if not added and (there.items() <= exercise.stub.items() or there.items() <= exercise.solution.items()):
        return None
    target = project / "exercises" / "mine" / f"{exercise.slug}-{stamp}"
    shutil.copytree(folder, target, ignore=shutil.ignore_patterns("__pycache__", "node_modules"), dirs_exist_ok=True)
    return target
