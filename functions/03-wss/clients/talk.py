"""Send one message over a WebSocket and print the answer: python3 talk.py wss://localhost:9443/talk hello"""

import asyncio
import sys

from websockets.asyncio.client import connect


async def main(url: str, text: str = "hello") -> None:
    async with connect(url) as socket:
        await socket.send(text)
        print(await socket.recv())


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit("usage: talk.py URL [TEXT]")
    asyncio.run(main(*sys.argv[1:]))
