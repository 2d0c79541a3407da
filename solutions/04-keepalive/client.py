"""A buoy's program: reports a depth, waits for the tide, reports again.

    python3 client.py wss://localhost:9443 1.5      # the tide takes 1.5 seconds
"""

import asyncio
import sys

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosedError


async def report(url: str, tide: float) -> None:
    """Two depths, with a long silence in between."""
    # 4.2: the relay forgets a line that carries nothing for 0.6 seconds. Let the library send pings often enough,
    # and do not wait for a pong longer than 0.5 seconds: connect() takes ping_interval and ping_timeout too.
    keepalive = {"ping_interval": 0.2, "ping_timeout": 0.4}
    async with connect(url, close_timeout=0.1, **keepalive) as ws:
        await ws.send("depth 4")
        print(await ws.recv(), flush=True)
        await asyncio.sleep(tide)
        await ws.send("depth 5")
        print(await ws.recv(), flush=True)


async def main(url: str, tide: float) -> None:
    # 4.3: when nobody answers the pings, the library ends the connection, and report() raises
    # ConnectionClosedError. Catch it and print "the line is dead".
    try:
        await report(url, tide)
    except ConnectionClosedError:
        print("the line is dead", flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], float(sys.argv[2])))
