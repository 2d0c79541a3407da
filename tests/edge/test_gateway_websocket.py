"""WebSockets through the gateway: the upgrade, what flows afterwards, and every way it ends."""

import asyncio
import base64
import contextlib
import os
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import websockets
from awaited import until
from gateway_kit import LIMIT, Answer, Platform, answering, flood_until_blocked, instance, platform, read_head
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve

from fclocal.edge.websocket import WebSocketSession
from fclocal.runtime.requests import tunnel

__all__ = ["platform"]

UPGRADE = (
    b"GET /chat?room=1 HTTP/1.1\r\nHost: localhost\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
SWITCHED = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
)


@pytest.fixture
def echo(platform: Platform) -> Iterator[list[ServerConnection]]:
    """An echo function written with `websockets`; yields the connections it had."""
    seen: list[ServerConnection] = []
    loop = asyncio.new_event_loop()
    started, stop = threading.Event(), asyncio.Event()

    async def handler(connection: ServerConnection) -> None:
        seen.append(connection)
        async for message in connection:
            await connection.send(message)

    async def main() -> None:
        async with serve(handler, "127.0.0.1", 0, subprotocols=["chat"], max_size=None, ping_interval=None) as server:  # type: ignore[list-item]
            platform.engine.port = next(iter(server.sockets)).getsockname()[1]
            started.set()
            await stop.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(main()))
    thread.start()
    assert started.wait(LIMIT)
    yield seen
    loop.call_soon_threadsafe(stop.set)
    thread.join(LIMIT)
    loop.close()


def url(platform: Platform, tls: bool) -> str:
    return f"{'wss' if tls else 'ws'}://localhost:{platform.port}/chat"


