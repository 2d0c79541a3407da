"""A server that keeps each connection open for as long as its URL says: wss://.../?seconds=5, then it closes it."""

import asyncio
import contextlib
import json
import os
import signal
import sys
from urllib.parse import parse_qs, urlsplit

from websockets.asyncio.server import Request, Response, ServerConnection, serve
from websockets.exceptions import ConnectionClosed

PORT = os.environ.get("FC_CUSTOM_LISTEN_PORT") or os.environ.get("FC_SERVER_PORT") or "9000"
if not PORT.isdecimal() or not 0 < int(PORT) < 65536:
    sys.exit(f"The port must be a number from 1 to 65535, not {PORT!r}: see FC_CUSTOM_LISTEN_PORT, FC_SERVER_PORT")
INSTANCE = os.environ.get("FC_INSTANCE_ID", "here")
OPEN: set[ServerConnection] = set()


async def hold(connection: ServerConnection) -> None:
    """Keep one connection open for ?seconds=N, or without a number until the client closes it."""
    texts = parse_qs(urlsplit(connection.request.path).query).get("seconds")
    try:
        seconds = float(texts[0]) if texts else None
    except ValueError:
        await connection.close(1008, "seconds must be a number")
        return
    log("open", connection, seconds=seconds)
    OPEN.add(connection)
    with contextlib.suppress(TimeoutError, ConnectionClosed):
        async with asyncio.timeout(seconds):
            await connection.send(json.dumps({"instance": INSTANCE, "here": len(OPEN)}))
            async for _ in connection:
                pass  # messages cost nothing: the bill counts the time
    OPEN.discard(connection)
    await connection.close(1000, "time is up")
    log("closed", connection, code=connection.close_code)


def health(connection: ServerConnection, request: Request) -> Response | None:
    """Answer the service's health check. Return None for other requests: the WebSocket handshake continues."""
    return connection.respond(200, "ok\n") if request.path == "/healthz" else None


def log(event: str, connection: ServerConnection | None = None, **facts: object) -> None:
    """Print one line of JSON. The service's own log lines about this connection have the same requestId."""
    request_id = connection.request.headers.get("x-fc-request-id") if connection else None
    print(json.dumps({"event": event, "requestId": request_id, **facts}), flush=True)


async def main() -> None:
    async with serve(hold, "0.0.0.0", PORT, process_request=health) as server:
        for stop in (signal.SIGTERM, signal.SIGINT):  # the end of the instance, and Ctrl-C: close with code 1001
            asyncio.get_running_loop().add_signal_handler(stop, server.close)
        log("ready", port=PORT)
        await server.wait_closed()


if __name__ == "__main__":
    asyncio.run(main())
