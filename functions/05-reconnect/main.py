"""A numbered stream that can be resumed: connect with ?after=17 and the next message is number 18.

Every instance can serve every client from any number, so it does not matter which instance a reconnection reaches.
Here a message follows from its number. In a product, `message` reads from a database or from a Redis stream (see
07-chat-durable).
"""

import asyncio
import json
import mimetypes
import os
import signal
import sys
from http import HTTPStatus
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from websockets.asyncio.server import Request, Response, ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed

PORT = os.environ.get("FC_CUSTOM_LISTEN_PORT") or os.environ.get("FC_SERVER_PORT") or "9000"
if not PORT.isdecimal() or not 0 < int(PORT) < 65536:
    sys.exit(f"The port must be a number from 1 to 65535, not {PORT!r}: see FC_CUSTOM_LISTEN_PORT, FC_SERVER_PORT")
EVERY = float(os.environ.get("SECONDS_PER_MESSAGE", "0.5"))
LAST = int(os.environ.get("LAST_MESSAGE", "0"))  # 0: the stream has no end

HERE = Path(__file__).parent
LIBRARY = HERE / "node_modules/reconnecting-websocket/dist/reconnecting-websocket-iife.min.js"
FILES = {file.name: (file.read_bytes(), mimetypes.guess_type(file.name)[0] or "application/octet-stream")
         for file in (*(HERE / "static").iterdir(), *filter(Path.exists, [LIBRARY]))}
FILES["healthz"] = (b"ok\n", "text/plain")  # the service's health check


# region message
def message(number: int) -> dict[str, object]:
    """Return message `number` of the stream."""
    return {"id": number, "text": f"message {number}"}
# endregion


# region stream
async def stream(connection: ServerConnection) -> None:
    """Send the messages that come after the number in the query."""
    try:
        after = int(parse_qs(urlsplit(connection.request.path).query).get("after", ["0"])[0])
    except ValueError:
        await connection.close(1008, "after must be a number")
        return
    log("open", connection, after=after)
    try:
        while not LAST or after < LAST:
            after += 1
            await connection.send(json.dumps(message(after)))
            await asyncio.sleep(EVERY)
        await connection.close(1000, "that was all")
    except ConnectionClosed:  # the client has gone; it keeps the last number that it received
        pass
    log("closed", connection, code=connection.close_code, sent=after)
# endregion


def page(connection: ServerConnection, request: Request) -> Response | None:
    """Answer a plain GET with a file. Return None for a request to upgrade."""
    if "upgrade" in request.headers.get("Connection", "").lower():
        return None
    name = request.path.partition("?")[0].rpartition("/")[2] or "index.html"  # behind any path: /, /app/, /a/b/
    if name == "pre-stop" and request.headers.get("x-fc-control-path") != "/http-invoke":
        connection.server.close()  # the service's PreStop hook, not a client: close every connection with 1001
        return connection.respond(HTTPStatus.OK, "closing\n")
    body, kind = FILES.get(name, (b"not found\n", ""))
    status = HTTPStatus.OK if kind else HTTPStatus.NOT_FOUND
    return Response(status, status.phrase, Headers({
        "Content-Type": kind or "text/plain", "Content-Length": str(len(body)), "Cache-Control": "no-store",
        "Content-Security-Policy": "default-src 'self'; img-src 'self' data:; connect-src 'self' ws: wss:",
        "Connection": "close"}), body)


def log(event: str, connection: ServerConnection | None = None, **facts: object) -> None:
    """Print one line of JSON. The service's own log lines about this connection have the same requestId."""
    request_id = connection.request.headers.get("x-fc-request-id") if connection else None
    print(json.dumps({"event": event, "requestId": request_id, **facts}), flush=True)


async def main() -> None:
    async with serve(stream, "0.0.0.0", PORT, process_request=page) as server:
        for stop in (signal.SIGTERM, signal.SIGINT):  # the end of the instance, and Ctrl-C: close with code 1001
            asyncio.get_running_loop().add_signal_handler(stop, server.close)
        log("ready", port=PORT)
        await server.wait_closed()


if __name__ == "__main__":
    asyncio.run(main())