def dial(platform: Platform, tls: bool = False, **options: object) -> connect:
    options.setdefault("subprotocols", ["chat"])
    if tls:
        options["ssl"] = platform.trusting()
    return connect(url(platform, tls), proxy=None, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("tls", [False, True])
def test_text_and_binary_of_every_size(platform: Platform, echo: list[ServerConnection], tls: bool) -> None:
    async def talk() -> None:
        async with dial(platform, tls, max_size=None, compression=None) as ws:
            for size in (0, 1, 125, 126, 65_535, 65_536, 3_000_000):
                await ws.send("x" * size)
                assert await ws.recv() == "x" * size
                data = os.urandom(size)
                await ws.send(data)
                assert await ws.recv() == data

    asyncio.run(talk())
    end = platform.engine.end()
    assert (end["status"], end["why"], end["close_code"]) == (101, "done", 1000)
    assert end["bytes_in"] > 6_000_000 < end["bytes_out"]


def test_subprotocol_and_extension_are_agreed_with_the_function(
    platform: Platform, echo: list[ServerConnection]
) -> None:
    async def talk() -> None:
        async with dial(platform, subprotocols=["other", "chat"]) as ws:
            assert ws.subprotocol == "chat"
            assert [extension.name for extension in ws.protocol.extensions] == ["permessage-deflate"]
            await ws.send("deflated " * 100)
            assert await ws.recv() == "deflated " * 100
            assert (await ws.ping()) is not None
            await ws.close(4001, "mine")

    asyncio.run(talk())
    assert platform.engine.end()["close_code"] == 4001
    request = echo[0].request
    assert request is not None
    assert request.path == "/chat"
    assert request.headers["x-fc-function-name"] == "echo"
    assert request.headers["x-fc-request-id"]


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parity("gateway.timeout-1006")
def test_abort_is_1006_within_a_second(platform: Platform, echo: list[ServerConnection], tls: bool) -> None:
    """At the time limit no Close frame is sent; the socket of the function is closed."""

    async def talk() -> tuple[int | None, float]:
        async with dial(platform, tls) as ws:
            await ws.send("a")
            assert await ws.recv() == "a"
            began = time.monotonic()
            platform.call(platform.engine.leases[0].on_abort, "timeout")
            await asyncio.wait_for(ws.wait_closed(), 5)
            return ws.close_code, time.monotonic() - began

    code, seconds = asyncio.run(talk())
    assert code == 1006
    assert seconds < 1
    end = platform.engine.end()
    assert (end["why"], end["close_code"], end["status"]) == ("timeout", 1006, 101)
    assert until(lambda: echo[0].close_code) == 1006


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("silent", [False, True])
@pytest.mark.parity("gateway.stop-1001")
def test_a_shutdown_is_1001_behind_all_that_was_sent(platform: Platform, silent: bool, tls: bool) -> None:
    """The function's side ends at once. A connection that was silenced stays silent to its end."""
    ended = threading.Event()

    def handle(sock: socket.socket) -> None:
        read_head(sock)
        sock.sendall(SWITCHED + b"\x81\x02ab")
        with contextlib.suppress(ConnectionResetError):
            assert sock.recv(1) == b""
        ended.set()

    with instance(handle) as platform.engine.port, platform.connect(tls) as sock:
        sock.sendall(UPGRADE)
        data = read_head(sock).partition(b"\r\n\r\n")[2]
        while data != b"\x81\x02ab":
            data += sock.recv(1)
        if silent:
            platform.call(platform.engine.leases[0].silence)
        platform.call(platform.engine.leases[0].on_abort, "shutdown")
        with contextlib.suppress(OSError):  # a silenced one is cut without TLS' goodbye
            while more := sock.recv(65536):
                data += more
        assert ended.wait(LIMIT)
    assert data == b"\x81\x02ab" + (b"" if silent else b"\x88\x02\x03\xe9")
    assert platform.engine.end()["why"] == "shutdown"


def test_silence_forwards_nothing_and_keeps_both_ends_open(platform: Platform, echo: list[ServerConnection]) -> None:
    async def talk() -> None:
        async with dial(platform, ping_interval=None) as ws:
            await ws.send("a")
            assert await ws.recv() == "a"
            platform.call(platform.engine.leases[0].silence)
            await ws.send("b")
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(ws.recv(), 0.3)
            assert echo[0].close_code is None
            platform.call(platform.engine.leases[0].on_abort, "timeout")
            with pytest.raises(websockets.ConnectionClosedError):
                await ws.recv()

    asyncio.run(talk())


@pytest.mark.parity("gateway.refused-upgrade")
@pytest.mark.parametrize("status", [b"403 Forbidden", b"426 Upgrade Required", b"200 OK"])
def test_a_refused_upgrade_is_passed_with_its_body(platform: Platform, status: bytes) -> None:
    refusal = b"HTTP/1.1 " + status + b"\r\nContent-Length: 7\r\nX-Why: so\r\n\r\nnot you"
    with instance(answering(refusal)) as platform.engine.port:
        answer = platform.ask(UPGRADE + b"\x81\x80abcd")
    assert (answer.status, answer.body, answer["x-why"]) == (int(status[:3]), b"not you", "so")
    assert platform.engine.end()["status"] == int(status[:3])


def test_no_tunnel_without_an_upgrade_asked_for(platform: Platform) -> None:
    """Neither h2c nor a POST nor HTTP/1.0 becomes a tunnel, even if the function answers 101."""
    seen: list[bytes] = []
    asks = (
        UPGRADE.replace(b"Upgrade: websocket", b"Upgrade: h2c"),
        UPGRADE.replace(b"GET", b"POST"),
        UPGRADE.replace(b"HTTP/1.1", b"HTTP/1.0"),
        UPGRADE.replace(b"keep-alive, Upgrade", b"close"),
    )
    with instance(answering(SWITCHED, seen)) as platform.engine.port:
        for ask in asks:
            with platform.connect() as sock:
                sock.sendall(ask)
                answer = Answer.parse(read_head(sock))
                assert (answer.status, answer.error) == (502, "BadResponse")
    assert all(b"upgrade: " not in head.lower() for head in seen)


@pytest.mark.parity("gateway.after-upgrade", "gateway.request-id-101")
@pytest.mark.parametrize("tls", [False, True])
def test_early_bytes_are_neither_lost_nor_doubled(platform: Platform, tls: bool) -> None:
    """The client sends before the 101, the function with the 101; each gets everything once and in order."""
    early_in, early_out = os.urandom(50_000), os.urandom(50_000)
    late_in, late_out = os.urandom(50_000), os.urandom(50_000)
    got: list[bytes] = []

    def handle(sock: socket.socket) -> None:
        data = read_head(sock).partition(b"\r\n\r\n")[2]
        sock.sendall(SWITCHED + early_out)
        while len(data) < 100_000:
            data += sock.recv(65536)
        got.append(data)
        sock.sendall(late_out)

    with instance(handle) as platform.engine.port, platform.connect(tls) as sock:
        sock.sendall(UPGRADE + early_in)
        head, _, data = read_head(sock).partition(b"\r\n\r\n")
        sock.sendall(late_in)
        while more := sock.recv(65536):
            data += more
    assert head.startswith(b"HTTP/1.1 101 ")
    assert b"x-fc-request-id: 1-" in head
    assert data == early_out + late_out
    assert got == [early_in + late_in]
    end = platform.engine.end()
    assert (end["bytes_in"], end["bytes_out"]) == (100_000, 100_000)


# Ends (F1)


def half_close(platform: Platform) -> tuple[bytes, bool]:
    """A client that sends FIN after its last byte, before a function that answers 1 MiB only then.

    What the client received, and whether it ended by FIN (not by a reset).
    """

    def handle(sock: socket.socket) -> None:
        read_head(sock)
        sock.sendall(SWITCHED)
        while sock.recv(65536):
            pass
        sock.sendall(b"z" * (1 << 20))

    with instance(handle) as platform.engine.port, platform.connect() as sock:
        sock.sendall(UPGRADE)
        data = read_head(sock).partition(b"\r\n\r\n")[2]
        sock.sendall(b"the last frame")
        sock.shutdown(socket.SHUT_WR)
        try:
            while more := sock.recv(65536):
                data += more
        except ConnectionError:
            return data, False
    return data, True


@pytest.mark.parity("gateway.after-upgrade")
def test_a_half_close_is_passed_on(platform: Platform) -> None:
    assert half_close(platform) == (b"z" * (1 << 20), True)
    assert platform.engine.end()["bytes_in"] == len(b"the last frame")


def _reset(side: asyncio.Transport) -> None:
    side.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    side.abort()


@pytest.mark.parametrize("end", [asyncio.Transport.abort, _reset])
def test_the_half_close_test_can_fail(
    platform: Platform, monkeypatch: pytest.MonkeyPatch, end: Callable[[asyncio.Transport], None]
) -> None:
    """Mutants that abort or reset where the end should be passed on lose bytes: the test above sees it."""

    def wrong(self: tunnel.Tunnel, side: asyncio.Transport) -> bool:
        for each in (side, self._other(side)):
            each.abort() if end is asyncio.Transport.abort else end(each)
        return False

    monkeypatch.setattr(tunnel.Tunnel, "half_closed", wrong)
    assert half_close(platform) != (b"z" * (1 << 20), True)


def test_a_function_that_half_closes(platform: Platform) -> None:
    got: list[bytes] = []

    def handle(sock: socket.socket) -> None:
        read_head(sock)
        sock.sendall(SWITCHED + b"bye")
        sock.shutdown(socket.SHUT_WR)
        data = b""
        while more := sock.recv(65536):
            data += more
        got.append(data)

    with instance(handle) as platform.engine.port, platform.connect() as sock:
        sock.sendall(UPGRADE)
        data = read_head(sock).partition(b"\r\n\r\n")[2]
        while more := sock.recv(65536):
            data += more
        sock.sendall(b"still talking")
        sock.shutdown(socket.SHUT_WR)
        end = platform.engine.end()
    assert (data, got) == (b"bye", [b"still talking"])
    assert (end["why"], end["close_code"]) == ("function", 1006)


@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize("tls", [False, True])
def test_a_function_that_ends_right_after_its_101(platform: Platform, reset: bool, tls: bool) -> None:
    """What it sent arrives, and then the end of the connection, however early that came."""

    def handle(sock: socket.socket) -> None:
        read_head(sock)
        sock.sendall(SWITCHED + b"bye")
        if reset:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    with instance(handle) as platform.engine.port:
        for number in range(20):
            answer = platform.ask(UPGRADE, tls)
            if answer.status == 101:
                assert answer.body == b"bye" or reset
                assert platform.engine.end(number)["close_code"] in ((1006,) if not reset else (1006, None))
            else:  # the reset overtook the answer
                assert reset and answer.error == "BadResponse"
            platform.engine.end(number)


def test_a_client_that_does_not_leave_after_the_function_has_left(platform: Platform) -> None:
    with instance(answering(SWITCHED)) as platform.engine.port, platform.connect() as sock:
        sock.sendall(UPGRADE)
        assert read_head(sock).endswith(b"\r\n\r\n") and sock.recv(1) == b""
        platform.wait_for_timers(1)
        platform.advance(9.9)
        assert not platform.engine.ends
        platform.advance(0.1)
        assert platform.engine.end()["why"] == "function"


@pytest.mark.parametrize("reset", [False, True])
def test_a_client_that_vanishes(platform: Platform, reset: bool) -> None:
    ended = threading.Event()

    def handle(sock: socket.socket) -> None:
        read_head(sock)
        sock.sendall(SWITCHED)
        assert sock.recv(1) == b""
        ended.set()

    with instance(handle) as platform.engine.port:
        sock = platform.connect()
        sock.sendall(UPGRADE)
        read_head(sock)
        if reset:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.close()
        assert ended.wait(5)
        end = platform.engine.end()
    assert (end["why"], end["close_code"]) == ("client", None)


def test_a_hundred_connections_end_together(platform: Platform, echo: list[ServerConnection]) -> None:
    """What the engine does when an instance is killed: all clients see 1006 within a second."""

    async def talk() -> tuple[set[int | None], float]:
        sockets = await asyncio.gather(*(dial(platform) for _ in range(100)))
        began = time.monotonic()
        platform.call(lambda: [lease.on_abort("instance") for lease in platform.engine.leases])
        await asyncio.wait_for(asyncio.gather(*(ws.wait_closed() for ws in sockets)), 5)
        return {ws.close_code for ws in sockets}, time.monotonic() - began

    codes, seconds = asyncio.run(talk())
    assert codes == {1006}
    assert seconds < 1
    assert len(platform.engine.ends) == 100


# Back-pressure (F8)


def rss() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.parametrize("tls", [False, True])
def test_a_client_that_stops_reading_blocks_the_function(platform: Platform, tls: bool) -> None:
    """Of a flood of 64 MiB only what sockets and the bounded buffers hold is taken; later all of it arrives."""
    sent = [0]
    blocked = threading.Event()
    total = 64 << 20

    def handle(sock: socket.socket) -> None:
        read_head(sock)
        sock.sendall(SWITCHED)
        sock.settimeout(0.5)
        block, quiet = memoryview(bytes(1 << 16)), 0
        while sent[0] < total:
            try:
                sent[0] += sock.send(block[: total - sent[0]])
            except TimeoutError:
                blocked.set()
                quiet += 1
                assert quiet < 2 * LIMIT

    with instance(handle) as platform.engine.port, platform.connect(tls) as sock:
        before = rss()
        sock.sendall(UPGRADE)
        data = read_head(sock).partition(b"\r\n\r\n")[2]
        assert blocked.wait(LIMIT)
        assert sent[0] < 16 << 20
        assert rss() - before < 4 << 20
        received = len(data)
        while data := sock.recv(1 << 20):
            received += len(data)
    assert received == total
    assert platform.engine.end()["bytes_out"] == total


def test_a_function_that_stops_reading_blocks_the_client(platform: Platform) -> None:
    go = threading.Event()
    total, got = 32 << 20, [0]

    def handle(sock: socket.socket) -> None:
        got[0] = len(read_head(sock).partition(b"\r\n\r\n")[2])
        sock.sendall(SWITCHED)
        assert go.wait(LIMIT)
        while data := sock.recv(1 << 20):
            got[0] += len(data)

    with instance(handle) as platform.engine.port, platform.connect() as sock:
        before = rss()
        sock.sendall(UPGRADE)
        read_head(sock)
        sock.settimeout(0.5)
        block, sent = memoryview(bytes(1 << 16)), 0
        with pytest.raises(TimeoutError):
            while sent < total:
                sent += sock.send(block)
        assert sent < 16 << 20
        assert rss() - before < 4 << 20
        go.set()
        sock.settimeout(LIMIT)
        while sent < total:
            sent += sock.send(block)
        sock.shutdown(socket.SHUT_WR)
        assert sock.recv(1) == b""
    assert got[0] == sent == platform.engine.end()["bytes_in"]


@pytest.mark.parity("gateway.stalled-client")
@pytest.mark.parametrize(("leaves", "seconds"), [("", 60), ("half-close", 10), ("reset", 0)])
def test_a_client_that_takes_nothing_is_cut_after_a_minute_and_ten_seconds_after_it_left(
    platform: Platform, leaves: str, seconds: float
) -> None:
    blocked = threading.Event()

    def flood(sock: socket.socket) -> None:
        read_head(sock)
        sock.sendall(SWITCHED)
        flood_until_blocked(sock, blocked)

    with instance(flood) as platform.engine.port, platform.connect() as sock:
        sock.sendall(UPGRADE)
        read_head(sock)
        assert blocked.wait(LIMIT)
        platform.wait_for_timers(1)
        if leaves == "reset":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            sock.close()
        elif leaves:
            sock.shutdown(socket.SHUT_WR)
            platform.wait_until(lambda: tunnel_of(platform).first is not None)
        if seconds:
            platform.advance(seconds - 0.1)
            assert not platform.engine.ends
            platform.advance(0.1)
        assert platform.engine.end()["why"] == "client"


def test_a_slow_reader_is_not_cut(platform: Platform) -> None:
    """It takes a little in each minute: that is progress."""
    total = 24 << 20

    def flood(sock: socket.socket) -> None:
        read_head(sock)
        sock.sendall(SWITCHED + bytes(total))

    with instance(flood) as platform.engine.port, platform.connect() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
        sock.sendall(UPGRADE)
        received = len(read_head(sock).partition(b"\r\n\r\n")[2])
        while received < total:
            stalled = tunnel_of(platform)
            timer, taken = stalled._timer, 0
            while taken < 8 << 20 and received < total:  # more than the buffers of gateway and kernel hold
                data = sock.recv(1 << 17)
                assert data
                taken, received = taken + len(data), received + len(data)
            platform.wait_until(lambda tunnel=stalled, timer=timer: tunnel._timer is not timer)
            platform.advance(59)
    assert received == total


def tunnel_of(platform: Platform) -> tunnel.Tunnel:
    """The tunnel of the only WebSocket."""
    session = platform.engine.leases[0]._holder
    assert isinstance(session, WebSocketSession)
    return session._tunnel


# Taps


def test_a_tap_sees_both_directions(platform: Platform) -> None:
    class Recorder:
        seen: list[tuple[str, bytes]] = []  # noqa: RUF012

        def feed(self, direction: str, data: bytes) -> None:
            self.seen.append((direction, data))

    platform.engine.recorder = Recorder()

    def handle(sock: socket.socket) -> None:
        read_head(sock)
        sock.sendall(SWITCHED + b"early")
        assert sock.recv(100) == b"ping"
        sock.sendall(b"pong")

    with instance(handle) as platform.engine.port, platform.connect() as sock:
        sock.sendall(UPGRADE)
        read_head(sock)
        sock.sendall(b"ping")
        while sock.recv(100):
            pass
    platform.engine.end()
    assert b"".join(data for way, data in Recorder.seen if way == "in") == b"ping"
    assert b"".join(data for way, data in Recorder.seen if way == "out") == b"earlypong"


# Other clients


def test_curl_and_node_speak_to_the_same_port(platform: Platform, echo: list[ServerConnection]) -> None:
    ca = str(platform.certificates.authority)
    https = f"https://localhost:{platform.port}/"
    curl = subprocess.run(
        ["curl", "-sS", "--noproxy", "*", "--cacert", ca, "-o", "/dev/null", "-w", "%{http_code}", https],
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert (curl.stdout, curl.stderr) == ("426", "")  # websockets' answer to a plain request
    key = base64.b64encode(os.urandom(16)).decode()
    script = f"""
        const https = require('https');
        const r = https.request({{host: 'localhost', port: {platform.port}, path: '/chat', headers: {{
          Connection: 'Upgrade', Upgrade: 'websocket', 'Sec-WebSocket-Version': 13,
          'Sec-WebSocket-Key': '{key}', 'Sec-WebSocket-Protocol': 'chat'}}}});
        r.on('upgrade', (res, socket) => {{ console.log(res.statusCode); socket.destroy(); }});
        r.on('error', (e) => {{ console.log(e.message); }});
        r.end();
    """
    node = subprocess.run(
        ["node", "-e", script],
        env={**os.environ, "NODE_EXTRA_CA_CERTS": ca},
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert node.stdout.strip() == "101", node.stderr
