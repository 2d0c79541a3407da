"""A client that loses nothing: it reconnects, resumes after its last message, and repeats what was not confirmed.

    python3 client.py wss://localhost:9443 tea Ana

It speaks to the publish/subscribe chat too; there, what was under way when a connection broke stays uncertain.
"""

import asyncio
import json
import random
import secrets
import sys
from collections.abc import Callable
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidMessage

WINDOW = 16  # messages sent and not yet confirmed
NEVER = {1008, 1009}  # close codes after which it would go wrong again


class Client:
    """One person in one room. Run it as a task: `asyncio.create_task(client.run())`.

    `on_event(event)` is called with all that the chat says. `messages` are those received, in order. Of what was
    said, `unsure` are the texts of which nobody knows whether they were heard, `refused` those that nobody heard and
    `missed` those that some instance did not get: all three stay empty with the durable chat. `gone` counts how often
    the room's history was lost behind our back.
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
        self.changed = asyncio.Condition()
        self._secret, self._epoch, self._after, self._durable = secrets.token_hex(16), "", "", False
        self._outbox: dict[int, str] = {}  # ref -> text, until it is confirmed
        self._last = 0  # the newest ref
        self._next = 1  # the ref to be sent next
        self._connection: ClientConnection | None = None
        self._window = WINDOW  # 1 after a failure, until something is confirmed
        self._held: asyncio.TimerHandle | None = None  # set after a failure: wait before sending again

    async def run(self) -> None:
        """Stay connected until cancelled; raises ConnectionClosed if the chat throws us out for good."""
        pause = 0.1
        while True:
            try:
                async with connect(self.url, compression=None, open_timeout=5) as connection:
                    self.connections += 1
                    await self._enter("joining")
                    await connection.send(json.dumps({
                        "type": "join", "room": self.room, "name": self.name, "client": self._secret,
                        "acked": self.acked, "epoch": self._epoch, "after": self._after}))
                    self._connection = connection
                    async for data in connection:
                        await self._hear(json.loads(data))
                        if self.state == "in":
                            pause = 0.1
            except ConnectionClosed as closed:
                if closed.rcvd and closed.rcvd.code in NEVER:
                    await self._enter("closed")
                    raise
            except (OSError, TimeoutError, InvalidHandshake, InvalidMessage):
                pass
            self._connection = None
            await self._enter("waiting")
            await asyncio.sleep(random.uniform(0, pause))
            pause = min(2 * pause, 10)

    async def say(self, text: str) -> int:
        """Say something, now or when there is a connection again; its number. See `confirmed`."""
        self._last += 1
        self._outbox[self._last] = text
        await self._send()
        return self._last

    async def confirmed(self) -> None:
        """Wait until nothing said is without an answer."""
        async with self.changed:
            await self.changed.wait_for(lambda: not self._outbox)

    async def joined(self) -> None:
        """Wait until we are in the room."""
        async with self.changed:
            await self.changed.wait_for(lambda: self.state == "in")

    async def sees(self, name: str) -> None:
        """Wait until somebody of that name is in the room."""
        async with self.changed:
            await self.changed.wait_for(lambda: name in self.members.values())

    async def _send(self) -> None:
        while (self._connection and self.state == "in" and not self._held and self._next in self._outbox
               and self._next <= self.acked + self._window):
            ref, self._next = self._next, self._next + 1
            try:
                await self._connection.send(json.dumps({"type": "say", "ref": ref, "text": self._outbox[ref]}))
            except ConnectionClosed:
                return  # run() notices

    async def _hear(self, event: dict[str, Any]) -> None:
        self._after = event.get("id", self._after) if event["type"] in ("message", "opened") else self._after
        match event["type"]:
            case "welcome":
                self._durable, self._epoch = event["durable"], event.get("epoch", "")
                if event.get("gone"):
                    self.gone, self._after = self.gone + 1, ""
                if self._durable:
                    self._next = self.acked + 1
                else:
                    self._settle(self._next - 1, self.unsure)
            case "epoch":
                self.gone, self._epoch, self._after = self.gone + 1, event["epoch"], ""
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
                self._settle(event["ref"], self.missed if event.get("missed") else None)
            case "status" if event["live"] and self._held:
                self._resend()
            case "failed" if self._durable:
                self._window, self._next = 1, self.acked + 1
                if not self._held:
                    self._held = asyncio.get_running_loop().call_later(0.5, self._resend)
            case "failed":
                self._settle(event["ref"], self.refused if event["sure"] else self.unsure)
        self.on_event(event)
        await self._send()
        async with self.changed:
            self.changed.notify_all()

    def _settle(self, ref: int, into: list[str] | None) -> None:
        """All up to `ref` has its answer."""
        for settled in range(self.acked + 1, ref + 1):
            text = self._outbox.pop(settled)
            if into is not None:
                into.append(text)
        self.acked = max(self.acked, ref)

    def _resend(self) -> None:
        if self._held:
            self._held.cancel()
        self._held, self._next = None, self.acked + 1
        self._sending = asyncio.ensure_future(self._send())

    async def _enter(self, state: str) -> None:
        async with self.changed:
            self.state = state
            self.changed.notify_all()


async def main(url: str, room: str, name: str) -> None:
    """Chat in the terminal."""
    def show(event: dict[str, Any]) -> None:
        if event["type"] == "message":
            print(f"{event['name']}: {event['text']}")
    client = Client(url, room, name, show)
    task = asyncio.create_task(client.run())
    while line := await asyncio.to_thread(sys.stdin.readline):
        await client.say(line.strip() or "...")
    await client.confirmed()
    task.cancel()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:4]))
