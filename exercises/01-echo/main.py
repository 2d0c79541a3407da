"""An echo server: sends each message back."""

import asyncio
import os

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosedError

PORT = int(os.environ.get("FC_SERVER_PORT", "9000"))


async def handler(connection: ServerConnection) -> None:
    """Serve one client, from its first message to its last."""
    # TODO 1.3: when a client disconnects without a Close frame, repeat() raises ConnectionClosedError (imported above).
    # Catch it and print "connection lost without a Close frame".
    await repeat(connection)
    # end of 1.3


async def repeat(connection: ServerConnection) -> None:
    """Answer each message until the client closes the connection."""
    async for message in connection:
        if isinstance(message, str):
            # TODO 1.1: send the text back in capital letters.
            ...  # <- your code here
            # end of 1.1
        else:
            # TODO 1.2: `message` is bytes here. Send the bytes back unchanged.
            ...  # <- your code here
            # end of 1.2


async def main() -> None:
    """Listen on all addresses, on the port that the platform expects."""
    async with serve(handler, "0.0.0.0", PORT) as server:
        print(f"echo server listens on port {PORT}", flush=True)
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
