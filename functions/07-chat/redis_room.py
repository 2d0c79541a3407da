"""A room on Redis publish/subscribe: each message is delivered at most once and not stored.

Messages that are published while an instance's subscription is broken are lost for its members. The chat reports this
to the members, and to the sender when the number of receivers shows it.
"""

from typing import Any

from redis.asyncio.client import Pipeline
from redis.exceptions import ResponseError

import protocol
from member import Member
from redis_nodes import NotLive
from room import Room


class RedisRoom(Room):
    DOWN = "Redis does not answer. Messages from others do not arrive."
    UP = "Redis is back. Messages sent during the outage are lost."

    async def admit(self, member: Member, join: protocol.Join) -> None:
        self.welcome(member, durable=False)
        self.add(member)

    def say(self, member: Member, say: protocol.Say) -> None:
        if say.error:
            member.failed(say.ref, say.error)
        else:
            super().say(member, say)

    def send(self, pipe: Pipeline, member: Member, say: protocol.Say) -> None:
        self.node.publish(pipe, self, b"m" + protocol.message(member.id, member.name, say))

    def message(self, data: bytes) -> None:
        self.deliver(protocol.frame(data))

    def answer(self, member: Member, say: protocol.Say, answer: Any) -> None:
        """PUBLISH answers how many subscriptions the message went to."""
        if isinstance(answer, Exception):
            rejected = isinstance(answer, NotLive | ResponseError)  # otherwise it may have arrived before the failure
            member.failed(say.ref, f"Redis does not answer ({type(answer).__name__})", sure=rejected)
        elif answer or not self.node.counts:  # fewer than there are instances with members: some received nothing
            member.send("sent", ref=say.ref, receivers=answer,
                        missed=max(0, len(self.crowd.instances) - answer) if self.node.counts else 0)
        else:
            member.failed(say.ref, "no instance is subscribed to the room")
