"""Report when the next ferry leaves."""

import asyncio

from websockets.asyncio.server import ServerConnection, serve

#: begin fix 8.2
PORT = 9000
#: else
PORT = 8765
#: end


async def handler(ws: ServerConnection) -> None:
    """Answer each question."""
    async for _ in ws:
        await ws.send("the next ferry leaves at 10:40")


async def main() -> None:
    """Serve until stopped."""
    async with serve(handler, "0.0.0.0", PORT) as server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
