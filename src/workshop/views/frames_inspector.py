"""frames(): the frames of a function's connections, as the developer tools of a browser show them.

    inspector = frames(fc, app)      # records at the gateway from now on; shown, it follows
    inspector.stop()

Its payloads are what the gateway's tap keeps: the first 80 bytes of each frame.
"""

import threading
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import anywidget
import traitlets

from fclocal import App, FcError, Platform, Record
from workshop.views.html import style_sheet
from workshop.views.plain_text import WIDTH, to_ascii

KEPT = 10_000  # frames; older ones are dropped
SHOWN = 20     # frames of the text form
STYLE = (".fi .bar{display:flex;gap:8px;align-items:center;margin:4px 0;flex-wrap:wrap}"
         ".fi .frames{height:242px;overflow:auto;position:relative;border:1px solid var(--grid);border-radius:6px;"
         "background:var(--paper);font:13px ui-monospace,Menlo,Consolas,monospace}"
         ".fi .row{position:absolute;left:0;right:0;height:22px;line-height:22px;display:grid;white-space:nowrap;"
         "grid-template-columns:24px 64px 80px 90px 1fr;padding:0 8px;cursor:pointer;color:var(--ink)}"
         ".fi .row span{overflow:hidden;text-overflow:ellipsis}.fi .row.ping,.fi .row.pong{color:var(--ping)}"
         ".fi .row.close{color:var(--bad)}.fi .row[aria-selected=true]{background:var(--data-soft)}"
         ".fi button[aria-pressed=true]{font-weight:700}"
         ".wv.fi pre{min-height:64px;max-height:160px;overflow:auto;border:1px solid var(--grid);border-radius:6px;"
         "padding:6px 8px;background:var(--paper)}")


class FramesInspector(anywidget.AnyWidget):
    """The view. `add` sends frames to the page; a page that opens later receives all of them."""

    _esm = Path(__file__).with_suffix(".js")
    style = traitlets.Unicode(style_sheet() + STYLE).tag(sync=True)

    def __init__(self) -> None:
        super().__init__()
        self.frames: list[dict[str, Any]] = []
        self.on_msg(lambda _, content, buffers: self._told(content))

    def _told(self, content: dict[str, Any]) -> None:
        if content.get("type") == "ready":
            self.send({"frames": self.frames})

    def add(self, records: list[Record]) -> None:
        """Show tap.frame records."""
        fresh = [{"seq": r.seq, "at": r.at, "direction": r.data["direction"], "opcode": r.data["opcode"],
                  "length": r.data["length"], "preview": f"{r.data['closeCode'] or ''} {r.data['preview']}".strip()}
                 for r in records]
        self.frames = [*self.frames, *fresh][-KEPT:]
        self.send({"frames": fresh})


class Frames:
    """Frames that are being recorded. Shown, it is the inspector; printed, the newest frames as text."""

    def __init__(self, fc: Platform, function: str) -> None:
        self.function, self.widget = function, FramesInspector()
        self._fc, self._stack = fc, ExitStack()
        self._after = self._stack.enter_context(fc.tap(function)).after
        self._stopped = threading.Event()
        threading.Thread(target=self._follow, name="workshop-frames", daemon=True).start()

    def stop(self) -> None:
        """End the recording; what was recorded stays."""
        if not self._stopped.is_set():
            self._stopped.set()
            with suppress(FcError):
                self._stack.close()

    def _follow(self) -> None:
        """Send what is new four times a second: a burst of frames is one message to the page."""
        with suppress(FcError):
            while not self._stopped.wait(0.25):
                self.read()

    def read(self) -> None:
        """Read the frames since the last call."""
        fresh = list(self._fc.events(self._after, function=self.function, kinds="tap.frame"))
        if fresh:
            self._after = fresh[-1].seq
            self.widget.add(fresh)

    def __str__(self) -> str:
        if not self._stopped.is_set():
            with suppress(FcError):
                self.read()
        return text(self.function, self.widget.frames)

    __repr__ = __str__

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        data, _ = self.widget._repr_mimebundle_(**kwargs) or ({}, {})
        return {**data, "text/plain": str(self)}


def frames(fc: Platform, app: App | str) -> Frames:
    """Record the frames of a function's connections that open from now on, until stop()."""
    return Frames(fc, app if isinstance(app, str) else app.name)


def text(function: str, shown: list[dict[str, Any]]) -> str:
    """Return the newest frames as lines of at most 76 ASCII columns."""
    lines = [f"FRAMES  {function}, {len(shown)} frames"]
    before = shown[0]["at"] if shown else 0.0
    for frame in shown[-SHOWN:]:
        arrow = "->" if frame["direction"] == "in" else "<-"
        line = (f"{arrow} {frame['opcode']:<7}{frame['length']:>7} B  +{(frame['at'] - before) * 1000:7.0f} ms  "
                f"{frame['preview']}")
        before = frame["at"]
        lines.append(to_ascii(line)[:WIDTH].rstrip())
    return "\n".join(lines if shown else [*lines, "Nothing has happened yet."])
