"""predict(): a choice before the run, and the answer with the reason for each choice after it."""

import textwrap

from workshop.checking.verdict import WIDTH
from workshop.course.catalog import CHOICES, Prediction, find_lesson
from workshop.errors import UserError
from workshop.views.html import in_notebook, present_widget
from workshop.workspace import Progress, root, state


def predict(question: str, guess: str | None = None) -> None:
    """Ask for a choice with buttons, or store one: predict("3.a", "b"). Called after a choice, show the answer.

    The answer is never shown before a choice was made, so running all cells does not reveal it.
    """
    try:
        number = int(question.partition(".")[0])
        prediction = find_lesson(number).predictions.get(question)
        if prediction is None:
            raise UserError(f'Lesson {number} has no question "{question}".')
    except (UserError, ValueError) as error:
        print(error)
        return
    choice = "" if guess is None else str(guess).strip().lower()
    chosen = Progress(state(root()) / "progress.json").read()["guesses"].get(question, "")
    if choice in CHOICES:
        _store(question, choice)
        print(f"{question}  Noted: {choice}. Now run the next cell and see.")
    elif guess is None and chosen:
        _present(question, prediction, chosen, _answer(question, prediction, chosen))
    elif chosen:
        _present(question, prediction, chosen, f'{question}  You chose {chosen}. Run the next cells; then '
                 f'predict("{question}") shows the answer.', revealed=False)
    else:
        _present(question, prediction, "", f'{question}  Choose before you run the next cell: predict("{question}", '
                 f'"a"), or "b", or "c".', revealed=False)


def _present(question: str, prediction: Prediction, chosen: str, text: str, revealed: bool = True) -> None:
    if not in_notebook():
        print(text)
        return
    from workshop.views.predict_buttons import PredictButtons

    buttons = PredictButtons(question, CHOICES, prediction.answer, prediction.why, prediction.why_not,
                             lambda letter: _store(question, letter), chosen, revealed)
    present_widget(text, buttons.state.value, buttons.widget)


def _store(question: str, choice: str) -> None:
    with Progress(state(root()) / "progress.json").change() as data:
        data["guesses"][question] = choice


def _answer(question: str, prediction: Prediction, chosen: str) -> str:
    verdict = "That is right." if chosen == prediction.answer else f"The answer is {prediction.answer}."
    lines = [textwrap.fill(f"{question}  You chose {chosen}. {verdict} {prediction.why}", WIDTH)]
    lines += [textwrap.indent(textwrap.fill(f"Why not {choice}: {reason}", WIDTH - 5), " " * 5)
              for choice, reason in prediction.why_not.items()]
    return "\n".join(lines)
