"""Views around a lesson: the progress strip and the prediction with buttons."""

import re
from pathlib import Path

from workshop.course.catalog import lessons
from workshop.course.predictions import wording
from workshop.views.predict_buttons import PredictButtons
from workshop.views.progress_strip import Box, strip, text

ROOT = Path(__file__).parents[3]
BOXES = [Box(0, "Start", "00-start.ipynb", {}), Box(1, "Echo", "01-echo.ipynb", {"1.1": "PASS", "1.2": "NOT YET"}),
         Box(2, "A <trigger>", "02-trigger.ipynb", {"2.1": "NOT STARTED"})]


def test_the_strip_shows_lessons_tasks_and_the_next_one() -> None:
    html = strip(BOXES, 1)
    assert html.count('class="box') == 3 and html.count('class="box here"') == 1
    assert "<b>1 of 3</b> tasks passed" in html
    assert 'next: <a href="02-trigger.ipynb">2. A &lt;trigger&gt;</a>' in html
    assert 'aria-label="Lesson 1: Echo. 1.1 PASS, 1.2 NOT YET"' in html
    assert text(BOXES, 1) == "Tasks: 0:- >1:x~ 2:.   1 of 3 passed"


def test_no_lesson_follows_the_last_one() -> None:
    assert "next:" not in strip(BOXES, 2) and "next:" not in strip(BOXES, None)


def plain(buttons: PredictButtons) -> str:
    return re.sub(r"<style>.*?</style>|<[^>]+>", " ", buttons.state.value)


OPTIONS = {"a": "at once", "b": "never", "c": ""}


def test_a_prediction_is_locked_by_the_first_click_and_gives_the_reason_for_each_option() -> None:
    stored: list[str] = []
    made = PredictButtons("5.a", "When?", OPTIONS, "c", "It was cut.", {"a": "Too early.", "b": "Too late."},
                          stored.append)
    assert "It was cut." not in plain(made) and "When?" in made.heading.value
    assert [button.description for button in made.buttons.values()] == ["a)  at once", "b)  never", "c"]
    made.buttons["b"].click()
    assert stored == ["b"]
    assert all(button.disabled for button in made.buttons.values())
    assert [button.description for button in made.buttons.values()] == ["a)  at once", "✗ b)  never", "✓ c"]
    for words in ("You chose b; the answer is c.", "Too early.", "Too late.", "It was cut."):
        assert words in plain(made)


def test_a_prediction_that_was_made_before_is_shown_with_its_answer() -> None:
    made = PredictButtons("5.a", "When?", OPTIONS, "c", "It was cut.", {}, lambda letter: None, "c")
    assert "Your choice is right." in plain(made) and "wv-right" in made.buttons["c"]._dom_classes


def test_the_words_of_question_and_options_come_from_the_notebook() -> None:
    """Every prediction of every lesson has three, so that no button is a bare letter."""
    for lesson in lessons().values():
        for question in lesson.predictions:
            asked, choices = wording(ROOT / "notebooks" / lesson.notebook, question)
            assert asked and all(choices.values()), question
    asked, choices = wording(ROOT / "notebooks" / "01-echo.ipynb", "1.a")
    assert asked == "Three clients connect at the same moment. How many instances serve them?"
    assert choices["b"] == "Three, one for each client"
    assert wording(ROOT / "notebooks" / "09-live.ipynb", "9.q2")[0] == "Where must your server listen?"
    assert wording(ROOT / "notebooks" / "gone.ipynb", "1.a") == ("", {"a": "", "b": "", "c": ""})


def test_a_prediction_works_while_jupyterlab_saves_the_notebook(tmp_path: Path) -> None:
    (tmp_path / "01-echo.ipynb").write_text("")  # the moment between truncation and content
    assert wording(tmp_path / "01-echo.ipynb", "1.a") == ("", {"a": "", "b": "", "c": ""})
