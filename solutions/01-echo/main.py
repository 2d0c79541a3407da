"""The harbour radio: repeats what it hears."""

import asyncio
import os

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosedError

PORT = int(os.environ.get("FC_SERVER_PORT", "9000"))


async def handler(ship: ServerConnection) -> None:
    """One ship, from its first word to its last."""
    # 1.3: a ship that vanishes lets repeat() raise ConnectionClosedError (it is imported above).
    # Catch it and print "a ship has gone without a word".
    try:
        await repeat(ship)
    except ConnectionClosedError:
        print("a ship has gone without a word", flush=True)


async def repeat(ship: ServerConnection) -> None:
    """Answer each message until the ship closes the connection."""
    async for message in ship:
        if isinstance(message, str):
            # 1.1: send the text back, in capitals.
            await ship.send(message.upper())
        else:
            # 1.2: `message` is bytes here; send them back as they came.
            await ship.send(message)


async def main() -> None:
    """Listen where the platform looks for us: on all addresses, on its port."""
    async with serve(handler, "0.0.0.0", PORT) as server:
        print(f"harbour radio listens on port {PORT}", flush=True)
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
