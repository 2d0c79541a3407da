"""Send three messages, one second apart, then close the connection."""

import asyncio
import os

from websockets.asyncio.server import ServerConnection, serve

PORT = int(os.environ.get("FC_SERVER_PORT", "9000"))


async def handler(ws: ServerConnection) -> None:
    """Serve one client."""
    for number in ("1", "2", "3"):
        await ws.send(number)
        await asyncio.sleep(1)
    await ws.close(1000, "that was all")


async def main() -> None:
    """Serve until stopped."""
    async with serve(handler, "0.0.0.0", PORT) as server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
