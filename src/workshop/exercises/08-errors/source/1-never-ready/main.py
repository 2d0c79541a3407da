"""Answer each message with "hello from 1"."""

import asyncio
import os

from websockets.asyncio.server import ServerConnection, serve

#: begin fix 8.1
HOST = "0.0.0.0"
#: else
HOST = "127.0.0.1"
#: end
PORT = int(os.environ.get("FC_SERVER_PORT", "9000"))


async def handler(ws: ServerConnection) -> None:
    """Serve one client."""
    async for _ in ws:
        await ws.send("hello from 1")


async def main() -> None:
    """Serve until stopped."""
    async with serve(handler, HOST, PORT) as server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
