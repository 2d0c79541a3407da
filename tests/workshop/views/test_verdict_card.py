"""A verdict as a card and in the colours of a terminal."""

import io

import pytest
from rich.console import Console

from workshop.checking.verdict import COLOURS, Verdict, Word, coloured
from workshop.views.hint_button import hint_button
from workshop.views.html import VERDICT
from workshop.views.verdict_card import card

VERDICT_OF = Verdict("1.1", "NOT YET", "it says <hello>", (
    ("I did", 'sent "a"'), ("I wanted", 'receives "A"'), ("I saw", 'received "a"'), ("", "12 | await ws.send(a)"),
    ("Look at", "exercises/01-echo/main.py line 12"), ("Next", 'hint("1.1")')))


def test_the_card_has_the_word_its_colour_the_diff_and_a_link() -> None:
    html = card(VERDICT_OF)
    assert 'aria-label="Verdict of task 1.1: NOT YET"' in html and "border-left-color:var(--ping)" in html
    assert "it says &lt;hello&gt;" in html and "<hello>" not in html
    assert "+ receives &quot;A&quot;" in html and "- received &quot;a&quot;" in html
    assert 'href="../exercises/01-echo/main.py"' in html and "line 12</a>" in html
    assert "<summary>Details: the frames of the check</summary>" in html


def test_a_pass_has_no_frames_to_look_at() -> None:
    assert "<details>" not in card(Verdict("1.1", "PASS", "(1 of 1 step)"))


@pytest.mark.parametrize("word", COLOURS)
def test_each_word_has_a_colour_in_both(word: Word) -> None:
    assert word in VERDICT
    text = coloured(Verdict("1.1", word, "headline"))
    [span] = text.spans
    assert text.plain[span.start:span.end] == word
    plain = io.StringIO()
    Console(file=plain).print(text)
    assert plain.getvalue() == f"1.1 {word}  headline\n"  # not a terminal: no colour


def test_the_hint_button_adds_each_hint_once() -> None:
    hints = iter(["first", "second", "second"])
    button = hint_button(lambda: next(hints))
    button, area = button.children
    for _ in range(3):
        button.click()
    assert area.value.count("<p>first</p>") == 1 and area.value.count("<p>second</p>") == 1
