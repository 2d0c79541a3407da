"""An open WebSocket: it owns the tunnel that carries its bytes and the lease of its place on an instance."""

import asyncio

from fclocal.core.clock import Clock
from fclocal.core.ending import TABLE, Ending
from fclocal.runtime.instances.instance import Lease
from fclocal.runtime.requests.taps import FrameTap
from fclocal.runtime.requests.tunnel import Tunnel


class WebSocketSession:
    """What remains of an HTTP exchange that has switched protocols.

    A session may last for hours and there may be thousands: it keeps only what its end needs.
    """

    __slots__ = ("_lease", "_tunnel")

    def __init__(
        self, lease: Lease, client: asyncio.Transport, instance: asyncio.Transport, clock: Clock, tap: FrameTap | None
    ) -> None:
        self._lease = lease
        self._tunnel = Tunnel(client, instance, self._tunnel_ended, clock, tap)

    def start(self, early_in: bytes, early_out: bytes, *, ended: bool, lost: bool) -> None:
        """Take over the lease and both connections. See `Tunnel.start`."""
        self._lease.hand_over(self)
        self._tunnel.start(early_in, early_out, ended=ended, lost=lost)

    def abort(self, ending: Ending) -> None:
        """Close both sides now: the client first, so that the instance cannot send its own Close frame before."""
        code = TABLE[ending].close_code
        if code == 1001:
            self._tunnel.close_going_away()
        else:
            self._tunnel.abort()
        self._end(ending, code)

    def silence(self) -> None:
        """Carry nothing from now on, but keep both sides open."""
        self._tunnel.silence()

    def _tunnel_ended(self, tunnel: Tunnel) -> None:
        code = tunnel.close_code
        if code is not None:
            self._end(Ending.DONE, code)
        else:
            ending = Ending.FUNCTION if tunnel.first == "function" else Ending.CLIENT
            self._end(ending, TABLE[ending].close_code)

    def _end(self, ending: Ending, close_code: int | None) -> None:
        tunnel = self._tunnel
        self._lease.end(
            ending, status=101, close_code=close_code, bytes_in=tunnel.bytes_in, bytes_out=tunnel.bytes_out
        )
