"""An echo server: whoever connects gets back every message, text or binary, as it came."""

import asyncio
import os

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosedError

# The service tells the port that the trigger's requests come to: customRuntimeConfig.port, 9000 if none is set.
PORT = int(os.environ.get("FC_CUSTOM_LISTEN_PORT") or os.environ.get("FC_SERVER_PORT") or 9000)


async def echo(connection: ServerConnection) -> None:
    """Serve one connection from its open to its close."""
    print("open", connection.request.path, flush=True)
    try:
        async for message in connection:
            await connection.send(message)
        print("closed", connection.close_code, flush=True)
    except ConnectionClosedError:  # the client vanished: normal life for a server, no reason to crash
        print("lost", connection.close_code, flush=True)


async def main() -> None:
    # 0.0.0.0, not 127.0.0.1: the requests come from outside the instance.
    async with serve(echo, "0.0.0.0", PORT) as server:
        print("ready", flush=True)
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
