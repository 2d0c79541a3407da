"""A client that loses nothing: it reconnects, resumes after its last message, and repeats unanswered messages.

    python3 client.py wss://localhost:9443 tea Ana

It speaks to the publish/subscribe chat too. There, a message without an answer remains uncertain.
"""

import asyncio
import contextlib
import json
import random
import secrets
import ssl
import sys
import unicodedata
from collections.abc import Callable, Iterable
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidMessage, InvalidStatus

import retry

WINDOW = 16  # messages that may wait for an answer
TEXT_LENGTH = 1000  # characters
MARGIN = 0.8  # of the announced rate, since the network may deliver messages in bursts


class Client:
    """One person in one room. Run it as a task: `asyncio.create_task(client.run())`.

    `on_event(event)` is called with every message of the chat. `messages` are the room's messages, in order. Of the
    texts that this client sent, `refused` are those that no member received, `unsure` those whose fate is unknown, and
    `missed` those that some instance did not receive. With the durable chat, `unsure` and `missed` stay empty, and
    `refused` has only texts that broke a rule. `gone` counts losses of the room's history.
    """

    def __init__(self, url: str, room: str, name: str, on_event: Callable[[dict[str, Any]], None] = lambda event: None):
        self.url, self.room, self.name, self.on_event = url, room, name, on_event
        self.messages: list[dict[str, Any]] = []
        self.refused: list[str] = []
        self.unsure: list[str] = []
        self.missed: list[str] = []
        self.gone = self.connections = self.acked = 0
        self.state = "connecting"  # connecting, joining, in, waiting, closed
        self.members: dict[str, str] = {}
        self.instance = ""  # the instance that serves this client
        self.changed = asyncio.Condition()
        self._secret, self._after, self._durable = secrets.token_hex(16), "", False
        self._outbox: dict[int, str] = {}  # ref -> text, until it has an answer
        self._last = 0  # the newest ref
        self._next = 1  # the ref to be sent next
        self._connection: ClientConnection | None = None
        self._window = WINDOW  # 1 after a failure, until a message is accepted
        self._held: asyncio.TimerHandle | None = None  # set while nothing may be sent
        self._rate, self._burst, self._tokens, self._filled = 0.0, 0.0, 0.0, 0.0

    async def run(self) -> None:
        """Stay connected until cancelled. Raises the error that will not pass: see `retry.py`."""
        failures = 0
        while True:
            try:
                async with connect(self.url, compression=None, open_timeout=5) as connection:
                    self.connections += 1
                    await self._enter("joining")
                    await connection.send(_json(type="join", room=self.room, name=self.name, client=self._secret,
                                                acked=self.acked, after=self._after))
                    self._connection = connection
                    try:
                        async for data in connection:
                            await self._receive(json.loads(data))
                            if self.state == "in":
                                failures = 0
                    except asyncio.CancelledError:
                        await connection.close()  # otherwise the library closes with 1011, an internal error
                        raise
                rule = retry.rule(close_code=connection.close_code)
                error: Exception = ConnectionError(f"closed with {connection.close_code}")
            except ConnectionClosed as closed:
                rule, error = retry.rule(close_code=closed.rcvd.code if closed.rcvd else 1006), closed
            except InvalidStatus as refused:
                rule, error = retry.rule(status=refused.response.status_code), refused
            except ssl.SSLCertVerificationError as untrusted:
                rule, error = retry.UNTRUSTED, untrusted
            except (OSError, TimeoutError, InvalidHandshake, InvalidMessage) as unreachable:
                rule, error = retry.rule(), unreachable
            self._connection = None
            wait = retry.wait(rule.when, failures, random.random(), base=0.1, longest=10)
            if wait is None:
                await self._enter("closed")
                raise error
            failures += 1
            await self._enter("waiting")
            await asyncio.sleep(wait)

    async def say(self, text: str) -> int:
        """Send a text, now or when there is a connection again, and return its ref. See `confirmed`."""
        if len(text) > TEXT_LENGTH:
            raise ValueError(f"the text is longer than {TEXT_LENGTH} characters")
        self._last += 1
        self._outbox[self._last] = text
        await self._send()
        return self._last

    async def confirmed(self) -> None:
        """Wait until every text that was sent has an answer."""
        async with self.changed:
            await self.changed.wait_for(lambda: not self._outbox)

    async def joined(self) -> None:
        """Wait until this client is in the room."""
        async with self.changed:
            await self.changed.wait_for(lambda: self.state == "in")

    async def sees(self, name: str) -> None:
        """Wait until a member of that name is in the room."""
        async with self.changed:
            await self.changed.wait_for(lambda: name in self.members.values())

    async def _send(self) -> None:
        while (self._connection and self.state == "in" and not self._held and self._next in self._outbox
               and self._next <= self.acked + self._window):
            if (delay := self._pause()) > 0:
                self._held = asyncio.get_running_loop().call_later(delay, self._release)
                return
            ref, self._next = self._next, self._next + 1
            try:
                await self._connection.send(_json(type="say", ref=ref, text=self._outbox[ref]))
            except ConnectionClosed:
                return  # run() notices

    def _pause(self) -> float:
        """Take one message from the announced rate, or return the seconds until there is one."""
        if not self._rate:
            return 0
        now = asyncio.get_running_loop().time()
        self._tokens, self._filled = min(self._burst, self._tokens + (now - self._filled) * self._rate), now
        if self._tokens < 1:
            return (1 - self._tokens) / self._rate
        self._tokens -= 1
        return 0

    async def _receive(self, event: dict[str, Any]) -> None:
        self._after = event.get("id", self._after) if event["type"] == "message" else self._after
        match event["type"]:
            case "welcome":
                self._durable, self.instance = event["durable"], event.get("instance", "")
                self._rate, self._burst = (MARGIN * event.get(field, 0) for field in ("rate", "burst"))
                self._tokens, self._filled = self._burst, asyncio.get_running_loop().time()
                self.gone += bool(event.get("gone"))
                self._after = event.get("after", "")
                if self._durable:
                    self._next = self.acked + 1
                else:
                    self._settle(range(self.acked + 1, self._next), self.unsure)
            case "gone":
                self.gone += 1
            case "message":
                self.messages.append(event)
            case "members":
                self.members = {member["id"]: member["name"] for member in event["members"]}
                await self._enter("in")
            case "presence":
                self.members |= {member["id"]: member["name"] for member in event["joined"]}
                for id in event["left"]:
                    self.members.pop(id, None)
            case "sent":
                self._window = WINDOW
                self._settle(self._answered(event["ref"]), self.missed if event.get("missed") else None)
            case "status" if event["live"] and self._held and self._durable:
                self._repeat()
            case "failed" if self._durable and event["retry"]:
                self._window, self._next = 1, self.acked + 1
                self._hold(0.5, self._repeat)
            case "failed":
                self._settle(self._answered(event["ref"]), self.refused if event["sure"] else self.unsure)
        self.on_event(event)
        await self._send()
        async with self.changed:
            self.changed.notify_all()

    def _settle(self, refs: Iterable[int], into: list[str] | None) -> None:
        """These messages have an answer."""
        for ref in refs:
            text = self._outbox.pop(ref, None)
            if into is not None and text is not None:
                into.append(text)
        while self.acked < self._last and self.acked + 1 not in self._outbox:
            self.acked += 1
        self._next = max(self._next, self.acked + 1)  # an answer can overtake the repetition of its message

    def _answered(self, ref: int) -> Iterable[int]:
        """Return the messages that an answer to `ref` settles: the durable chat accepts them in order."""
        return range(self.acked + 1, ref + 1) if self._durable else (ref,)

    def _hold(self, delay: float, then: Callable[[], None]) -> None:
        if self._held:
            self._held.cancel()
        self._held = asyncio.get_running_loop().call_later(delay, then)

    def _repeat(self) -> None:
        self._next = self.acked + 1
        self._release()

    def _release(self) -> None:
        if self._held:
            self._held.cancel()
        self._held = None
        self._sending = asyncio.ensure_future(self._send())

    async def _enter(self, state: str) -> None:
        async with self.changed:
            self.state = state
            self.changed.notify_all()


