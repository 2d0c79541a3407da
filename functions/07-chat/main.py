"""A chat whose rooms span instances, with a page of its own. Messages travel through Redis.

Start it: REDIS_URL=redis://localhost:6379/0 python3 main.py, then open http://localhost:9000
"""

import asyncio
import http
import os
import signal
import sys
import time
import uuid

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

import pages
import protocol
from limits import Limits, source
from log import log
from member import Member
from presence import Presence
from redis_nodes import Nodes, end_after_error
from redis_room import RedisRoom
from room import Room

# The service sends requests to customRuntimeConfig.port of s.yaml and sets these variables to it.
PORT = os.environ.get("FC_CUSTOM_LISTEN_PORT") or os.environ.get("FC_SERVER_PORT") or "9000"
PING = float(os.environ.get("PING_SECONDS", "20"))  # a member that answers no ping for this long is gone
INSTANCE = os.environ.get("FC_INSTANCE_ID") or uuid.uuid4().hex
# Authentication by the trigger: the header in which it passes the name of a verified token, as in claimPassBy.
NAME_HEADER = os.environ.get("NAME_HEADER", "")
ORIGINS = os.environ.get("ORIGINS", "").split()  # pages that may connect; empty: all


class Chat:
    """All connections and rooms of this instance."""

    def __init__(self, nodes: Nodes, presence: Presence) -> None:
        self.nodes, self.presence = nodes, presence
        self.rooms: dict[str, Room] = {}
        self.limits = Limits()

    async def session(self, connection: ServerConnection) -> None:
        """Serve one connection, from its first message to its end."""
        member, room, headers = Member(connection), None, connection.request.headers
        name, address = headers.get(NAME_HEADER, "") if NAME_HEADER else "", source(headers)
        log("open", connection)
        try:
            if NAME_HEADER and not name:
                raise protocol.Violation("the token lacks a name")
            async for data in connection:
                now = time.monotonic()
                within = member.rate.take(now)
                if not within and not member.excess.take(now):
                    raise protocol.Violation(f"more than {protocol.RATE:.0f} messages per second")
                match protocol.parse(data, name):
                    case protocol.Join() as join:
                        if not within or not self.limits.join(address, now):
                            raise protocol.Violation("too many joins from your address; try again later", 1013)
                        room = await self.leave(member, room)
                        room = await self.enter(member, join)
                    case protocol.Say() as say if room and within and self.limits.message(address, now):
                        room.say(member, say)
                    case protocol.Say(ref=ref) if room:
                        member.failed(ref, f"more than {protocol.RATE:.0f} messages per second", retry=True)
                    case protocol.Say():
                        raise protocol.Violation("join a room before you send a message")
                    case protocol.Leave():
                        room = await self.leave(member, room)
        except protocol.Violation as violation:
            await connection.close(violation.code, violation.reason)
        except ConnectionClosed:
            pass
        finally:
            await self.leave(member, room)
            log("closed", connection, code=connection.close_code, reason=connection.close_reason)

    async def handshake(self, connection: ServerConnection, request: Request) -> Response | None:
        """Answer plain HTTP requests; None continues with the WebSocket handshake.

        The service calls /pre-stop before it ends an instance. A header distinguishes this call from a visitor's.
        """
        if request.path == "/pre-stop" and request.headers.get("x-fc-control-path") == "/pre-stop":
            members = [other for other in connection.server.connections if other is not connection]
            await asyncio.gather(*(member.close(1001, "the instance ends") for member in members))
            await self.presence.goodbye()
            return connection.respond(http.HTTPStatus.OK, "ok\n")
        return pages.page(connection, request)

    async def enter(self, member: Member, join: protocol.Join) -> Room:
        """Let a member into a room. The first member opens the room on this instance."""
        room = self.rooms.get(join.room)
        if room is None or room.failed:
            if len(self.rooms) >= protocol.ROOMS:
                raise protocol.Violation("too many rooms; try again later", 1013)
            room = self.rooms[join.room] = RedisRoom(join.room, INSTANCE, self.presence)
            await self.nodes.open(room)
        room.users += 1
        try:
            await room.join(member, join)
        except BaseException:
            await self.leave(member, room)
            raise
        return room

    async def leave(self, member: Member, room: Room | None) -> None:
        """Take a member out of its room. The last member closes the room on this instance."""
        if room is None:
            return
        room.users -= 1
        room.drop(member)
        if not room.users:
            if self.rooms.get(room.name) is room:
                del self.rooms[room.name]
            await self.nodes.close(room)


async def main() -> None:
    """Serve until a signal; then close all connections with 1001."""
    if not PORT.isdecimal() or not 0 < int(PORT) < 65536:
        sys.exit(f"The port must be a number from 1 to 65535, not {PORT!r}: see FC_CUSTOM_LISTEN_PORT, FC_SERVER_PORT")
    if "REDIS_URL" not in os.environ:
        sys.exit("REDIS_URL is not set. Example: REDIS_URL=redis://localhost:6379/0")
    nodes = Nodes(os.environ["REDIS_URL"])
    presence = Presence(nodes, INSTANCE)
    stop = asyncio.Event()

    background = [asyncio.create_task(nodes.run()), asyncio.create_task(presence.run())]
    for task in background:
        task.add_done_callback(end_after_error)
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    # member.py writes frames without the library, so the library must not compress them.
    chat = Chat(nodes, presence)
    async with serve(chat.session, "0.0.0.0", int(PORT), process_request=chat.handshake, origins=ORIGINS or None,
                     max_size=protocol.MESSAGE_BYTES, compression=None, ping_interval=PING, ping_timeout=PING,
                     close_timeout=2):
        log("ready", port=int(PORT), instance=INSTANCE)
        await stop.wait()
    await presence.goodbye()
    await nodes.stop()
    for task in background:
        task.cancel()


if __name__ == "__main__":
    asyncio.run(main())
