"""A place on an instance that one request holds."""

import asyncio
from collections.abc import Callable
from typing import Protocol

from fclocal.core import affinity
from fclocal.core.admission import Admission
from fclocal.core.clock import Clock
from fclocal.core.headers import Headers
from fclocal.runtime.pool import Instance, Pool
from fclocal.runtime.taps import Tap, Taps


class LeaseKeeper(Protocol):
    """What a lease needs of the engine that gave it."""

    clock: Clock
    taps: Taps

    def ended(
        self, lease: "Lease", status: int, close_code: int | None, why: str, bytes_in: int, bytes_out: int
    ) -> None: ...


class Lease:
    """A place on an instance, from the moment it is given until `end`."""

    __slots__ = (
        "_engine", "_on_abort", "_over", "_timers", "began", "instance", "on_silence", "pool", "request_id",
        "response_headers", "revision", "session_id", "timeout",
    )  # fmt: skip

    host = "127.0.0.1"

    def __init__(
        self,
        engine: LeaseKeeper,
        pool: Pool,
        instance: Instance,
        admitted: Admission,
        choice: affinity.Choice | None,
        on_abort: Callable[[str], None],
        on_silence: Callable[[], None],
    ) -> None:
        self._engine = engine
        self._on_abort = on_abort
        self._over = False
        self.began = engine.clock.now()
        self.instance = instance
        self.on_silence = on_silence
        self.pool = pool
        self.request_id = admitted.request_id
        self.revision = admitted.revision  # and no more of the admission: a lease may last for hours
        self.timeout = admitted.timeout
        self.session_id = None if choice is None else choice.session_id
        self.response_headers: Headers = () if choice is None or choice.header is None else (choice.header,)
        self._timers = [asyncio.get_running_loop().call_later(admitted.timeout, self.abort, "timeout")]
        instance.aborts.add(self.abort)

    @property
    def instance_id(self) -> str:
        return self.instance.instance_id

    @property
    def port(self) -> int:
        """The port the instance listens on; a lease is given on running instances only."""
        process = self.instance.process
        if process is None:
            raise RuntimeError("a lease is given on running instances only")
        return process.port

    @property
    def deadline(self) -> float:
        """When the execution timeout cuts the request, in seconds of the platform's clock."""
        return self.began + self.timeout

    def tap(self, extensions: bytes) -> Tap | None:
        """What records the frames of this connection, None for most. `extensions`: Sec-WebSocket-Extensions
        of the instance's 101."""
        return self._engine.taps.open(self.instance.name, self.instance_id, self.request_id, extensions)

    def later(self, seconds: float, what: Callable[[], object]) -> None:
        """Do `what` after `seconds`, unless the lease has ended by then."""
        self._timers.append(asyncio.get_running_loop().call_later(seconds, what))

    def abort(self, why: str) -> None:
        """Cut the request: the gateway ends both sides, with a Close frame only for "shutdown", and the lease.

        The instance is left alone until then, so that it cannot say its own goodbye first.
        """
        if not self._over:
            self._on_abort(why)

    def end(self, *, status: int, close_code: int | None, why: str, bytes_in: int, bytes_out: int) -> None:
        """The request is over. May be called more than once; the first call counts."""
        if self._over:
            return
        self._over = True
        self.instance.aborts.discard(self.abort)
        for timer in self._timers:
            timer.cancel()
        self._engine.ended(self, status, close_code, why, bytes_in, bytes_out)
