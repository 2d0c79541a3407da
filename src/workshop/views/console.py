"""The console as widgets: a view of the models in `workshop.views.console_model`. Printed, it is the same as text."""

import re
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from html import escape
from typing import Any

import ipywidgets as w

from fclocal import App, Platform
from fclocal.core.errors import FcError
from fclocal.core.records import Record
from workshop.labs.urls import to_wss
from workshop.views.console_model import AUTH, METHODS, Observer, Probe, TriggerForm
from workshop.views.html import page_link
from workshop.views.live_timeline import LiveTimeline

RANGES = {"1 min": 60.0, "10 min": 600.0, "all": None}  # what the timeline shows
PAUSE = 0.25  # seconds between two redraws: a burst of records is drawn once
WIDE, FIELD = {"width": "99%"}, {"width": "420px"}
LABEL = {"description_width": "170px"}


def console(fc: Platform, app: App | None = None) -> "Console":
    """Return the platform's console: tabs Trigger, Test, Timeline, Logs, Bill. `print(console(fc))` prints it as text.

    `app`, as returned by fc.deploy, is the function to begin with; default: the first one that is deployed.
    """
    return Console(fc, app)


class Console:
    """The view. Its threads end with close(), with the platform, or with the kernel."""

    def __init__(self, fc: Platform, app: App | None = None) -> None:
        self.fc = fc
        self.form = TriggerForm(fc)
        self.observer = Observer(fc, self._seen)
        self._printed = Observer(fc)
        self._news = threading.Event()
        self._closed = False
        self._triggers_changed = False
        names = self.form.functions() or ["(no function yet)"]
        self.form.function = app.name if app else names[0]
        self.function = w.Dropdown(options=names, value=self.form.function, description="Function", style=LABEL,
                                   layout=FIELD)
        self.function.observe(self._chosen, "value")
        self.probe = Probe(self._news.set)
        self.live = LiveTimeline()
        self._tap = ExitStack()
        self._fresh: list[Record] = []  # for the live timeline, sent together: a burst is one message
        self.trigger, self.test = TriggerTab(self.form, self._trigger_changed), ProbeTab(self.probe)
        self.timeline, self.logs, self.bill = w.HTML(), w.HTML(), w.HTML()
        self.range = w.ToggleButtons(options=list(RANGES), value="1 min", tooltips=["the last minute", "the last ten "
                                     "minutes", "everything since the platform started"])
        self.range.observe(lambda change: self._news.set(), "value")
        self.tabs = w.Tab([self.trigger.box, w.VBox([self.test.box, self.live]),
                           w.VBox([self.range, self.timeline]), self.logs, self.bill],
                          titles=("Trigger", "Test", "Timeline", "Logs", "Bill"))
        self.widget = w.VBox([self.function, self.tabs])
        self._chosen()
        self.observer.follow()
        threading.Thread(target=self._paint, name="workshop-console", daemon=True).start()

    def __str__(self) -> str:
        name = self.form.function
        self._printed.read()
        parts = {"Trigger": self.form.text(), "Test": self.probe.text(), "Timeline": self._printed.timeline(name).text,
                 "Logs": self._printed.logs(name, 20), "Bill": self._bill_text()}
        return "\n".join(f"--- {title}: {name}\n{text.rstrip()}" for title, text in parts.items())

    __repr__ = __str__

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        return {**self.widget._repr_mimebundle_(**kwargs), "text/plain": str(self)}

    def close(self) -> None:
        """Stop following, close the probe's connection, take the widgets away."""
        self._closed = True
        self._news.set()
        self.observer.close()
        self.probe.end()
        with suppress(FcError):  # the platform has ended, and the tap with it
            self._tap.close()
        _close(self.widget)

    def _seen(self, record: Record) -> None:
        if record.function == self.form.function:
            self._fresh.append(record)
            self._triggers_changed |= record.kind in ("trigger.changed", "trigger.deleted")
            self._news.set()

    def _chosen(self, change: object = None) -> None:
        self.form.function = self.function.value
        self._tap.close()
        if self.form.function in self.form.functions():
            self._tap.enter_context(self.fc.tap(self.form.function))
        self.live.add([record for record in list(self.observer.records) if record.function == self.form.function],
                      clear=True)
        self.trigger.fill()
        self._trigger_changed()
        self._news.set()

    def _trigger_changed(self) -> None:
        rows = self.trigger.rows
        if rows and not self.probe.connected:
            shown = next((row for row in rows if row["name"] == self.form.name), rows[-1])
            self.test.url.value = to_wss(shown["url"])
        self.function.options = sorted({*self.form.functions(), self.form.function})

    def _paint(self) -> None:
        """Redraw after news, and once a second while a connection is open."""
        pause = threading.Event()
        while not self._closed:
            self._news.wait(1.0 if self.observer.busy(self.form.function) else None)
            self._news.clear()
            if self._closed:
                return
            try:
                self._draw()
            except FcError as error:
                self.logs.value = _pre(f"{error.message}\n{error.cure}")
                return
            pause.wait(PAUSE)

    def _draw(self) -> None:
        name = self.form.function
        fresh, self._fresh = self._fresh, []
        self.live.add(fresh)
        if self._triggers_changed:
            self._triggers_changed = False
            self.trigger.fill()
            self._trigger_changed()
        self.test.refresh()
        busy = self.observer.busy(name)
        self.timeline.value = self.observer.timeline(name, time.time() if busy else None, RANGES[self.range.value]).svg
        self.logs.value = _log(self.observer.logs(name), "Logs")
        self.bill.value = _pre(self._bill_text())

    def _bill_text(self) -> str:
        try:
            return str(self.fc.bill(self.form.function))
        except FcError as error:
            return error.message


