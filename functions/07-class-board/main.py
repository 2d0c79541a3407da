"""Class board: learners post how far they are, and the instructor's page shows where the class stands, live.

    learner's check  -- POST WORD/report -->  any instance  -->  Redis
    Redis  -->  every instance with a watcher  -- WebSocket WORD/watch -->  the instructor's page

Start it: REDIS_URL=redis://localhost:6379/0 CLASS_WORD=otter-42 python3 main.py, then open http://localhost:9000/otter-42/
"""

import asyncio
import contextlib
import hmac
import json
import mimetypes
import os
import re
import sys
from collections.abc import AsyncIterator
from pathlib import Path

from aiohttp import WSCloseCode, web
from aiohttp.typedefs import Handler
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from board import Board, ClassIsFull, parse_report

PORT = os.environ.get("FC_CUSTOM_LISTEN_PORT") or os.environ.get("FC_SERVER_PORT") or "9000"
if not PORT.isdecimal() or not 0 < int(PORT) < 65536:
    sys.exit(f"The port must be a number from 1 to 65535, not {PORT!r}: see FC_CUSTOM_LISTEN_PORT, FC_SERVER_PORT")
if "REDIS_URL" not in os.environ:
    sys.exit("REDIS_URL is not set. Example: REDIS_URL=redis://localhost:6379/0")
WORD = os.environ.get("CLASS_WORD", "")  # without one, every report is refused
if WORD and not re.fullmatch("[a-z0-9-]{3,40}", WORD):
    sys.exit(f"CLASS_WORD must be 3 to 40 small letters, digits and hyphens, not {WORD!r}. Example: otter-42")
REPORT_BYTES = 32 * 1024

FILES = {file.name: (file.read_bytes(), mimetypes.guess_type(file.name)[0] or "application/octet-stream")
         for file in (Path(__file__).parent / "static").iterdir()}
BOARD = web.AppKey("BOARD", Board)
OPEN: set[web.WebSocketResponse] = set()


@web.middleware
async def check_word(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer only for the class whose word is in the path."""
    word = request.match_info.get("word")
    if word is not None and not (WORD and hmac.compare_digest(word, WORD)):
        raise web.HTTPNotFound(text="No class has this word\n")
    return await handler(request)


# region report
async def report(request: web.Request) -> web.Response:
    """Accept what one learner has reached."""
    try:
        learner, tasks = parse_report(await request.json())
    except ValueError as error:  # JSONDecodeError too
        raise web.HTTPBadRequest(text=f"{error}\n") from None
    try:
        await request.app[BOARD].report(learner, tasks)
    except ClassIsFull:
        raise web.HTTPForbidden(text="The class is full\n") from None
    except RedisError as error:
        log("redis-failed", request, reason=type(error).__name__)
        raise web.HTTPServiceUnavailable(text="Redis does not answer\n", headers={"Retry-After": "1"}) from None
    log("reported", request, tasks=len(tasks))
    return web.Response(status=204)
# endregion


# region watch
async def watch(request: web.Request) -> web.WebSocketResponse:
    """Send the state of the class to one page: now, and after each change."""
    socket = web.WebSocketResponse(heartbeat=20, max_msg_size=1024)
    await socket.prepare(request)
    OPEN.add(socket)
    log("open", request)
    sending = asyncio.create_task(send_states(request.app[BOARD], socket))
    try:
        async for _ in socket:
            pass  # a page has nothing to say; reading notices its end
    finally:
        OPEN.discard(socket)
        sending.cancel()
        log("closed", request, code=socket.close_code)
    return socket


async def send_states(board: Board, socket: web.WebSocketResponse) -> None:
    seen = ""
    try:
        await board.refresh()  # the instance may have been frozen, and its last state may be old
        while True:
            seen = await board.next(seen)
            await socket.send_str(seen)
    except RedisError:
        await socket.close(code=WSCloseCode.TRY_AGAIN_LATER, message=b"Redis does not answer")
    except ConnectionError:
        pass  # the page was closed
# endregion


async def page(request: web.Request) -> web.Response:
    """Answer a plain GET with a file."""
    if "Upgrade" in request.headers:
        raise web.HTTPNotFound(text="WebSockets are at WORD/watch\n")
    if (file := FILES.get(request.match_info["name"] or "index.html")) is None:
        raise web.HTTPNotFound(text="not found\n")
    return web.Response(body=file[0], content_type=file[1], headers={
        "Cache-Control": "no-store",
        "Content-Security-Policy": "default-src 'self'; img-src data:; connect-src 'self' ws: wss:"})


async def add_slash(request: web.Request) -> web.Response:
    """Lead to the page, whose files have addresses relative to its own."""
    raise web.HTTPFound(f"{request.match_info['word']}/")


async def healthz(request: web.Request) -> web.Response:
    """Answer the service's health check."""
    return web.Response(text="ok\n")


async def pre_stop(request: web.Request) -> web.Response:
    """Close every connection with code 1001 when the service (not a client) is about to end the instance."""
    if request.headers.get("x-fc-control-path") == "/http-invoke":
        raise web.HTTPNotFound(text="not found\n")
    await close_all(request.app)
    return web.Response(text="closing\n")


async def close_all(app: web.Application) -> None:
    await asyncio.gather(*(socket.close(code=WSCloseCode.GOING_AWAY) for socket in list(OPEN)))


async def open_board(app: web.Application) -> AsyncIterator[None]:
    redis = Redis.from_url(os.environ["REDIS_URL"], decode_responses=True, socket_timeout=2, socket_connect_timeout=2,
                           retry=Retry(NoBackoff(), 0))
    async with redis:
        app[BOARD] = Board(redis, WORD, log)
        task = asyncio.create_task(app[BOARD].listen())
        yield
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def log(event: str, request: web.Request | None = None, **facts: object) -> None:
    """Print one line of JSON. The service's own log lines about this request have the same requestId."""
    request_id = request.headers.get("x-fc-request-id") if request else None
    print(json.dumps({"event": event, "requestId": request_id, **facts}), flush=True)


def main() -> None:
    app = web.Application(client_max_size=REPORT_BYTES, middlewares=[check_word])
    app.cleanup_ctx.append(open_board)
    app.on_shutdown.append(close_all)
    word = "/{before:(?:.*/)?}{word:[a-z0-9-]{3,40}}"  # the folder works behind every path: /, /app/, /a/b/
    app.router.add_get("/healthz", healthz)
    app.router.add_get("/pre-stop", pre_stop)
    app.router.add_post(word + "/report", report)
    app.router.add_get(word + "/watch", watch)
    app.router.add_get(word, add_slash)
    app.router.add_get(word + "/{name:[^/]*}", page)
    log("ready", port=PORT)
    web.run_app(app, host="0.0.0.0", port=int(PORT), print=None, keepalive_timeout=3600, shutdown_timeout=2)


if __name__ == "__main__":
    main()
