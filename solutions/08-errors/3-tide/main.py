"""Report the time of high water."""

import asyncio
import os

from tide_table import HIGH_WATER
from websockets.asyncio.server import ServerConnection, serve

PORT = int(os.environ.get("FC_SERVER_PORT", "9000"))


async def handler(ws: ServerConnection) -> None:
    """Answer "morning" or "evening"."""
    async for question in ws:
        await ws.send(HIGH_WATER.get(question, "ask for morning or evening"))


async def main() -> None:
    """Serve until stopped."""
    async with serve(handler, "0.0.0.0", PORT) as server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
