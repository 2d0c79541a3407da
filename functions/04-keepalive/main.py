"""A server that keeps its connections alive, and notices when a peer has disappeared."""

import asyncio
import contextlib
import json
import mimetypes
import os
import signal
import sys
from http import HTTPStatus
from pathlib import Path

from websockets.asyncio.server import Request, Response, ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed, ConnectionClosedError, ConnectionClosedOK

PORT = os.environ.get("FC_CUSTOM_LISTEN_PORT") or os.environ.get("FC_SERVER_PORT") or "9000"
if not PORT.isdecimal() or not 0 < int(PORT) < 65536:
    sys.exit(f"The port must be a number from 1 to 65535, not {PORT!r}: see FC_CUSTOM_LISTEN_PORT, FC_SERVER_PORT")
# Shorter than the time after which a machine on the way removes a silent connection. 20 seconds suit the common
# NAT gateways and load balancers.
INTERVAL = float(os.environ.get("PING_SECONDS", "20"))

FILES = {file.name: (file.read_bytes(), mimetypes.guess_type(file.name)[0] or "application/octet-stream")
         for file in (Path(__file__).parent / "static").iterdir()}
FILES["healthz"] = (b"ok\n", "text/plain")  # the service's health check
PEERS: set[ServerConnection] = set()
COUNTS = {"dropped": 0, "awakeSeconds": 0.0}


# region session
async def session(connection: ServerConnection) -> None:
    """Serve one peer: send its messages back. A page that connects with ?beat gets a beat in every interval."""
    log("open", connection)
    PEERS.add(connection)
    beats = asyncio.create_task(beat(connection)) if connection.request.path.endswith("?beat") else None
    try:
        with contextlib.suppress(ConnectionClosedOK):  # the peer closed while an answer was on its way
            async for message in connection:
                await connection.send(message)
        log("closed", connection, code=connection.close_code)
    except ConnectionClosedError as lost:  # the peer has disappeared, or did not answer a ping
        COUNTS["dropped"] += 1
        log("dropped", connection, reason=str(lost))
    finally:
        PEERS.discard(connection)
        if beats:
            beats.cancel()
# endregion


# region beat
async def beat(connection: ServerConnection) -> None:
    """Send a message in every interval. A page can neither send nor see a ping: the beat shows it that we live."""
    with contextlib.suppress(ConnectionClosed):
        for number in range(1, 2**53):
            await connection.send(json.dumps({"beat": number, "every": INTERVAL}))
            await asyncio.sleep(INTERVAL)
# endregion


async def count_awake(step: float = 0.1) -> None:
    """Count the seconds that this instance runs. The count does not grow while the service has it frozen."""
    while True:
        await asyncio.sleep(step)
        COUNTS["awakeSeconds"] = round(COUNTS["awakeSeconds"] + step, 1)


def page(connection: ServerConnection, request: Request) -> Response | None:
    """Answer a plain GET with a file or with /peers. Return None for a request to upgrade."""
    if "upgrade" in request.headers.get("Connection", "").lower():
        return None
    name = request.path.partition("?")[0].rpartition("/")[2] or "index.html"  # behind any path: /, /app/, /a/b/
    if name == "peers":
        body, kind = json.dumps({"open": len(PEERS), **COUNTS}).encode(), "application/json"
    else:
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


# region keepalive
async def main() -> None:
    awake = asyncio.create_task(count_awake())
    # One ping in every interval. A peer whose pong is missing one interval later is closed with 1011. Such a peer does
    # not answer the Close frame either, so wait for that answer 1 second, not the library's 10.
    async with serve(session, "0.0.0.0", PORT, process_request=page,
                     ping_interval=INTERVAL, ping_timeout=INTERVAL, close_timeout=1) as server:
        for stop in (signal.SIGTERM, signal.SIGINT):  # the end of the instance, and Ctrl-C: close with code 1001
            asyncio.get_running_loop().add_signal_handler(stop, server.close)
        log("ready", port=PORT, pingSeconds=INTERVAL)
        await server.wait_closed()
    awake.cancel()
# endregion


if __name__ == "__main__":
    asyncio.run(main())
