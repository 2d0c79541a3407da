"""A room of one instance: its members, what they said and have to hear. How it travels is in redis_room.py."""

import asyncio
import contextlib
import logging
import urllib.parse
from collections.abc import Sequence

from redis.asyncio import Redis
from redis.exceptions import RedisError

import presence
import protocol
from member import Member

OUTBOX = 1000  # messages that may wait for Redis
JOIN = 5.0  # seconds a join may take
GATHER = 0.02  # seconds between two writes to a member; writing costs most of a busy room's CPU
Trouble = (RedisError, OSError, TimeoutError)  # what Redis may do to us


class Room:
    """One room on this instance. A subclass says how messages travel: `receive`, `send` and `admit`."""

    def __init__(self, redis: Redis, name: str, instance: str) -> None:
        self.redis, self.name = redis, name
        # The braces are a hash tag: in a Redis cluster all keys of one room live on one shard.
        self.key = f"chat:{{{urllib.parse.quote(name, safe='')}}}"
        self.users = 0  # members and those who are about to be
        self.open = True  # the loops below look at it: redis-py may turn a cancellation into an error of its own
        self.members: set[Member] = set()
        self.live = asyncio.Event()  # set while what is said elsewhere arrives here
        self.presence = presence.Presence(redis, f"{self.key}:members", instance)
        self._frames: list[bytes] = []
        self._written = 0.0  # when the last frames went out
        self._outbox: list[tuple[Member, protocol.Say]] = []
        self._said, self._changed = asyncio.Event(), asyncio.Event()
        self._gone: list[Member] = []
        self._task = asyncio.create_task(self._run())

    async def receive(self) -> None:
        """Deliver what is said in the room, for ever; keep `live` true to the facts."""
        raise NotImplementedError

    async def send(self, batch: Sequence[tuple[Member, protocol.Say]]) -> None:
        """Pass on what members said, in one trip to Redis, and tell each how it went."""
        raise NotImplementedError

    async def admit(self, member: Member, join: protocol.Join) -> None:
        """Say welcome and call `add` at a moment from which on `member` misses nothing."""
        raise NotImplementedError

    async def join(self, member: Member, join: protocol.Join) -> None:
        """Take a member in. Raises Violation (1013) if Redis does not answer within JOIN seconds."""
        member.name, member.client, member.acked = join.name, join.client or member.id, join.acked
        try:
            async with asyncio.timeout(JOIN):
                await self.live.wait()
                await self.admit(member, join)
        except Trouble:
            raise protocol.Violation("the room cannot be reached now; try again", 1013) from None

    def add(self, member: Member) -> None:
        """From now on `member` hears what is said."""
        self.flush()
        self.members.add(member)
        known = self.presence.members | {member.id: member.name}
        member.tell("members", members=[{"id": id, "name": name} for id, name in known.items()])
        self._changed.set()

    def drop(self, member: Member) -> None:
        """The opposite of `join`."""
        if member in self.members:
            self.members.discard(member)
            self._gone.append(member)
            self._changed.set()

    def say(self, member: Member, say: protocol.Say) -> None:
        """Queue what a member said; the answer is "sent" or "failed". Never waits: Redis may be slow."""
        if len(self._outbox) >= OUTBOX:
            return member.tell("failed", ref=say.ref, sure=True, reason="too much is waiting")
        self._outbox.append((member, say))
        self._said.set()

    def deliver(self, frame: bytes) -> None:
        """Give a frame to every member: at once in a quiet room, gathered in a busy one."""
        if not self._frames:
            asyncio.get_running_loop().call_at(self._written + GATHER, self.flush)
        self._frames.append(frame)

    def flush(self) -> None:
        """Write the frames that wait."""
        frames = b"".join(self._frames)
        self._frames.clear()
        if frames:
            self._written = asyncio.get_running_loop().time()
            for member in self.members:
                member.write(frames)

    def status(self, live: bool, text: str) -> None:
        """Tell the members whether what is said elsewhere arrives here, when that changes."""
        if live != self.live.is_set():
            (self.live.set if live else self.live.clear)()
            self.deliver(protocol.frame(protocol.dump("status", live=live, text=text)))

    async def refresh(self) -> None:
        """Write down who is here, read who is elsewhere, tell the members what has changed."""
        leaving, self._gone = self._gone, []
        joined, left = await self.presence.refresh(self.members, leaving)
        if joined or left:
            self.deliver(protocol.frame(protocol.dump(
                "presence", joined=[{"id": id, "name": name} for id, name in joined.items()], left=left)))

    async def close(self) -> None:
        """End the room on this instance, after its last member left."""
        self.open = False
        self._task.cancel()
        await asyncio.wait([self._task])
        with contextlib.suppress(Trouble):  # the entries expire anyway
            await self.presence.refresh((), self._gone)

    async def _run(self) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self.receive())
                group.create_task(self._publish())
                group.create_task(self._watch())
        except Exception:
            logging.exception("room %r failed", self.name)
            async with asyncio.TaskGroup() as group:
                for member in self.members:
                    group.create_task(member.connection.close(1011, "the room failed"))

    async def _publish(self) -> None:
        while self.open:
            await self._said.wait()
            self._said.clear()
            batch, self._outbox = self._outbox, []
            await self.send(batch)

    async def _watch(self) -> None:
        while self.open:
            self._changed.clear()
            with contextlib.suppress(Trouble):  # receive() tells the members; in a second all is written again
                await self.refresh()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(presence.EVERY):
                    await self._changed.wait()
