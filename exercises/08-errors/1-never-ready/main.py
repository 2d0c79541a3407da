"""Answer each message with "hello from 1"."""

import asyncio
import os

from websockets.asyncio.server import ServerConnection, serve

HOST = "127.0.0.1"
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
