"""Views around a lesson: the progress strip and the prediction with buttons."""

import re

from workshop.views.predict_buttons import PredictButtons
from workshop.views.progress_strip import Box, strip, text

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


def test_a_prediction_is_locked_by_the_first_click_and_reveals_on_request() -> None:
    stored: list[str] = []
    made = PredictButtons("5.a", ("a", "b", "c"), "c", "It was cut.", {"a": "Too early.", "b": "Too late."},
                          stored.append)
    assert "It was cut." not in plain(made) and made.show.layout.display == "none"
    made.buttons[1].click()
    assert stored == ["b"]
    assert all(button.disabled for button in made.buttons) and "It was cut." not in plain(made)
    made.show.click()
    for words in ("You chose b; the answer is c.", "Too early.", "Too late.", "It was cut."):
        assert words in plain(made)


def test_a_prediction_that_was_made_before_is_shown_with_its_answer() -> None:
    made = PredictButtons("5.a", ("a", "b", "c"), "c", "It was cut.", {}, lambda letter: None, "c", revealed=True)
    assert "Your choice is right." in plain(made) and made.buttons[2].button_style == "success"
