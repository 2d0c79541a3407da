"""One program, one port: serves a page, and the WebSocket that the page talks to."""

import asyncio
import http
import mimetypes
import os
from pathlib import Path

from websockets.asyncio.server import Request, Response, ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed

PORT = int(os.environ.get("FC_CUSTOM_LISTEN_PORT") or os.environ.get("FC_SERVER_PORT") or 9000)
STATIC = Path(__file__).parent / "static"
# Read once: what is not in this table cannot be asked for, whatever the path says.
FILES = {f"/{file.name}": (file.read_bytes(), mimetypes.guess_type(file.name)[0] or "application/octet-stream")
         for file in STATIC.iterdir()}
FILES["/"] = FILES["/index.html"]


# region page
def page(connection: ServerConnection, request: Request) -> Response | None:
    """A plain GET gets a file; a request to upgrade gets None, which lets the WebSocket handshake go on."""
    if "upgrade" in request.headers.get("Connection", "").lower():
        return None
    body, kind = FILES.get(request.path.partition("?")[0], (b"not found\n", ""))
    status = http.HTTPStatus.OK if kind else http.HTTPStatus.NOT_FOUND
    return Response(status.value, status.phrase, Headers({
        "Content-Type": kind or "text/plain", "Content-Length": str(len(body)), "Cache-Control": "no-store",
        "Content-Security-Policy":
            "default-src 'self'; img-src 'self' data:; connect-src 'self' ws: wss:"}), body)
# endregion


# region chat
async def talk(connection: ServerConnection) -> None:
    """Answer every message of one connection."""
    try:
        async for message in connection:
            await connection.send(f"you said: {message}" if isinstance(message, str) else message)
    except ConnectionClosed:  # the client vanished, or left before its answer: normal life for a server
        print("gone", connection.close_code, flush=True)
# endregion


async def main() -> None:
    async with serve(talk, "0.0.0.0", PORT, process_request=page) as server:
        print(f"listening on 0.0.0.0:{PORT}", flush=True)
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
