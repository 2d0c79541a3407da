"""A room whose messages travel by Redis publish/subscribe: at most once, nothing is kept.

One subscription per room and instance, however many members. What is published while an instance's subscription is
broken is lost for its members; the chat says so, to them and, as far as it can know, to the sender.
"""

import asyncio
import itertools
import random
from collections.abc import Sequence

from redis.asyncio import Redis
from redis.asyncio.client import PubSub

import protocol
from member import Member
from room import Room, Trouble

SILENCE = 2.0  # seconds without a word from Redis after which we ask, and after which we no longer believe


class RedisRoom(Room):
    """A room on publish/subscribe."""

    def __init__(self, redis: Redis, name: str, instance: str) -> None:
        self._pubsub: PubSub | None = None
        self._numbers = itertools.count()
        self._fences: dict[bytes, asyncio.Event] = {}
        super().__init__(redis, name, instance)

    async def receive(self) -> None:
        """Keep one subscription; make a new one whenever it breaks or falls silent."""
        while self.open:
            try:
                async with self.redis.pubsub() as self._pubsub:
                    await self._pubsub.subscribe(self.key)
                    await self._listen(self._pubsub)
            except Trouble:
                self._pubsub = None
                self.status(False, "No word from Redis: what others say does not arrive.")
                await asyncio.sleep(random.uniform(0.1, 0.5))

    async def _listen(self, pubsub: PubSub) -> None:
        asked = False
        while self.open:
            said = await pubsub.get_message(timeout=SILENCE)
            if said is None:
                if asked:
                    raise TimeoutError
                await pubsub.ping()
                asked = True
                continue
            asked = False
            if said["type"] == "message":
                self.deliver(protocol.frame(said["data"]))
            elif said["type"] == "subscribe":
                await self.refresh()  # how many instances there are, before the first message goes out
                self.status(True, "Redis is back. What was said meanwhile is lost.")
                for fence in self._fences.values():
                    fence.set()
            elif said["data"] in self._fences:
                self._fences[said["data"]].set()

    async def admit(self, member: Member, join: protocol.Join) -> None:
        """A thawed instance may hold old messages, or a subscription that Redis has dropped.

        So send a PING through it: the answer comes after the old messages, or the room subscribes anew.
        """
        fence, number = asyncio.Event(), b"%d" % next(self._numbers)
        self._fences[number] = fence
        try:
            if self._pubsub:
                await self._pubsub.ping(number)
            await fence.wait()
        except Trouble:
            await fence.wait()  # the subscription is broken: receive() notices and makes a new one
        finally:
            del self._fences[number]
        member.tell("welcome", room=self.name, id=member.id, durable=False)
        self.add(member)

    async def send(self, batch: Sequence[tuple[Member, protocol.Say]]) -> None:
        """One PUBLISH per message, all in one trip. It answers how many subscriptions the message went to."""
        if not self.live.is_set():
            return self._failed(batch, True, "Redis does not answer")
        pipe = self.redis.pipeline(transaction=False)
        for member, say in batch:
            pipe.publish(self.key, protocol.message(member.id, member.name, say))
        try:
            counts = await pipe.execute()
        except Trouble as error:
            return self._failed(batch, False, f"Redis does not answer ({type(error).__name__})")
        for (member, say), count in zip(batch, counts, strict=True):
            if count:  # fewer than there are instances with members: some members did not hear it
                member.tell("sent", ref=say.ref, receivers=count, missed=max(0, self.presence.instances - count))
            else:
                self._failed([(member, say)], True, "nobody was listening: not even this instance")

    @staticmethod
    def _failed(batch: Sequence[tuple[Member, protocol.Say]], sure: bool, reason: str) -> None:
        for member, say in batch:
            member.tell("failed", ref=say.ref, sure=sure, reason=reason)
