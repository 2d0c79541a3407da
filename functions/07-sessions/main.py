"""A counter in the memory of an instance: which instance answers, and how often it was asked by this session.

GET / answers once; a WebSocket counts every message. Start it: python3 main.py, then curl http://localhost:9000
"""

import asyncio
import json
import os
import signal

from websockets.asyncio.server import ServerConnection, serve
from websockets.datastructures import Headers
from websockets.http11 import Request, Response

PORT = int(os.environ.get("FC_SERVER_PORT", "9000"))
INSTANCE = os.environ.get("FC_INSTANCE_ID", "local")

count = 0  # lives and dies with the instance


def answer() -> str:
    """Count once more and say so."""
    global count
    count += 1
    return json.dumps({"instance": INSTANCE, "count": count}) + "\n"


def plain(connection: ServerConnection, request: Request) -> Response | None:
    """The answer to a GET that is no WebSocket."""
    if "Upgrade" in request.headers:
        return None
    body = answer().encode()
    return Response(200, "OK", Headers([("Content-Type", "application/json"), ("Content-Length", str(len(body))),
                                        ("Connection", "close")]), body)


async def session(connection: ServerConnection) -> None:
    """Answer every message with the count."""
    async for _ in connection:
        await connection.send(answer())


async def main() -> None:
    """Serve until told to stop."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with serve(session, "0.0.0.0", PORT, process_request=plain):
        print(f"{INSTANCE} listens on port {PORT}", flush=True)
        await stop.wait()


if __name__ == "__main__":
    asyncio.run(main())
