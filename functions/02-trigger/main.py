"""Tells the caller what reached the function: over HTTP as a JSON answer, over WebSocket as the first message.

Every later WebSocket message comes back as it was sent, so that a connection can be seen to live on.
"""

import json
import os

from aiohttp import WSMsgType, web

PORT = int(os.environ.get("FC_CUSTOM_LISTEN_PORT") or os.environ.get("FC_SERVER_PORT") or 9000)

# Never sent back: whoever may call this function need not see who else may.
SECRET = ("authorization", "cookie", "x-fc-access-key-id", "x-fc-access-key-secret", "x-fc-security-token")


# region report
def report(request: web.Request, body: str = "") -> dict[str, object]:
    """What reached the function."""
    headers = {name.lower(): value for name, value in request.headers.items()}
    return {
        "method": request.method,
        "path": request.path,
        "query": dict(request.query),
        "body": body,
        "qualifier": headers.get("x-fc-qualifier", ""),   # LATEST, a version or an alias: what the trigger names
        "version": headers.get("x-fc-version-id", ""),    # the version that serves; empty for LATEST
        "request id": headers.get("x-fc-request-id", ""),
        "instance": os.environ.get("FC_INSTANCE_ID", ""),
        "greeting": os.environ.get("GREETING", ""),       # set it in s.yaml to tell versions apart
        "headers": {name: "(hidden)" if name in SECRET and value else value for name, value in headers.items()},
    }
# endregion


async def answer(request: web.Request) -> web.StreamResponse:
    """Any method, any path; a WebSocket begins as a GET with an Upgrade header."""
    socket = web.WebSocketResponse()
    if not socket.can_prepare(request):
        return web.json_response(report(request, await request.text()))
    await socket.prepare(request)
    await socket.send_json(report(request))
    async for message in socket:
        if message.type == WSMsgType.TEXT:
            await socket.send_str(message.data)
        elif message.type == WSMsgType.BINARY:
            await socket.send_bytes(message.data)
    return socket


def main() -> None:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    print(json.dumps({"listening": f"0.0.0.0:{PORT}"}), flush=True)
    web.run_app(app, host="0.0.0.0", port=PORT, print=None, keepalive_timeout=3600)


if __name__ == "__main__":
    main()
