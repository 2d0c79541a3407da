"""What the instructor's page says is what the lessons and exercises say."""

import ast
import re
from pathlib import Path

import pytest

from fclocal.client.platform import Platform
from workshop.checking.catalog import exercises
from workshop.course.catalog import lessons

TEXT = (Path(__file__).parents[3] / "notebooks" / "teaching.md").read_text("utf-8")
SLACK = 1.15
PARTS = ["Idea", "Say", "Show", "Do", "Ask", "Break", "Wrong answers", "Stop", "Cut"]


def stretch(number: int) -> int:
    """Minutes of a lesson's optional tasks."""
    return sum(task.minutes for exercise in exercises().values() if exercise.number == number
               for task in exercise.tasks.values() if task.stretch)


@pytest.mark.parametrize("number", lessons())
def test_the_minutes_of_each_lesson(number: int) -> None:
    lesson = lessons()[number]
    minutes = f"{lesson.teach} | {lesson.do} | {lesson.teach + lesson.do} | {stretch(number)}"
    assert f"| {number} | {lesson.title} | {minutes} |" in TEXT


def test_the_minutes_of_each_format() -> None:
    formats = re.findall(r"^\| (\w.*?), (\d+) (hours|minutes) \| (\d) to (\d).*?\| (\d+) min \| (\d+) min \|", TEXT,
                         re.MULTILINE)
    assert len(formats) == 3
    for name, long, unit, first, last, bare, slack in formats:
        wanted = sum(lesson.teach + lesson.do - stretch(number) for number, lesson in lessons().items()
                     if int(first) <= number <= int(last))
        assert (int(bare), int(slack)) == (wanted, round(wanted * SLACK)), name
        assert int(slack) < int(long) * (60 if unit == "hours" else 1), name


def pages() -> dict[int, str]:
    """The text on each lesson, by its number."""
    section = TEXT.partition("## Lesson by lesson")[2].partition("\n## ")[0]
    parts = re.split(r"^### (\d+)\. ", section, flags=re.MULTILINE)
    return {int(number): text for number, text in zip(parts[1::2], parts[2::2], strict=True)}


def test_every_lesson_has_its_page() -> None:
    assert [(number, text.partition("\n")[0]) for number, text in pages().items()] == [
        (number, lesson.title) for number, lesson in lessons().items()]


@pytest.mark.parametrize("number", lessons())
def test_a_page_has_every_part_and_its_minutes_are_those_of_the_lesson(number: int) -> None:
    page, lesson = pages()[number], lessons()[number]
    parts = re.findall(r"^- \*\*(\w[\w ]*?)(?: \((\d+) min\))?:\*\*", page, re.MULTILINE)
    assert [name for name, _ in parts] == PARTS
    minutes = {name: int(count) for name, count in parts if count}
    assert (minutes["Say"] + minutes["Show"], minutes["Do"]) == (lesson.teach, lesson.do)


@pytest.mark.parametrize("number", [number for number in lessons() if number])
def test_a_page_quotes_three_messages_of_its_checks(number: int) -> None:
    known = {wrong.says.partition("  ")[2] for exercise in exercises().values() if exercise.number == number
             for wrong in exercise.wrong}
    messages = re.findall(r"^  \d\. `([^`]+)`: ", pages()[number], re.MULTILINE)
    assert len(messages) == 3
    assert set(messages) <= known


def test_the_faults_it_arms_exist(fc: Platform) -> None:
    faults = re.findall(r"`with (fc\.fault\(.*?\)):`", TEXT)
    assert len(faults) == len(lessons())
    for line in faults:
        call = ast.parse(line, mode="eval").body
        assert isinstance(call, ast.Call)
        options = {word.arg or "": ast.literal_eval(word.value) for word in call.keywords}
        if (what := ast.literal_eval(call.args[0])) == "pause_redis":
            assert set(options) <= {"function", "times", "seconds"}  # would start a Redis of its own
            continue
        with fc.fault(what, **options) as rule:
            assert rule["what"] == what
