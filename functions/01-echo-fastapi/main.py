"""The echo server as an ASGI application: every WebSocket message goes back to its sender."""

import json
import os
import sys

import uvicorn
from starlette.applications import Starlette
from starlette.requests import HTTPConnection, Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

PORT = os.environ.get("FC_CUSTOM_LISTEN_PORT") or os.environ.get("FC_SERVER_PORT") or "9000"
if not PORT.isdecimal() or not 0 < int(PORT) < 65536:
    sys.exit(f"The port must be a number from 1 to 65535, not {PORT!r}: see FC_CUSTOM_LISTEN_PORT, FC_SERVER_PORT")
MESSAGE_BYTES = 1024 * 1024  # a larger message closes its connection with code 1009


# region echo
async def echo(socket: WebSocket) -> None:
    """Serve one connection, from its open to its close."""
    await socket.accept()
    log("open", socket, path=socket.url.path)
    try:
        while (message := await socket.receive())["type"] == "websocket.receive":
            if message.get("text") is not None:
                await socket.send_text(message["text"])
            else:
                await socket.send_bytes(message["bytes"])
        log("closed", socket, code=message["code"])
    except WebSocketDisconnect as closed:  # the client left before its answer: normal for a server
        log("closed", socket, code=closed.code)
# endregion


async def health(request: Request) -> PlainTextResponse:
    """Answer the service's health check."""
    return PlainTextResponse("ok\n")


def log(event: str, connection: HTTPConnection | None = None, **facts: object) -> None:
    """Print one line of JSON. The service's own log lines about this connection have the same requestId."""
    request_id = connection.headers.get("x-fc-request-id") if connection else None
    print(json.dumps({"event": event, "requestId": request_id, **facts}), flush=True)


app = Starlette(routes=[Route("/healthz", health), WebSocketRoute("/{path:path}", echo)])

if __name__ == "__main__":
    log("ready", port=PORT)
    # The service uses its connections to the instance again: keep them open for longer than its 15 minutes.
    uvicorn.run(app, host="0.0.0.0", port=int(PORT), log_level="warning", ws_max_size=MESSAGE_BYTES,
                timeout_keep_alive=3600, timeout_graceful_shutdown=2)
