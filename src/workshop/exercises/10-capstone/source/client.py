"""Print each bid of an auction once and in order, until a given number.

    python3 client.py wss://localhost:9443/lamp 8
"""

import asyncio
import json
import random
import sys

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

PERMANENT = {400, 403, 404}


async def follow(url: str, until: int) -> None:
    """Print bids over as many connections as necessary. Exit with 1 after a permanent error."""
    last = failures = 0
    while last < until:
        #: begin fix 10.3
        try:
            async with connect(f"{url}?after={last}") as connection:
                while last < until:
                    bid = json.loads(await connection.recv())
                    if bid["number"] > last:
                        print(bid["number"], bid["price"], bid["bidder"], flush=True)
                        last, failures = bid["number"], 0
                return
        except InvalidStatus as rejected:
            if rejected.response.status_code in PERMANENT:
                sys.exit(1)
        except (ConnectionClosed, OSError):
            print("connection lost: wait and retry", file=sys.stderr)
        #: else
        #: end
        await asyncio.sleep(random.random() * min(2.0, 0.1 * 2**failures))
        failures += 1


if __name__ == "__main__":
    asyncio.run(follow(sys.argv[1], int(sys.argv[2])))