class TriggerTab:
    """The form "Create Trigger", with the service's words."""

    def __init__(self, form: TriggerForm, changed: Callable[[], None]) -> None:
        self.form = form
        self.changed = changed
        self.rows: list[dict[str, Any]] = []
        self.name = w.Text(form.name, description="Name", style=LABEL, layout=FIELD)
        self.qualifier = w.Text(form.qualifier, description="Version or Alias", style=LABEL, layout=FIELD)
        self.methods = {method: w.Checkbox(value=method in form.methods, description=method, indent=False,
                                           layout={"width": "max-content", "margin": "2px 14px 2px 0"})
                        for method in METHODS}
        methods = w.HBox([w.Label("Request Methods", layout={"width": "170px", "margin": "2px 12px 2px 2px",
                                                                    "justify_content": "flex-end"}),
                          w.HBox(list(self.methods.values()), layout={"flex_flow": "row wrap"})])
        self.internet = w.Dropdown(options=["No", "Yes"], description="Disable Internet URL", style=LABEL, layout=FIELD)
        self.auth = w.Dropdown(options=list(AUTH), description="Authentication Method", style=LABEL, layout=FIELD)
        self.jwt = w.Textarea(placeholder='{"jwks": {"keys": [...]}, "tokenLookup": "query:token"}', rows=4,
                              description="JWT configuration", style=LABEL,
                              layout={**WIDE, "display": "none"})
        self.auth.observe(lambda change: setattr(
            self.jwt.layout, "display", "flex" if change["new"].startswith("JWT") else "none"), "value")
        self.said = w.Label()
        self.listing = w.HTML()
        self.create = _button("Create", lambda: self._act(form.create))
        self.modify = _button("Modify", lambda: self._act(form.modify))
        self.delete = _button("Delete", lambda: self._act(form.delete))
        self.name.observe(lambda change: self._enable(), "value")
        kind = w.Dropdown(options=["HTTP Trigger"], description="Trigger Type", style=LABEL, layout=FIELD)
        self.box = w.VBox([kind, self.name, self.qualifier, methods, self.internet, self.auth, self.jwt,
                           w.HBox([self.create, self.modify, self.delete]), self.said, self.listing])

    def _act(self, action: Callable[[], str]) -> None:
        form = self.form
        form.name, form.qualifier = self.name.value, self.qualifier.value or "LATEST"
        form.methods = tuple(method for method, box in self.methods.items() if box.value)
        form.disable_internet, form.auth = self.internet.value == "Yes", self.auth.value
        form.jwt = self.jwt.value
        self.said.value = action()
        self.refresh()
        self.changed()

    def fill(self) -> None:
        """Show the function's trigger in the form, so that Modify and Delete mean it."""
        form = self.form
        if form.load():
            self.name.value, self.qualifier.value, self.auth.value = form.name, form.qualifier, form.auth
            for method, box in self.methods.items():
                box.value = method in form.methods
            self.internet.value, self.jwt.value = "Yes" if form.disable_internet else "No", form.jwt
        self.refresh()

    def refresh(self) -> None:
        """Read the function's triggers again."""
        self.rows = self.form.rows()
        # The text names the URL for programs on this machine; the link leads the browser there, also through a hub.
        self.listing.value = re.sub(r"https?://localhost:\d+", lambda url: page_link(url[0], url[0]),
                                    _pre(self.form.text()))
        self._enable()

    def _enable(self) -> None:
        """Enable what can be done with this name: create a new trigger, or change the one that exists."""
        exists = any(row["name"] == self.name.value for row in self.rows)
        self.create.disabled, self.modify.disabled, self.delete.disabled = exists, not exists, not exists
        self.create.button_style, self.modify.button_style = ("", "primary") if exists else ("primary", "")


