"""Test your own function on a real fclocal.

    # conftest.py
    pytest_plugins = ["fclocal.testing"]

    # test_echo.py
    from fclocal.testing import connect

    def test_echo(fc):
        app = fc.deploy("functions/01-echo")
        with connect(app.url.replace("https", "wss")) as ws:
            ws.send("hello")
            assert ws.recv() == "hello"

Each test gets a platform of its own: its own state, its own ports, no trace afterwards. `running_platform` is one for
many tests. `wait_for` waits for a record of the journal instead of sleeping.

`connect` is a blocking WebSocket client. It runs the asyncio client of websockets in a thread of its own:
`websockets.sync` lets one thread read while another writes, which CPython's TLS does not support. On Python 3.11,
9 of 2,000 handshakes over wss hung, with websockets' own server at the other end.
"""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Coroutine, Iterator
from functools import cache
from pathlib import Path
from typing import Any, Self, TypeVar

import pytest
from websockets.asyncio import client

from fclocal.client.platform import Platform, start
from fclocal.core.records import Record

__all__ = ["Connection", "connect", "fc", "platform_factory", "running_platform", "wait_for"]

T = TypeVar("T")


@contextlib.contextmanager
def _environment() -> Iterator[None]:
    """Hide the variables that `start` sets from the block, and restore them afterwards."""
    with pytest.MonkeyPatch.context() as environment:
        for name in ("SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS", "HTTP_PROXY", "http_proxy", "NO_PROXY", "no_proxy"):
            environment.setenv(name, "")  # restored even if it is not set now
            environment.delenv(name)
        yield


@contextlib.contextmanager
def running_platform(state: Path, **options: Any) -> Iterator[Platform]:
    """Run a platform in a block, for a fixture that many tests share."""
    with _environment(), start(state, **options) as platform:
        yield platform


@pytest.fixture
def platform_factory(tmp_path: Path) -> Iterator[Callable[..., Platform]]:
    """Start platforms with options: `platform_factory(freeze=False)`. The test's end stops them all.

    `state=` names a state directory below the test's own, so that a test can restart a platform.
    """
    with _environment(), contextlib.ExitStack() as stack:
        yield lambda state="fclocal", **options: stack.enter_context(start(tmp_path / state, **options))


@pytest.fixture
def fc(platform_factory: Callable[..., Platform]) -> Platform:
    """A running platform with the defaults of the service."""
    return platform_factory()


def wait_for(fc: Platform, kind: str, *, after: int = 0, timeout: float = 15.0, **facts: Any) -> Record:
    """Return the first record of `kind` after number `after` that has these facts; it can exist already.

    `facts` can name function, instance, request, or any fact of the record. Raises TimeoutError after `timeout`
    seconds, with the kinds that were written.
    """
    matches: list[Record] = []
    seen: list[str] = []
    done = threading.Event()

    def follow() -> None:
        for record in fc.events(after, follow=True):
            seen.append(record.kind)
            wire = record.wire()
            if record.kind == kind and all(wire.get(name) == value for name, value in facts.items()):
                matches.append(record)
                break
        done.set()

    threading.Thread(target=follow, daemon=True).start()
    if not done.wait(timeout) or not matches:
        raise TimeoutError(f"no record {kind} with {facts} in {timeout:g} s; there were: {', '.join(seen) or 'none'}")
    return matches[0]


class Connection:
    """A WebSocket connection for code without an event loop. Other attributes are those of websockets."""

    def __init__(self, connection: client.ClientConnection) -> None:
        self._connection = connection

    def send(self, message: str | bytes) -> None:
        """Send a text or binary message."""
        _wait(self._connection.send(message))

    def recv(self, timeout: float | None = None) -> str | bytes:
        """Return the next message. Raises TimeoutError after `timeout` seconds, ConnectionClosed after the last."""

        async def receive() -> str | bytes:
            async with asyncio.timeout(timeout):
                return await self._connection.recv()

        return _wait(receive())

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Send a Close frame and wait for that of the server."""
        _wait(self._connection.close(code, reason))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


def connect(url: str, **options: Any) -> Connection:
    """Open a connection. `options` and exceptions are those of websockets.connect."""

    async def opened() -> client.ClientConnection:
        return await client.connect(url, **options)

    return Connection(_wait(opened()))


def _wait(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run_coroutine_threadsafe(work, _loop()).result()


@cache
def _loop() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="fclocal.testing", daemon=True).start()
    return loop
