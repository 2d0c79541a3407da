"""A server that answers each question."""

import asyncio
import os

from websockets.asyncio.server import ServerConnection, serve

PORT = int(os.environ.get("FC_SERVER_PORT", "9000"))


async def handler(ws: ServerConnection) -> None:
    """Answer until the client closes the connection."""
    async for question in ws:
        await ws.send(f"{question}? yes")


async def main() -> None:
    """Listen on all addresses, on the port that the platform expects."""
    async with serve(handler, "0.0.0.0", PORT) as server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
