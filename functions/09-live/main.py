"""An echo server as it goes live: tells its version, logs one line per connection, stays alive, and has limits."""

import asyncio
import http
import json
import os
import time

from websockets.asyncio.server import Request, Response, ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed

PORT = int(os.environ.get("FC_CUSTOM_LISTEN_PORT") or os.environ.get("FC_SERVER_PORT") or 9000)
VERSION = os.environ.get("FC_FUNCTION_VERSION") or "LATEST"   # an instance serves one version for all its life
LARGEST = 64 * 1024                                           # bytes of a message; larger ones are closed with 1009


# region echo
async def echo(connection: ServerConnection) -> None:
    """Serve one connection from its open to its close."""
    began, count = time.monotonic(), 0
    try:
        async for message in connection:
            await connection.send(message)
            count += 1
    except ConnectionClosed:  # the client vanished, or left before its answer: the log line says so
        pass
    finally:
        seconds = round(time.monotonic() - began, 3)
        log(event="closed", code=connection.close_code, messages=count, seconds=seconds)
# endregion


def log(**facts: object) -> None:
    """One line of JSON, so that the log can be searched and counted."""
    print(json.dumps({"version": VERSION, **facts}), flush=True)


def ready(connection: ServerConnection, request: Request) -> Response | None:
    """A plain GET is a health check, or somebody who asks which version serves."""
    if "upgrade" in request.headers.get("Connection", "").lower():
        return None
    body = json.dumps({"version": VERSION}).encode()
    headers = Headers({"Content-Type": "application/json", "Content-Length": str(len(body))})
    return Response(http.HTTPStatus.OK.value, http.HTTPStatus.OK.phrase, headers, body)


def stamp(connection: ServerConnection, request: Request, response: Response) -> None:
    """The answer to the handshake names the version: a client can tell whom it has got."""
    response.headers["X-Version"] = VERSION


async def main() -> None:
    async with serve(echo, "0.0.0.0", PORT, process_request=ready, process_response=stamp, max_size=LARGEST,
                     ping_interval=20, ping_timeout=20, close_timeout=1) as server:
        log(event="ready")
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
