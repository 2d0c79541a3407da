"""A client that receives 500 numbered messages and stores each once and in order.

    python3 client.py wss://localhost:9443
"""

import asyncio
import random
import sys
from collections.abc import Callable

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosedError, InvalidStatus

LAST = 500


def wait(cause: int, failures: int, random_number: float) -> float | None:
    """Return the seconds to wait before the next attempt, or None for no further attempt.

    cause: the close code, or the HTTP status of a rejected handshake. failures: the number of failed attempts in a row
    before this one, from 0. random_number: from 0 to 1, drawn by the caller.
    """
    # TODO 5.2: 400, 403, 404 and 1008 are permanent: return None. For other causes wait a random part of a span. It
    # is 0.1 seconds at first, doubles with each failure, and is at most 2 seconds.
    return 0.1  # <- your code here
    # end of 5.2


async def receive(url: str, store: Callable[[int], None]) -> None:
    """Store all messages, over as many connections as necessary."""
    last, failures = 0, 0
    while last < LAST:
        # TODO 5.1: with ?after=N in the URL, the server continues after message N.
        address = url  # <- your code here
        # end of 5.1
        cause = 1006
        try:
            async with connect(address) as ws:
                async for message in ws:
                    number = int(message)
                    # TODO 5.1: the server may repeat the messages just before. Store only new ones.
                    store(number)  # <- your code here
                    last, failures = number, 0
                    # end of 5.1
        except ConnectionClosedError as closed:
            cause = closed.rcvd.code if closed.rcvd else 1006
        # TODO 5.3: when the server rejects the handshake, connect() raises InvalidStatus. Catch it and set `cause` to
        # the HTTP status: rejected.response.status_code if you name the exception `rejected`.
        # <- your code here
        # end of 5.3
        if last < LAST:
            seconds = wait(cause, failures, random.random())
            if seconds is None:
                sys.exit(f"gave up: {cause}")
            failures += 1
            await asyncio.sleep(seconds)


if __name__ == "__main__":
    asyncio.run(receive(sys.argv[1], lambda number: print(number, flush=True)))
