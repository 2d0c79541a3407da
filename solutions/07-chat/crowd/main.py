"""One crowded quay on one instance: what a ship says, all others hear, however slowly one of them listens."""

import asyncio
import os

from websockets.asyncio.server import ServerConnection, broadcast, serve
from websockets.exceptions import ConnectionClosed

PORT = int(os.environ.get("FC_SERVER_PORT", "9000"))
BACKLOG = 1024 * 1024  # bytes that a ship may be behind

ships: set[ServerConnection] = set()


async def handler(ship: ServerConnection) -> None:
    """One ship, from its first word to its last."""
    ships.add(ship)
    try:
        async for text in ship:
            await hear(ship, text)
    except ConnectionClosed:
        pass
    finally:
        ships.discard(ship)


async def hear(sender: ServerConnection, text: str) -> None:
    """Give a text to all ships but the sender."""
    # 7.3: send() waits for a ship that does not listen, and with it waits the quay. Wait for nobody; a ship
    # that is more than BACKLOG bytes behind is cut off. See ship.transport.get_write_buffer_size() and .abort().
    for ship in list(ships):
        if ship.transport.get_write_buffer_size() > BACKLOG:
            ships.discard(ship)
            ship.transport.abort()
    broadcast(ships - {sender}, text)


async def main() -> None:
    """Listen where the platform looks for us."""
    async with serve(handler, "0.0.0.0", PORT, compression=None, max_size=2**20) as server:
        print(f"crowd listens on port {PORT}", flush=True)
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
