"""The telegraph's receiving end: writes down 500 words, each once and in order.

    python3 client.py wss://localhost:9443
"""

import asyncio
import random
import sys
from collections.abc import Callable

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosedError, InvalidStatus

LAST = 500


def wait(cause: int, failures: int, draw: float) -> float | None:
    """Seconds to wait before the next attempt; None for no further attempt.

    cause: the close code, or the HTTP status of a refused handshake. failures: how many attempts in a row have failed
    before, from 0. draw: a random number from 0 to 1.
    """
    # TODO 5.2: 400, 403, 404 and 1008 will be the same the next time: never. For everything else draw from a span that
    # is a tenth of a second at first, doubles with each failure, and ends at two seconds.
    #: begin solution 5.2
    if cause in (400, 403, 404, 1008):
        return None
    return draw * min(2.0, 0.1 * 2**failures)
    #: else
    return 0.1  # <- your code here
    #: end


async def receive(url: str, write_down: Callable[[int], None]) -> None:
    """Write down all words, over as many connections as that takes."""
    last, failures = 0, 0
    while last < LAST:
        # TODO 5.1: the office goes on with number N for those who ask with ?after=N
        #: begin solution 5.1
        address = f"{url}?after={last}"
        #: else
        address = url  # <- your code here
        #: end
        cause = 1006
        try:
            async with connect(address) as ws:
                async for word in ws:
                    number = int(word)
                    # TODO 5.1: the office repeats the last word; write down only what is new
                    #: begin solution 5.1
                    if number > last:
                        write_down(number)
                        last, failures = number, 0
                    #: else
                    write_down(number)  # <- your code here
                    last, failures = number, 0
                    #: end
        except ConnectionClosedError as closed:
            cause = closed.rcvd.code if closed.rcvd else 1006
        # TODO 5.3: when the office is overrun, connect() raises InvalidStatus. Catch it and set `cause` to the HTTP
        # status, refused.response.status_code if you call the exception `refused`.
        #: begin solution 5.3
        except InvalidStatus as refused:
            cause = refused.response.status_code
        #: else
        # <- your code here
        #: end
        if last < LAST:
            seconds = wait(cause, failures, random.random())
            if seconds is None:
                sys.exit(f"gave up: {cause}")
            failures += 1
            await asyncio.sleep(seconds)


if __name__ == "__main__":
    asyncio.run(receive(sys.argv[1], lambda number: print(number, flush=True)))
