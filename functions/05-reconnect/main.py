"""A numbered stream that can be resumed: connect with ?after=17 and the next message is number 18.

Every instance can serve every client from any number on, so it does not matter which one a reconnection meets. Here
that is easy, because a message follows from its number; in a product `message` reads what a database or a
Redis stream holds (see 07-chat-durable).
"""

import asyncio
import http
import json
import mimetypes
import os
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from websockets.asyncio.server import Request, Response, ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed

PORT = int(os.environ.get("FC_CUSTOM_LISTEN_PORT") or os.environ.get("FC_SERVER_PORT") or 9000)
EVERY = float(os.environ.get("SECONDS_PER_MESSAGE", "0.5"))
LAST = int(os.environ.get("LAST_MESSAGE", "0"))  # 0: the stream has no end

HERE = Path(__file__).parent
LIBRARY = HERE / "node_modules/reconnecting-websocket/dist/reconnecting-websocket-iife.min.js"
FILES = {f"/{file.name}": (file.read_bytes(), mimetypes.guess_type(file.name)[0] or "application/octet-stream")
         for file in (*(HERE / "static").iterdir(), *filter(Path.exists, [LIBRARY]))}
FILES["/"] = FILES["/index.html"]


# region message
def message(number: int) -> dict[str, object]:
    """Message `number` of the stream."""
    return {"id": number, "text": f"message {number}"}
# endregion


# region stream
async def stream(connection: ServerConnection) -> None:
    """Send what comes after the number that the client names."""
    try:
        after = int(parse_qs(urlsplit(connection.request.path).query).get("after", ["0"])[0])
    except ValueError:
        await connection.close(1008, "after must be a number")
        return
    print("resumed after" if after else "started after", after, flush=True)
    try:
        while not LAST or after < LAST:
            after += 1
            await connection.send(json.dumps(message(after)))
            await asyncio.sleep(EVERY)
        await connection.close(1000, "that was all")
    except ConnectionClosed as cut:  # the client is gone; it knows itself how far it got
        print("cut after", after, cut, flush=True)
# endregion


def page(connection: ServerConnection, request: Request) -> Response | None:
    """A plain GET gets a file; a request to upgrade goes on with the handshake."""
    if "upgrade" in request.headers.get("Connection", "").lower():
        return None
    body, kind = FILES.get(request.path.partition("?")[0], (b"not found\n", ""))
    status = http.HTTPStatus.OK if kind else http.HTTPStatus.NOT_FOUND
    return Response(status.value, status.phrase, Headers({
        "Content-Type": kind or "text/plain", "Content-Length": str(len(body)), "Cache-Control": "no-store",
        "Content-Security-Policy": "default-src 'self'; img-src 'self' data:; connect-src 'self' ws: wss:"}), body)


async def main() -> None:
    async with serve(stream, "0.0.0.0", PORT, process_request=page) as server:
        print(f"listening on 0.0.0.0:{PORT}", flush=True)
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
