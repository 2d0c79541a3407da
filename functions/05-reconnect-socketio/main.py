"""The Socket.IO way: a server whose clients reconnect by themselves, and ask for what they missed."""

import asyncio
import os
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs

import socketio
import uvicorn

PORT = int(os.environ.get("FC_CUSTOM_LISTEN_PORT") or os.environ.get("FC_SERVER_PORT") or 9000)
EVERY = float(os.environ.get("SECONDS_PER_MESSAGE", "0.5"))

# Without session affinity long polling cannot work: its requests meet different instances. So it is not offered.
TRANSPORTS = os.environ.get("TRANSPORTS", "websocket").split(",")


async def elsewhere(scope: dict[str, Any], receive: Callable[[], Any], send: Callable[[Any], Any]) -> None:
    """Whatever does not speak Socket.IO, a plain WebSocket for one, gets a 404 that says so."""
    kind = {"http": "http.response", "websocket": "websocket.http.response"}[scope["type"]]
    await send({"type": f"{kind}.start", "status": 404, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": f"{kind}.body", "body": b"Socket.IO is at /socket.io/\n"})


# region server
server = socketio.AsyncServer(async_mode="asgi", transports=TRANSPORTS, cors_allowed_origins="*",
                              ping_interval=20, ping_timeout=20)
application = socketio.ASGIApp(server, elsewhere)


@server.event
async def connect(sid: str, environ: dict[str, str], auth: dict[str, int] | None) -> None:
    """Socket.IO brings the connection back; where to go on is still for the client to say."""
    after = int((auth or {}).get("after", 0))
    transport = parse_qs(environ.get("QUERY_STRING", "")).get("transport", ["?"])[0]
    print(f"{sid} connected by {transport}, after {after}", flush=True)
    server.start_background_task(stream, sid, after)


async def stream(sid: str, after: int) -> None:
    """Send what comes after number `after` until the client has gone."""
    while server.manager.is_connected(sid, "/"):
        after += 1
        await server.emit("message", {"id": after, "text": f"message {after}"}, to=sid)
        await asyncio.sleep(EVERY)


@server.event
async def disconnect(sid: str, reason: str) -> None:
    print(f"{sid} gone: {reason}", flush=True)
# endregion


if __name__ == "__main__":
    uvicorn.run(application, host="0.0.0.0", port=PORT, log_level="warning", timeout_keep_alive=900, lifespan="off")
