"""A prediction with buttons: one per option, locked on click; then the answer with the reason for each option."""

from collections.abc import Callable, Mapping
from html import escape

import ipywidgets as w

from workshop.views.drawing import css
from workshop.views.html import block, prose

# A button of ipywidgets has one line and is pale when it is disabled; an option is a sentence that stays readable.
STYLE = ("<style>.jupyter-button.wv-option.wv-option{white-space:normal;text-align:left;line-height:1.4;opacity:1;"
         f"padding:6px 12px;font-size:14px;color:{css('ink')};background:{css('lane')};"
         f"border:1px solid {css('edge')};border-radius:6px}}"
         ".jupyter-button.wv-option.wv-option:enabled:hover{box-shadow:none;"
         f"background:{css('data-soft')}}}"
         f".jupyter-button.wv-option.wv-right{{background:{css('good-soft')};border-color:{css('good')}}}"
         f".jupyter-button.wv-option.wv-wrong{{background:{css('bad-soft')};border-color:{css('bad')}}}</style>")

ASK = "Choose before you run the next cell."


class PredictButtons:
    """A button for each option. The first click is stored by `choose`, and shows the answer."""

    def __init__(self, question: str, asked: str, options: Mapping[str, str], answer: str, why: str,
                 why_not: Mapping[str, str], choose: Callable[[str], None], chosen: str = "") -> None:
        self.answer, self.why, self.why_not = answer, why, why_not
        self._choose = choose
        self.buttons = {letter: w.Button(description=f"{letter})  {words}" if words else letter,
                                         layout={"width": "calc(100% - 6px)", "max_width": "860px", "height": "auto"})
                        for letter, words in options.items()}
        for letter, button in self.buttons.items():
            button.add_class("wv-option")
            button.on_click(lambda _, letter=letter: self.lock(letter))
        self.heading = w.HTML(STYLE + block(f"<b>{escape(question)}</b> {escape(asked) or ASK}"))
        self.state = w.HTML()
        self.widget = w.VBox([self.heading, *self.buttons.values(), self.state])
        if chosen:
            self._reveal(chosen)

    def lock(self, letter: str) -> None:
        """Store the choice, and show the answer; from then on no button changes it."""
        self._choose(letter)
        self._reveal(letter)

    def _reveal(self, chosen: str) -> None:
        for letter, button in self.buttons.items():
            button.disabled = True
            if letter in (self.answer, chosen):
                right = letter == self.answer
                button.description = f"{'✓' if right else '✗'} {button.description}"
                button.add_class("wv-right" if right else "wv-wrong")
        self.state.value = reasons(chosen, self.answer, self.why, self.why_not)


def reasons(chosen: str, answer: str, why: str, why_not: Mapping[str, str]) -> str:
    """Return the answer with the reason for each choice as HTML."""
    verdict = "Your choice is right." if chosen == answer else f"You chose {chosen}; the answer is {answer}."
    rows = "".join(f"<dt>{'✓' if letter == answer else '✗'} {escape(letter)}</dt><dd>{prose(reason)}</dd>"
                   for letter, reason in sorted({**why_not, answer: why}.items()))
    return block(f"{escape(verdict)}<dl>{rows}</dl>")
