"""The ferry's switchboard: repeats what a passenger says, as long as a passenger says something."""

import asyncio
import os

from websockets.asyncio.server import ServerConnection, serve

PORT = int(os.environ.get("FC_SERVER_PORT", "9000"))
IDLE = float(os.environ.get("IDLE_SECONDS", "60"))


async def line(ws: ServerConnection) -> None:
    """One passenger's line."""
    # TODO 6.3: a line on which the passenger says nothing for IDLE seconds is closed with 1000 and the reason "idle".
    # asyncio.timeout(IDLE) around one ws.recv() raises TimeoutError when nothing comes.
    async for message in ws:
        await ws.send(f"ferry: {message}")
    # end of 6.3


async def main() -> None:
    async with serve(line, "0.0.0.0", PORT) as server:
        print(f"the switchboard listens on port {PORT}", flush=True)
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
