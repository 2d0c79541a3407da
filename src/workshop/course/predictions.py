"""predict(): a guess before the run, and the answer with the reason for each choice after it."""

import textwrap

from workshop.checking.verdict import WIDTH
from workshop.course.catalog import CHOICES, find_lesson
from workshop.errors import UserError
from workshop.workspace import Progress, root, state


def predict(question: str, guess: str | None = None) -> None:
    """Commit a guess before the run; `predict("3.a")` after the run prints the answer and the reasons."""
    try:
        number = int(question.partition(".")[0])
        prediction = find_lesson(number).predictions.get(question)
        if prediction is None:
            raise UserError(f'Lesson {number} has no question "{question}".')
    except (UserError, ValueError) as trouble:
        print(trouble)
        return
    store = Progress(state(root()) / "progress.json")
    if guess is None:
        mine = store.read()["guesses"].get(question)
        guessed = "" if mine is None else f"You guessed {mine}. "
        right = "That is right." if mine == prediction.answer else f"The answer is {prediction.answer}."
        print(textwrap.fill(f"{question}  {guessed}{right} {prediction.why}", WIDTH))
        for choice, reason in prediction.why_not.items():
            print(textwrap.indent(textwrap.fill(f"Why not {choice}: {reason}", WIDTH - 5), " " * 5))
    elif (choice := str(guess).strip().lower()) not in CHOICES:
        print(f'{question}  Put a, b or c in place of the question mark, for example predict("{question}", "a").')
    else:
        with store.change() as data:
            data["guesses"][question] = choice
        print(f"{question}  Noted: {choice}. Now run the next cell and see.")
