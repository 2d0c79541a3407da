"""A gateway on a loop of its own, a scripted engine, and functions made of plain sockets."""

import asyncio
import contextlib
import json
import os
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import uvloop
from fake_clock import FakeClock
from free_port import free_port

from fclocal.core import identifiers
from fclocal.core.admission import Admission
from fclocal.core.ending import Ending
from fclocal.core.errors import FcError
from fclocal.core.model import Code, Function, FunctionConfig, Revision
from fclocal.core.request import Entry, Headers, IncomingRequest, RequestHead, RequestProtocol
from fclocal.edge.gateway import Gateway
from fclocal.runtime.instances.instance import Holder, IdleConnection, Lease
from fclocal.runtime.state.certificates import Certificates

ENTRY = Entry("trigger", "echo", "http")
LIMIT = 10.0  # seconds that anything in these tests may take


def function(**config: Any) -> Function:
    """A function as the store holds it."""
    function = FunctionConfig(function_name="echo", runtime="custom.debian12", **config)
    revision = Revision(generation=1, config=function, code=Code(checksum="0" * 64, size=1), created=0.0)
    return Function(function_id="f", latest=revision, created=0.0, modified=0.0)


class FakeLease(Lease):
    """A lease on the function that listens on `port`, without an instance."""

    def __init__(self, engine: "FakeEngine", admission: Admission, holder: Holder) -> None:
        super().__init__(admission, holder, engine.clock, engine.ended)  # type: ignore[arg-type]
        self.fake_engine = engine
        self.ended = False

    @property
    def idle_connections(self) -> list[tuple[float, IdleConnection]]:
        return self.fake_engine.idle_connections

    @property
    def port(self) -> int:
        return self.fake_engine.port

    def on_abort(self, why: str) -> None:
        self.abort(Ending(why))


@dataclass
class FakeEngine:
    """Accepts every request, for the function that listens on `port`, unless a test says otherwise."""

    port: int = 0
    function: Function = field(default_factory=function)
    refuse: FcError | None = None  # raised by admit
    no_lease: FcError | None = None  # raised by lease
    hold: asyncio.Event | None = None  # lease waits for it
    recorder: Any = None
    clock: FakeClock = field(default_factory=FakeClock)
    leases: list[FakeLease] = field(default_factory=list)
    ends: list[dict[str, Any]] = field(default_factory=list)
    idle_connections: list[tuple[float, IdleConnection]] = field(default_factory=list)
    in_vain: int = 0
    admitted: list[IncomingRequest] = field(default_factory=list)
    rejected: list[tuple[RequestHead, FcError]] = field(default_factory=list)
    changed: threading.Condition = field(default_factory=threading.Condition)

    def receive(self, entry: Entry, head: RequestHead, protocol: RequestProtocol, client: str) -> IncomingRequest:
        wall = self.clock.wall()
        request_id = identifiers.request_id(wall, os.urandom(10))
        return IncomingRequest(entry, head, protocol, client, request_id, wall, wall, 0.0)

    def admit(self, request: IncomingRequest) -> Admission:
        with self.changed:
            self.admitted.append(request)
            self.changed.notify_all()
        if self.refuse:
            self.reject(request, self.refuse, "echo")
            raise self.refuse
        return Admission(request, "LATEST", self.function.latest, request.head)

    def reject(self, request: IncomingRequest, error: FcError, function: str) -> None:
        with self.changed:
            self.rejected.append((request.head, error))
            self.changed.notify_all()

    async def lease(self, admission: Admission, holder: Holder) -> FakeLease:
        if self.hold:
            try:
                await self.hold.wait()
            except asyncio.CancelledError:
                self.reject(admission.request, FcError("ClientClosedRequest"), "echo")
                raise
        if self.no_lease:
            self.reject(admission.request, self.no_lease, "echo")
            raise self.no_lease
        lease = FakeLease(self, admission, holder)
        with self.changed:
            self.leases.append(lease)
            self.changed.notify_all()
        return lease

    def reused_in_vain(self, lease: Lease) -> None:
        self.in_vain += 1

    def tap(self, lease: Lease, headers: Headers) -> Any:
        return self.recorder

    def ended(
        self, lease: FakeLease, why: Ending, status: int, close_code: int | None, bytes_in: int, bytes_out: int
    ) -> None:
        lease.ended = True
        with self.changed:
            self.ends.append(
                {"status": status, "close_code": close_code, "why": why, "bytes_in": bytes_in, "bytes_out": bytes_out}
            )
            self.changed.notify_all()

    def wait(self, condition: Callable[[], bool]) -> None:
        """Until `condition` holds; fails after LIMIT."""
        with self.changed:
            assert self.changed.wait_for(condition, LIMIT), "it did not come to that"

    def end(self, number: int = 0) -> dict[str, Any]:
        """How the request `number` ended."""
        self.wait(lambda: len(self.ends) > number)
        return self.ends[number]


@pytest.fixture
def platform(tmp_path: Path) -> Iterator["Platform"]:
    """A gateway before a fake engine; a test fails if it leaves descriptors behind."""
    platform = Platform(tmp_path)
    yield platform
    platform.close()


