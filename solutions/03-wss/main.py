"""The harbour office: answers each question."""

import asyncio
import os

from websockets.asyncio.server import ServerConnection, serve

PORT = int(os.environ.get("FC_SERVER_PORT", "9000"))


async def handler(ws: ServerConnection) -> None:
    """Answer until the pilot hangs up."""
    async for question in ws:
        await ws.send(f"harbour office: {question}? yes")


async def main() -> None:
    """Listen on all addresses, on the platform's port."""
    async with serve(handler, "0.0.0.0", PORT) as server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
