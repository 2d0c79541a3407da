"""One room on one instance: each message goes to all other members, even if one of them reads slowly."""

import asyncio
import os

from websockets.asyncio.server import ServerConnection, broadcast, serve
from websockets.exceptions import ConnectionClosed

PORT = int(os.environ.get("FC_SERVER_PORT", "9000"))
BACKLOG = 1024 * 1024  # unsent bytes that a member may have

members: set[ServerConnection] = set()


async def handler(member: ServerConnection) -> None:
    """Serve one member, from its first message to its last."""
    members.add(member)
    try:
        async for text in member:
            await deliver(member, text)
    except ConnectionClosed:
        pass
    finally:
        members.discard(member)


async def deliver(sender: ServerConnection, text: str) -> None:
    """Send a text to all members except the sender."""
    # 7.3: send() waits for a member that does not read, and the room waits too. Send without waiting, and abort
    # a member with more than BACKLOG unsent bytes: see member.transport.get_write_buffer_size() and .abort().
    for member in list(members):
        if member.transport.get_write_buffer_size() > BACKLOG:
            members.discard(member)
            member.transport.abort()
    broadcast(members - {sender}, text)


async def main() -> None:
    """Listen on the port that the platform expects."""
    async with serve(handler, "0.0.0.0", PORT, compression=None, max_size=2**20) as server:
        print(f"the room listens on port {PORT}", flush=True)
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
