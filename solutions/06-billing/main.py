"""A server that answers each message, and closes idle connections."""

import asyncio
import os

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

PORT = int(os.environ.get("FC_SERVER_PORT", "9000"))
IDLE = float(os.environ.get("IDLE_SECONDS", "60"))


async def handler(ws: ServerConnection) -> None:
    """Serve one client."""
    # 6.3: close a connection without a message for IDLE seconds with code 1000 and the reason "idle".
    # asyncio.timeout(IDLE) around one ws.recv() raises TimeoutError. A client that leaves raises ConnectionClosed.
    try:
        while True:
            async with asyncio.timeout(IDLE):
                message = await ws.recv()
            await ws.send(f"received: {message}")
    except TimeoutError:
        await ws.close(1000, "idle")
    except ConnectionClosed:
        print("the client has left", flush=True)


async def main() -> None:
    async with serve(handler, "0.0.0.0", PORT) as server:
        print(f"the server listens on port {PORT}", flush=True)
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
