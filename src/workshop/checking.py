"""What checks are written with: steps, known mistakes, and the target they speak to (see `workshop.exercises`)."""

import asyncio
import http.client
import json
import os
import re
import ssl
import sys
import time
import urllib.parse
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import websockets
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus
from websockets.frames import Close, Frame, Opcode

PATIENCE = 3.0  # seconds that a check waits for something that must come


class Saw(Exception):
    """What the check saw instead of what it wanted, in words the learner can read."""


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that a right answer does. `local`: only fclocal can prove it."""

    task: str
    did: str
    wanted: str
    local: bool
    run: "Callable[[Target], Awaitable[None]]"


def step(task: str, *, did: str, wanted: str, local: bool = False) -> "Callable[[Callable[[Target], Awaitable[None]]], Step]":
    """Make a coroutine function the next step of `task`."""
    return lambda run: Step(task, did, wanted, local, run)


@dataclass(frozen=True, slots=True)
class Findings:
    """All that is known when a step failed; regular expressions and functions of a Mistake look at it."""

    task: str
    saw: str
    log: str = ""
    code: str = ""


@dataclass(frozen=True, slots=True)
class Mistake:
    """A wrong answer we know: its task ("*": any), the headline, how to know it, and perhaps the likely cause in full."""

    task: str
    says: str
    saw: str = ""
    log: str = ""
    code: str = ""
    when: Callable[[Findings], bool] | None = None
    likely: str = ""

    def fits(self, found: Findings) -> bool:
        return (self.task in ("*", found.task)
                and all(re.search(pattern, text, re.S) for pattern, text in
                        ((self.saw, found.saw), (self.log, found.log), (self.code, found.code)) if pattern)
                and (self.when is None or self.when(found)))


@dataclass(slots=True)
class Wire:
    """One frame (or event) on the wire as the check's own client saw it. `at`: seconds since the check began."""

    at: float
    sender: str
    receiver: str
    kind: str
    text: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Response:
    """An HTTP answer. Header names are lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode("utf-8", "replace")

    def json(self) -> Any:
        """The body as JSON. Raises Saw if it is none."""
        try:
            return json.loads(self.body)
        except ValueError:
            raise Saw(f"the answer is not JSON: {preview(self.text)}") from None


@dataclass(frozen=True, slots=True)
class Finished:
    """A script that ended: exit code (None: it was stopped at the time limit) and its output."""

    code: int | None
    out: str
    err: str


@dataclass(frozen=True, slots=True)
class Returned:
    """What a call of the learner's function gave: a value, or the error it raised as "ValueError: text"."""

    value: Any = None
    error: str = ""


def preview(data: str | bytes, limit: int = 40) -> str:
    """A message as one readable, ASCII-only piece of text."""
    if isinstance(data, bytes):
        text = f"{len(data)} bytes {data[:8].hex(' ')}{' ...' if len(data) > 8 else ''}"
        return text
    shown = json.dumps(data)
    return shown if len(shown) <= limit else f'{shown[: limit - 1]}..." ({len(data)} characters)'


class _Recording(ClientConnection):
    """websockets' client that also tells which frames came in."""

    tell: Callable[[Frame], None] | None = None

    def process_event(self, event: Any) -> None:
        if self.tell and isinstance(event, Frame):
            self.tell(event)
        super().process_event(event)


