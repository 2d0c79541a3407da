"""A chat room in the memory of one instance: it works until there are two. Connect to ws://HOST/ROOM?name=NAME"""

import asyncio
import os
import signal
import sys
from collections import defaultdict
from contextlib import suppress
from urllib.parse import parse_qs, urlsplit

from websockets import ConnectionClosed, ServerConnection, broadcast, serve

PORT = os.environ.get("FC_CUSTOM_LISTEN_PORT") or os.environ.get("FC_SERVER_PORT") or "9000"
if not PORT.isdecimal() or not 0 < int(PORT) < 65536:
    sys.exit(f"The port must be a number from 1 to 65535, not {PORT!r}: see FC_CUSTOM_LISTEN_PORT, FC_SERVER_PORT")


# region pattern
rooms: dict[str, set[ServerConnection]] = defaultdict(set)  # in the memory of this process


async def chat(member: ServerConnection, room: str, name: str) -> None:
    rooms[room].add(member)  # on join
    broadcast(rooms[room], f"{name} joined")
    try:
        async for text in member:
            broadcast(rooms[room], f"{name}: {text}")  # on message
    finally:
        rooms[room].discard(member)  # on leave
        if not rooms[room]:
            del rooms[room]
# endregion


async def session(member: ServerConnection) -> None:
    """Read the room and the name from the URL, then chat until the connection closes."""
    url = urlsplit(member.request.path)
    with suppress(ConnectionClosed):  # the client disappeared without a Close frame: normal for a server
        await chat(member, url.path.strip("/"), parse_qs(url.query).get("name", ["anonymous"])[0])


async def main() -> None:
    async with serve(session, "0.0.0.0", int(PORT), max_size=8192) as server:
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, server.close)  # closes connections with 1001
        print("listening on port", PORT, flush=True)
        await server.wait_closed()


if __name__ == "__main__":
    asyncio.run(main())
