"""A room that holds connections for as long as they ask: wss://.../?seconds=5, then it closes with 1000."""

import asyncio
import contextlib
import json
import os
from urllib.parse import parse_qs, urlsplit

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

PORT = int(os.environ.get("FC_CUSTOM_LISTEN_PORT") or os.environ.get("FC_SERVER_PORT") or 9000)
INSTANCE = os.environ.get("FC_INSTANCE_ID", "here")
HELD: set[ServerConnection] = set()


async def hold(connection: ServerConnection) -> None:
    """Keep one connection open for ?seconds=N; without a number, until the client leaves."""
    asked = parse_qs(urlsplit(connection.request.path).query).get("seconds")
    try:
        seconds = float(asked[0]) if asked else None
    except ValueError:
        await connection.close(1008, "seconds must be a number")
        return
    HELD.add(connection)
    with contextlib.suppress(TimeoutError, ConnectionClosed):
        async with asyncio.timeout(seconds):
            await connection.send(json.dumps({"instance": INSTANCE, "here": len(HELD)}))
            async for _ in connection:
                pass  # what is said costs nothing: what costs is the time
    HELD.discard(connection)
    await connection.close(1000, "time is up")


async def main() -> None:
    async with serve(hold, "0.0.0.0", PORT) as server:
        print(f"listening on 0.0.0.0:{PORT}", flush=True)
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
