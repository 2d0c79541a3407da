"""The parts of a check: steps, known mistakes, and the target that they test (see `workshop.exercises`)."""

import asyncio
import json
import os
import re
import sys
import tempfile
import time
import urllib.parse
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Self, cast

import websockets
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, InvalidURI
from websockets.typing import Subprotocol

from fclocal import App, Platform
from workshop.checking.client import Client, Recording, Response, Unexpected, Wire, ask, preview, reason

PRELOAD = str(Path(__file__).with_name("preload"))  # see preload/sitecustomize.py
POLL = 0.25  # seconds between two looks at the output of a script
StepBody = Callable[["Target"], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that a right answer does. `local`: only fclocal can prove it."""

    task: str
    did: str
    wanted: str
    local: bool
    run: StepBody


def step(task: str, *, did: str, wanted: str, local: bool = False) -> Callable[[StepBody], Step]:
    """Make a coroutine function the next step of `task`."""
    return lambda run: Step(task, did, wanted, local, run)


@dataclass(frozen=True, slots=True)
class Findings:
    """All that is known when a step failed. The patterns of a Mistake are compared with it."""

    task: str
    saw: str
    log: str = ""
    code: str = ""


@dataclass(frozen=True, slots=True)
class Mistake:
    """A known wrong answer: its task ("*": any), its headline, the signs of it, and perhaps its cause in full."""

    task: str
    says: str
    saw: str = ""
    log: str = ""
    code: str = ""
    when: Callable[[Findings], bool] | None = None
    likely: str = ""

    def fits(self, findings: Findings) -> bool:
        return (self.task in ("*", findings.task)
                and all(re.search(pattern, text, re.S) for pattern, text in
                        ((self.saw, findings.saw), (self.log, findings.log), (self.code, findings.code)) if pattern)
                and (self.when is None or self.when(findings)))


@dataclass(frozen=True, slots=True)
class Finished:
    """A script that ended: exit code (None: it was stopped at the time limit) and its output."""

    code: int | None
    out: str
    err: str


@dataclass(frozen=True, slots=True)
class Returned:
    """The result of a call of the learner's function: a value, or its error as "ValueError: text"."""

    value: Any = None
    error: str = ""
    trace: str = ""


@dataclass
class Target:
    """What a check tests: the learner's folder on fclocal, or a function deployed elsewhere (`remote`).

    `folder` is the learner's folder; `platform` gives fclocal's client and is asked when it is needed. Clients are
    closed and scripts stopped when the check ends.
    """

    folder: Path
    platform: Callable[[], Platform]
    remote: str = ""
    props: Mapping[str, Any] = field(default_factory=dict)
    wire: list[Wire] = field(default_factory=list)
    apps: dict[str, App] = field(default_factory=dict)
    notices: list[str] = field(default_factory=list)  # sentences to print before the verdict
    on_record: Callable[[Wire], None] = lambda line: None  # called with each line of the transcript
    output: list[str] = field(default_factory=list)  # what the learner's scripts wrote to stderr, for tracebacks

    def __post_init__(self) -> None:
        self._start = time.monotonic()
        self._stack = AsyncExitStack()
        self._since: int | None = None  # the journal's last record before the check

    @cached_property
    def fc(self) -> Platform:
        """fclocal's client: target.fc.fault(...), target.fc.instances(...). Only in steps with `local=True`."""
        return self.platform()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._stack.aclose()

    def record(self, sender: str, receiver: str, kind: str, text: str) -> Wire:
        """Write one line of the transcript."""
        line = Wire(time.monotonic() - self._start, sender, receiver, kind, text)
        self.wire.append(line)
        self.on_record(line)
        return line

    async def deploy(self, folder: str = ".", **props: Any) -> App:
        """Deploy a folder of the exercise (once per check; again when `props` are given, e.g. timeout=2).

        `props` override s.yaml. Returns fclocal's app: .name, .url, .urls. Raises FcError as `fc.deploy` does.
        """
        if folder not in self.apps or props:
            environment = {"PYTHONPATH": PRELOAD, **props.pop("environmentVariables", {})}
            config = {**self.props, **props, **{f"environmentVariables.{k}": v for k, v in environment.items()}}
            if self._since is None:
                self._since = (await asyncio.to_thread(lambda: self.fc.status()))["journal"]
            self.apps[folder] = await asyncio.to_thread(lambda: self.fc.deploy(self.folder / folder, **config))
            await asyncio.to_thread(self._tell_age, self.apps[folder].name, self.folder / folder)
        return self.apps[folder]

    def _tell_age(self, function: str, folder: Path) -> None:
        """Add a notice if the code that ran until now was older than the learner's file."""
        loads = list(self.fc.events(function=function, kinds="function.created,function.updated"))
        saved = max(path.stat().st_mtime for path in folder.rglob("*") if path.is_file())
        if len(loads) > 1 and loads[-1].seq > (self._since or 0) and loads[-2].at < saved:
            notice = (f"Your file was saved {_clock(saved)}; the running function loaded {_clock(loads[-2].at)}."
                      " Reloading ... done.")
            self.notices += [notice] * (notice not in self.notices)

    async def url(self, folder: str = ".") -> str:
        """Return the https:// URL of the function of `folder`."""
        if self.remote:
            return re.sub("^ws", "http", self.remote).rstrip("/")
        return str((await self.deploy(folder)).url)

    async def connect(self, name: str = "client", path: str = "/", *, url: str = "", folder: str = ".",
                      headers: Mapping[str, str] | None = None, subprotocols: Sequence[str] | None = None,
                      patience: float = 20) -> Client:
        """Open a WebSocket through the gateway as client `name`. Raises Unexpected with the status when rejected."""
        address = re.sub("^http", "ws", url or await self.url(folder)) + path
        self.record(name, "fn", "(open)", f"GET {path}")
        try:
            connection = await websockets.connect(
                address, additional_headers=headers, ping_interval=None,
                subprotocols=cast(Sequence[Subprotocol] | None, subprotocols),
                open_timeout=patience, proxy=True if self.remote else None, create_connection=Recording)
        except InvalidStatus as refused:
            response = Response(refused.response.status_code, {}, bytes(refused.response.body or b""))
            self.record("fn", name, f"({response.status})", preview(response.text, 60))
            raise Unexpected(f"{name} was rejected: {response.status} {reason(response)}") from None
        except TimeoutError:
            raise Unexpected(f"{name} got no answer to the handshake within {patience:g} s") from None
        except (OSError, InvalidHandshake, InvalidURI, ConnectionClosed, EOFError) as error:
            raise Unexpected(f"{name} could not connect: {type(error).__name__} {error}".strip()) from None
        client = Client(name, cast(Recording, connection), self.record)
        self._stack.push_async_exit(client)
        self.record("fn", name, "(101)", connection.subprotocol or "")
        return client

    async def refused(self, name: str = "client", path: str = "/", **how: Any) -> Unexpected:
        """Open a WebSocket that must be rejected; return the rejection. Raises Unexpected if it is accepted."""
        try:
            await self.connect(name, path, **how)
        except Unexpected as saw:
            return saw
        raise Unexpected(f"{name} was accepted")

    async def request(self, path: str = "/", *, method: str = "GET", headers: Mapping[str, str] | None = None,
                      body: bytes = b"", url: str = "", folder: str = ".") -> Response:
        """Send one HTTP request through the gateway. Raises Unexpected without an answer."""
        address = urllib.parse.urlsplit(url or await self.url(folder))
        self.record("client", "fn", method, path)
        response = await asyncio.to_thread(ask, address, method, path, dict(headers or {}), body)
        self.record("fn", "client", str(response.status), preview(response.text, 60))
        return response

    async def run(self, script: str, *args: str, env: Mapping[str, str] | None = None, seconds: float = 10,
                  stdin: str = "", failed: Callable[[str], Awaitable[bool]] | None = None) -> Finished:
        """Run a Python file of the learner's folder in a process of its own.

        It is stopped after `seconds`, or once `failed` returns True for the lines that it has written to stdout.
        """
        return await self._python([str(self.folder / script), *args], env, seconds, stdin, failed)

    async def call(self, script: str, function: str, *calls: Sequence[Any], env: Mapping[str, str] | None = None,
                   seconds: float = 10) -> list[Returned]:
        """Call a function of a learner's file in a process of its own, once per list of arguments (JSON values).

        Raises Unexpected when the file cannot be imported, has no such function, or does not end in time.
        """
        job = json.dumps([str(self.folder / script), function, calls])
        done = await self._python([str(Path(__file__).with_name("call_function.py"))], env, seconds, job)
        if done.code is None:
            raise Unexpected(f"{function}() was still running after {seconds:g} s")
        if done.code:
            last = done.err.strip().splitlines()[-1:]
            raise Unexpected(last[0] if last else f"{script} ended with {done.code}")
        _, mark, rest = done.out.rpartition("\n===\n")
        if not mark:
            raise Unexpected(f"{function}() ended the program")
        results = [Returned(**returned) for returned in json.loads(rest.partition("\n")[0])]
        for arguments, returned in zip(calls, results, strict=True):
            shown = ", ".join(json.dumps(argument) for argument in arguments)
            self.record("check", "fn", "call", f"{function}({shown})")
            self.record("fn", "check", "return", returned.error or json.dumps(returned.value))
        return results

    async def _python(self, args: list[str], env: Mapping[str, str] | None, seconds: float, stdin: str,
                      failed: Callable[[str], Awaitable[bool]] | None = None) -> Finished:
        # PYTHON_COLORS: a kernel asks for colours, and Python 3.13 and above would write them into tracebacks.
        own = {"PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "utf-8", "PYTHON_COLORS": "0"}
        with tempfile.TemporaryFile() as file:

            def out() -> str:
                return os.pread(file.fileno(), os.fstat(file.fileno()).st_size, 0).decode("utf-8", "replace")

            process = await asyncio.create_subprocess_exec(
                sys.executable, "-B", *args, cwd=self.folder, env={**os.environ, **own, **(env or {})},
                stdin=asyncio.subprocess.PIPE, stdout=file, stderr=asyncio.subprocess.PIPE)
            talk = asyncio.ensure_future(process.communicate(stdin.encode()))
            until = time.monotonic() + seconds
            try:
                while not talk.done() and (left := until - time.monotonic()) > 0:
                    await asyncio.wait({talk}, timeout=min(left, POLL) if failed else left)
                    if failed and not talk.done() and await failed(out().rpartition("\n")[0]):
                        break
            finally:
                if (stopped := not talk.done()) and process.returncode is None:
                    process.kill()
            _, err = await talk
            self.output.append(err.decode("utf-8", "replace"))
            return Finished(None if stopped else process.returncode, out(), self.output[-1])

    async def logs(self) -> str:
        """Return the output of this check's functions and scripts since the check began."""
        lines = list(self.output)
        for name in {app.name for app in self.apps.values()}:
            lines += [record.data["text"] for record in await asyncio.to_thread(self._log_records, name)]
        return "\n".join(lines)

    def _log_records(self, function: str) -> list[Any]:
        return list(self.fc.events(self._since or 0, function=function, kinds="log"))


def _clock(at: float) -> str:
    return time.strftime("%H:%M:%S", time.localtime(at))
