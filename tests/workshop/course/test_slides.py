"""The slides come from the notebooks, their notes from the instructor's page. In a browser: test_slides_page.py."""

import re
from pathlib import Path

import nbformat
import pytest

from workshop.course.catalog import find_lesson, lessons
from workshop.course.slides.build import ROWS, blocks, main, notes, slides
from workshop.errors import UserError

NOTEBOOKS = Path(__file__).parents[3] / "notebooks"
TEACHING = (NOTEBOOKS / "teaching.md").read_text("utf-8")


def texts(number: int) -> list[str]:
    book = nbformat.read(NOTEBOOKS / find_lesson(number).notebook, as_version=4)
    return [cell.source for cell in book.cells if cell.cell_type == "markdown"]


@pytest.mark.parametrize("number", lessons())
def test_every_lesson_has_every_kind_of_slide(number: int) -> None:
    lesson, cells = find_lesson(number), texts(number)
    deck = list(slides(cells, lesson))
    kinds = [kind for kind, _ in deck]
    assert set(kinds) == set(ROWS) - ({"tasks"} if number == 0 else set())  # lesson 0 has no task
    assert kinds[0] == "problem" and kinds[-1] == "key points"
    assert kinds.count("picture") == sum(text.count("![") for text in cells)
    asked = sum(text.count("> **Predict ") for text in cells)
    assert kinds.count("predict") == kinds.count("answer") == asked
    for kind, text in deck:
        assert len(re.sub(r"!\[.*?\)", "", text, flags=re.S).split()) <= 110, f"too long for a slide: {kind}: {text}"


@pytest.mark.parametrize("number", lessons())
def test_every_row_of_the_instructors_page_is_a_note(number: int) -> None:
    rows = notes(TEACHING, number)
    assert list(rows) == ["Idea", "Say", "Show", "Do", "Ask", "Break", "Wrong answers", "Stop", "Cut"]
    assert {name for names in ROWS.values() for name in names} == set(rows)


def test_a_listing_is_one_block() -> None:
    assert blocks("one\n\n```\na\n\nb\n```\n\n- two\n- three") == ["one", "```\na\n\nb\n```", "- two\n- three"]


def test_a_lesson_without_a_section_is_named() -> None:
    with pytest.raises(UserError, match="no section for lesson 7"):
        notes("### 1. One\n\n- **Idea:** x\n", 7)


def test_a_wrong_number_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["77", "--to", str(tmp_path)]) == 1
    assert capsys.readouterr().err.startswith("There is no lesson 77.")
