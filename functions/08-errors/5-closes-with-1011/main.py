"""Broken on purpose: find the cause from the answer to the client and from the log."""

import asyncio
import os

from websockets.asyncio.server import ServerConnection, serve

PORT = os.environ.get("FC_CUSTOM_LISTEN_PORT") or os.environ.get("FC_SERVER_PORT") or "9000"


async def count(connection: ServerConnection) -> None:
    async for message in connection:
        await connection.send(f"you are number {int(message)}")


async def main() -> None:
    async with serve(count, "0.0.0.0", PORT) as server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
