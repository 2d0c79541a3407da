"""One member: a connection, and the bytes on their way to it."""

import asyncio
import contextlib
import itertools
import time

from websockets.asyncio.server import ServerConnection
from websockets.protocol import State

import protocol

BACKLOG = 1024 * 1024  # bytes that may wait for a slow member; more would fill the memory
GOODBYE = 2.0  # seconds


class Member:
    """A connection that may be in one room.

    `id` and `name` are what others see of it, `number` is its connection. `client` is its secret, `acked` the last ref
    of it that has an answer.
    """

    __slots__ = ("_closing", "acked", "client", "connection", "excess", "id", "name", "number", "rate", "transport")
    _numbers = itertools.count()

    def __init__(self, connection: ServerConnection) -> None:
        self.connection, self.transport = connection, connection.transport
        self.number = next(self._numbers)
        self.id = self.name = self.client = ""
        self.acked = 0
        self.rate = protocol.Rate(protocol.RATE, protocol.BURST, time.monotonic())
        self.excess = protocol.Rate(protocol.RATE, protocol.ABUSE, time.monotonic())
        self._closing: asyncio.Task[None] | None = None

    def write(self, frames: bytes) -> None:
        """Write whole WebSocket frames without waiting. A member that does not read is closed with 1013.

        The frames bypass the library and go to the transport: one write for any number of messages, and no other work
        per member. In return, this method must check the connection's state.
        """
        if self.connection.state is not State.OPEN or self._closing:
            return
        if self.transport.get_write_buffer_size() > BACKLOG:
            self.close(1013, "you read too slowly; connect again")
        else:
            self.transport.write(frames)

    def close(self, code: int, reason: str) -> None:
        """Send a Close frame behind the backlog, without waiting. A member that does not answer in time is cut."""
        self._closing = self._closing or asyncio.create_task(self._close(code, reason))

    async def _close(self, code: int, reason: str) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(GOODBYE):
                await self.connection.close(code, reason)
        self.transport.abort()

    def send(self, type: str, **fields: object) -> None:
        """Send a message to this member alone."""
        self.write(protocol.frame(protocol.dump(type, **fields)))

    def failed(self, ref: int, reason: str, *, sure: bool = True, retry: bool = False) -> None:
        """Answer that a message was not accepted; see protocol.py."""
        self.send("failed", ref=ref, sure=sure, retry=retry, reason=reason)
