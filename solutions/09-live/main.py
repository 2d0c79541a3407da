"""Send a greeting to each client, then echo its messages."""

import asyncio
import os

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosedError

PORT = int(os.environ.get("FC_CUSTOM_LISTEN_PORT") or os.environ.get("FC_SERVER_PORT") or 9000)


async def handler(ws: ServerConnection) -> None:
    """Serve one client."""
    try:
        await ws.send(os.environ.get("GREETING", "hello"))
        async for message in ws:
            await ws.send(message)
    except ConnectionClosedError:
        print("connection lost", flush=True)


async def main() -> None:
    async with serve(handler, "0.0.0.0", PORT) as server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
