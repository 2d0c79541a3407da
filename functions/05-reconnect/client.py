"""A client that loses no message: it reconnects after every cut and continues after its last number.

    async for message in Stream("wss://.../"):
        print(message["id"], message["text"])

By hand: python3 client.py wss://localhost:9443/ --until 20
"""

import argparse
import asyncio
import contextlib
import json
import random
import ssl
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

from retry import UNTRUSTED, Rule, rule, wait


class GaveUp(Exception):
    """The end of all attempts. The message has the reason."""


def resume_url(url: str, after: int) -> str:
    """Return `url` with `after=N` in its query: the stream then begins after number N."""
    parts = urlsplit(url)
    query = [(name, value) for name, value in parse_qsl(parts.query) if name != "after"]
    return urlunsplit(parts._replace(query=urlencode([*query, ("after", str(after))])))


class Stream:
    """The messages of `url`, each exactly once and in order, over as many connections as necessary.

    `after`: the last number that you have; it is updated with every message, so save it with your own data.
    `attempts`: the number of failures in a row after which the stream gives up. `on_state` is called with
    "connecting", "open", "waiting 2.1 s (1006: ...)", "done" and "gave up: ...". Tests replace `random_source`
    and `sleep`. Leave the loop through `contextlib.aclosing(aiter(stream))`, as `main` does: it closes the connection
    at once.
    """

    def __init__(self, url: str, *, after: int = 0, attempts: int = 10, base: float = 1.0, longest: float = 30.0,
                 on_state: Callable[[str], object] = lambda state: None,
                 random_source: Callable[[], float] = random.random,
                 sleep: Callable[[float], Awaitable[object]] = asyncio.sleep) -> None:
        self.url, self.after, self.attempts = url, after, attempts
        self.base, self.longest = base, longest
        self.on_state, self._random, self._sleep = on_state, random_source, sleep
        self.connections = 0
        self.repeats = 0

    # region resume
    async def __aiter__(self) -> AsyncIterator[dict[str, Any]]:
        failures = 0
        while True:
            self.on_state("connecting")
            try:
                ws = await connect(resume_url(self.url, self.after))
                try:
                    self.connections += 1
                    self.on_state("open")
                    async for data in ws:
                        message = json.loads(data)
                        if message["id"] <= self.after:  # sent again: the stream has delivered it already
                            self.repeats += 1
                            continue
                        self.after, failures = message["id"], 0  # progress: the next failure is the first again
                        yield message
                finally:
                    await ws.close()  # code 1000, also when the loop around this stream ends early
                cause, why = f"{ws.close_code}", rule(close_code=ws.close_code)
            except ConnectionClosed as closed:
                code = closed.rcvd.code if closed.rcvd else 1006
                cause, why = f"{code}", rule(close_code=code)
            except InvalidStatus as refused:
                cause, why = f"{refused.response.status_code}", rule(status=refused.response.status_code)
            except ssl.SSLCertVerificationError as untrusted:
                cause, why = type(untrusted).__name__, UNTRUSTED
            except (OSError, TimeoutError, InvalidHandshake) as unreachable:
                cause, why = type(unreachable).__name__, rule()
            if cause == "1000":
                self.on_state("done")
                return
            await self._pause(cause, why, failures)
            failures += 1
    # endregion

    async def _pause(self, cause: str, why: Rule, failures: int) -> None:
        """Wait as the rule says. Raises GaveUp where the rule is "never", and after too many failures."""
        seconds = wait(why.when, failures, self._random(), base=self.base, longest=self.longest)
        if seconds is None or failures >= self.attempts:
            reason = f"{cause}: {why.why}" if seconds is None else f"{failures} failures in a row, the last {cause}"
            self.on_state(f"gave up: {reason}")
            raise GaveUp(reason)
        self.on_state(f"waiting {seconds:.1f} s ({cause}: {why.why})")
        await self._sleep(seconds)


async def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description="Follow a numbered stream through every cut.")
    parser.add_argument("url")
    parser.add_argument("--after", type=int, default=0, help="the last number that you have")
    parser.add_argument("--until", type=int, help="the number to stop at")
    options = parser.parse_args(arguments)
    stream = Stream(options.url, after=options.after, on_state=lambda state: print(f"  [{state}]", flush=True))
    async with contextlib.aclosing(aiter(stream)) as messages:
        async for message in messages:
            print(message["id"], message["text"], flush=True)
            if options.until is not None and message["id"] >= options.until:
                break


if __name__ == "__main__":
    try:
        asyncio.run(main(sys.argv[1:]))
    except GaveUp as gave_up:
        sys.exit(f"gave up: {gave_up}")
    except KeyboardInterrupt:
        sys.exit(130)
