"""predict(): a choice before the run, then the answer with the reason for each option."""

import json
import re
import textwrap
from collections.abc import Mapping
from pathlib import Path

from workshop.checking.commands import in_words
from workshop.course.catalog import CHOICES, Prediction, find_lesson
from workshop.errors import UserError
from workshop.views.html import in_notebook, present_widget
from workshop.views.plain_text import WIDTH
from workshop.workspace import Progress, root, state


@in_words
def predict(question: str, guess: str | None = None) -> None:
    """Ask for a choice with buttons, or store one: predict("3.a", "b"). A choice shows the answer.

    The answer is never shown before a choice was made, so running all cells does not reveal it.
    """
    number = question.partition(".")[0]
    if not number.isdecimal():
        raise UserError(f'There is no question "{question}".', 'A question has a name such as "5.a".')
    lesson = find_lesson(int(number))
    if (prediction := lesson.predictions.get(question)) is None:
        raise UserError(f'Lesson {lesson.number} has no question "{question}".')
    choice = "" if guess is None else str(guess).strip().lower()
    if choice in CHOICES:
        _store(question, choice)
    chosen = Progress(state(root())).read()["guesses"].get(question, "")
    text = _answer(question, prediction, chosen) if chosen else (
        f'{question}  Choose before you run the next cell: predict("{question}", "a"), or "b", or "c".')
    if not in_notebook() or choice in CHOICES:
        print(text)
        return
    from workshop.views.predict_buttons import PredictButtons

    words, choices = wording(root() / "notebooks" / lesson.notebook, question)
    buttons = PredictButtons(question, words, choices, prediction.answer, prediction.why, prediction.why_not,
                             lambda letter: _store(question, letter), chosen)
    present_widget(text, buttons.heading.value + buttons.state.value, buttons.widget)


def wording(notebook: Path, question: str) -> tuple[str, Mapping[str, str]]:
    """Return the words of a question and of its options as the lesson's notebook has them, "" where it has none."""
    try:
        cells = json.loads(notebook.read_text("utf-8"))["cells"]
    except (OSError, ValueError):  # JupyterLab writes the file in place: for a moment of each save it is incomplete
        cells = []
    prose = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    quote = re.search(rf"^> \*\*(?:Predict )?{re.escape(question)}\.?\*\*((?:.*\n?)(?:>.*\n?)*)", prose, re.MULTILINE)
    text = re.sub(r"^> ?|\\$", "", quote[1], flags=re.MULTILINE) if quote else ""
    asked, *parts = re.split(r"^(\w)\) ", text.partition("\n**")[0], flags=re.MULTILINE)  # then letter, words, ...
    choices = dict(zip(parts[::2], parts[1::2], strict=True))
    return _plain(asked), {letter: _plain(choices.get(letter, "")) for letter in CHOICES}


def _plain(text: str) -> str:
    """Return Markdown as one line without marks of emphasis and code."""
    return re.sub(r"[`*]", "", " ".join(text.split()))


def _store(question: str, choice: str) -> None:
    with Progress(state(root())).change() as data:
        data["guesses"][question] = choice


def _answer(question: str, prediction: Prediction, chosen: str) -> str:
    verdict = "That is right." if chosen == prediction.answer else f"The answer is {prediction.answer}."
    lines = [textwrap.fill(f"{question}  You chose {chosen}. {verdict} {prediction.why}", WIDTH)]
    lines += [textwrap.indent(textwrap.fill(f"Why not {choice}: {reason}", WIDTH - 5), " " * 5)
              for choice, reason in prediction.why_not.items()]
    return "\n".join(lines)
