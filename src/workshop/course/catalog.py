"""The lessons, read from `workshop/lessons`."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from workshop.checking.catalog import exercises
from workshop.errors import UserError

LESSONS = Path(__file__).parents[1] / "lessons"
CHOICES = ("a", "b", "c")  # every prediction of a lesson offers these


@dataclass(frozen=True)
class Prediction:
    """The right choice, why it is right, and for each wrong choice why it is not."""

    answer: str
    why: str
    why_not: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Lesson:
    """One lesson as its notebook's author describes it; minutes of reading and of doing.

    `proof`: objective -> the tasks that prove it. `redis`: the lesson needs a Redis server.
    """

    slug: str
    title: str
    teach: int
    do: int
    needs: str = ""
    redis: bool = False
    can: tuple[str, ...] = ()
    proof: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    parity: tuple[str, ...] = ()
    predictions: Mapping[str, Prediction] = None  # type: ignore[assignment]

    @property
    def number(self) -> int:
        return int(self.slug[:2])

    @property
    def notebook(self) -> str:
        return f"{self.slug}.ipynb"


@cache
def lessons() -> dict[int, Lesson]:
    """Return all lessons by number."""
    return {int(path.name[:2]): _lesson(path) for path in sorted(LESSONS.glob("*.toml"))}


def _lesson(path: Path) -> Lesson:
    facts = tomllib.loads(path.read_text(encoding="utf-8"))
    predictions = {key: Prediction(**value) for key, value in facts.pop("predictions", {}).items()}
    can = tuple(facts.pop("can", ()))
    proof = dict(zip(can, map(tuple, facts.pop("proof", ())), strict=False))
    return Lesson(slug=path.stem, can=can, proof=proof, parity=tuple(facts.pop("parity", ())),
                  predictions=predictions, **facts)


def find_lesson(number: int) -> Lesson:
    """Return the lesson with this number. Raises UserError that lists the lessons."""
    if number not in lessons():
        raise UserError(f"There is no lesson {number}.", f"Lessons: {' '.join(map(str, lessons()))}")
    return lessons()[number]


def tasks_of(number: int) -> list[str]:
    """Return the ids of a lesson's tasks."""
    return [name for exercise in exercises().values() if exercise.number == number for name in exercise.tasks]
