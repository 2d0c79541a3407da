"""A NAT in the path: a relay that forgets connections which carry nothing, as gateways between people and clouds do.

    with Nat(app.url, forget_after=3) as nat:
        async with connect(to_wss(nat.url)) as ws: ...

It relays bytes, so TLS passes through untouched, and runs in a thread of its own: notebooks and scripts can use it
while their own event loop is busy. A forgotten connection is not closed. What either side sends later is swallowed, or
answered with a reset: the two things that real NATs do.
"""

import asyncio
import random
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Literal, Self, TypeVar, cast
from urllib.parse import urlsplit, urlunsplit

T = TypeVar("T")

RETRANSMIT = 0.2      # seconds that a lost packet costs: TCP sends it again after its shortest timeout


@dataclass(frozen=True, slots=True)
class NatEvent:
    """One moment of a flow. `at`: seconds since 1970; `flow`: its number, from 0.

    kind: opened | removed (after `idle` seconds without a byte) | dropped (`size` bytes) | reset.
    direction: "in" from the client, "out" to the client, "" where there is none.
    """

    at: float
    flow: int
    kind: Literal["opened", "removed", "dropped", "reset"]
    direction: Literal["in", "out", ""] = ""
    size: int = 0
    idle: float = 0.0


@dataclass(slots=True)
class Flow:
    """One connection through the NAT. Bytes `carried` to the other side, and `swallowed` after it was forgotten."""

    number: int = 0
    forgotten: bool = False
    closed: bool = False
    carried: int = 0
    swallowed: int = 0
    last: float = 0.0
    sides: list["_Side"] = field(default_factory=list)
    timer: asyncio.TimerHandle | None = None


