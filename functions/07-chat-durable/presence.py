"""Presence: the members of each room, on all instances.

Each room has a hash in Redis with one field per member. An instance writes and publishes only what changes, so presence
costs nothing while the members stay the same. Once per second each instance also renews one entry of its own. When that
entry expires, because the instance was killed or frozen, the others remove its members. Redis's clock decides.
"""

import asyncio
import contextlib
import json
from collections import Counter, defaultdict
from collections.abc import Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

from redis_nodes import REDIS_FAILURES, Node, Nodes

if TYPE_CHECKING:
    from room import Room

EVERY = 1.0  # seconds between two renewals of the entry of an instance
EXPIRE = 6.0  # seconds without a renewal, after which its members are removed; a busy instance may be late
GATHER = 0.1  # seconds between two announcements, and one second more for every 10,000 members of this instance
KEEP = 25 * 3600  # seconds; a connection on Function Compute lives for 24 hours at most
LISTED = 200  # members that are listed by name; a larger crowd is reported as a number
INSTANCES = "chat:instances"

# One step in Redis: renew the entry of this instance, remove expired entries, return the others.
_BEAT = """
local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000
local new = redis.call('ZADD', KEYS[1], now, ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - ARGV[2])
redis.call('EXPIRE', KEYS[1], 3600)
return {new, redis.call('ZRANGE', KEYS[1], 0, -1)}
"""


class Person(NamedTuple):
    id: str
    name: str
    instance: str


class Crowd:
    """The members of one room on all instances, as in Redis: "INSTANCE NUMBER" -> "ID NAME"."""

    def __init__(self) -> None:
        self.people: dict[str, Person] = {}
        self.instances: Counter[str] = Counter()
        self._ids: Counter[str] = Counter()  # a client that reconnects has two connections for a moment

    def apply(self, changes: Mapping[str, str | None]) -> dict[str, Any] | None:
        """Enter changes (None: the member has left). Return them as the members see them, None if they see nothing."""
        before: dict[str, bool] = {}
        after: dict[str, Person] = {}
        for field, value in changes.items():
            old, new = self.people.pop(field, None), _person(field, value)
            for person, step in ((old, -1), (new, 1)):
                if person:
                    before.setdefault(person.id, person.id in self._ids)
                    _count(self._ids, person.id, step)
                    _count(self.instances, person.instance, step)
            if new:
                self.people[field] = after[new.id] = new
        joined = [after[id]._asdict() for id, was in before.items() if not was and id in self._ids]
        left = [id for id, was in before.items() if was and id not in self._ids]
        return {"joined": joined, "left": left, "count": self.size} if joined or left else None

    @property
    def size(self) -> int:
        return len(self._ids)

    def of(self, instance: str) -> list[str]:
        """Return the fields of an instance's members."""
        return [field for field, person in self.people.items() if person.instance == instance]

    def listing(self, *own: str) -> dict[str, Any]:
        """Return the members by name, up to LISTED, and their number. The field `own` is always among them."""
        fields = (*own, *islice(self.people, LISTED))
        people = {self.people[field].id: self.people[field]._asdict() for field in fields}
        return {"members": list(people.values()), "count": self.size}


def _person(field: str, value: str | None) -> Person | None:
    instance, _, number = field.partition(" ")
    id, _, name = (value or "").partition(" ")
    return Person(id, name, instance) if instance and number and id and name else None


def _count(counter: Counter[str], key: str, step: int) -> None:
    counter[key] += step
    if not counter[key]:
        del counter[key]


class Presence:
    """Announces the members of this instance, and notices when another instance has died."""

    def __init__(self, nodes: Nodes, instance: str) -> None:
        self._nodes, self._instance = nodes, instance
        self._changes: dict[Room, dict[str, str | None]] = defaultdict(dict)
        self._changed, self._known = asyncio.Event(), asyncio.Event()
        self._failed_at = -EXPIRE  # when Redis failed last

    def announce(self, room: "Room", changes: Mapping[str, str | None]) -> None:
        """Write and publish changes soon."""
        self._changes[room].update(changes)
        self._changed.set()

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._beat())
            group.create_task(self._announce())

    async def _announce(self) -> None:
        await self._known.wait()  # otherwise the others would take this instance for a dead one
        while not self._nodes.closed:
            await self._changed.wait()
            self._changed.clear()
            await self._flush()
            await asyncio.sleep(GATHER + sum(len(room.members) for room in self._nodes.rooms) / 10_000)

    async def _flush(self) -> None:
        changes, self._changes = self._changes, defaultdict(dict)
        by_node: dict[Node, list[Room]] = defaultdict(list)
        for room in changes:
            if room.node:
                by_node[room.node].append(room)
        await asyncio.gather(*(self._write(node, {room: changes[room] for room in rooms})
                               for node, rooms in by_node.items()))

    async def goodbye(self) -> None:
        """Write the last changes, so that other instances need not wait until this one expires."""
        if self._known.is_set():
            with contextlib.suppress(*REDIS_FAILURES):
                await self._flush()
                await self._nodes.of(INSTANCES).redis.zrem(INSTANCES, self._instance)

    async def _write(self, node: Node, changes: Mapping["Room", dict[str, str | None]]) -> None:
        pipe = node.redis.pipeline(transaction=False)
        for room, fields in changes.items():
            if new := {field: value for field, value in fields.items() if value}:
                pipe.hset(room.crowd_key, mapping=new)
                pipe.expire(room.crowd_key, KEEP)
            if old := [field for field, value in fields.items() if not value]:
                pipe.hdel(room.crowd_key, *old)
            node.publish(pipe, room, b"p" + json.dumps(fields, ensure_ascii=False).encode())
        try:
            await pipe.execute()
        except REDIS_FAILURES:  # try again later; a change made during the write is newer
            for room, fields in changes.items():
                self.announce(room, fields | self._changes[room])
            await asyncio.sleep(EVERY)

    async def _beat(self) -> None:
        clock = asyncio.get_running_loop().time
        await self._nodes.known.wait()
        while not self._nodes.closed:
            # An instance that appears in a room later than this may be younger than the answer below.
            seen = set[str]().union(*(room.crowd.instances for room in self._nodes.rooms))
            calm = clock() - self._failed_at >= EXPIRE  # after an outage, the others need time to renew their entries
            try:
                new, alive = await self._nodes.of(INSTANCES).redis.eval(
                    _BEAT, 1, INSTANCES, self._instance, EXPIRE if calm else KEEP)
            except REDIS_FAILURES:
                self._failed_at = clock()
            else:
                dead = seen - {instance.decode() for instance in alive} - {self._instance} if calm else set()
                for room in self._nodes.rooms if new or dead else ():
                    fields = {field: None for instance in dead for field in room.crowd.of(instance)}
                    room.people(fields)
                    if changes := fields | (room.own() if new else {}):  # the others may have removed our members
                        self.announce(room, changes)
            self._known.set()
            await asyncio.sleep(EVERY)
