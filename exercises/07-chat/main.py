"""The harbour's loudspeakers: what a ship says on a quay, all others there hear. wss://.../tea is the quay "tea"."""

import asyncio
import os
from collections import defaultdict

from redis.asyncio import Redis
from websockets.asyncio.server import ServerConnection, broadcast, serve

PORT = int(os.environ.get("FC_SERVER_PORT", "9000"))
redis = Redis.from_url(os.environ["REDIS_URL"], decode_responses=True)

quays: dict[str, dict[str, ServerConnection]] = defaultdict(dict)  # quay -> id -> ship: those on this instance
listeners: dict[str, asyncio.Task[None]] = {}  # for you: quay -> the task that listens to Redis


async def handler(ship: ServerConnection) -> None:
    """One ship, from its first word to its last."""
    quay = ship.request.path.strip("/")
    await enter(quay, ship)
    try:
        async for text in ship:
            await say(quay, ship, text)
    finally:
        await leave(quay, ship)


def hear(quay: str, sender: str, text: str) -> None:
    """Give a text to the ships of this instance, but not to the one that said it."""
    broadcast([ship for id, ship in quays[quay].items() if id != sender], text)


# TODO 7.1: let the quay span instances. Publish what is said on the channel "quay:NAME", and give what comes over that
# channel to hear(). One subscription per quay and instance; none when the last ship of the quay has left.
async def enter(quay: str, ship: ServerConnection) -> None:
    quays[quay][str(ship.id)] = ship


async def leave(quay: str, ship: ServerConnection) -> None:
    del quays[quay][str(ship.id)]


async def say(quay: str, ship: ServerConnection, text: str) -> None:
    hear(quay, str(ship.id), text)
# end of 7.1


async def main() -> None:
    """Listen where the platform looks for us."""
    async with serve(handler, "0.0.0.0", PORT) as server:
        print(f"loudspeakers listen on port {PORT}", flush=True)
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
