"""A chat with rooms: each message goes to all other members of the room. wss://.../tea is the room "tea"."""

import asyncio
import os
from collections import defaultdict

from redis.asyncio import Redis
from websockets.asyncio.server import ServerConnection, broadcast, serve

PORT = int(os.environ.get("FC_SERVER_PORT", "9000"))
redis = Redis.from_url(os.environ["REDIS_URL"], decode_responses=True)

rooms: dict[str, dict[str, ServerConnection]] = defaultdict(dict)  # room -> id -> member, on this instance
listeners: dict[str, asyncio.Task[None]] = {}  # for you: room -> its task that listens to Redis


async def handler(member: ServerConnection) -> None:
    """Serve one member, from its first message to its last."""
    room = member.request.path.strip("/")
    await join(room, member)
    try:
        async for text in member:
            await publish(room, member, text)
    finally:
        await leave(room, member)


def deliver(room: str, sender: str, text: str) -> None:
    """Send a text to the members on this instance, except its sender."""
    broadcast([member for id, member in rooms[room].items() if id != sender], text)


# TODO 7.1: let a room span instances. Publish each message on the channel "room:NAME", and pass each message of that
# channel to deliver(). One subscription per room and instance, and none when the last member has left.
async def join(room: str, member: ServerConnection) -> None:
    rooms[room][str(member.id)] = member


async def leave(room: str, member: ServerConnection) -> None:
    del rooms[room][str(member.id)]


async def publish(room: str, member: ServerConnection, text: str) -> None:
    deliver(room, str(member.id), text)
# end of 7.1


async def main() -> None:
    """Listen on the port that the platform expects."""
    async with serve(handler, "0.0.0.0", PORT) as server:
        print(f"the chat listens on port {PORT}", flush=True)
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
