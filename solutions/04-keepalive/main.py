"""A server that counts its open connections and confirms each message."""

import asyncio
import os

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosedError

PORT = int(os.environ.get("FC_SERVER_PORT", "9000"))
INTERVAL = float(os.environ.get("PING_SECONDS", "0.3"))
CONNECTIONS: set[ServerConnection] = set()


async def handler(ws: ServerConnection) -> None:
    """Serve one client, which is counted from its first message to its last."""
    CONNECTIONS.add(ws)
    try:
        async for message in ws:
            print(message, flush=True)
            await ws.send(f"{len(CONNECTIONS)} open" if message == "count" else f"stored: {message}")
    except ConnectionClosedError:
        print("connection lost", flush=True)
    finally:
        CONNECTIONS.discard(ws)


async def main() -> None:
    """Listen, and detect dead connections."""
    # 4.1: send a Ping on each connection in every INTERVAL, and allow one more INTERVAL for its Pong.
    # serve() takes ping_interval and ping_timeout, both in seconds.
    keepalive = {"ping_interval": INTERVAL, "ping_timeout": INTERVAL}
    async with serve(handler, "0.0.0.0", PORT, **keepalive) as server:
        print(f"the server listens on port {PORT}", flush=True)
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