def _json(**fields: object) -> str:
    """JSON with letters as they are: escaped, an emoji would take twelve bytes instead of four."""
    return json.dumps(fields, ensure_ascii=False)


def printable(text: str) -> str:
    """Replace control characters, which could move the cursor or change the terminal, by a visible mark."""
    return "".join("\N{REPLACEMENT CHARACTER}" if unicodedata.category(c) in ("Cc", "Cf", "Cs") and c != "\n" else c
                   for c in text)


async def main(url: str, room: str, name: str) -> int:
    """Chat in the terminal, until the end of the input."""
    def show(event: dict[str, Any]) -> None:
        if event["type"] == "message":
            print(f"{printable(event['name'])}: {printable(event['text'])}")

    client = Client(url, room, name, show)
    running = asyncio.create_task(client.run())

    async def talk() -> None:
        while line := await asyncio.to_thread(sys.stdin.readline):
            if line.strip():
                await client.say(line.strip()[:TEXT_LENGTH])
        await client.confirmed()

    talking = asyncio.create_task(talk())
    await asyncio.wait([running, talking], return_when=asyncio.FIRST_COMPLETED)
    talking.cancel()
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        try:
            await running
        except (ConnectionClosed, InvalidHandshake, OSError) as error:
            print(f"The chat cannot be reached: {error}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit("Usage: python3 client.py URL ROOM NAME")
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(asyncio.run(main(*sys.argv[1:])))
