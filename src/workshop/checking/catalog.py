"""The exercises, read from `workshop/exercises`."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

from workshop.checking import marks
from workshop.errors import UserError

EXERCISES = Path(__file__).parents[1] / "exercises"


@dataclass(frozen=True)
class Task:
    """One thing to do. `minutes` is the time we plan for it."""

    id: str
    title: str
    minutes: int
    goal: str
    stretch: bool = False


@dataclass(frozen=True)
class Wrong:
    """A wrong answer: its name, its task, the first line it must get, and its parts (file name or "" -> text)."""

    name: str
    task: str
    says: str
    regions: tuple[str, ...]
    files: Mapping[str, str]


@dataclass(frozen=True)
class Exercise:
    """One exercise and its source of truth. `slug` is the folder's name, e.g. "01-echo".

    A `project` starts from an empty folder: its stub has no files but the README, which is the specification.
    """

    slug: str
    title: str
    version: int
    story: str
    edit: tuple[str, ...]
    needs: str
    not_needed: str
    tasks: Mapping[str, Task]
    folder: Path
    project: bool = False

    @property
    def number(self) -> int:
        return int(self.slug[:2])

    @cached_property
    def sources(self) -> dict[str, str]:
        """Return path in the exercise's folder -> marked text."""
        root = self.folder / "source"
        return {path.relative_to(root).as_posix(): path.read_text(encoding="utf-8")
                for path in sorted(root.rglob("*")) if path.is_file() and "__pycache__" not in path.parts}

    @cached_property
    def stub(self) -> dict[str, str]:
        return {} if self.project else {path: marks.stub(text) for path, text in self.sources.items()}

    @cached_property
    def solution(self) -> dict[str, str]:
        return {path: marks.solution(text) for path, text in self.sources.items()}

    def files_with(self, task: str) -> tuple[str, ...]:
        """Return the files that hold a region of `task`."""
        return tuple(path for path, text in self.sources.items() if task in marks.tasks_in(text))

    def files_of(self, task: str) -> tuple[str, ...]:
        """Return the files with a region of `task`; if the learner must find a fault, all files of its folder."""
        files = self.files_with(task)
        if all(f"TODO {task}" in self.sources[path] for path in files):
            return files
        folders = {path.rpartition("/")[0] for path in files}
        return tuple(path for path in self.sources if path.rpartition("/")[0] in folders)

    def solution_of(self, task: str) -> str:
        """Return the paths of the files in which the solution of `task` differs from the stub."""
        return ", ".join(f"solutions/{self.slug}/{file}" for file in self.files_of(task)
                         if self.stub.get(file) != self.solution[file])

    @cached_property
    def hints(self) -> dict[str, tuple[str, ...]]:
        """Return task -> its hints in order."""
        hints: dict[str, list[str]] = {}
        task = ""
        for line in (self.folder / "hints.md").read_text(encoding="utf-8").splitlines():
            if line.startswith("## "):
                task = line[3:].strip()
            elif line.startswith("- "):
                hints.setdefault(task, []).append(line[2:].strip())
        return {key: tuple(value) for key, value in hints.items()}

    @cached_property
    def wrong(self) -> tuple[Wrong, ...]:
        return tuple(_wrong(path) for path in sorted((self.folder / "wrong").glob("*.txt")))

    def with_answer(self, wrong: Wrong) -> dict[str, str]:
        """Return the learner's folder with the wrong answer in it."""
        where = self.files_of(wrong.task)
        rest = list(wrong.regions)
        answer: dict[str, str] = {}
        for path, text in self.sources.items():
            count = sum(1 for part in marks.parse(text) if isinstance(part, marks.Region) and part.task == wrong.task)
            mine, rest = (rest[:count], rest[count:]) if path in where and path not in wrong.files else ([], rest)
            answer[path] = wrong.files.get(path) or marks.answered(text, wrong.task, mine)
        return {**answer, **wrong.files}


def _wrong(path: Path) -> Wrong:
    says, _, rest = path.read_text(encoding="utf-8").partition("\n")
    regions, files = [], {}
    name, lines = "", []  # type: tuple[str, list[str]]
    for line in [*rest.splitlines(), "==="]:
        if not line.startswith("==="):
            lines.append(line)
            continue
        if name:
            files[name] = "\n".join(lines) + "\n"
        elif lines:
            regions.append("\n".join(lines))
        name, lines = line[3:].strip(), []
    return Wrong(path.stem, path.stem.partition("-")[0], says, tuple(regions), files)


@cache
def exercises() -> dict[str, Exercise]:
    """Return all exercises by slug, in order."""
    return {folder.name: _exercise(folder) for folder in sorted(EXERCISES.glob("[0-9][0-9]-*"))
            if (folder / "exercise.toml").is_file()}


def _exercise(folder: Path) -> Exercise:
    facts = tomllib.loads((folder / "exercise.toml").read_text(encoding="utf-8"))
    tasks = {key: Task(key, **value) for key, value in facts.pop("tasks").items()}
    return Exercise(slug=folder.name, folder=folder, tasks=tasks, edit=tuple(facts.pop("edit")), **facts)


def find(task: str | float) -> tuple[Exercise, Task]:
    """Return the exercise and the task of an id such as "3.1". Raises UserError that lists the tasks."""
    name = str(task)
    for exercise in exercises().values():
        if name in exercise.tasks:
            return exercise, exercise.tasks[name]
    known = " ".join(key for exercise in exercises().values() for key in exercise.tasks)
    raise UserError(f'There is no task "{name}".', f"Tasks: {known}")
