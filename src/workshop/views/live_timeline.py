"""The last half minute of a function, moving: instances, connections and frames as they happen."""

import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import anywidget
import traitlets

from fclocal import Record
from workshop.views.html import style_sheet

SPAN = 60.0  # seconds of records that a page that opens later receives
KINDS = ("instance.", "request.", "tap.frame")


class LiveTimeline(anywidget.AnyWidget):
    """The view; `add` sends records to the page. Its text form is the Timeline tab of the console."""

    _esm = Path(__file__).with_suffix(".js")
    style = traitlets.Unicode(style_sheet()).tag(sync=True)

    def __init__(self) -> None:
        super().__init__()
        self.records: list[dict[str, Any]] = []
        self.on_msg(lambda _, content, buffers: self._told(content))

    def _told(self, content: dict[str, Any]) -> None:
        if content.get("type") == "ready":
            self.send({"records": self.records})

    def add(self, records: Iterable[Record], *, clear: bool = False) -> None:
        """Show these records; `clear` removes those of another function first."""
        fresh = [record.wire() for record in records if record.kind.startswith(KINDS)]
        since = time.time() - SPAN
        before = [] if clear else [one for one in self.records if one["at"] > since or one["kind"] != "tap.frame"]
        self.records = [*before, *fresh]
        if fresh or clear:
            self.send({"records": fresh, "clear": clear})
