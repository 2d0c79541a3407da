"""An instance, and the leases of the requests on it."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol, Self

from fclocal.core import dispatch, limits
from fclocal.core.admission import Admission
from fclocal.core.clock import Clock, Timer
from fclocal.core.ending import Ending
from fclocal.core.lifecycle import State
from fclocal.core.model import Revision
from fclocal.core.request import Headers
from fclocal.core.retention import Rest
from fclocal.runtime.instances.process import Process


class IdleConnection(Protocol):
    """A connection to the instance's server between two requests."""

    transport: asyncio.Transport


@dataclass(eq=False, slots=True)
class Instance:
    """One instance: its state, its process once that runs, and the requests on it.

    `on_exit(instance, code, why)` is called when its process has ended.
    """

    instance_id: str
    revision: Revision
    why: str
    rest: Rest
    created: float
    on_exit: Callable[["Instance", int, str], None]
    state: State = State.STARTING
    process: Process | None = None
    leases: set["Lease"] = field(default_factory=set)
    idle_since: float = 0.0
    kept_until: float = 0.0
    cpu_sample: tuple[float, float] = (0.0, 0.0)  # time, CPU seconds used until then
    freezes: int = 0
    idle_connections: list[tuple[float, IdleConnection]] = field(default_factory=list)  # since when; last used last
    exit_code: int | None = None
    starting: asyncio.Task[None] | None = None
    health: asyncio.Task[None] | None = None
    problem: str = ""  # what the last failed health check found

    @property
    def name(self) -> str:
        """The name of the function."""
        return self.revision.config.function_name

    @property
    def load(self) -> int:
        """The number of requests on the instance."""
        return len(self.leases)

    def seat(self) -> dispatch.Seat:
        return dispatch.Seat(self.instance_id, self.state, len(self.leases), self.created)

    def abort(self, ending: Ending) -> None:
        """End every request on the instance."""
        for lease in tuple(self.leases):
            lease.abort(ending)


class Holder(Protocol):
    """What moves the bytes of a request: an HTTP exchange, a WebSocket session, or an invocation."""

    def abort(self, ending: Ending) -> None:
        """End the request now, for this reason."""
        ...

    def silence(self) -> None:
        """Move no more bytes, but keep the connections open."""
        ...


OnEnd = Callable[["Lease", Ending, int, int | None, int, int], None]
"""Called once, with the lease, why it ended, the status, the close code, and the bytes in and out."""


class Lease:
    """A place on `instance`, and the limits that hold for the request on it.

    A context manager: the end of the block gives the place back, also after an error; a holder without a block calls
    `leave`. A request that outlives its first holder is handed over to another one, which calls `end`.
    """

    __slots__ = (
        "_clock", "_deadline", "_fault_timers", "_handed_over", "_holder", "_on_end", "_open", "began", "instance",
        "release", "request_id", "response_headers", "session_id", "timeout",
    )  # fmt: skip

    host = "127.0.0.1"
    instance: Instance  # set by the pool, with the place
    release: Callable[["Lease"], None]  # set by the pool: gives the place back

    def __init__(self, admission: Admission, holder: Holder, clock: Clock, on_end: OnEnd) -> None:
        self._clock = clock
        self._on_end = on_end
        self._holder: Holder | None = holder
        self._deadline: Timer | None = None
        self._fault_timers: tuple[Timer, ...] = ()  # an empty list in each of thousands of leases takes memory
        self._open = True
        self._handed_over = False
        self.began = 0.0
        self.request_id = admission.request.request_id  # not the admission: a lease may last for hours
        self.timeout = admission.timeout
        self.session_id: str | None = None
        self.response_headers: Headers = ()

    @property
    def port(self) -> int:
        """The port that the instance listens on."""
        process = self.instance.process
        if process is None:
            raise RuntimeError("a lease is granted on running instances only")
        return process.port

    @property
    def idle_connections(self) -> list[tuple[float, IdleConnection]]:
        """The connections to the instance that carry no request, and since when, the last used at the end."""
        return self.instance.idle_connections

    def keep(self, connection: IdleConnection) -> None:
        """Leave a connection to the instance for the next request."""
        self.idle_connections.append((self._clock.now(), connection))

    def kept(self) -> IdleConnection | None:
        """Return the connection that an earlier request has used last, or None.

        One that was idle for too long is closed instead: its server may close it at any moment.
        """
        while self.idle_connections:
            since, connection = self.idle_connections.pop()
            if self._clock.now() - since <= limits.INSTANCE_IDLE_SECONDS:
                return connection
            connection.transport.close()
        return None

    def begin(self) -> None:
        """Start the execution timeout."""
        self.began = self._clock.now()
        self._deadline = self._clock.call_later(self.timeout, self.abort, Ending.TIMEOUT)

    def call_later(self, seconds: float, callback: Callable[..., object], *args: object) -> None:
        """Call `callback(*args)` after `seconds`, unless the request has ended by then."""
        self._fault_timers += (self._clock.call_later(seconds, callback, *args),)

    def abort(self, ending: Ending) -> None:
        """Have the holder end the request: both connections are closed before the instance is touched."""
        if self._holder is not None:
            self._holder.abort(ending)

    def silence(self) -> None:
        """Have the holder move no more bytes, while both connections stay open."""
        if self._holder is not None:
            self._holder.silence()

    def hand_over(self, holder: Holder) -> None:
        """Let `holder` end the request from now on; `leave` no longer does."""
        self._holder = holder
        self._handed_over = True

    def end(
        self, ending: Ending, *, status: int, close_code: int | None = None, bytes_in: int = 0, bytes_out: int = 0
    ) -> None:
        """Give the place back and record the end. Only the first call has an effect: a request ends for one reason."""
        if not self._open:
            return
        self._open = False
        self._holder = None
        if self._deadline is not None:
            self._deadline.cancel()
        for timer in self._fault_timers:
            timer.cancel()
        self._on_end(self, ending, status, close_code, bytes_in, bytes_out)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.leave()

    def leave(self) -> None:
        """Give the place back, unless the request has ended or another holder has it."""
        if not self._handed_over:
            self.end(Ending.SHUTDOWN, status=0)
