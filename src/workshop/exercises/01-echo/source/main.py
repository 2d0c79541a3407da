"""The harbour radio: repeats what it hears."""

import asyncio
import os

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosedError

PORT = int(os.environ.get("FC_SERVER_PORT", "9000"))


async def handler(ship: ServerConnection) -> None:
    """One ship, from its first word to its last."""
    # TODO 1.3: a ship that vanishes lets repeat() raise ConnectionClosedError (it is imported above).
    # Catch it and print "a ship has gone without a word".
    #: begin solution 1.3
    try:
        await repeat(ship)
    except ConnectionClosedError:
        print("a ship has gone without a word", flush=True)
    #: else
    await repeat(ship)
    #: end


async def repeat(ship: ServerConnection) -> None:
    """Answer each message until the ship closes the connection."""
    async for message in ship:
        if isinstance(message, str):
            # TODO 1.1: send the text back, in capitals.
            #: begin solution 1.1
            await ship.send(message.upper())
            #: else
            ...  # <- your code here
            #: end
        else:
            # TODO 1.2: `message` is bytes here; send them back as they came.
            #: begin solution 1.2
            await ship.send(message)
            #: else
            ...  # <- your code here
            #: end


async def main() -> None:
    """Listen where the platform looks for us: on all addresses, on its port."""
    async with serve(handler, "0.0.0.0", PORT) as server:
        print(f"harbour radio listens on port {PORT}", flush=True)
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
