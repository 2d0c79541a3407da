"""A room with a log: members that join late, or return, receive what they missed. wss://.../tea?after=ID"""

import asyncio
import json
import os
from urllib.parse import parse_qs, urlsplit

from redis.asyncio import Redis
from websockets.asyncio.server import ServerConnection, serve

PORT = int(os.environ.get("FC_SERVER_PORT", "9000"))
redis = Redis.from_url(os.environ["REDIS_URL"], decode_responses=True, protocol=2)


async def handler(member: ServerConnection) -> None:
    """Append each message of a member to the room's stream, and forward the stream to the member."""
    url = urlsplit(member.request.path)
    stream, after = f"log:{url.path.strip('/')}", parse_qs(url.query).get("after", [""])[0]
    forwarding = asyncio.create_task(forward(member, stream, after))
    try:
        async for text in member:
            await redis.xadd(stream, {"text": text}, maxlen=1000, approximate=True)
    finally:
        forwarding.cancel()


async def send(member: ServerConnection, id: str, fields: dict[str, str]) -> None:
    """Send one entry of the stream to a member."""
    await member.send(json.dumps({"id": id, "text": fields["text"]}))


async def forward(member: ServerConnection, stream: str, after: str) -> None:
    """Send the entries after the id `after`, or the newest three if it is "", then each new entry, in order."""
    # TODO 7.2: redis.xrevrange(stream, count=3) returns the newest first. redis.xread({stream: id}, block=1000) returns
    # [[stream, [(id, fields), ...]]] with the entries after an id, or [] if none arrived within a second.
    ...  # <- your code here
    # end of 7.2


async def main() -> None:
    """Listen on the port that the platform expects."""
    async with serve(handler, "0.0.0.0", PORT) as server:
        print(f"the log listens on port {PORT}", flush=True)
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
