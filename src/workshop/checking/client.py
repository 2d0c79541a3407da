"""The WebSocket client of the checks: it records every frame and reports in plain words what is wrong."""

import asyncio
import http.client
import json
import ssl
import urllib.parse
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed
from websockets.frames import Close, Frame, Opcode

PATIENCE = 2.0  # seconds that a check waits for something that must come


class Unexpected(Exception):
    """What the check received instead of what it expected, in words for the learner.

    `trace`: a traceback that explains it; when it names the learner's file, the verdict is CRASHED.
    """

    def __init__(self, text: str, trace: str = "") -> None:
        super().__init__(text)
        self.trace = trace


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
        """Return the body as JSON. Raises Unexpected if it is not JSON."""
        try:
            return json.loads(self.body)
        except ValueError:
            raise Unexpected(f"the answer is not JSON: {preview(self.text)}") from None


def preview(data: str | bytes, limit: int = 40) -> str:
    """Return a message as readable ASCII text."""
    if isinstance(data, bytes):
        return f"{len(data)} bytes {data[:8].hex(' ')}{' ...' if len(data) > 8 else ''}"
    shown = json.dumps(data)
    return shown if len(shown) <= limit else f'{shown[: limit - 1]}..." ({len(data)} characters)'


class Recording(ClientConnection):
    """A client of websockets that also reports each frame that it received."""

    tell: Callable[[Frame], None] | None = None

    def process_event(self, event: Any) -> None:
        if self.tell and isinstance(event, Frame):
            self.tell(event)
        super().process_event(event)


class Client:
    """A WebSocket client with a name ("ana") that records its frames. `Target.connect` creates it."""

    def __init__(self, name: str, connection: Recording, record: Callable[[str, str, str, str], Wire]) -> None:
        self.name = name
        self.connection = connection
        self._record = record
        connection.tell = self._came

    def _came(self, frame: Frame) -> None:
        self._record("fn", self.name, frame.opcode.name, _frame_text(frame))
        if frame.opcode is Opcode.PING:     # websockets has answered it before the report
            self._record(self.name, "fn", "PONG", _frame_text(frame))

    async def send(self, data: str | bytes) -> None:
        """Send one message. Raises Unexpected if the connection has gone."""
        self._record(self.name, "fn", "TEXT" if isinstance(data, str) else "BINARY", preview(data, 60))
        try:
            await self.connection.send(data)
        except ConnectionClosed:
            raise self.ended() from None

    async def ping(self) -> None:
        """Send a Ping; its Pong appears in the transcript."""
        self._record(self.name, "fn", "PING", "")
        await self.connection.ping()

    async def receive(self, seconds: float | None = PATIENCE) -> str | bytes:
        """Return the next message (`seconds` None: wait for ever). Raises Unexpected without one, or after the end."""
        try:
            async with asyncio.timeout(seconds):
                return await self.connection.recv()
        except TimeoutError:
            raise Unexpected(f"{self.name} received nothing within {seconds:g} s") from None
        except ConnectionClosed:
            raise self.ended() from None

    async def expect(self, wanted: str | bytes, seconds: float = PATIENCE) -> None:
        """Require that the next message is `wanted`. Raises Unexpected with what was received instead."""
        got = await self.receive(seconds)
        if type(got) is not type(wanted):
            kinds = {str: "a text message", bytes: "a binary message"}
            raise Unexpected(f"{self.name} received {kinds[type(got)]}: {preview(got)}")
        if got != wanted:
            raise Unexpected(f"{self.name} received {preview(got)}")

    async def fence(self, send: str | bytes, expect: str | bytes | None = None) -> list[str | bytes]:
        """Prove what came until now without waiting: send a message that must be answered by `expect` (default: the
        same) and return all that came before the answer. Raises Unexpected if the answer never comes."""
        await self.send(send)
        before: list[str | bytes] = []
        while (got := await self.receive()) != (send if expect is None else expect):
            before.append(got)
        return before

    async def closed(self, seconds: float = PATIENCE) -> int:
        """Wait for the end of the connection; return its close code (1006: no Close frame). Raises Unexpected."""
        try:
            async with asyncio.timeout(seconds):
                await self.connection.wait_closed()
        except TimeoutError:
            raise Unexpected(f"{self.name}'s connection was still open after {seconds:g} s") from None
        return self.connection.close_code or 1006

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close as a polite client does."""
        self._record(self.name, "fn", "CLOSE", f"{code} {reason}".strip())
        await self.connection.close(code, reason)

    def vanish(self) -> None:
        """Disconnect without a Close frame: the TCP connection is reset."""
        self._record(self.name, "fn", "(gone)", "connection reset, no Close frame")
        self.connection.transport.abort()

    def ended(self) -> Unexpected:
        """Return how the connection ended, to raise where another end was expected."""
        code, reason = self.connection.close_code, self.connection.close_reason
        if code in (None, 1006):
            return Unexpected(f"{self.name}'s connection ended without a Close frame (1006)")
        return Unexpected(f"{self.name}'s connection was closed with {code} {reason or ''}".rstrip())

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


def reason(response: Response) -> str:
    """Return why a request was rejected, from the platform's JSON or from the body."""
    try:
        body = json.loads(response.body)
        return f"{body['Code']}: {body['Message']}"
    except (ValueError, KeyError, TypeError):
        return response.text.strip()[:200] or http.client.responses.get(response.status, "")


def ask(address: urllib.parse.SplitResult, method: str, path: str, headers: dict[str, str],
        body: bytes) -> Response:
    """Send one HTTP request to the host of `address`. Raises Unexpected without an answer."""
    kinds = {"http": http.client.HTTPConnection, "https": http.client.HTTPSConnection}
    extra = {"context": ssl.create_default_context()} if address.scheme == "https" else {}
    connection = kinds[address.scheme](address.hostname or "", address.port, timeout=20, **extra)
    try:
        connection.request(method, path, body or None, headers)
        answer = connection.getresponse()
        return Response(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
    except (OSError, http.client.HTTPException) as error:
        raise Unexpected(f"no answer to {method} {path}: {type(error).__name__} {error}".strip()) from None
    finally:
        connection.close()
