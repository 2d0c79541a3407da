"""An echo server for production: version in every answer, one log line per connection, pings, limits, a clean end."""

import asyncio
import json
import os
import signal
import sys
import time
from http import HTTPStatus

from websockets.asyncio.server import Request, Response, ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed

PORT = os.environ.get("FC_CUSTOM_LISTEN_PORT") or os.environ.get("FC_SERVER_PORT") or "9000"
if not PORT.isdecimal() or not 0 < int(PORT) < 65536:
    sys.exit(f"The port must be a number from 1 to 65535, not {PORT!r}: see FC_CUSTOM_LISTEN_PORT, FC_SERVER_PORT")
VERSION = os.environ.get("FC_FUNCTION_VERSION") or "LATEST"  # an instance serves one version
MESSAGE_BYTES = 64 * 1024  # a larger message closes its connection with code 1009


# region echo
async def echo(connection: ServerConnection) -> None:
    """Serve one connection, from its open to its close."""
    log("open", connection)
    began, count = time.monotonic(), 0
    try:
        async for message in connection:
            await connection.send(message)
            count += 1
    except ConnectionClosed:  # the client vanished, or left before its answer: normal for a server
        pass
    finally:
        seconds = round(time.monotonic() - began, 3)
        log("closed", connection, code=connection.close_code, messages=count, seconds=seconds)
# endregion


def log(event: str, connection: ServerConnection | None = None, **facts: object) -> None:
    """Print one line of JSON. The service's own log lines about this connection have the same requestId."""
    request_id = connection.request.headers.get("x-fc-request-id") if connection else None
    print(json.dumps({"event": event, "requestId": request_id, "version": VERSION, **facts}), flush=True)


def ready(connection: ServerConnection, request: Request) -> Response | None:
    """Answer a plain GET with the version: /healthz is the service's health check."""
    if "upgrade" in request.headers.get("Connection", "").lower():
        return None
    if request.path == "/pre-stop" and request.headers.get("x-fc-control-path") != "/http-invoke":
        connection.server.close()  # the service's PreStop hook, not a client: close every connection with 1001
    body = json.dumps({"version": VERSION}).encode()
    headers = Headers({"Content-Type": "application/json", "Content-Length": str(len(body)), "Connection": "close"})
    return Response(HTTPStatus.OK, HTTPStatus.OK.phrase, headers, body)


def stamp(connection: ServerConnection, request: Request, response: Response) -> None:
    """Put the version into the answer to the handshake, for clients and for your measurements."""
    response.headers["X-Version"] = VERSION


async def main() -> None:
    async with serve(echo, "0.0.0.0", PORT, process_request=ready, process_response=stamp, max_size=MESSAGE_BYTES,
                     ping_interval=20, ping_timeout=20, close_timeout=1) as server:
        for stop in (signal.SIGTERM, signal.SIGINT):  # the end of the instance, and Ctrl-C: close with code 1001
            asyncio.get_running_loop().add_signal_handler(stop, server.close)
        log("ready", port=PORT)
        await server.wait_closed()


if __name__ == "__main__":
    asyncio.run(main())
