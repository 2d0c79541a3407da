"""Answer each message with "hello from 2"."""

import asyncio

from websockets.asyncio.server import ServerConnection, serve

PORT = 8765


async def handler(ws: ServerConnection) -> None:
    """Serve one client."""
    async for _ in ws:
        await ws.send("hello from 2")


async def main() -> None:
    """Serve until stopped."""
    async with serve(handler, "0.0.0.0", PORT) as server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
