"""The models of the console, without a widget: the trigger form, the WebSocket probe, the observer."""

import asyncio
import json
import re
import threading
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from alibabacloud_fc20230330 import models
from Tea.exceptions import TeaException  # type: ignore[import-untyped]
from websockets.exceptions import ConnectionClosed

from fclocal import Platform
from fclocal.core.errors import FcError
from fclocal.core.records import LOG, Record, log_line
from workshop.checking.client import Client, Unexpected, Wire
from workshop.checking.target import Target
from workshop.views.drawing import Picture
from workshop.views.timeline import timeline

AUTH = {"No Authentication": "anonymous", "Signature Authentication": "function", "JWT Authentication": "jwt"}
METHODS = ("GET", "POST", "PUT", "DELETE", "HEAD", "PATCH", "OPTIONS")
ME = "the client"  # what the probe's lines call it
KEPT_FRAMES = 200
KEPT_RECORDS = 5_000


@dataclass
class TriggerForm:
    """The service's form "Create Trigger". Each action returns one sentence, also when it is refused."""

    fc: Platform
    function: str = ""
    name: str = "http-trigger"
    qualifier: str = "LATEST"
    methods: tuple[str, ...] = ("GET", "POST", "PUT", "DELETE")
    disable_internet: bool = False
    auth: str = "No Authentication"
    jwt: str = ""

    def load(self) -> bool:
        """Take over the function's trigger of this name, else its newest; False if it has none."""
        rows = self.rows()
        row = next((row for row in rows if row["name"] == self.name), rows[-1] if rows else None)
        if row is None:
            return False
        self.name, self.qualifier, self.methods = row["name"], row["qualifier"], tuple(row["methods"])
        self.disable_internet = row.get("disableURLInternet", False)
        self.auth = next(words for words, kind in AUTH.items() if kind == row["authType"])
        self.jwt = row.get("authConfig") or ""
        return True

    def create(self) -> str:
        """Create the trigger."""
        if any(row["name"] == self.name for row in self.rows()):
            return f"{self.function} has a trigger named {self.name} already. Modify it, or choose another name."
        return self._ask("Created.", lambda: self.fc.sdk.create_trigger(
            self.function, models.CreateTriggerRequest(body=models.CreateTriggerInput(
                trigger_name=self.name, trigger_type="http", qualifier=self.qualifier, trigger_config=self._config()))))

    def modify(self) -> str:
        """Change what may be changed of a trigger: version or alias, methods, Internet URL, authentication."""
        return self._ask("Modified.", lambda: self.fc.sdk.update_trigger(
            self.function, self.name, models.UpdateTriggerRequest(body=models.UpdateTriggerInput(
                qualifier=self.qualifier, trigger_config=self._config()))))

    def delete(self) -> str:
        """Delete the trigger of this name."""
        return self._ask("Deleted.", lambda: self.fc.sdk.delete_trigger(self.function, self.name))

    def functions(self) -> list[str]:
        """Return the deployed functions."""
        return [row["functionName"] for row in self.fc.status()["functions"]]

    def triggers(self) -> list[dict[str, Any]]:
        """The function's HTTP triggers: name, url, qualifier and what the form says about them."""
        if not self.function:
            return []
        body = self.fc.sdk.list_triggers(self.function, models.ListTriggersRequest()).body
        return [{"name": t.trigger_name, "url": t.http_trigger.url_internet, "qualifier": t.qualifier,
                 **json.loads(t.trigger_config)} for t in body.triggers or [] if t.http_trigger]

    def rows(self) -> list[dict[str, Any]]:
        """Return the triggers; none if the function does not exist."""
        try:
            return self.triggers()
        except (TeaException, FcError):
            return []

    def text(self) -> str:
        """Return the triggers, one per line."""
        try:
            rows = self.triggers()
        except (TeaException, FcError) as error:
            return sentence(error)
        lines = [f"{t['name']}  {t['url']}  {t['qualifier']}  {','.join(t['methods'])}  {t['authType']}"
                 f"{'  no public URL' if t.get('disableURLInternet') else ''}" for t in rows]
        return "\n".join(lines) or "(no trigger)"

    def _config(self) -> str:
        config: dict[str, Any] = {"authType": AUTH[self.auth], "methods": list(self.methods),
                                  "disableURLInternet": self.disable_internet}
        if self.auth == "JWT Authentication":
            config["authConfig"] = json.dumps(json.loads(self.jwt))
        return json.dumps(config)

    def _ask(self, done: str, call: Callable[[], Any]) -> str:
        try:
            call()
        except (TeaException, FcError) as error:
            return sentence(error)
        except ValueError as error:
            return f"The JWT configuration is not JSON: {error}"
        url = next((t["url"] for t in self.triggers() if t["name"] == self.name), "")
        return f"{done} {url}".rstrip()


def sentence(error: TeaException | FcError) -> str:
    """Return an error of the platform in one line."""
    return error.message if isinstance(error, FcError) else f"{error.code}: {error.message}"


