"""One program, one port: serves a page, and the WebSocket that the page talks to."""

import asyncio
import json
import mimetypes
import os
import signal
import sys
from http import HTTPStatus
from pathlib import Path

from websockets.asyncio.server import Request, Response, ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed

PORT = os.environ.get("FC_CUSTOM_LISTEN_PORT") or os.environ.get("FC_SERVER_PORT") or "9000"
if not PORT.isdecimal() or not 0 < int(PORT) < 65536:
    sys.exit(f"The port must be a number from 1 to 65535, not {PORT!r}: see FC_CUSTOM_LISTEN_PORT, FC_SERVER_PORT")

# Read once at the start. A path is only looked up in this table, so no request can reach another file.
FILES = {file.name: (file.read_bytes(), mimetypes.guess_type(file.name)[0] or "application/octet-stream")
         for file in (Path(__file__).parent / "static").iterdir()}
FILES["healthz"] = (b"ok\n", "text/plain")  # the service's health check


# region page
def page(connection: ServerConnection, request: Request) -> Response | None:
    """Answer a plain GET with a file. Return None for a request to upgrade: the WebSocket handshake continues."""
    if "upgrade" in request.headers.get("Connection", "").lower():
        return None
    name = request.path.partition("?")[0].rpartition("/")[2] or "index.html"  # behind any path: /, /app/, /a/b/
    body, kind = FILES.get(name, (b"not found\n", ""))
    status = HTTPStatus.OK if kind else HTTPStatus.NOT_FOUND
    return Response(status, status.phrase, Headers({
        "Content-Type": kind or "text/plain", "Content-Length": str(len(body)), "Cache-Control": "no-store",
        "Content-Security-Policy": "default-src 'self'; img-src 'self' data:; connect-src 'self' ws: wss:",
        "Connection": "close"}), body)
# endregion


# region chat
async def talk(connection: ServerConnection) -> None:
    """Answer every message of one connection."""
    log("open", connection)
    try:
        async for message in connection:
            await connection.send(f"you said: {message}" if isinstance(message, str) else message)
    except ConnectionClosed:  # the client vanished, or left before its answer: normal for a server
        pass
    log("closed", connection, code=connection.close_code)
# endregion


def log(event: str, connection: ServerConnection | None = None, **facts: object) -> None:
    """Print one line of JSON. The service's own log lines about this connection have the same requestId."""
    request_id = connection.request.headers.get("x-fc-request-id") if connection else None
    print(json.dumps({"event": event, "requestId": request_id, **facts}), flush=True)


async def main() -> None:
    async with serve(talk, "0.0.0.0", PORT, process_request=page) as server:
        for stop in (signal.SIGTERM, signal.SIGINT):  # the end of the instance, and Ctrl-C: close with code 1001
            asyncio.get_running_loop().add_signal_handler(stop, server.close)
        log("ready", port=PORT)
        await server.wait_closed()


if __name__ == "__main__":
    asyncio.run(main())
