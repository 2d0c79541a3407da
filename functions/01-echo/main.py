"""An echo server: it sends every message back to its sender, text as text and binary as binary."""

import asyncio
import json
import os
import signal
import sys

from websockets.asyncio.server import Request, Response, ServerConnection, serve
from websockets.exceptions import ConnectionClosedError, ConnectionClosedOK

# The service sends requests to this port. It is customRuntimeConfig.port of s.yaml, by default 9000.
PORT = os.environ.get("FC_CUSTOM_LISTEN_PORT") or os.environ.get("FC_SERVER_PORT") or "9000"
if not PORT.isdecimal() or not 0 < int(PORT) < 65536:
    sys.exit(f"The port must be a number from 1 to 65535, not {PORT!r}: see FC_CUSTOM_LISTEN_PORT, FC_SERVER_PORT")


async def echo(connection: ServerConnection) -> None:
    """Serve one connection, from its open to its close."""
    log("open", connection, path=connection.request.path)
    try:
        async for message in connection:
            await connection.send(message)
        log("closed", connection, code=connection.close_code)
    except ConnectionClosedError:  # the client vanished: normal for a server, not a reason to crash
        log("lost", connection, code=connection.close_code)
    except ConnectionClosedOK:  # the client closed before it received every answer
        log("closed", connection, code=connection.close_code)


def health(connection: ServerConnection, request: Request) -> Response | None:
    """Answer the service's health check. Return None for other requests: the WebSocket handshake continues."""
    return connection.respond(200, "ok\n") if request.path == "/healthz" else None


def log(event: str, connection: ServerConnection | None = None, **facts: object) -> None:
    """Print one line of JSON. The service's own log lines about this connection have the same requestId."""
    request_id = connection.request.headers.get("x-fc-request-id") if connection else None
    print(json.dumps({"event": event, "requestId": request_id, **facts}), flush=True)


async def main() -> None:
    # 0.0.0.0, not 127.0.0.1: requests come from outside the instance.
    async with serve(echo, "0.0.0.0", PORT, process_request=health) as server:
        for stop in (signal.SIGTERM, signal.SIGINT):  # the end of the instance, and Ctrl-C: close with code 1001
            asyncio.get_running_loop().add_signal_handler(stop, server.close)
        log("ready", port=PORT)
        await server.wait_closed()


if __name__ == "__main__":
    asyncio.run(main())