class Platform:
    """A gateway in a thread. Its clock is fake: a test advances it."""

    def __init__(self, state: Path) -> None:
        self.engine = FakeEngine()
        self.certificates = Certificates(state / "ca")
        self.loop = uvloop.new_event_loop()
        self.gateway = Gateway(self.engine, self.certificates)  # type: ignore[arg-type]
        self._thread = threading.Thread(target=self.loop.run_forever)
        self._thread.start()
        self.port = self.run(self.gateway.open(ENTRY, free_port()))

    def run(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(LIMIT)

    def call(self, what: Callable[..., Any], *args: Any) -> None:
        """Call something in the gateway's thread and wait for it."""
        done = threading.Event()
        self.loop.call_soon_threadsafe(lambda: (what(*args), done.set()))
        assert done.wait(LIMIT)

    def advance(self, seconds: float) -> None:
        """Let time pass for the gateway; nothing else does."""
        self.call(self.engine.clock.advance, seconds)

    def wait_for_timers(self, count: int) -> None:
        """Until at least `count` limits are running."""
        self.wait_until(lambda: self.engine.clock.pending >= count)

    def wait_until(self, condition: Callable[[], bool]) -> None:
        """Until `condition` holds, asked in the gateway's thread."""
        end = time.monotonic() + LIMIT
        answers: list[bool] = [False]
        while not answers[-1]:
            assert time.monotonic() < end, "it did not come true in time"
            self.call(lambda: answers.append(condition()))

    def close(self) -> None:
        async def settle() -> None:
            for lease in self.engine.leases:
                if not lease.ended:
                    lease.abort(Ending.SHUTDOWN)
            await self.gateway.close()
            while left := asyncio.all_tasks() - {asyncio.current_task()}:
                await asyncio.wait(left, timeout=1)
            for _ in range(10):  # turns of the loop in which closed transports say goodbye
                await asyncio.sleep(0)

        self.run(settle())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(LIMIT)
        self.loop.close()

    def connect(self, tls: bool = False, host: str = "127.0.0.1") -> socket.socket:
        sock = socket.create_connection((host, self.port), timeout=LIMIT)
        if tls:
            return self.trusting().wrap_socket(sock, server_hostname="localhost")
        return sock

    def trusting(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self.certificates.authority)

    def ask(self, request: bytes, tls: bool = False) -> "Answer":
        """Send a request on a connection of its own, read the answer to the end of the connection."""
        with self.connect(tls) as sock:
            sock.sendall(request)
            return Answer.read(sock)


@dataclass
class Answer:
    """A response as it came."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes
    raw: bytes

    def __getitem__(self, name: str) -> str | None:
        return next((v for k, v in self.headers if k.lower() == name.lower()), None)

    @property
    def error(self) -> str:
        """The code of the platform's error."""
        return str(json.loads(self.body)["Code"])

    @classmethod
    def read(cls, sock: socket.socket) -> "Answer":
        raw = b""
        with contextlib.suppress(ssl.SSLError):
            while data := sock.recv(65536):
                raw += data
        return cls.parse(raw)

    @classmethod
    def parse(cls, raw: bytes) -> "Answer":
        head, _, body = raw.partition(b"\r\n\r\n")
        line, *fields = head.decode("latin-1").split("\r\n")
        pairs = [tuple(f.split(": ", 1)) for f in fields]
        return cls(int(line.split()[1]), pairs, body, raw)  # type: ignore[arg-type]


def read_head(sock: socket.socket) -> bytes:
    """Bytes up to and including the empty line, and what came with them."""
    data = b""
    while b"\r\n\r\n" not in data:
        more = sock.recv(65536)
        assert more, f"connection ended after {data!r}"
        data += more
    return data


@contextlib.contextmanager
def instance(handle: Callable[[socket.socket], None]) -> Iterator[int]:
    """A function: `handle` gets each connection, in a thread of its own. Yields its port."""
    server = socket.create_server(("127.0.0.1", 0), backlog=512)
    threads: list[threading.Thread] = []
    errors: list[BaseException] = []

    def one(sock: socket.socket) -> None:
        try:
            with sock:
                handle(sock)
        except (ConnectionError, TimeoutError):
            pass
        except BaseException as error:
            errors.append(error)

    def accept() -> None:
        while True:
            try:
                sock, _ = server.accept()
            except OSError:
                return
            sock.settimeout(LIMIT)
            threads.append(threading.Thread(target=one, args=(sock,)))
            threads[-1].start()

    acceptor = threading.Thread(target=accept)
    acceptor.start()
    try:
        yield server.getsockname()[1]
    finally:
        server.shutdown(socket.SHUT_RDWR)
        server.close()
        for thread in (acceptor, *threads):
            thread.join(LIMIT)
        assert not errors, errors


def answering(response: bytes, seen: list[bytes] | None = None) -> Callable[[socket.socket], None]:
    """A function that answers every request with `response` and notes the heads it saw."""

    def handle(sock: socket.socket) -> None:
        head = read_head(sock)
        if seen is not None:
            seen.append(head)
        sock.sendall(response)

    return handle


def flood_until_blocked(sock: socket.socket, blocked: threading.Event) -> None:
    """Send without an end; `blocked` is set when the other side has taken nothing for half a second."""
    sock.settimeout(0.5)
    try:
        while True:
            sock.sendall(bytes(1 << 16))
    except TimeoutError:
        blocked.set()
    sock.settimeout(LIMIT)
    while True:
        sock.sendall(bytes(1 << 16))
