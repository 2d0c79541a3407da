"""A room whose messages are kept in a Redis stream: each accepted message reaches every member once, in one order.

One script appends a message to the stream and publishes it, in one step. A message carries the id of the one before it.
So an instance that was not connected for a moment notices what it missed, and reads it from the stream. In the same way
a member that reconnects sends the id of its last message and receives what it missed. A message that a client repeats,
because no answer arrived, is recognized by its ref.
Redis must keep what it accepted: appendonly yes, appendfsync always (with everysec, a crash can lose one second).
"""

import asyncio
from typing import Any

from redis.asyncio.client import Pipeline

import protocol
from member import Member
from redis_nodes import REDIS_FAILURES
from room import Room

KEEP = 10_000  # messages of a room, about
AGE = 24 * 3600 * 1000  # milliseconds until a message is deleted
HISTORY = 50  # messages that a newcomer receives
PAGE = 500  # messages in one trip to Redis
START = b"0-0"  # the id before the first message of a stream

# One step in Redis 6.2 and newer and in Valkey. All keys belong to one room, and so to one node of a cluster.
_SAY = """
local last = tonumber(redis.call('GET', KEYS[2]) or ARGV[2])
local ref = tonumber(ARGV[1])
if ref <= last then return 'again' end
if ref > last + 1 then return 'gap' end
redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[5])
if ARGV[3] == '' then return 'refused' end
local newest = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1]
local before = newest and newest[1] or '0-0'
local id = redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[4], '*', 'm', ARGV[3], 'p', before)
redis.call('XTRIM', KEYS[1], 'MINID', '~', string.format('%d', tonumber(id:match('^%d+')) - ARGV[5]))
redis.call('PEXPIRE', KEYS[1], ARGV[5])
redis.call(ARGV[6], ARGV[7], 'm' .. before .. ' ' .. id .. ' ' .. ARGV[3])
return id
"""


class RedisRoom(Room):
    """A room on a Redis stream. `last` is the id of the last message that was delivered here, b"" if unknown."""

    ASKS = 2
    DOWN = "Redis does not answer. Messages wait until it does."
    UP = "Redis is back. No message is lost."

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.log = f"{self.key}:log"
        self.last = b""
        self._reading = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None

    def send(self, pipe: Pipeline, member: Member, say: protocol.Say) -> None:
        """A number that was accepted before is not appended again. A refused message takes its number and no more."""
        message = b"" if say.error else protocol.message(member.id, member.name, say)
        pipe.eval(_SAY, 2, self.log, f"{self.key}:seen:{member.client}", say.ref, member.acked, message, KEEP, AGE,
                  "SPUBLISH" if self.node.sharded else "PUBLISH", self.channel)

    def answer(self, member: Member, say: protocol.Say, answer: Any) -> None:
        if isinstance(answer, Exception):
            reason = f"Redis does not answer ({type(answer).__name__})"
            return member.failed(say.ref, reason, sure=False, retry=True)
        if answer == b"gap":
            return member.failed(say.ref, "send the messages before it first", retry=True)
        member.acked = max(member.acked, say.ref)
        if say.error:
            member.failed(say.ref, say.error)
        else:
            member.send("sent", ref=say.ref)

    def message(self, data: bytes) -> None:
        before, id, text = data.split(b" ", 2)
        if not self.last or _number(id) <= _number(self.last):
            return  # `recover` or `_read` has it, or will have it
        if _number(before) > _number(self.last):
            self._task = asyncio.create_task(self._catch_up(id))
        else:
            self._deliver(before, id, text)

    def _deliver(self, before: bytes, id: bytes, text: bytes) -> None:
        if before != self.last:
            self.deliver(protocol.frame(protocol.dump("gone")))
        self.last = id
        self.deliver(protocol.frame(_message(id, text)))

    async def _catch_up(self, id: bytes) -> None:
        try:
            await self._read(id)
        except REDIS_FAILURES:
            pass  # the subscription is broken as well, or the next message shows the gap again
        except Exception as error:
            self.fail(error)

    async def _read(self, end: bytes) -> None:
        """Deliver what the stream has after the last message that was delivered: `end`, and what is newer.

        A read that stopped at `end` would stay one message behind, and each later message would cost another read.
        """
        async with self._reading:
            page: list[Any] = [None] * PAGE
            while len(page) == PAGE and _number(self.last) < _number(end):
                page = await self.node.redis.xrange(self.log, b"(" + self.last, count=PAGE)
                for id, fields in page:
                    if _number(id) > _number(self.last):  # the next messages may have arrived during the read
                        self._deliver(fields[b"p"], id, fields[b"m"])

    def ask(self, pipe: Pipeline) -> None:
        super().ask(pipe)
        pipe.xrevrange(self.log, count=1)

    async def recover(self, entries: dict[bytes, bytes], newest: list[tuple[bytes, Any]]) -> None:
        id = newest[0][0] if newest else START
        last = self.last  # newer messages may have arrived since Redis was asked for the newest one
        if last and _number(id) < _number(last) and not await self.node.redis.xrange(self.log, last, last):
            self.deliver(protocol.frame(protocol.dump("gone")))  # Redis came back without its data
            self.last = b""
        if not self.last:
            self.last = id
        await self._read(id)
        await super().recover(entries)

    async def admit(self, member: Member, join: protocol.Join) -> None:
        """Send the member what it missed, or the newest messages, then add it to the room."""
        after, redis = join.after.encode(), self.node.redis
        pipe = redis.pipeline(transaction=False)
        pipe.xrange(self.log, count=1)
        pipe.xrevrange(self.log, count=HISTORY)
        pipe.xrange(self.log, after or START, after or START)
        async with self.node.reading:
            first, newest, exact = await pipe.execute()
        if newest:
            await self._read(newest[0][0])
        start = first[0][1][b"p"] if first else START  # the id before the oldest message that is left
        kept = bool(exact) or after == start
        at = after if kept else newest[-1][1][b"p"] if newest else START
        self.welcome(member, durable=True, after=at.decode(), gone=bool(after) and not kept)
        while at != (last := self.last):
            async with self.node.reading:
                page = await redis.xrange(self.log, b"(" + at, last, count=PAGE)
            for id, fields in page:
                await member.connection.send(_message(id, fields[b"m"]), text=True)
            at = page[-1][0] if len(page) == PAGE else last
        self.add(member)  # no await since `at` was compared: the member misses nothing and receives nothing twice


def _message(id: bytes, text: bytes) -> bytes:
    """Put the id in front of a stored message."""
    return b'{"id":"%b",' % id + text[1:]


def _number(id: bytes) -> tuple[int, ...]:
    return tuple(map(int, id.split(b"-")))
