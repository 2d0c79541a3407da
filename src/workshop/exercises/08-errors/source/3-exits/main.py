"""Answer "morning" and "evening" with a greeting."""

import asyncio
import os

#: begin fix 8.3
from replies import REPLIES
#: else
from answers import REPLIES
#: end
from websockets.asyncio.server import ServerConnection, serve

PORT = int(os.environ.get("FC_SERVER_PORT", "9000"))


async def handler(ws: ServerConnection) -> None:
    """Serve one client."""
    async for message in ws:
        await ws.send(REPLIES.get(message, "send morning or evening"))


async def main() -> None:
    """Serve until stopped."""
    async with serve(handler, "0.0.0.0", PORT) as server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
