"""The obvious chat with python-socketio and its Redis manager, under uvicorn with uvloop."""

import os

import socketio
import uvicorn

server = socketio.AsyncServer(async_mode="asgi", client_manager=socketio.AsyncRedisManager(os.environ["REDIS_URL"]))


@server.event
async def connect(sid: str, environ: object) -> None:
    await server.enter_room(sid, "tea")


@server.event
async def say(sid: str, text: str) -> None:
    await server.emit("message", text, room="tea")


if __name__ == "__main__":
    uvicorn.run(socketio.ASGIApp(server), host="127.0.0.1", port=int(os.environ["FC_SERVER_PORT"]), log_level="warning",
                ws="websockets-sansio", ws_per_message_deflate=False)
