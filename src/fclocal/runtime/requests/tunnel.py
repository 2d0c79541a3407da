"""Bytes both ways between a client and an instance, at the speed of the event loop's C code.

No frame is parsed. The bytes of one side are written to the other side's transport in the same callback; when that
transport has more than its high-water mark to write, reading from the first side stops, so a connection holds at most
a few hundred KiB each way. A half-close is passed on as a half-close. `abort` closes both sides without a Close frame,
so a WebSocket client sees close code 1006; `close_going_away` sends one with 1001.
"""

import asyncio
from collections.abc import Callable
from typing import Literal

from fclocal.core.clock import Clock, Timer
from fclocal.core.limits import LINGER_SECONDS, STALL_SECONDS
from fclocal.runtime.requests.taps import FrameTap

Write = Callable[[bytes], None]
_CLOSE_FRAME = 127  # longest unmasked Close frame: 2 bytes of head, 125 of body
_GOING_AWAY = b"\x88\x02\x03\xe9"  # a Close frame with 1001


class Tunnel:
    """Two transports joined. `on_end(tunnel)` is called once, when both are closed."""

    __slots__ = (
        "_client", "_clock", "_instance", "_inward", "_on_end", "_outward", "_silent", "_timer", "_waiting", "first",
    )  # fmt: skip

    def __init__(
        self,
        client: asyncio.Transport,
        instance: asyncio.Transport,
        on_end: Callable[["Tunnel"], None],
        clock: Clock,
        tap: FrameTap | None = None,
    ) -> None:
        self._client = client
        self._clock = clock
        self.first: Literal["client", "function"] | None = None  # the side that ended first
        self._instance = instance
        self._on_end = on_end
        self._silent = False
        self._timer: Timer | None = None
        self._waiting = 0
        inward, outward = instance.write, client.write
        self._inward = _Relay(self, client, inward if tap is None else _tapped(inward, tap, "in"))
        self._outward = _InstanceRelay(self, instance, outward if tap is None else _tapped(outward, tap, "out"))

    def start(self, early_in: bytes, early_out: bytes, *, ended: bool = False, lost: bool = False) -> None:
        """Join the two. Bytes already received from the client (`early_in`) and the instance are forwarded first.

        ended, lost: the instance has already sent its last byte, or its connection is closed.
        """
        self._client.set_protocol(self._inward)
        self._instance.set_protocol(self._outward)
        for relay, early in ((self._inward, early_in), (self._outward, early_out)):
            if early:
                relay.data_received(early)
        for side in (self._client, self._instance):
            if not side.is_closing():
                side.resume_reading()
        if lost:
            self._outward.connection_lost(None)
        elif ended and not self._outward.eof_received():
            self._instance.close()

    def abort(self) -> None:
        """Close both sides at once: unsent bytes are dropped and no Close frame is sent."""
        self._client.abort()
        self._instance.abort()

    def close_going_away(self) -> None:
        """Close both sides, the client's with a Close frame that says that the server goes away (RFC 6455, 7.4.1).

        In the middle of a frame the client reads this as a part of the frame, and sees 1006 after all.
        """
        if self._silent:
            return self.abort()
        self._outward.data_received(_GOING_AWAY)
        self._instance.abort()  # bytes that wait for the client are still sent, within LINGER_SECONDS

    def silence(self) -> None:
        """Forward nothing from now on, but keep both sides open, as a dead network link does."""
        self._silent = True
        for side in (self._client, self._instance):
            if not side.is_closing():
                side.pause_reading()

    @property
    def bytes_in(self) -> int:
        """Bytes from the client to the function."""
        return self._inward.count

    @property
    def bytes_out(self) -> int:
        return self._outward.count

    @property
    def close_code(self) -> int | None:
        """Return the code of the Close frame that ended the stream to the client, None if it did not end with one."""
        return _close_code(self._outward.last)

    # What the two sides report

    def pause(self, side: asyncio.Transport) -> None:
        """Stop reading from the other side: `side` has too much to write."""
        other = self._other(side)
        if not other.is_closing():
            other.pause_reading()
        if side is self._client:
            self._watch(STALL_SECONDS if self.first is None else LINGER_SECONDS)

    def resume(self, side: asyncio.Transport) -> None:
        other = self._other(side)
        if not self._silent and not other.is_closing():
            other.resume_reading()
        if side is self._client and self.first != "function" and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def half_closed(self, side: asyncio.Transport) -> bool:
        """Pass on that `side` sends no more. Return whether `side` may stay open for the other direction.

        TLS cannot half-close (close_notify ends both directions in the libraries that matter): there it closes.
        """
        other, both = self._other(side), self.first is not None
        self._note_end(side)
        if both or not (side.can_write_eof() and other.can_write_eof()):
            other.close()
            return False
        if not other.is_closing():
            other.write_eof()
        return True

    def lost(self, side: asyncio.Transport) -> None:
        """Close the other side once it has got everything that was received from `side`, which is closed."""
        self._note_end(side)
        other = self._other(side)
        if not other.is_closing():
            other.close()
        if self._inward.lost and self._outward.lost:
            if self._timer is not None:
                self._timer.cancel()
            on_end = self._on_end
            # No reference cycle: everything is freed now, not by a later collection.
            del self._inward.tunnel, self._outward.tunnel, self._on_end
            on_end(self)
        elif self._timer is None and other.get_write_buffer_size():  # otherwise it is closed in a moment
            self._watch(LINGER_SECONDS)

    def _note_end(self, side: asyncio.Transport) -> None:
        watched = self._timer is not None
        if self.first is None:
            self.first = "client" if side is self._client else "function"
            # A stalled client that leaves must not keep its place for as long as a stalled client that stays.
            lingers = watched or side is self._instance
        else:
            lingers = side is self._instance and not watched and self._to_write() > 0
        if lingers and not self._inward.lost:  # the client has a short time to take the function's last bytes
            self._watch(LINGER_SECONDS)

    def _other(self, side: asyncio.Transport) -> asyncio.Transport:
        return self._instance if side is self._client else self._client

    def _watch(self, seconds: float) -> None:
        """Abort in `seconds` unless the bytes that wait for the client get fewer."""
        if self._timer is not None:
            self._timer.cancel()
        self._waiting = self._to_write()
        self._timer = self._clock.call_later(seconds, self._overdue, seconds)

    def _overdue(self, seconds: float) -> None:
        self._timer = None
        if 0 < self._to_write() < self._waiting:
            self._watch(seconds)
        else:
            self.abort()

    def _to_write(self) -> int:
        return 0 if self._inward.lost else self._client.get_write_buffer_size()


