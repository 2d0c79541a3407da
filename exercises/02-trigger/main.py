"""Greet each caller with the claim that the trigger passed on. WebSocket and plain HTTP (ASGI)."""

import os

import uvicorn

PORT = int(os.environ.get("FC_SERVER_PORT", "9000"))


async def app(scope, receive, send) -> None:
    """Send a greeting; over a WebSocket, answer each message too."""
    headers = dict(scope.get("headers", ()))
    greeting = f"welcome, {headers.get(b'x-caller', b'stranger').decode()}"
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
        await send({"type": "http.response.body", "body": greeting.encode()})
    elif scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": greeting})
        while (event := await receive())["type"] == "websocket.receive":
            await send({"type": "websocket.send", "text": f"noted: {event.get('text')}"})


if __name__ == "__main__":
    uvicorn.run(app, host="0.0.0.0", port=PORT, ws="websockets-sansio", lifespan="off", log_level="warning")
