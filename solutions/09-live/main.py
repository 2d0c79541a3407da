"""The fog horn: tells each ship its tone, then echoes what it says."""

import asyncio
import os

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosedError

PORT = int(os.environ.get("FC_CUSTOM_LISTEN_PORT") or os.environ.get("FC_SERVER_PORT") or 9000)


async def horn(ship: ServerConnection) -> None:
    """Serve one ship."""
    try:
        await ship.send(os.environ.get("TONE", "low"))
        async for message in ship:
            await ship.send(message)
    except ConnectionClosedError:
        print("a ship is out of range", flush=True)


async def main() -> None:
    async with serve(horn, "0.0.0.0", PORT) as server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
