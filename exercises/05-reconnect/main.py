"""A server that sends the numbers 1 to 500. It is complete: change nothing here.

`?after=17` continues after number 17. Like many message stores the server delivers at least once: it first repeats
up to three messages before number 18.
"""

import asyncio
import os
from urllib.parse import parse_qs, urlsplit

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

PORT = int(os.environ.get("FC_SERVER_PORT", "9000"))
PACE = float(os.environ.get("PACE_SECONDS", "0.002"))
LAST = 500
REPEATED = 3


async def send_numbers(ws: ServerConnection) -> None:
    """Serve one client, from the number it requests to the last."""
    print(f"requested: {ws.request.path}", flush=True)
    after = int(parse_qs(urlsplit(ws.request.path).query).get("after", ["0"])[0])
    try:
        for number in range(max(1, after + 1 - REPEATED), LAST + 1):
            await ws.send(str(number))
            await asyncio.sleep(PACE)
    except ConnectionClosed:
        print("connection lost", flush=True)


async def main() -> None:
    async with serve(send_numbers, "0.0.0.0", PORT) as server:
        print(f"the server listens on port {PORT}", flush=True)
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
