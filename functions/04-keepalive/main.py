"""A server that keeps its connections alive, and notices when a peer is dead."""

import asyncio
import contextlib
import http
import json
import mimetypes
import os
from pathlib import Path

from websockets.asyncio.server import Request, Response, ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed, ConnectionClosedError, ConnectionClosedOK

PORT = int(os.environ.get("FC_CUSTOM_LISTEN_PORT") or os.environ.get("FC_SERVER_PORT") or 9000)
# Shorter than what the nodes on the way forget after. 20 seconds suit the NAT gateways and load balancers we know of.
INTERVAL = float(os.environ.get("PING_SECONDS", "20"))

FILES = {f"/{file.name}": (file.read_bytes(), mimetypes.guess_type(file.name)[0] or "application/octet-stream")
         for file in (Path(__file__).parent / "static").iterdir()}
FILES["/"] = FILES["/index.html"]
PEERS: set[ServerConnection] = set()
COUNTS = {"dropped": 0, "awakeSeconds": 0.0}


# region session
async def session(connection: ServerConnection) -> None:
    """Serve one peer: echo what it says; a page that asks for it (/?beat) gets a beat in every interval."""
    PEERS.add(connection)
    beats = asyncio.create_task(beat(connection)) if connection.request.path == "/?beat" else None
    try:
        with contextlib.suppress(ConnectionClosedOK):  # it said goodbye while an answer was on its way
            async for message in connection:
                await connection.send(message)
        print("closed by the peer", connection.close_code, flush=True)
    except ConnectionClosedError as lost:  # the peer is gone, or has not answered a ping
        COUNTS["dropped"] += 1
        print("dropped:", lost, flush=True)
    finally:
        PEERS.discard(connection)
        if beats:
            beats.cancel()
# endregion


# region beat
async def beat(connection: ServerConnection) -> None:
    """A browser can neither send a ping nor see one. A message of our own tells its page that we live."""
    with contextlib.suppress(ConnectionClosed):
        for number in range(1, 2**53):
            await connection.send(json.dumps({"beat": number, "every": INTERVAL}))
            await asyncio.sleep(INTERVAL)
# endregion


async def count_awake(step: float = 0.1) -> None:
    """Count the time that this instance really runs. While the service has it frozen, this stands still."""
    while True:
        await asyncio.sleep(step)
        COUNTS["awakeSeconds"] = round(COUNTS["awakeSeconds"] + step, 1)


def page(connection: ServerConnection, request: Request) -> Response | None:
    """A plain GET gets a file or /peers; a request to upgrade goes on with the handshake."""
    if "upgrade" in request.headers.get("Connection", "").lower():
        return None
    path = request.path.partition("?")[0]
    if path == "/peers":
        body, kind = json.dumps({"open": len(PEERS), **COUNTS}).encode(), "application/json"
    else:
        body, kind = FILES.get(path, (b"not found\n", ""))
    status = http.HTTPStatus.OK if kind else http.HTTPStatus.NOT_FOUND
    return Response(status.value, status.phrase, Headers({
        "Content-Type": kind or "text/plain", "Content-Length": str(len(body)), "Cache-Control": "no-store",
        "Content-Security-Policy": "default-src 'self'; img-src 'self' data:; connect-src 'self' ws: wss:"}), body)


# region keepalive
async def main() -> None:
    awake = asyncio.create_task(count_awake())
    # A ping in every interval; a peer whose pong is not there one interval later is closed with 1011. It will not
    # answer the Close either, so do not wait for that as long as the library would (10 seconds).
    async with serve(session, "0.0.0.0", PORT, process_request=page,
                     ping_interval=INTERVAL, ping_timeout=INTERVAL, close_timeout=1) as server:
        print(f"listening on 0.0.0.0:{PORT}, a ping every {INTERVAL:g} s", flush=True)
        await server.serve_forever()
    awake.cancel()
# endregion


if __name__ == "__main__":
    asyncio.run(main())
