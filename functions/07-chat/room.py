"""A room on one instance: its members, and what they receive. redis_room.py decides how messages travel."""

import asyncio
import json
import urllib.parse
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from redis.asyncio.client import Pipeline

import protocol
from log import log_error
from member import Member
from presence import LISTED, Crowd, Presence
from redis_nodes import REDIS_FAILURES, Node, NotLive

JOIN = 5.0  # seconds that a join may take
GATHER = 0.02  # seconds between two writes to a member; writing costs most of a busy room's CPU
COUNT = 1.0  # seconds until the members of a large crowd receive its new size


class Room(ABC):
    """One room. A subclass decides how messages travel: `send`, `answer`, `message` and `admit`."""

    ASKS = 1  # answers that `recover` needs
    DOWN, UP = "", ""  # texts for the members when Redis fails and answers again

    def __init__(self, name: str, instance: str, presence: Presence) -> None:
        self.name, self.instance, self.presence = name, instance, presence
        self.node: Node | None = None
        # The braces are a hash tag: in a Redis Cluster, all keys of one room are on one node.
        self.key = f"chat:{{{urllib.parse.quote(name, safe='')}}}"
        self.channel, self.crowd_key = self.key.encode(), f"{self.key}:members"
        self.users = 0  # members, and connections that are about to be
        self.failed = False
        self.live = asyncio.Event()  # set while messages of other instances arrive here
        self.members: dict[str, Member] = {}  # field in the crowd -> member
        self.crowd = Crowd()
        self._recent: dict[str, str | None] | None = None  # changes that arrived between `ask` and `recover`
        self._counting: asyncio.TimerHandle | None = None  # set while the members do not have the newest size
        self._frames: list[bytes] = []
        self._written = 0.0  # when the last frames were written

    # How messages travel.

    @abstractmethod
    def send(self, pipe: Pipeline, member: Member, say: protocol.Say) -> None:
        """Add the one command that accepts a message to a pipeline."""

    @abstractmethod
    def answer(self, member: Member, say: protocol.Say, answer: Any) -> None:
        """Send the sender the result of its message. `answer` is Redis's, or an exception."""

    @abstractmethod
    def message(self, data: bytes) -> None:
        """Deliver a message that came through the subscription."""

    @abstractmethod
    async def admit(self, member: Member, join: protocol.Join) -> None:
        """Send "welcome" and call `add` at a moment from which on `member` misses nothing."""

    def say(self, member: Member, say: protocol.Say) -> None:
        """Queue a message of a member. The answer is "sent" or "failed"."""
        self.node.say(self, member, say)

    # Members.

    async def join(self, member: Member, join: protocol.Join) -> None:
        """Let a member in. Raises Violation (1013) if Redis does not answer within JOIN seconds."""
        member.id, member.name, member.client, member.acked = join.id, join.name, join.client, join.acked
        try:
            async with asyncio.timeout(JOIN):
                await self._ready()
                await self.admit(member, join)
        except REDIS_FAILURES:
            raise protocol.Violation("the room cannot be reached now; try again", 1013) from None

    async def _ready(self) -> None:
        """Wait until the room is live, also after this instance was frozen."""
        while True:
            await self.live.wait()
            if self.failed:
                raise protocol.Violation("the room failed; try again", 1011)
            try:
                return await self.node.fence()
            except NotLive:
                await asyncio.sleep(0.05)

    def welcome(self, member: Member, **fields: Any) -> None:
        member.send("welcome", room=self.name, id=member.id, name=member.name, instance=self.instance, **fields,
                    rate=protocol.RATE, burst=protocol.BURST)

    def add(self, member: Member) -> None:
        """Add a member, which receives all messages from now on."""
        self.flush()
        field = self._field(member)
        self._announce({field: _entry(member)})
        self.flush()  # the others receive the change; the new member receives the list
        self.members[field] = member
        member.send("members", **self.crowd.listing(field))

    def drop(self, member: Member) -> None:
        """Remove a member, and announce it."""
        if self.members.pop(field := self._field(member), None):
            self._announce({field: None})

    def own(self) -> dict[str, str | None]:
        """Return the fields of this instance's members."""
        return {field: _entry(member) for field, member in self.members.items()}

    def _field(self, member: Member) -> str:
        return f"{self.instance} {member.number}"

    def _announce(self, fields: Mapping[str, str | None]) -> None:
        self.people(fields)
        self.presence.announce(self, fields)

    def people(self, fields: Mapping[str, str | None]) -> None:
        """Apply changes of presence and send them to the members. A large crowd receives its size only."""
        before = self.crowd.size
        change = self.crowd.apply(fields)
        if change and self.crowd.size > LISTED:
            if not self._counting:
                self._counting = asyncio.get_running_loop().call_later(COUNT, self._count)
        elif change:
            if before > LISTED:
                self.deliver(protocol.frame(protocol.dump("members", **self.crowd.listing())))
            self.deliver(protocol.frame(protocol.dump("presence", **change)))

    def _count(self) -> None:
        """Send the size of the crowd, once for all changes of the last second."""
        self._counting = None
        self.deliver(protocol.frame(protocol.dump("presence", joined=[], left=[], count=self.crowd.size)))

    # What arrives.

    def receive(self, data: bytes) -> None:
        """Handle one message of the subscription: b"m" and a message, or b"p" and changes of presence."""
        if data.startswith(b"m"):
            self.message(data[1:])
        elif data.startswith(b"p"):
            changes = json.loads(data[1:])
            theirs = {field: value for field, value in changes.items() if not field.startswith(f"{self.instance} ")}
            if self._recent is not None:
                self._recent |= theirs
            self.people(theirs)
            # Another instance took this one for dead and removed its members, perhaps after their new announcement.
            if removed := {field: _entry(self.members[field]) for field, value in changes.items()
                           if not value and field in self.members}:
                self.presence.announce(self, removed)

    def ask(self, pipe: Pipeline) -> None:
        """Add the commands whose answers `recover` needs."""
        self._recent = {}
        pipe.hgetall(self.crowd_key)

    async def recover(self, entries: dict[bytes, bytes]) -> None:
        """Bring the room up to date after its subscription began. `entries` is the crowd as Redis had it."""
        recent, self._recent = self._recent or {}, None
        theirs = {field.decode(): value.decode() for field, value in entries.items()} | recent
        mine = self.own()
        stale = {field for field in theirs if field.startswith(f"{self.instance} ")} - mine.keys()
        self.people(dict.fromkeys(self.crowd.people) | theirs | dict.fromkeys(stale) | mine)
        if changes := dict.fromkeys(stale) | {field: mine[field] for field in mine.keys() - theirs.keys()}:
            self.presence.announce(self, changes)
        self._status(True, self.UP)

    def interrupted(self) -> None:
        """Messages of other instances no longer arrive."""
        self._status(False, self.DOWN)

    def deliver(self, frame: bytes) -> None:
        """Send a frame to every member: at once in a quiet room, gathered in a busy one."""
        if not self._frames:
            asyncio.get_running_loop().call_at(self._written + GATHER, self.flush)
        self._frames.append(frame)

    def flush(self) -> None:
        """Write the frames that wait."""
        frames = b"".join(self._frames)
        self._frames.clear()
        if frames:
            self._written = asyncio.get_running_loop().time()
            for member in self.members.values():
                member.write(frames)

    def _status(self, live: bool, text: str) -> None:
        if live != self.live.is_set():
            (self.live.set if live else self.live.clear)()
            self.deliver(protocol.frame(protocol.dump("status", live=live, text=text)))

    def fail(self, error: Exception) -> None:
        """Close the room after an error in this program. The next join creates a new room."""
        log_error("room.failed", error, room=self.name)
        self.failed = True
        self.live.set()  # joins that wait can fail now
        for member in self.members.values():
            member.close(1011, "the room failed")


def _entry(member: Member) -> str:
    """Return what Redis has about a member."""
    return f"{member.id} {member.name}"