class Nat:
    """A relay on a localhost port to the host and port of `url`.

    `forget_after`: seconds without a byte after which a flow is forgotten (None: never). `then`: "silence" swallows
    what comes later, "reset" answers it with a TCP reset. `delay`: seconds each packet takes, either way. `loss`:
    probability (0 to 1) that a packet is lost. TCP sends it again, so to a program loss is a pause of 0.2 s.
    Raises OSError in `start` if no port can be had; a target that is not there closes the client's connection.
    """

    def __init__(self, url: str, *, forget_after: float | None = 3.0, then: Literal["silence", "reset"] = "silence",
                 delay: float = 0.0, loss: float = 0.0, seed: int | None = None) -> None:
        parts = urlsplit(url)
        if not parts.hostname or parts.scheme not in ("http", "https", "ws", "wss"):
            raise ValueError(f"a NAT needs an http, https, ws or wss URL, not {url!r}")
        self.forget_after, self.then, self.delay, self.loss = forget_after, then, delay, loss
        self.flows: list[Flow] = []
        self.events: list[NatEvent] = []
        self.url = ""
        self._parts = parts
        self._target = (parts.hostname, parts.port or (443 if parts.scheme in ("https", "wss") else 80))
        self._draw = random.Random(seed)
        self._changed = threading.Condition()
        self._reaching: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="nat", daemon=True)

    def start(self) -> Self:
        """Begin to relay; `url` is the address to use instead of the original."""
        self._thread.start()
        self._server = self._call(self._listen())
        port = self._server.sockets[0].getsockname()[1]
        self.url = urlunsplit(self._parts._replace(netloc=f"localhost:{port}"))
        return self

    def stop(self) -> None:
        """Cut what is open and end the thread. May be called again."""
        if self._thread.is_alive():
            self._call(self._close())
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    def set_limit(self, seconds: float) -> None:
        """Change `forget_after`, also for the flows that are open."""
        if self.running:
            self._call(self._watch_again(seconds))

    @property
    def running(self) -> bool:
        """Return whether the relay has been started and not stopped."""
        return self._thread.is_alive()

    def seconds_left(self, flow: Flow) -> float:
        """Return the seconds of silence after which an open flow will be removed."""
        return max(0.0, (self.forget_after or 0.0) - (self._loop.time() - flow.last))

    def forget(self) -> None:
        """Forget all flows now, as a NAT that restarts."""
        self._call(self._forget_all())

    def wait_forgotten(self, count: int = 1, timeout: float = 10.0) -> bool:
        """Wait until `count` flows have been forgotten; False if that takes longer than `timeout` seconds."""
        with self._changed:
            return self._changed.wait_for(lambda: sum(flow.forgotten for flow in self.flows) >= count, timeout)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.stop()

    def __str__(self) -> str:
        forgotten = sum(flow.forgotten for flow in self.flows)
        alive = sum(not flow.forgotten and not flow.closed for flow in self.flows)
        swallowed = sum(flow.swallowed for flow in self.flows)
        return f"NAT: connections {len(self.flows)}, open {alive}, removed {forgotten}; bytes dropped {swallowed}"

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, Any]:
        from workshop.views.nat_table import NatTable, table

        data: dict[str, Any] = NatTable(self).widget._repr_mimebundle_(**kwargs) if self.running else {}
        return {**data, "text/html": table(self), "text/plain": str(self)}

    def _call(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    # From here on everything runs in the relay's own loop.

    async def _listen(self) -> asyncio.Server:
        return await self._loop.create_server(lambda: _Side(self, Flow()), "127.0.0.1", 0)

    async def _close(self) -> None:
        self._server.close()
        tasks = list(self._reaching)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for flow in self.flows:
            for side in flow.sides:
                side.transport.abort()
        await asyncio.sleep(0)

    async def _forget_all(self) -> None:
        for flow in self.flows:
            self._lose(flow)

    def opened(self, client: "_Side") -> None:
        """Connect to the target for a new client, before reading on."""
        flow = client.flow
        flow.last = self._loop.time()
        with self._changed:
            flow.number = len(self.flows)
            self.flows.append(flow)
        self.events.append(NatEvent(time.time(), flow.number, "opened"))
        client.transport.pause_reading()
        task = self._loop.create_task(self._reach(client))
        self._reaching.add(task)
        task.add_done_callback(self._reaching.discard)
        self._watch(flow)

    async def _reach(self, client: "_Side") -> None:
        try:
            _, server = await self._loop.create_connection(lambda: _Side(self, client.flow), *self._target)
        except OSError:
            client.transport.abort()
            return
        client.peer, server.peer = server, client
        client.transport.resume_reading()

    def _watch(self, flow: Flow) -> None:
        """Remove the flow, or look again when it could have been idle for long enough."""
        if flow.forgotten or flow.closed or self.forget_after is None:
            return
        idle = self._loop.time() - flow.last
        if idle >= self.forget_after:
            self._lose(flow)
        else:
            flow.timer = self._loop.call_later(self.forget_after - idle, self._watch, flow)

    async def _watch_again(self, seconds: float) -> None:
        self.forget_after = seconds
        for flow in self.flows:
            if flow.timer:
                flow.timer.cancel()
            self._watch(flow)

    def _lose(self, flow: Flow) -> None:
        if not flow.forgotten:
            idle = self._loop.time() - flow.last
            self.events.append(NatEvent(time.time(), flow.number, "removed", idle=idle))
        with self._changed:
            flow.forgotten = True
            self._changed.notify_all()

    def late(self) -> float:
        """Return the seconds that a packet sent now is on its way."""
        return self.delay + (RETRANSMIT if self.loss and self._draw.random() < self.loss else 0.0)


class _Side(asyncio.Protocol):
    """One of the two connections of a flow."""

    def __init__(self, nat: Nat, flow: Flow) -> None:
        self.nat, self.flow = nat, flow
        self.peer: _Side | None = None
        self.ended = False
        self._due = 0.0
        self._queue: deque[tuple[float, Callable[..., None], tuple[bytes, ...]]] = deque()
        self._loop = asyncio.get_running_loop()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.flow.sides.append(self)
        if len(self.flow.sides) == 1:
            self.nat.opened(self)

    def data_received(self, data: bytes) -> None:
        if not self._forgotten(len(data)):
            self.flow.carried += len(data)
            self._pass_on("deliver", data)

    def eof_received(self) -> bool:
        self.ended = True
        if not self._forgotten(0):
            self._pass_on("finish")
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self.flow.closed = True
        if not self.flow.forgotten:
            self._pass_on("drop")

    def pause_writing(self) -> None:
        if self.peer:
            self.peer.transport.pause_reading()

    def resume_writing(self) -> None:
        if self.peer:
            self.peer.transport.resume_reading()

    def _forgotten(self, size: int) -> bool:
        direction: Literal["in", "out"] = "in" if self.flow.sides[0] is self else "out"
        if self.flow.forgotten and size:
            self.flow.swallowed += size
            self.nat.events.append(NatEvent(time.time(), self.flow.number, "dropped", direction, size))
        if self.flow.forgotten and self.nat.then == "reset":
            connection = self.transport.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.transport.abort()
            self.nat.events.append(NatEvent(time.time(), self.flow.number, "reset", direction))
        return self.flow.forgotten

    def _pass_on(self, what: str, *values: bytes) -> None:
        """Call the other side's method in order, when the packet arrives there."""
        self.flow.last = now = self._loop.time()
        if self.peer is None:
            return
        self._due = max(self._due, now + self.nat.late())
        if self._due <= now and not self._queue:
            getattr(self.peer, what)(*values)
        else:
            self._queue.append((self._due, getattr(self.peer, what), values))
            if len(self._queue) == 1:
                self._loop.call_at(self._due, self._arrived)

    def _arrived(self) -> None:
        while self._queue and self._queue[0][0] <= self._loop.time():
            _, act, values = self._queue.popleft()
            act(*values)
        if self._queue:
            self._loop.call_at(self._queue[0][0], self._arrived)

    def deliver(self, data: bytes) -> None:
        if not self.flow.forgotten and not self.transport.is_closing():
            self.transport.write(data)

    def finish(self) -> None:
        if self.flow.forgotten or self.transport.is_closing():
            return
        if self.ended:
            self.transport.close()
        else:
            self.transport.write_eof()

    def drop(self) -> None:
        if not self.flow.forgotten:
            self.transport.close()
