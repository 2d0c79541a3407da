"""A TCP or TLS connection that a coroutine reads and writes, until a tunnel takes its transport over."""

import asyncio
from collections.abc import Callable
from typing import cast

from fclocal.core import limits
from fclocal.core.clock import Clock
from fclocal.edge import http1

_HIGH_WATER = 64 * limits.KIB  # unread bytes at which reading from the socket stops


class HeadTooLong(Exception):
    """A head is longer than its limit; the argument is the part received."""


class StreamConnection(asyncio.Protocol):
    """One side of an exchange.

    Received bytes are buffered until they are read; beyond 64 KiB the socket is no longer read. `on_gone` is called
    when the other end closes while no coroutine waits for its bytes.
    """

    transport: asyncio.Transport

    def __init__(self) -> None:
        self.on_gone: Callable[[], None] | None = None
        self.ended = False  # no more bytes will arrive
        self.lost = False  # the connection is closed
        self._made = False
        self._buffer = b""
        self._paused = False
        self._discarding = False
        self._reader: asyncio.Future[None] | None = None
        self._writer: asyncio.Future[None] | None = None

    # Reading

    async def head(self, limit: int) -> bytes | None:
        """Return the next head with its empty line; None when the connection ends first. Raises HeadTooLong."""
        while (raw := self.whole_head(limit)) is None and not self.ended:
            await self._more()
        return raw

    def whole_head(self, limit: int) -> bytes | None:
        """Return the next head if it has arrived as a whole. Empty lines before it are skipped (RFC 9112 2.2).

        Raises HeadTooLong after `limit` bytes without its end.
        """
        if self._buffer.startswith(b"\r\n"):
            start = 2
            while self._buffer.startswith(b"\r\n", start):
                start += 2
            self._buffer = self._buffer[start:]
        end = self._buffer.find(http1.END)
        if 0 <= end <= limit:
            return self._cut(end + len(http1.END))
        if len(self._buffer) > limit:
            raise HeadTooLong(self._buffer[:limit])
        return None

    async def read(self) -> bytes:
        """Return the bytes received, at least one; b"" at the end of the stream."""
        await self.arrival()
        return self.take()

    async def arrival(self) -> None:
        """Wait until there are bytes to read, or the stream has ended."""
        while not self._buffer and not self.ended:
            await self._more()

    @property
    def waiting(self) -> int:
        """Return the number of bytes received and not yet read."""
        return len(self._buffer)

    def take(self) -> bytes:
        """Return all bytes received and not yet read."""
        return self._cut(len(self._buffer))

    def unread(self, data: bytes) -> None:
        """Put `data` back in front."""
        self._buffer = data + self._buffer

    def _cut(self, size: int) -> bytes:
        data, self._buffer = self._buffer[:size], self._buffer[size:]
        if self._paused and len(self._buffer) < _HIGH_WATER:
            self._paused = False
            if not self.transport.is_closing():
                self.transport.resume_reading()
        return data

    async def _more(self) -> None:
        self._reader = asyncio.get_running_loop().create_future()
        try:
            await self._reader
        finally:
            self._reader = None

    def _wake(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)

    # Writing

    def write(self, data: bytes) -> None:
        if not self.lost:
            self.transport.write(data)

    async def drain(self) -> None:
        """Wait until the other end has read most of what was written. Raises ConnectionError if it has left."""
        if self._writer is not None and not self.lost:
            await self._writer
        if self.lost:
            raise ConnectionResetError

    def finish(self, clock: Clock) -> None:
        """Close once everything is sent. Further input is discarded, so that a TCP reset cannot destroy the answer."""
        if self.lost or self.transport.is_closing():
            return
        self._discarding, self.on_gone = True, None
        self.take()
        if self.ended or not self.transport.can_write_eof():
            self.transport.close()
            return
        self.transport.write_eof()
        clock.call_later(1.0, self.transport.close)

    # What the transport reports

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self._made = True
        if self._buffer:  # under TLS bytes may come before this call
            self.data_received(b"")

    def data_received(self, data: bytes) -> None:
        if self._discarding:
            return
        self._buffer += data
        if len(self._buffer) >= _HIGH_WATER and not self._paused and self._made:
            self._paused = True
            self.transport.pause_reading()
        if self._reader is not None:
            self._wake()

    def eof_received(self) -> bool:
        self.ended = True
        self._wake()
        if self._reader is None and self.on_gone is not None:
            self.on_gone()
        return self._made and not self._discarding and self.transport.can_write_eof()

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = self.ended = True
        self._wake()
        if self._writer is not None and not self._writer.done():
            self._writer.set_result(None)
        if self.on_gone is not None:
            self.on_gone()

    def pause_writing(self) -> None:
        self._writer = asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        if self._writer is not None and not self._writer.done():
            self._writer.set_result(None)
        self._writer = None
