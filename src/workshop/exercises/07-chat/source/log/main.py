"""The log of a quay: ships that come late, or come back, are told what was said. wss://.../tea?after=ID"""

import asyncio
import json
import os
from urllib.parse import parse_qs, urlsplit

from redis.asyncio import Redis
from websockets.asyncio.server import ServerConnection, serve

PORT = int(os.environ.get("FC_SERVER_PORT", "9000"))
redis = Redis.from_url(os.environ["REDIS_URL"], decode_responses=True, protocol=2)


async def handler(ship: ServerConnection) -> None:
    """One ship: what it says is appended to the quay's stream; what is said there is told to it."""
    url = urlsplit(ship.request.path)
    stream, after = f"log:{url.path.strip('/')}", parse_qs(url.query).get("after", [""])[0]
    telling = asyncio.create_task(tell(ship, stream, after))
    try:
        async for text in ship:
            await redis.xadd(stream, {"text": text}, maxlen=1000, approximate=True)
    finally:
        telling.cancel()


async def send(ship: ServerConnection, id: str, fields: dict[str, str]) -> None:
    """Tell a ship one entry of the stream."""
    await ship.send(json.dumps({"id": id, "text": fields["text"]}))


async def tell(ship: ServerConnection, stream: str, after: str) -> None:
    """Tell the ship what was said, in order: all after the id `after`, or the newest three if it is "". Then go on."""
    # TODO 7.2: redis.xrevrange(stream, count=3) gives the newest first; redis.xread({stream: id}, block=1000) gives
    # [[stream, [(id, fields), ...]]] with what comes after an id, or [] if nothing came for a second.
    #: begin solution 7.2
    if not after:
        for id, fields in reversed(await redis.xrevrange(stream, count=3)):
            await send(ship, id, fields)
            after = id
    after = after or "0"
    while True:
        for _, entries in await redis.xread({stream: after}, block=1000):
            for id, fields in entries:
                await send(ship, id, fields)
                after = id
    #: else
    ...  # <- your code here
    #: end


async def main() -> None:
    """Listen where the platform looks for us."""
    async with serve(handler, "0.0.0.0", PORT) as server:
        print(f"log listens on port {PORT}", flush=True)
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
