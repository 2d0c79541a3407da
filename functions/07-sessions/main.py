"""A counter in the memory of an instance. Every answer names the instance and its count.

GET / counts once, a WebSocket counts every message. Start it: python3 main.py, then curl http://localhost:9000
"""

import asyncio
import json
import os
import signal
import sys

from websockets.asyncio.server import ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

PORT = os.environ.get("FC_CUSTOM_LISTEN_PORT") or os.environ.get("FC_SERVER_PORT") or "9000"
if not PORT.isdecimal() or not 0 < int(PORT) < 65536:
    sys.exit(f"The port must be a number from 1 to 65535, not {PORT!r}: see FC_CUSTOM_LISTEN_PORT, FC_SERVER_PORT")
INSTANCE = os.environ.get("FC_INSTANCE_ID", "local")

count = 0  # starts at 0 in every instance


def answer() -> str:
    """Count once more. Return instance and count as JSON."""
    global count
    count += 1
    return json.dumps({"instance": INSTANCE, "count": count}) + "\n"


def plain(connection: ServerConnection, request: Request) -> Response | None:
    """Answer a plain GET. Return None for a request to upgrade: the WebSocket handshake continues."""
    if "Upgrade" in request.headers:
        return None
    if request.path == "/healthz":  # the service's health check is not counted
        return connection.respond(200, "ok\n")
    body = answer().encode()
    return Response(200, "OK", Headers([("Content-Type", "application/json"), ("Content-Length", str(len(body))),
                                        ("Connection", "close")]), body)


async def session(connection: ServerConnection) -> None:
    """Answer every message with the count."""
    log("open", connection)
    try:
        async for _ in connection:
            await connection.send(answer())
    except ConnectionClosed:  # the client vanished, or left before its answer: normal for a server
        pass
    log("closed", connection, code=connection.close_code)


def log(event: str, connection: ServerConnection | None = None, **facts: object) -> None:
    """Print one line of JSON. The service's own log lines about this connection have the same requestId."""
    request_id = connection.request.headers.get("x-fc-request-id") if connection else None
    print(json.dumps({"event": event, "requestId": request_id, **facts}), flush=True)


async def main() -> None:
    async with serve(session, "0.0.0.0", PORT, process_request=plain) as server:
        for stop in (signal.SIGTERM, signal.SIGINT):  # the end of the instance, and Ctrl-C: close with code 1001
            asyncio.get_running_loop().add_signal_handler(stop, server.close)
        log("ready", port=PORT)
        await server.wait_closed()


if __name__ == "__main__":
    asyncio.run(main())