class ProbeTab:
    """The WebSocket probe."""

    def __init__(self, probe: Probe) -> None:
        self.probe = probe
        self.url = w.Text(description="URL", style=LABEL, layout=WIDE)
        self.headers = w.Textarea(placeholder="Authorization: Bearer ...", rows=2, description="Headers",
                                  style=LABEL, layout=WIDE)
        self.subprotocol = w.Text(description="Subprotocol", style=LABEL, layout=FIELD)
        self.message = w.Text("hello", description="Message", style=LABEL, layout=WIDE)
        self.state = w.Label("not connected")
        self.frames = w.HTML(_pre(probe.text()))
        self.message.on_msg(self._typed)
        self.connect = _button("Connect", self._connect, "primary")
        self.connected = [_button("Disconnect", probe.close),
                          _button("Send text", lambda: probe.send(self.message.value)),
                          _button("Send binary", lambda: probe.send(self.message.value.encode())),
                          _button("Ping", probe.ping)]
        self.box = w.VBox([self.url, self.headers, self.subprotocol,
                           w.HBox([self.connect, self.connected[0], self.state]), self.message,
                           w.HBox(self.connected[1:]), self.frames])
        self.refresh()

    def _typed(self, _: object, content: dict[str, Any], buffers: object) -> None:
        """Send the message when Enter was pressed in its field."""
        if content.get("event") == "submit" and self.probe.connected:
            self.probe.send(self.message.value)

    def _connect(self) -> None:
        self.probe.url, self.probe.headers = self.url.value.strip(), self.headers.value
        self.probe.subprotocol = self.subprotocol.value.strip()
        self.probe.connect()
        self.refresh()

    def refresh(self) -> None:
        """Show the frames that have passed."""
        self.frames.value = _log(self.probe.text(), "Frames")
        connected = self.probe.connected
        self.state.value = "connected" if connected else "not connected"
        self.connect.disabled = connected
        self.connect.button_style = "" if connected else "primary"
        for button in self.connected:
            button.disabled = not connected
        self.connected[1].button_style = "primary" if connected else ""


def _button(text: str, act: Callable[[], None], style: str = "") -> w.Button:
    button = w.Button(description=text, button_style=style)
    button.on_click(lambda _: act())
    return button


def _close(widget: w.Widget) -> None:
    for child in getattr(widget, "children", ()):
        _close(child)
    widget.close()


def _log(text: str, name: str) -> str:
    """Return lines in a box of a fixed height that stays at its end: new lines do not move the page."""
    return (f'<div role="log" aria-label="{name}" tabindex="0" style="height:240px;overflow:auto;display:flex;'
            f'flex-direction:column-reverse">{_pre(text)}</div>')


def _pre(text: str) -> str:
    return f'<pre style="line-height:1.4;margin:4px 0 auto;white-space:pre-wrap">{escape(text)}</pre>'
