"""The numbered stream over Socket.IO: its clients reconnect by themselves and name the last number they have."""

import asyncio
import json
import os
import sys
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs

import socketio
import uvicorn
from socketio.exceptions import ConnectionRefusedError

PORT = os.environ.get("FC_CUSTOM_LISTEN_PORT") or os.environ.get("FC_SERVER_PORT") or "9000"
if not PORT.isdecimal() or not 0 < int(PORT) < 65536:
    sys.exit(f"The port must be a number from 1 to 65535, not {PORT!r}: see FC_CUSTOM_LISTEN_PORT, FC_SERVER_PORT")
EVERY = float(os.environ.get("SECONDS_PER_MESSAGE", "0.5"))

# Without session affinity, the requests of long polling reach different instances and fail. So it is off by default.
TRANSPORTS = os.environ.get("TRANSPORTS", "websocket").split(",")
# The pages that may connect, such as https://shop.example.com. None: only pages of this host, and programs.
ORIGINS = os.environ["ALLOWED_ORIGINS"].split(",") if os.environ.get("ALLOWED_ORIGINS") else None


def log(event: str, environ: dict[str, Any] | None = None, **facts: object) -> None:
    """Print one line of JSON. The service's own log lines about this request have the same requestId."""
    request_id = environ.get("HTTP_X_FC_REQUEST_ID") if environ else None
    print(json.dumps({"event": event, "requestId": request_id, **facts}), flush=True)


async def elsewhere(scope: dict[str, Any], receive: Callable[[], Any], send: Callable[[Any], Any]) -> None:
    """Answer the health check, and every other request that is not Socket.IO, such as a plain WebSocket, with 404."""
    kind = {"http": "http.response", "websocket": "websocket.http.response"}[scope["type"]]
    status, body = (200, b"ok\n") if scope["path"] == "/healthz" else (404, b"Socket.IO is at /socket.io/\n")
    headers = [(b"content-type", b"text/plain"), (b"content-length", str(len(body)).encode())]
    await send({"type": f"{kind}.start", "status": status, "headers": headers})
    await send({"type": f"{kind}.body", "body": body})


# region server
server = socketio.AsyncServer(async_mode="asgi", transports=TRANSPORTS, cors_allowed_origins=ORIGINS,
                              ping_interval=20, ping_timeout=20)
application = socketio.ASGIApp(server, elsewhere)


@server.event
async def connect(sid: str, environ: dict[str, Any], auth: Any) -> None:
    """Begin the stream after the number that the client names: Socket.IO reconnects, but it keeps no position."""
    after = auth.get("after", 0) if isinstance(auth, dict) else 0 if auth is None else None
    if type(after) is not int or after < 0:
        raise ConnectionRefusedError("auth must be {after: NUMBER}")
    transport = parse_qs(environ.get("QUERY_STRING", "")).get("transport", ["?"])[0]
    log("open", environ, transport=transport, after=after)
    await server.save_session(sid, {"environ": environ, "task": asyncio.create_task(stream(sid, after))})


async def stream(sid: str, after: int) -> None:
    """Send the messages after number `after` until the client disconnects."""
    while True:
        after += 1
        await server.emit("message", {"id": after, "text": f"message {after}"}, to=sid)
        await asyncio.sleep(EVERY)


@server.event
async def disconnect(sid: str, reason: str) -> None:
    session = await server.get_session(sid)
    session["task"].cancel()
    log("closed", session["environ"], reason=reason)
# endregion


if __name__ == "__main__":
    log("ready", port=PORT)
    uvicorn.run(application, host="0.0.0.0", port=int(PORT), log_level="warning", lifespan="off",
                timeout_keep_alive=900, timeout_graceful_shutdown=2)
