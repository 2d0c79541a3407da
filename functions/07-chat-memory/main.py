"""A chat room in the memory of one instance: complete, simple, and wrong as soon as there are two instances.

It speaks as much of the protocol of 07-chat as it needs. Start it: python3 main.py, then connect to ws://localhost:9000
"""

import asyncio
import json
import os
import secrets
import signal
import time
from collections import defaultdict

from websockets.asyncio.server import ServerConnection, broadcast, serve

PORT = int(os.environ.get("FC_SERVER_PORT", "9000"))

rooms: dict[str, set[ServerConnection]] = defaultdict(set)  # the members this instance knows: its own


async def session(connection: ServerConnection) -> None:
    """One member: join once, then say things."""
    join = json.loads(await connection.recv())
    me, name, room = secrets.token_hex(6), join["name"], rooms[join["room"]]
    room.add(connection)
    try:
        welcome = {"type": "welcome", "room": join["room"], "id": me, "durable": False}
        await connection.send(json.dumps(welcome))
        await connection.send(json.dumps({"type": "members", "members": [{"id": me, "name": name}]}))
        async for data in connection:
            said = json.loads(data)
            message = {"type": "message", "text": said["text"], "name": name, "by": me,
                       "ref": said["ref"], "at": time.time()}
            broadcast(room, json.dumps(message))
    finally:
        room.discard(connection)


async def main() -> None:
    """Serve until told to stop."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with serve(session, "0.0.0.0", PORT):
        print(f"listens on port {PORT}", flush=True)
        await stop.wait()


if __name__ == "__main__":
    asyncio.run(main())
