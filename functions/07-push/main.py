"""Push: a backend posts an event over HTTP, Redis carries it, and every subscribed browser receives it.

    backend  -- POST publish/orders -->  any instance  -->  Redis
    Redis  -->  every instance with a subscriber  -- WebSocket subscribe/orders -->  browsers

Start it: REDIS_URL=redis://localhost:6379/0 PUBLISH_TOKEN=secret python3 main.py, then open http://localhost:9000
"""

import asyncio
import contextlib
import hmac
import json
import mimetypes
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

from aiohttp import WSCloseCode, web
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

import topics

PORT = os.environ.get("FC_CUSTOM_LISTEN_PORT") or os.environ.get("FC_SERVER_PORT") or "9000"
if not PORT.isdecimal() or not 0 < int(PORT) < 65536:
    sys.exit(f"The port must be a number from 1 to 65535, not {PORT!r}: see FC_CUSTOM_LISTEN_PORT, FC_SERVER_PORT")
if "REDIS_URL" not in os.environ:
    sys.exit("REDIS_URL is not set. Example: REDIS_URL=redis://localhost:6379/0")
TOKEN = os.environ.get("PUBLISH_TOKEN", "")  # without one, publishing is refused
INSTANCE = os.environ.get("FC_INSTANCE_ID", "local")
EVENT_BYTES = 16 * 1024

FILES = {file.name: (file.read_bytes(), mimetypes.guess_type(file.name)[0] or "application/octet-stream")
         for file in (Path(__file__).parent / "static").iterdir()}
FILES["healthz"] = (b"ok\n", "text/plain")  # the service's health check
TOPICS = web.AppKey("TOPICS", topics.Topics)
OPEN: set[web.WebSocketResponse] = set()


# region publish
async def publish(request: web.Request) -> web.Response:
    """Accept one event from a backend that has the token."""
    credentials = request.headers.get("Authorization", "").encode()
    if not TOKEN or not hmac.compare_digest(credentials, f"Bearer {TOKEN}".encode()):
        raise web.HTTPForbidden(text="Send the header Authorization: Bearer PUBLISH_TOKEN\n")
    try:
        event = await request.json()
    except ValueError:
        raise web.HTTPBadRequest(text="The body must be JSON\n") from None
    try:
        event_id = await request.app[TOPICS].publish(request.match_info["topic"], json.dumps(event))
    except RedisError as error:
        log("redis-failed", request, reason=type(error).__name__)
        raise web.HTTPServiceUnavailable(text="Redis does not answer\n", headers={"Retry-After": "1"}) from None
    log("published", request, topic=request.match_info["topic"], id=event_id)
    return web.json_response({"id": event_id}, status=202)
# endregion


# region subscribe
async def subscribe(request: web.Request) -> web.WebSocketResponse:
    """Send every event of a topic to one browser, after the id in the query if it has one."""
    socket = web.WebSocketResponse(heartbeat=20, max_msg_size=1024)
    await socket.prepare(request)
    OPEN.add(socket)
    log("open", request, topic=request.match_info["topic"])
    sending = asyncio.create_task(send_events(request, socket))
    try:
        async for _ in socket:
            pass  # a subscriber has nothing to say; reading notices its end
    finally:
        OPEN.discard(socket)
        sending.cancel()
        log("closed", request, code=socket.close_code)
    return socket


async def send_events(request: web.Request, socket: web.WebSocketResponse) -> None:
    events = request.app[TOPICS].subscribe(request.match_info["topic"], request.query.get("after"))
    try:
        async with contextlib.aclosing(events):
            async for event_id, event in events:
                await socket.send_json({"id": event_id, "instance": INSTANCE, "event": json.loads(event or "null")})
    except ValueError:
        await socket.close(code=WSCloseCode.POLICY_VIOLATION, message=b"after must be an event id")
    except topics.TooSlow:
        await socket.close(code=WSCloseCode.TRY_AGAIN_LATER, message=b"reads too slowly")
    except RedisError:
        await socket.close(code=WSCloseCode.TRY_AGAIN_LATER, message=b"Redis does not answer")
    except ConnectionError:
        pass  # the browser left
# endregion


async def page(request: web.Request) -> web.Response:
    """Answer a plain GET with a file."""
    if "Upgrade" in request.headers:
        raise web.HTTPNotFound(text="WebSockets are at subscribe/TOPIC\n")
    if (file := FILES.get(request.match_info["name"] or "index.html")) is None:
        raise web.HTTPNotFound(text="not found\n")
    return web.Response(body=file[0], content_type=file[1], headers={
        "Cache-Control": "no-store",
        "Content-Security-Policy": "default-src 'self'; img-src data:; connect-src 'self' ws: wss:"})


async def pre_stop(request: web.Request) -> web.Response:
    """Close every connection with code 1001 when the service (not a client) is about to end the instance."""
    if request.headers.get("x-fc-control-path") == "/http-invoke":
        raise web.HTTPNotFound(text="not found\n")
    await say_goodbye(request.app)
    return web.Response(text="closing\n")


async def say_goodbye(app: web.Application) -> None:
    await asyncio.gather(*(socket.close(code=WSCloseCode.GOING_AWAY) for socket in list(OPEN)))


async def open_topics(app: web.Application) -> AsyncIterator[None]:
    # One attempt of two seconds: a publication that is repeated could arrive twice.
    redis = Redis.from_url(os.environ["REDIS_URL"], decode_responses=True, socket_timeout=2, socket_connect_timeout=2,
                           retry=Retry(NoBackoff(), 0))
    async with redis, topics.open_topics(redis, log) as app[TOPICS]:
        yield


def log(event: str, request: web.Request | None = None, **facts: object) -> None:
    """Print one line of JSON. The service's own log lines about this request have the same requestId."""
    request_id = request.headers.get("x-fc-request-id") if request else None
    print(json.dumps({"event": event, "requestId": request_id, **facts}), flush=True)


def main() -> None:
    app = web.Application(client_max_size=EVENT_BYTES)
    app.cleanup_ctx.append(open_topics)
    app.on_shutdown.append(say_goodbye)
    before = "/{before:(?:.*/)?}"  # the folder works behind every path: /, /app/, /a/b/
    app.router.add_post(before + "publish/{topic:[A-Za-z0-9_-]{1,64}}", publish)
    app.router.add_get(before + "subscribe/{topic:[A-Za-z0-9_-]{1,64}}", subscribe)
    app.router.add_get("/pre-stop", pre_stop)
    app.router.add_get(before + "{name:[^/]*}", page)
    log("ready", port=PORT)
    web.run_app(app, host="0.0.0.0", port=int(PORT), print=None, keepalive_timeout=3600, shutdown_timeout=2)


if __name__ == "__main__":
    main()
