"""A prediction with buttons: three choices, locked on click, then the reason for each."""

from collections.abc import Callable, Mapping
from html import escape

import ipywidgets as w

from workshop.views.html import block, prose


class PredictButtons:
    """Buttons a, b, c. `choose(letter)` stores a choice and returns False if there was one already.

    The answer appears on a click on "Show the answer", and only after a choice.
    """

    def __init__(self, question: str, choices: tuple[str, ...], answer: str, why: str, why_not: Mapping[str, str],
                 choose: Callable[[str], None], chosen: str = "", revealed: bool = False) -> None:
        self.question, self.answer, self.why, self.why_not = question, answer, why, why_not
        self._choose = choose
        self.buttons = [w.Button(description=letter, layout={"width": "64px"}, tooltip=f"Choose {letter}")
                        for letter in choices]
        for button in self.buttons:
            button.on_click(lambda clicked: self.lock(clicked.description))
        self.show = w.Button(description="Show the answer", layout={"display": "none"})
        self.show.on_click(lambda _: self.reveal())
        self.state = w.HTML(block(f"<b>{escape(question)}</b> Choose before you run the next cell."))
        self.widget = w.VBox([w.HBox([*self.buttons, self.show]), self.state])
        if chosen:
            self._mark(chosen)
        if revealed:
            self.reveal()

    def lock(self, letter: str) -> None:
        """Store the choice; from then on no button changes it."""
        self._choose(letter)
        self._mark(letter)

    def _mark(self, letter: str) -> None:
        self.chosen = letter
        for button in self.buttons:
            button.disabled = True
            button.button_style = "primary" if button.description == letter else ""
        self.show.layout.display = None
        self.state.value = block(f"<b>{escape(self.question)}</b> Your choice: <b>{escape(letter)}</b>. "
                                 "Now run the next cells, then show the answer.")

    def reveal(self) -> None:
        """Show the right choice and the reason for each."""
        for button in self.buttons:
            if button.description == self.answer:
                button.button_style = "success"
            elif button.description == self.chosen:
                button.button_style = "danger"
        self.show.layout.display = "none"
        self.state.value = reasons(self.question, self.chosen, self.answer, self.why, self.why_not)


def reasons(question: str, chosen: str, answer: str, why: str, why_not: Mapping[str, str]) -> str:
    """Return the answer with the reason for each choice as HTML."""
    verdict = "your choice is right." if chosen == answer else f"you chose {chosen}; the answer is {answer}."
    rows = "".join(f"<dt>{'✓' if letter == answer else '✗'} {escape(letter)}</dt><dd>{prose(reason)}</dd>"
                   for letter, reason in sorted({**why_not, answer: why}.items()))
    return block(f"<b>{escape(question)}</b> {escape(verdict[0].upper() + verdict[1:])}<dl>{rows}</dl>")
