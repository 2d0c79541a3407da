"""A button below a verdict that shows the next hint."""

from collections.abc import Callable
from typing import Any

import ipywidgets as w

from workshop.views.html import block, prose


def hint_button(next_hint: Callable[[], str]) -> Any:
    """Return a button; each click adds the text of `next_hint` below it."""
    shown: list[str] = []
    button = w.Button(description="Hint", tooltip="Show the next hint")
    area = w.HTML()

    def clicked(_: object) -> None:
        if (text := next_hint()) not in shown:
            shown.append(text)
        area.value = block("".join(f"<p>{prose(one)}</p>" for one in shown), "Hints")

    button.on_click(clicked)
    return w.VBox([button, area])
