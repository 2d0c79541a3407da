"""A live auction: each accepted bid goes to all clients of its item, on every instance. wss://.../lamp?after=3"""

import asyncio
import json
import os
from urllib.parse import parse_qs, urlsplit

from redis.asyncio import Redis
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

PORT = int(os.environ.get("FC_SERVER_PORT", "9000"))
redis = Redis.from_url(os.environ["REDIS_URL"], decode_responses=True, protocol=2)

# Redis runs a script in one step: compare with the last price, append the bid, publish. Returns -1, or the last price.
ACCEPT = """
local last = redis.call('LINDEX', KEYS[1], -1)
local price = last and cjson.decode(last).price or 0
if tonumber(ARGV[1]) <= price then return price end
local number = redis.call('LLEN', KEYS[1]) + 1
redis.call('RPUSH', KEYS[1], cjson.encode({number = number, price = tonumber(ARGV[1]), bidder = ARGV[2]}))
redis.call('PUBLISH', KEYS[1], number)
return -1
"""

waiting: dict[str, set[asyncio.Event]] = {}  # item -> one event per client on this instance, set when bids arrive
listeners: dict[str, asyncio.Task[None]] = {}  # item -> the task that listens to Redis


async def handler(connection: ServerConnection) -> None:
    """Serve one client."""
    url = urlsplit(connection.request.path)
    key = f"bids:{url.path.strip('/')}"
    after = parse_qs(url.query).get("after", [""])[0]
    sent = int(after) if after.isdigit() else max(0, await redis.llen(key) - 1)
    news = asyncio.Event()
    waiting.setdefault(key, set()).add(news)
    if key not in listeners:
        listeners[key] = asyncio.create_task(listen(key))
    forwarding = asyncio.create_task(forward(key, connection, sent, news))
    try:
        async for message in connection:
            await answer(key, connection, message)
    except ConnectionClosed:
        print("a client has left without a Close frame", flush=True)
    finally:
        forwarding.cancel()
        waiting[key].discard(news)
        if not waiting[key]:
            listeners.pop(key).cancel()


async def forward(key: str, connection: ServerConnection, sent: int, news: asyncio.Event) -> None:
    """Send each bid after number `sent`. A slow client delays only its own task."""
    try:
        while True:
            news.clear()
            for bid in await redis.lrange(key, sent, -1):
                await connection.send(bid)
                sent += 1
            await news.wait()
    except ConnectionClosed:
        return  # handler() does the rest


async def listen(key: str) -> None:
    """Wake the clients of this instance when Redis publishes a bid, and when it confirms the subscription."""
    async with redis.pubsub() as subscription:
        await subscription.subscribe(key)
        async for _ in subscription.listen():
            for news in waiting[key]:
                news.set()


async def answer(key: str, connection: ServerConnection, message: str | bytes) -> None:
    """Accept a bid, or send its sender an error."""
    #: begin fix 10.1
    try:
        bid = json.loads(message)
    except ValueError:
        bid = None
    if not isinstance(bid, dict) or type(bid.get("price")) is not int or not isinstance(bid.get("bidder"), str):
        await connection.send(json.dumps({"error": "not a bid"}))
        return
    last = await accept(key, bid["price"], bid["bidder"])
    if last >= 0:
        await connection.send(json.dumps({"error": f"the price must be higher than {last}"}))
    #: else
    #: end


async def accept(key: str, price: int, bidder: str) -> int:
    """Store a bid and return -1, or return the last price if the new one is not higher."""
    #: begin fix 10.2
    return int(await redis.eval(ACCEPT, 1, key, price, bidder))
    #: else
    #: end


async def main() -> None:
    """Listen on the port that the platform expects."""
    async with serve(handler, "0.0.0.0", PORT) as server:
        print(f"the auction listens on port {PORT}", flush=True)
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
