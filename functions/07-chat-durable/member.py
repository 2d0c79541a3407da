"""One member: a connection, and the bytes on their way to it."""

import asyncio
import contextlib
import secrets
import time

from websockets.asyncio.server import ServerConnection
from websockets.protocol import State

import protocol

BACKLOG = 1024 * 1024  # bytes a member may be behind; a slow one must not fill the memory
GOODBYE = 2.0  # seconds


class Member:
    """A connection that may be in one room.

    `id` is what others see of it and `name` what it calls itself; `client` is its secret, `acked` the last ref of it
    that was accepted.
    """

    __slots__ = ("_closing", "acked", "client", "connection", "id", "name", "rate", "transport")

    def __init__(self, connection: ServerConnection) -> None:
        self.connection, self.transport = connection, connection.transport
        self.id = secrets.token_hex(6)
        self.name = self.client = ""
        self.acked = 0
        self.rate = protocol.Rate(time.monotonic())
        self._closing: asyncio.Task[None] | None = None

    def write(self, frames: bytes) -> None:
        """Write whole WebSocket frames; never waits. A member that does not read is closed with 1013.

        This goes past the library, straight to the transport: one write however many messages, and no work
        per member but this. The price is that the state must be looked at here.
        """
        if self.connection.state is not State.OPEN or self._closing:
            return
        if self.transport.get_write_buffer_size() > BACKLOG:
            self._closing = asyncio.create_task(self._cut())
        else:
            self.transport.write(frames)

    async def _cut(self) -> None:
        """Say goodbye behind the backlog; whoever does not read that far in GOODBYE seconds is cut without it."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(GOODBYE):
                await self.connection.close(1013, "you read too slowly; connect again")
        self.transport.abort()

    def tell(self, type: str, **fields: object) -> None:
        """Say something to this member alone."""
        self.write(protocol.frame(protocol.dump(type, **fields)))
