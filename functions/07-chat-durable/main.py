"""A chat whose rooms span instances: what members say travels through Redis, what they see is one page.

    Redis -> RedisRoom (one per room and instance) -> Member (one per connection)

Start it: REDIS_URL=redis://localhost:6379/0 python3 main.py, then open http://localhost:9000
"""

import asyncio
import logging
import os
import signal
import sys
import time
import uuid

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

import pages
import protocol
from member import Member
from redis_room import RedisRoom
from room import Room

PORT = int(os.environ.get("FC_SERVER_PORT", "9000"))
PING = float(os.environ.get("PING_SECONDS", "20"))  # a member that is silent for two of these is gone
INSTANCE = os.environ.get("FC_INSTANCE_ID") or uuid.uuid4().hex


class Chat:
    """All rooms of this instance."""

    def __init__(self, redis: Redis) -> None:
        self.redis = redis
        self.rooms: dict[str, Room] = {}

    async def session(self, connection: ServerConnection) -> None:
        """One connection, from its first message to its end."""
        member, room = Member(connection), None
        try:
            async for data in connection:
                member.rate.take(time.monotonic())
                match protocol.parse(data):
                    case protocol.Join() as join:
                        room = await self.leave(member, room)
                        room = await self.enter(member, join)
                    case protocol.Say() as say if room:
                        room.say(member, say)
                    case protocol.Say():
                        raise protocol.Violation("join a room before you say something")
                    case protocol.Leave():
                        room = await self.leave(member, room)
        except protocol.Violation as violation:
            await connection.close(violation.code, violation.reason)
        except ConnectionClosed:
            pass
        finally:
            await self.leave(member, room)

    async def enter(self, member: Member, join: protocol.Join) -> Room:
        """Take a member into a room; the first one opens it on this instance."""
        if (room := self.rooms.get(join.room)) is None:
            room = self.rooms[join.room] = RedisRoom(self.redis, join.room, INSTANCE)
        room.users += 1
        try:
            await room.join(member, join)
        except BaseException:
            await self.leave(member, room)
            raise
        return room

    async def leave(self, member: Member, room: Room | None) -> None:
        """Take a member out of its room; the last one closes it on this instance."""
        if room is None:
            return
        room.users -= 1
        room.drop(member)
        if not room.users:
            del self.rooms[room.name]
            await room.close()


async def main() -> None:
    """Serve until told to stop. Open connections are closed with 1001 then."""
    if "REDIS_URL" not in os.environ:
        sys.exit("REDIS_URL is not set; it looks like redis://HOST:6379/0")
    stop = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, stop.set)
    # Redis gets two seconds and one try: a retried PUBLISH would be heard twice, and the chat must stay awake.
    redis = Redis.from_url(os.environ["REDIS_URL"], socket_timeout=2, socket_connect_timeout=2,
                           retry=Retry(NoBackoff(), 0), max_connections=2000, protocol=2)
    # Frames are written past the library (member.py), so it must not compress them.
    async with redis, serve(Chat(redis).session, "0.0.0.0", PORT, process_request=pages.page, compression=None,
                            max_size=protocol.MESSAGE_BYTES, ping_interval=PING, ping_timeout=PING, close_timeout=2):
        logging.info("instance %s listens on port %d", INSTANCE, PORT)
        await stop.wait()


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s %(message)s")
    asyncio.run(main())