class _Relay(asyncio.Protocol):
    """Protocol of one side: received bytes go to the other side's `write`."""

    __slots__ = ("_side", "_write", "count", "lost", "tunnel")

    def __init__(self, tunnel: Tunnel, side: asyncio.Transport, write: Write) -> None:
        self.tunnel = tunnel
        self._side = side
        self._write = write
        self.count = 0
        self.lost = False

    def data_received(self, data: bytes) -> None:
        self.count += len(data)
        self._write(data)

    def pause_writing(self) -> None:
        self.tunnel.pause(self._side)

    def resume_writing(self) -> None:
        self.tunnel.resume(self._side)

    def eof_received(self) -> bool:
        return self.tunnel.half_closed(self._side)

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        self.tunnel.lost(self._side)


class _InstanceRelay(_Relay):
    """Keeps the end of the stream to the client, for the close code."""

    __slots__ = ("last",)

    def __init__(self, tunnel: Tunnel, side: asyncio.Transport, write: Write) -> None:
        super().__init__(tunnel, side, write)
        self.last = b""

    def data_received(self, data: bytes) -> None:
        self.count += len(data)
        self._write(data)
        self.last = data[-_CLOSE_FRAME:] if len(data) >= _CLOSE_FRAME else (self.last + data)[-_CLOSE_FRAME:]


def _tapped(write: Write, tap: FrameTap, direction: str) -> Write:
    def both(data: bytes) -> None:
        tap.feed(direction, data)
        write(data)

    return both


def _close_code(last: bytes) -> int | None:
    """Return the code of the unmasked Close frame (RFC 6455, 5.5.1) at the end of `last`; 1005 for one without code."""
    for size in range(len(last) - 1):
        start = len(last) - size - 2
        if last[start] == 0x88 and last[start + 1] == size:
            code = int.from_bytes(last[start + 2 : start + 4])
            if size == 0 or (size > 1 and 1000 <= code < 5000):
                return code or 1005
    return None
