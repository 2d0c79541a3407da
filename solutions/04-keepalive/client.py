"""A client that sends a message, is silent for a while, and sends another message.

    python3 client.py wss://localhost:9443 1.5      # silent for 1.5 seconds
"""

import asyncio
import sys

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosedError


async def report(url: str, silence: float) -> None:
    """Send two messages, with `silence` seconds between them."""
    # 4.2: the NAT gateway removes a connection without traffic for 0.6 seconds. Make the library send Pings often
    # enough, and wait at most 0.5 seconds for a Pong: connect() takes ping_interval and ping_timeout too.
    keepalive = {"ping_interval": 0.2, "ping_timeout": 0.4}
    async with connect(url, close_timeout=0.1, **keepalive) as ws:
        await ws.send("message 1")
        print(await ws.recv(), flush=True)
        await asyncio.sleep(silence)
        await ws.send("message 2")
        print(await ws.recv(), flush=True)


async def main(url: str, silence: float) -> None:
    # 4.3: when no Pong arrives, the library closes the connection, and report() raises
    # ConnectionClosedError. Catch it and print "the connection is dead".
    try:
        await report(url, silence)
    except ConnectionClosedError:
        print("the connection is dead", flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], float(sys.argv[2])))
