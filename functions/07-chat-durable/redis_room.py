"""A room whose messages are kept in a Redis stream: every accepted message reaches every member once, in order.

Each instance reads the stream from the last id it has seen, never from "$" (what is new), so it misses nothing while
Redis is away. A member that comes back says the id of its last message and is given what it missed. What it sends
again because no answer came is recognised by its number. The stream is cut by length and age; the epoch, a random
word made with the stream, tells a member that comes back whether its id still means anything.
Redis must keep what it accepted: appendonly yes, appendfsync always (with everysec a crash may cost a second).
"""

import asyncio
import random
import secrets
from collections.abc import Sequence

from redis.asyncio import Redis

import protocol
from member import Member
from room import Room, Trouble

KEEP = 10_000  # messages of a room, about
AGE = 24 * 3600 * 1000  # milliseconds
HISTORY = 50  # messages for who comes for the first time
PAGE = 500  # messages per trip to Redis
BLOCK = 1000  # milliseconds Redis waits for news; less than the socket's timeout

# Both run as one step in Redis 6.2 and up and in Valkey, and touch the keys of one room only.
_OPEN = """
if redis.call('EXISTS', KEYS[1]) == 0 or redis.call('EXISTS', KEYS[2]) == 0 then
  redis.call('XADD', KEYS[1], '*', 'm', ARGV[2])
  redis.call('SET', KEYS[2], ARGV[1])
end
redis.call('PEXPIRE', KEYS[1], ARGV[3])
redis.call('PEXPIRE', KEYS[2], ARGV[3])
return {redis.call('GET', KEYS[2]), redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1][1]}
"""
_SAY = """
local last = tonumber(redis.call('GET', KEYS[2]) or ARGV[2])
local ref = tonumber(ARGV[1])
if ref <= last then return 'again' end
if ref > last + 1 then return 'gap' end
local id = redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[4], '*', 'm', ARGV[3])
redis.call('XTRIM', KEYS[1], 'MINID', '~', string.format('%d', tonumber(id:match('^%d+')) - ARGV[5]))
redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[5])
return id
"""


class RedisRoom(Room):
    """A room on a Redis stream. `last` is the id of the last message that was delivered here."""

    def __init__(self, redis: Redis, name: str, instance: str) -> None:
        self.epoch, self.last = b"", b"0-0"
        self._read = asyncio.Condition()
        super().__init__(redis, name, instance)

    async def receive(self) -> None:
        """Read the stream on and on from the last id; look at the epoch whenever there is no news."""
        while self.open:
            try:
                await self._open()
                self.status(True, "Redis is back. Nothing is lost.")
                while news := await self.redis.xread({self._log: self.last}, count=PAGE, block=BLOCK):
                    for id, fields in news[0][1]:
                        self.deliver(protocol.frame(_message(id, fields)))
                        self.last = id
                    async with self._read:
                        self._read.notify_all()
            except Trouble:
                self.status(False, "No word from Redis: what is said waits.")
                await asyncio.sleep(random.uniform(0.1, 0.5))

    async def admit(self, member: Member, join: protocol.Join) -> None:
        """Give the member what it missed, or the newest messages, and let it in where that ends."""
        newest = await self._open()
        async with self._read:  # an instance that was frozen is behind: let it read on first
            await self._read.wait_for(lambda: _number(self.last) >= _number(newest))
        after, last = join.after.encode(), self.last
        same = join.epoch.encode() == self.epoch
        kept = after and same and await self.redis.xrange(self._log, after, after)
        member.tell("welcome", room=self.name, id=member.id, durable=True, epoch=self.epoch.decode(),
                    gone=bool(after and not kept))
        newcomer = [] if kept else await self.redis.xrevrange(self._log, last, count=HISTORY)
        start = newcomer[-1][0] if newcomer else b"(" + after
        while True:
            page = await self.redis.xrange(self._log, start, last, count=PAGE)
            for id, fields in page:
                await member.connection.send(_message(id, fields), text=True)
                start = b"(" + id
            if len(page) < PAGE and last == self.last:
                return self.add(member)  # no await since: nothing missed, nothing twice
            last = self.last

    async def send(self, batch: Sequence[tuple[Member, protocol.Say]]) -> None:
        """Append what was said, all in one trip. A number that was accepted before is not appended again."""
        pipe = self.redis.pipeline(transaction=False)
        for member, say in batch:
            pipe.eval(_SAY, 2, self._log, f"{self.key}:seen:{member.client}", say.ref, member.acked,
                      protocol.message(member.id, member.name, say), KEEP, AGE)
        try:
            answers = await pipe.execute()
        except Trouble as error:
            answers = [error] * len(batch)
        for (member, say), answer in zip(batch, answers, strict=True):
            if isinstance(answer, Exception):
                reason = f"Redis does not answer ({type(answer).__name__}); send it again"
                member.tell("failed", ref=say.ref, sure=False, reason=reason)
            elif answer == b"gap":
                member.tell("failed", ref=say.ref, sure=True, reason="send what came before it first")
            else:
                member.acked = max(member.acked, say.ref)
                member.tell("sent", ref=say.ref)

    @property
    def _log(self) -> str:
        return f"{self.key}:log"

    async def _open(self) -> bytes:
        """Make the stream if there is none; the id of its last message. A new epoch means: the old stream is gone."""
        opened = protocol.dump("opened", room=self.name)
        epoch, newest = await self.redis.eval(_OPEN, 2, self._log, f"{self.key}:epoch", secrets.token_hex(8),
                                              opened, AGE)
        if epoch != self.epoch:
            if self.epoch:
                self.deliver(protocol.frame(protocol.dump("epoch", epoch=epoch.decode())))
            if not self.epoch or _number(newest) < _number(self.last):
                self.last = newest if not self.epoch else b"0-0"
            self.epoch = epoch
        return newest


def _message(id: bytes, fields: dict[bytes, bytes]) -> bytes:
    """The stored message with its id put in front."""
    return b'{"id":"%b",' % id + fields[b"m"][1:]


def _number(id: bytes) -> tuple[int, ...]:
    return tuple(map(int, id.split(b"-")))