class Client:
    """A WebSocket client with a name ("ana") whose frames are written down. Made by `Target.connect`."""

    def __init__(self, name: str, connection: _Recording, record: Callable[[str, str, str, str], Wire]) -> None:
        self.name = name
        self.connection = connection
        self._record = record
        connection.tell = self._came

    def _came(self, frame: Frame) -> None:
        self._record("fn", self.name, frame.opcode.name, _frame_text(frame))

    async def send(self, data: str | bytes) -> None:
        """Send one message. Raises Saw if the connection has gone."""
        self._record(self.name, "fn", "TEXT" if isinstance(data, str) else "BINARY", preview(data, 60))
        try:
            await self.connection.send(data)
        except ConnectionClosed as closed:
            raise Saw(self._closed(closed)) from None

    async def receive(self, seconds: float = PATIENCE) -> str | bytes:
        """The next message. Raises Saw when none comes or the connection ends."""
        try:
            async with asyncio.timeout(seconds):
                return await self.connection.recv()
        except TimeoutError:
            raise Saw(f"{self.name} received nothing within {seconds:g} s") from None
        except ConnectionClosed as closed:
            raise Saw(self._closed(closed)) from None

    async def expect(self, wanted: str | bytes, seconds: float = PATIENCE) -> None:
        """The next message must be `wanted`. Raises Saw with what came instead."""
        got = await self.receive(seconds)
        if type(got) is not type(wanted):
            kinds = {str: "a text message", bytes: "a binary message"}
            raise Saw(f"{self.name} received {kinds[type(got)]}: {preview(got)}")
        if got != wanted:
            raise Saw(f"{self.name} received {preview(got)}")

    async def fence(self, send: str | bytes, expect: str | bytes | None = None) -> list[str | bytes]:
        """Prove what came until now without waiting: send a message that must be answered by `expect` (default: the
        same) and return all that came before the answer. Raises Saw if the answer never comes."""
        await self.send(send)
        before: list[str | bytes] = []
        while (got := await self.receive()) != (send if expect is None else expect):
            before.append(got)
        return before

    async def closed(self, seconds: float = PATIENCE) -> int:
        """Wait for the end of the connection; its close code (1006: without a Close frame). Raises Saw if it stays."""
        try:
            async with asyncio.timeout(seconds):
                await self.connection.wait_closed()
        except TimeoutError:
            raise Saw(f"{self.name}'s connection was still open after {seconds:g} s") from None
        return self.connection.close_code or 1006

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close as a polite client does."""
        self._record(self.name, "fn", "CLOSE", f"{code} {reason}".strip())
        await self.connection.close(code, reason)

    def vanish(self) -> None:
        """Go without a word: the TCP connection is reset, no Close frame."""
        self._record(self.name, "fn", "(gone)", "connection reset, no Close frame")
        self.connection.transport.abort()

    def _closed(self, closed: ConnectionClosed) -> str:
        if closed.rcvd is None:
            return f"{self.name}'s connection ended without a Close frame (1006)"
        reason = f" {closed.rcvd.reason}" if closed.rcvd.reason else ""
        return f"{self.name}'s connection was closed with {closed.rcvd.code}{reason}"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, value: BaseException | None,
                        trace: TracebackType | None) -> None:
        await self.connection.close()


def _frame_text(frame: Frame) -> str:
    data = bytes(frame.data)
    if frame.opcode is Opcode.TEXT:
        return preview(data.decode("utf-8", "replace"), 60)
    if frame.opcode is Opcode.CLOSE:
        close = Close.parse(data)
        return f"{int(close.code)} {close.reason}".strip()
    return preview(data) if data else ""


@dataclass
class Target:
    """What a check speaks to: the learner's folder on fclocal, or a function deployed elsewhere (`remote`).

    `folder` is the learner's folder; `fc` is fclocal's client, None for a remote function. Clients are closed and
    scripts stopped when the check ends.
    """

    folder: Path
    fc: Any = None
    remote: str = ""
    props: Mapping[str, Any] = field(default_factory=dict)
    wire: list[Wire] = field(default_factory=list)
    apps: dict[str, Any] = field(default_factory=dict)
    output: list[str] = field(default_factory=list)  # what the learner's scripts wrote to stderr, for tracebacks

    def __post_init__(self) -> None:
        self._start = time.monotonic()
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._stack.aclose()

    def record(self, sender: str, receiver: str, kind: str, text: str) -> Wire:
        """Write one line of the transcript."""
        line = Wire(time.monotonic() - self._start, sender, receiver, kind, text)
        self.wire.append(line)
        return line

    async def deploy(self, folder: str = ".", **props: Any) -> Any:
        """Deploy a folder of the exercise (once per check; again when `props` are given, e.g. timeout=2).

        `props` override s.yaml. Returns fclocal's app: .name, .url, .urls. Raises FcError as `fc.deploy` does.
        """
        if folder not in self.apps or props:
            given = {**self.props, **props}
            self.apps[folder] = await asyncio.to_thread(self.fc.deploy, self.folder / folder, **given)
        return self.apps[folder]

    async def url(self, folder: str = ".") -> str:
        """The https:// URL of the function of `folder`."""
        if self.remote:
            return re.sub("^ws", "http", self.remote).rstrip("/")
        return str((await self.deploy(folder)).url)

    async def connect(self, name: str = "client", path: str = "/", *, url: str = "", folder: str = ".",
                      headers: Mapping[str, str] | None = None, subprotocols: Sequence[str] | None = None,
                      timeout: float = 20) -> Client:
        """Open a WebSocket through the gateway as client `name`. Raises Saw with status and body when refused."""
        address = re.sub("^http", "ws", url or await self.url(folder)) + path
        self.record(name, "fn", "(open)", f"GET {path}")
        try:
            connection = await websockets.connect(
                address, additional_headers=headers, subprotocols=subprotocols, ping_interval=None, open_timeout=timeout,
                proxy=True if self.remote else None, create_connection=_Recording)
        except InvalidStatus as refused:
            said = Response(refused.response.status_code, {}, bytes(refused.response.body or b""))
            self.record("fn", name, f"({said.status})", preview(said.text, 60))
            raise Saw(f"{name} was refused: {said.status} {_reason(said)}") from None
        except TimeoutError:
            raise Saw(f"{name} got no answer to the handshake within {timeout:g} s") from None
        except (OSError, InvalidHandshake, ConnectionClosed, EOFError) as error:
            raise Saw(f"{name} could not connect: {type(error).__name__} {error}".strip()) from None
        client = Client(name, connection, self.record)
        self._stack.push_async_exit(client)
        self.record("fn", name, "(101)", connection.subprotocol or "")
        return client

    async def refused(self, name: str = "client", path: str = "/", **how: Any) -> Saw:
        """Open a WebSocket that must be refused; what it was refused with. Raises Saw if it is let in."""
        try:
            await self.connect(name, path, **how)
        except Saw as saw:
            return saw
        raise Saw(f"{name} was let in")

    async def request(self, path: str = "/", *, method: str = "GET", headers: Mapping[str, str] | None = None,
                      body: bytes = b"", url: str = "", folder: str = ".") -> Response:
        """One HTTP request through the gateway. Raises Saw if no answer comes."""
        address = urllib.parse.urlsplit(url or await self.url(folder))
        self.record("client", "fn", method, path)
        response = await asyncio.to_thread(_request, address, method, path, dict(headers or {}), body)
        self.record("fn", "client", str(response.status), preview(response.text, 60))
        return response

    async def run(self, script: str, *args: str, env: Mapping[str, str] | None = None, seconds: float = 10,
                  stdin: str = "") -> Finished:
        """Run a Python file of the learner's folder in a process of its own; it is stopped after `seconds`."""
        return await self._python([str(self.folder / script), *args], env, seconds, stdin)

    async def call(self, script: str, function: str, *calls: Sequence[Any], env: Mapping[str, str] | None = None,
                   seconds: float = 10) -> list[Returned]:
        """Call a function of a learner's file in a process of its own, once per argument list (values that fit in JSON).

        Raises Saw when the file cannot be imported, has no such function, or does not end in time.
        """
        job = json.dumps([str(self.folder / script), function, calls])
        done = await self._python([str(Path(__file__).with_name("caller.py"))], env, seconds, job)
        if done.code is None:
            raise Saw(f"{function}() was still running after {seconds:g} s")
        if done.code:
            raise Saw(done.err.strip().splitlines()[-1] if done.err.strip() else f"{script} ended with {done.code}")
        results = [Returned(**given) for given in json.loads(done.out.rpartition("\n===\n")[2])]
        for arguments, given in zip(calls, results, strict=True):
            shown = ", ".join(json.dumps(argument) for argument in arguments)
            self.record("check", "fn", "call", f"{function}({shown})")
            self.record("fn", "check", "return", given.error or json.dumps(given.value))
        return results

    async def _python(self, args: list[str], env: Mapping[str, str] | None, seconds: float, stdin: str) -> Finished:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-B", *args, cwd=self.folder, env={**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "utf-8", **(env or {})},
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE)
        talk = asyncio.ensure_future(process.communicate(stdin.encode()))
        try:
            done, _ = await asyncio.wait({talk}, timeout=seconds)
        finally:
            if process.returncode is None and not talk.done():
                process.kill()
        out, err = await talk
        self.output.append(err.decode("utf-8", "replace"))
        return Finished(process.returncode if done else None, out.decode("utf-8", "replace"), self.output[-1])

    async def logs(self, folder: str = ".") -> str:
        """The function's own output since the check began (and scripts' stderr), one text."""
        lines: list[str] = []
        if self.fc is not None and folder in self.apps:
            lines = await asyncio.to_thread(lambda: list(map(str, self.fc.logs(self.apps[folder].name))))
        return "\n".join([*lines, *self.output])


def _reason(response: Response) -> str:
    try:
        body = json.loads(response.body)
        return f"{body['Code']}: {body['Message']}"
    except (ValueError, KeyError, TypeError):
        return response.text.strip()[:200] or http.client.responses.get(response.status, "")


def _request(address: urllib.parse.SplitResult, method: str, path: str, headers: dict[str, str], body: bytes) -> Response:
    kinds = {"http": http.client.HTTPConnection, "https": http.client.HTTPSConnection}
    extra = {"context": ssl.create_default_context()} if address.scheme == "https" else {}
    connection = kinds[address.scheme](address.hostname or "", address.port, timeout=20, **extra)  # type: ignore[arg-type]
    try:
        connection.request(method, path, body or None, headers)
        answer = connection.getresponse()
        return Response(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
    except (OSError, http.client.HTTPException) as error:
        raise Saw(f"no answer to {method} {path}: {type(error).__name__} {error}".strip()) from None
    finally:
        connection.close()
