"""Who is in a room, across instances: a sorted set in Redis whose entries expire.

Each instance writes its own members' entries again every second and reads everybody's. Nobody has to say goodbye: the
members of an instance that was killed, or frozen before it could clean up, are gone after EXPIRE seconds.
"""

import time
from collections.abc import Iterable

from redis.asyncio import Redis

from member import Member

EVERY = 1.0  # seconds
EXPIRE = 6.0  # seconds; long enough for an instance that is busy


class Presence:
    """The members of one room: `members` maps id to name, `instances` counts the instances they are on."""

    def __init__(self, redis: Redis, key: str, instance: str) -> None:
        self._redis, self._key, self._instance = redis, key, instance
        self.members: dict[str, str] = {}
        self.instances = 1
        self._trouble = -EXPIRE  # when Redis failed last

    async def refresh(self, mine: Iterable[Member], gone: Iterable[Member]) -> tuple[dict[str, str], list[str]]:
        """Write the entries of `mine`, remove those of `gone`, read all.

        Returns who joined since the last time (id to name), and the ids of those who left.
        """
        now = time.time()
        pipe = self._redis.pipeline(transaction=False)
        if entries := {self._entry(member): now + EXPIRE for member in mine}:
            pipe.zadd(self._key, entries)
        if entries := [self._entry(member) for member in gone]:
            pipe.zrem(self._key, *entries)
        calm = time.monotonic() - self._trouble >= EXPIRE
        if calm:  # else the others had no chance to write either
            pipe.zremrangebyscore(self._key, "-inf", now)
        pipe.expire(self._key, 60)
        pipe.zrange(self._key, 0, -1)
        try:
            rows = [row.decode().split(" ", 2) for row in (await pipe.execute())[-1]]
        except Exception:
            self._trouble = time.monotonic()
            raise
        before, self.members = self.members, {id: name for _, id, name in rows}
        found = len({instance for instance, _, _ in rows})
        self.instances = found if calm else max(found, self.instances)
        joined = {id: name for id, name in self.members.items() if id not in before}
        return joined, [id for id in before if id not in self.members]

    def _entry(self, member: Member) -> str:
        return f"{self._instance} {member.id} {member.name}"
