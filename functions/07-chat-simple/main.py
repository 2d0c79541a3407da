"""A chat room across instances: Redis publish/subscribe, nothing else. Connect to ws://HOST/ROOM?name=NAME"""

import asyncio
import os
import signal
import sys
from urllib.parse import parse_qs, urlsplit

from redis.asyncio.client import PubSub, Redis
from redis.exceptions import RedisError
from websockets import ConnectionClosed, ServerConnection, serve

PORT = os.environ.get("FC_CUSTOM_LISTEN_PORT") or os.environ.get("FC_SERVER_PORT") or "9000"
if not PORT.isdecimal() or not 0 < int(PORT) < 65536:
    sys.exit(f"The port must be a number from 1 to 65535, not {PORT!r}: see FC_CUSTOM_LISTEN_PORT, FC_SERVER_PORT")
URL = os.environ.get("REDIS_URL") or sys.exit("REDIS_URL is not set. Example: REDIS_URL=redis://localhost:6379/0")
redis = Redis.from_url(URL, decode_responses=True)


# region pattern
async def chat(member: ServerConnection, room: str, name: str) -> None:
    async with redis.pubsub() as subscription, asyncio.TaskGroup() as tasks:
        await subscription.subscribe(room)  # on join
        await subscription.get_message(timeout=5)  # Redis confirms: from now on the member misses nothing
        tasks.create_task(forward(subscription, member))
        await redis.publish(room, f"{name} joined")
        async for text in member:
            await redis.publish(room, f"{name}: {text}")  # on message
        await subscription.unsubscribe(room)  # on leave


async def forward(subscription: PubSub, member: ServerConnection) -> None:
    async for event in subscription.listen():  # until the room is unsubscribed
        if event["type"] == "message":
            await member.send(event["data"])
# endregion


async def session(member: ServerConnection) -> None:
    """Read the room and the name from the URL, then chat until the connection closes."""
    url = urlsplit(member.request.path)
    try:
        await chat(member, f"room:{url.path.strip('/')}", parse_qs(url.query).get("name", ["anonymous"])[0])
    except* ConnectionClosed:
        pass  # the client disappeared without a Close frame: normal for a server
    except* RedisError as failed:
        print("Redis failed:", *failed.exceptions, flush=True)
        await member.close(1011, "Redis does not answer")


async def main() -> None:
    async with serve(session, "0.0.0.0", int(PORT), max_size=8192) as server:
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, server.close)  # closes connections with 1001
        print("listening on port", PORT, flush=True)
        await server.wait_closed()


if __name__ == "__main__":
    asyncio.run(main())
