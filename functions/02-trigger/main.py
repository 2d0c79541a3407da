"""Report what reached the function: over HTTP as a JSON answer, over WebSocket as the first message.

Every later WebSocket message is sent back, so that you can see that the connection is still open.
"""

import json
import os
import sys

from aiohttp import WSCloseCode, WSMsgType, web

PORT = os.environ.get("FC_CUSTOM_LISTEN_PORT") or os.environ.get("FC_SERVER_PORT") or "9000"
if not PORT.isdecimal() or not 0 < int(PORT) < 65536:
    sys.exit(f"The port must be a number from 1 to 65535, not {PORT!r}: see FC_CUSTOM_LISTEN_PORT, FC_SERVER_PORT")

# Never sent back: a caller of this function must not read the credentials that came with the request.
SECRET = ("authorization", "cookie", "x-fc-access-key-id", "x-fc-access-key-secret", "x-fc-security-token")
OPEN: set[web.WebSocketResponse] = set()


# region report
def report(request: web.Request, body: str = "") -> dict[str, object]:
    """Return what reached the function."""
    headers = {name.lower(): value for name, value in request.headers.items()}
    return {
        "method": request.method,
        "path": request.path,
        "query": dict(request.query),
        "body": body,
        "qualifier": headers.get("x-fc-qualifier", ""),   # LATEST, a version or an alias: as the trigger names it
        "version": headers.get("x-fc-version-id", ""),    # the version that answers; empty for LATEST
        "request id": headers.get("x-fc-request-id", ""),
        "instance": os.environ.get("FC_INSTANCE_ID", ""),
        "greeting": os.environ.get("GREETING", ""),       # set it in s.yaml to distinguish versions
        "headers": {name: "(hidden)" if name in SECRET and value else value for name, value in headers.items()},
    }
# endregion


async def answer(request: web.Request) -> web.StreamResponse:
    """Answer any method and any path. A WebSocket begins as a GET with an Upgrade header."""
    socket = web.WebSocketResponse(heartbeat=20)
    if not socket.can_prepare(request):
        return web.json_response(report(request, await request.text()))
    await socket.prepare(request)
    log("open", request, path=request.path)
    OPEN.add(socket)
    try:
        await socket.send_json(report(request))
        async for message in socket:
            if message.type == WSMsgType.TEXT:
                await socket.send_str(message.data)
            elif message.type == WSMsgType.BINARY:
                await socket.send_bytes(message.data)
    except ConnectionError:  # the client left before its answer
        pass
    finally:
        OPEN.discard(socket)
        log("closed", request, code=socket.close_code)
    return socket


async def say_goodbye(app: web.Application) -> None:
    """Close every connection with code 1001 when the instance ends."""
    for socket in list(OPEN):
        await socket.close(code=WSCloseCode.GOING_AWAY)


def log(event: str, request: web.Request | None = None, **facts: object) -> None:
    """Print one line of JSON. The service's own log lines about this request have the same requestId."""
    request_id = request.headers.get("x-fc-request-id") if request else None
    print(json.dumps({"event": event, "requestId": request_id, **facts}), flush=True)


def main() -> None:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    app.on_shutdown.append(say_goodbye)
    log("ready", port=PORT)
    web.run_app(app, host="0.0.0.0", port=int(PORT), print=None, keepalive_timeout=3600, shutdown_timeout=2)


if __name__ == "__main__":
    main()
