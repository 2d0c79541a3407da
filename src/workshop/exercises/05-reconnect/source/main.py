"""The telegraph office: sends the numbers 1 to 500. It is given: nothing in here needs to be changed.

Connect with ?after=17 and it goes on with number 17: it cannot know whether the last word arrived, so it repeats it.
"""

import asyncio
import os
from urllib.parse import parse_qs, urlsplit

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

PORT = int(os.environ.get("FC_SERVER_PORT", "9000"))
PACE = float(os.environ.get("PACE_SECONDS", "0.002"))
LAST = 500


async def send_words(ws: ServerConnection) -> None:
    """One caller, from the number it asks for to the last."""
    after = int(parse_qs(urlsplit(ws.request.path).query).get("after", ["0"])[0])
    try:
        for number in range(max(1, after), LAST + 1):
            await ws.send(str(number))
            await asyncio.sleep(PACE)
    except ConnectionClosed:
        print("the wire broke", flush=True)


async def main() -> None:
    async with serve(send_words, "0.0.0.0", PORT) as server:
        print(f"the telegraph office listens on port {PORT}", flush=True)
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
