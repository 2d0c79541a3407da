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


def stretch(number: int) -> int:
    """Minutes of a lesson's optional tasks."""
    return sum(task.minutes for exercise in exercises().values() if exercise.number == number
               for task in exercise.tasks.values() if task.stretch)


@pytest.mark.parametrize("number", lessons())
def test_the_minutes_of_each_lesson(number: int) -> None:
    it = lessons()[number]
    assert f"| {number} | {it.title} | {it.teach} | {it.do} | {it.teach + it.do} | {stretch(number)} |" in TEXT


def test_the_minutes_of_each_format() -> None:
    formats = re.findall(r"^\| (\w.*?), (\d+) (hours|minutes) \| (\d) to (\d).*?\| (\d+) min \| (\d+) min \|", TEXT,
                         re.MULTILINE)
    assert len(formats) == 3
    for name, long, unit, first, last, bare, slack in formats:
        wanted = sum(it.teach + it.do - stretch(number) for number, it in lessons().items()
                     if int(first) <= number <= int(last))
        assert (int(bare), int(slack)) == (wanted, round(wanted * SLACK)), name
        assert int(slack) < int(long) * (60 if unit == "hours" else 1), name


def test_every_lesson_has_its_paragraph() -> None:
    assert [int(number) for number in re.findall(r"^\*\*(\d+)\. ", TEXT, re.MULTILINE)] == list(lessons())


def test_the_messages_it_quotes_exist() -> None:
    known = {wrong.says.partition("  ")[2] for exercise in exercises().values() for wrong in exercise.wrong}
    paragraphs = re.findall(r"^Wrong: (.*?)(?=^\w+: |^With|^$)", TEXT, re.MULTILINE | re.DOTALL)
    quoted = {" ".join(words.split()) for text in paragraphs for words in re.findall(r"`([^`]+)`", text)}
    assert len(quoted) >= 20
    assert quoted <= known


def test_the_faults_it_arms_exist(fc: Platform) -> None:
    faults = re.findall(r"`with (fc\.fault\(.*?\)):`", TEXT)
    assert len(faults) == len(lessons())
    for line in faults:
        call = ast.parse(line, mode="eval").body
        assert isinstance(call, ast.Call)
        given = {word.arg or "": ast.literal_eval(word.value) for word in call.keywords}
        if (what := ast.literal_eval(call.args[0])) == "pause_redis":
            assert set(given) <= {"function", "times", "seconds"}  # would start a Redis of its own
            continue
        with fc.fault(what, **given) as rule:
            assert rule["what"] == what
