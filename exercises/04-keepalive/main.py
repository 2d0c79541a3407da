"""The harbour's list of buoys: who is out there now."""

import asyncio
import os

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosedError

PORT = int(os.environ.get("FC_SERVER_PORT", "9000"))
INTERVAL = float(os.environ.get("PING_SECONDS", "0.3"))
BUOYS: set[ServerConnection] = set()


async def buoy(ws: ServerConnection) -> None:
    """One buoy: on the list from its first word to its last."""
    BUOYS.add(ws)
    try:
        async for message in ws:
            print(message, flush=True)
            await ws.send(f"{len(BUOYS)} here" if message == "who" else f"noted: {message}")
    except ConnectionClosedError:
        print("a buoy is lost", flush=True)
    finally:
        BUOYS.discard(ws)


async def main() -> None:
    """Listen, and keep an eye on those who say nothing."""
    # TODO 4.1: ask each buoy for a sign of life in every INTERVAL, and give it one more INTERVAL to answer.
    # serve() takes ping_interval and ping_timeout, both in seconds.
    keepalive = {"ping_interval": None}  # <- your code here
    # end of 4.1
    async with serve(buoy, "0.0.0.0", PORT, **keepalive) as server:
        print(f"the harbour listens on port {PORT}", flush=True)
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