class Background:
    """An event loop in a thread of its own; a notebook's own loop is blocked while a cell runs."""

    def __init__(self, name: str) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, name=name, daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, Any], seconds: float = 25) -> Any:
        """Run a coroutine there and wait for its result."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(seconds)

    def close(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(5)
        self.loop.close()


@dataclass
class Probe:
    """A WebSocket client to try things by hand. `changed` is called, from any thread, when a frame has passed."""

    changed: Callable[[], None] = lambda: None
    url: str = ""
    headers: str = ""  # one "Name: value" per line
    subprotocol: str = ""
    lines: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._background: Background | None = None
        self._client: Client | None = None
        self._reader: asyncio.Task[None] | None = None
        self._began = time.monotonic()

    @property
    def connected(self) -> bool:
        return self._client is not None and self._client.connection.close_code is None

    def connect(self) -> None:
        """Open the connection; `lines` records each event."""
        self._background = self._background or Background("workshop-probe")
        self.lines.clear()
        self._began = time.monotonic()
        self._background.run(self._connect())

    def send(self, data: str | bytes) -> None:
        """Send one message."""
        self._do(lambda client: client.send(data))

    def ping(self) -> None:
        """Send a Ping; the Pong appears when it comes."""
        self._do(lambda client: client.ping())

    def close(self, code: int = 1000) -> None:
        """Close politely."""
        self._do(lambda client: client.close(code))

    def end(self) -> None:
        """Give the thread back."""
        if self._background:
            self.close()
            self._background.close()
            self._background = None

    def text(self) -> str:
        """Return all frames, one per line."""
        return "\n".join(self.lines) or "(nothing yet)"

    def _do(self, act: Callable[[Client], Coroutine[Any, Any, None]]) -> None:
        if not (self.connected and self._client and self._background):
            self._say("not connected")
            return
        try:
            self._background.run(act(self._client))
        except (Unexpected, ConnectionClosed) as error:
            self._say(str(error))

    async def _connect(self) -> None:
        pairs = (line.partition(":") for line in self.headers.splitlines() if ":" in line)
        target = Target(Path(), _no_platform, on_record=self._tell)
        server, path = re.findall(r"^(\w+://[^/?]*|[^/?]*)(.*)", self.url)[0]
        try:
            self._client = await target.connect(
                ME, f"/{path.removeprefix('/')}", url=server or "(no URL)",
                headers={name.strip(): value.strip() for name, _, value in pairs},
                subprotocols=[self.subprotocol] if self.subprotocol else None)
        except Unexpected as refused:
            self._say(str(refused))
            return
        self._reader = asyncio.ensure_future(self._read(self._client))

    async def _read(self, client: Client) -> None:
        """Take the messages out, so that the connection goes on; the transcript has them already."""
        with suppress(Unexpected):
            while True:
                await client.receive(None)
        self._say(str(client.ended()))

    def _say(self, text: str) -> None:
        self._tell(Wire(time.monotonic() - self._began, "", "", "", text))

    def _tell(self, line: Wire) -> None:
        arrow = {ME: "->", "fn": "<-"}.get(line.sender, "  ")
        self.lines.append(f"{line.at:8.3f}  {arrow} {line.kind:<7} {line.text}".rstrip())
        del self.lines[:-KEPT_FRAMES]
        self.changed()


def _no_platform() -> NoReturn:
    raise RuntimeError("the probe connects to a URL and deploys nothing")


class Observer:
    """Follows the journal from the platform's start on; `changed` is called, in a thread, with each new record."""

    def __init__(self, fc: Platform, changed: Callable[[Record], None] = lambda record: None) -> None:
        self.fc = fc
        self.records: list[Record] = []
        self._changed = changed
        self._after = int(fc.status()["started"])
        self._closed = threading.Event()

    def read(self) -> None:
        """Add the records that came since the last call."""
        records, self._after = self.fc.changes(self._after)
        self.records = [*self.records, *records][-KEPT_RECORDS:]

    def follow(self) -> None:
        """Follow in a thread of its own until close() or the platform's end."""
        threading.Thread(target=self._follow, name="workshop-observer", daemon=True).start()

    def close(self) -> None:
        self._closed.set()

    def _follow(self) -> None:
        try:
            for record in self.fc.events(self._after, follow=True):
                if self._closed.is_set():
                    return
                self.records.append(record)
                del self.records[:-KEPT_RECORDS]
                self._changed(record)
        except FcError:
            return  # the platform has ended, and the console with it

    def busy(self, function: str) -> bool:
        """Return whether a request of the function is running: then the picture grows by itself."""
        kinds = [r.kind for r in self.records if r.function == function]
        return kinds.count("request.begin") > kinds.count("request.end")

    def timeline(self, function: str, now: float | None = None, last: float | None = None) -> Picture:
        """Return the function's timeline; `last`: only of the last so many seconds."""
        return timeline(list(self.records), function=function, now=now, last=last)

    def logs(self, function: str, lines: int = 200) -> str:
        """Return the last lines of the function's log, each with its time and the end of its instance's id."""
        records = [r for r in list(self.records) if r.kind in LOG and r.function == function][-lines:]
        return "\n".join(f"{time.strftime('%H:%M:%S', time.localtime(r.at))}  {r.instance[-4:] or '-':<4}  "
                         f"{log_line(r)}" for r in records) or "(nothing yet)"
