"""A Socket.IO client that continues where it stopped: python3 client.py https://localhost:9443 --until 20"""

import argparse
import asyncio
import sys

import socketio
from socketio.exceptions import ConnectionError


class Stream:
    """A reader of the stream. `messages`: the numbers received. Socket.IO itself reconnects with backoff and jitter."""

    def __init__(self, url: str, *, transports: tuple[str, ...] = ("websocket",)) -> None:
        self.url, self.transports = url, list(transports)
        self.messages: list[int] = []
        self.connections = 0
        self.arrived = asyncio.Event()
        self.client = socketio.AsyncClient(reconnection_delay=0.2, reconnection_delay_max=30, randomization_factor=0.5)
        self.client.on("connect", self._connected)
        self.client.on("message", self._message)

    async def _connected(self) -> None:
        self.connections += 1

    async def _message(self, message: dict[str, object]) -> None:
        number = int(str(message["id"]))
        if number > (self.messages[-1] if self.messages else 0):
            self.messages.append(number)
            self.arrived.set()

    # region follow
    async def follow(self, until: int) -> None:
        """Read until message number `until` has arrived, over as many connections as necessary."""
        try:
            await self.client.connect(self.url, transports=self.transports, auth=self._auth)
            while not self.messages or self.messages[-1] < until:
                self.arrived.clear()
                await self.arrived.wait()
        finally:
            await self.client.disconnect()

    async def _auth(self) -> dict[str, int]:
        # Called for every connection: the server continues after this number.
        return {"after": self.messages[-1] if self.messages else 0}
    # endregion


async def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description="Follow the stream through every cut, over Socket.IO.")
    parser.add_argument("url")
    parser.add_argument("--until", type=int, default=20, help="the number to stop at")
    parser.add_argument("--transports", default="websocket", help="websocket, or polling,websocket to see it fail")
    options = parser.parse_args(arguments)
    stream = Stream(options.url, transports=tuple(options.transports.split(",")))
    try:
        await stream.follow(options.until)
    except (ConnectionError, RuntimeError) as refused:  # RuntimeError: aiohttp raises it for some refused handshakes
        sys.exit(f"no connection by {options.transports}: {refused}")
    print(f"{len(stream.messages)} messages over {stream.connections} connections")


if __name__ == "__main__":
    try:
        asyncio.run(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
