"""The Redis behind the chat: one server, or the nodes of a cluster. The server says which of the two it is.

    Nodes    which node has which room; asked again when a node fails or a room has moved
    Node     one server: one subscription for all of its rooms, one queue of messages, and whether it answers
"""

import asyncio
import contextlib
import itertools
import random
import signal
from collections.abc import Callable
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.client import Pipeline
from redis.asyncio.connection import Connection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.crc import key_slot
from redis.exceptions import ClusterDownError, MovedError, RedisError

import protocol
from log import log, log_error
from member import Member

if TYPE_CHECKING:
    from room import Room

SILENCE = 2.0  # seconds without data until a PING is sent, and then until the connection is closed
OUTBOX = 10_000  # messages that may wait for one node
PAGE = 500  # rooms in one trip to Redis
CONNECTIONS = 8  # to one node, besides the subscription
REFRESH = 30.0  # seconds; an instance that sees no error asks a cluster for its nodes all the same
SLOTS = 16384  # of every Redis Cluster
REDIS_FAILURES = (RedisError, OSError, TimeoutError)  # every way in which Redis can fail


Queued = tuple["Room", Member, protocol.Say]


class NotLive(ConnectionError):
    """The node did not answer before, so the message was not sent to it."""


def client(url: str) -> Redis:
    """Connect to one server. One try of two seconds: a repeated PUBLISH could arrive twice, and the chat must not wait.

    The pool makes callers wait for a free connection instead of opening more.
    """
    return Redis.from_pool(BlockingConnectionPool.from_url(
        url, max_connections=CONNECTIONS, timeout=2, socket_timeout=2, socket_connect_timeout=2,
        retry=Retry(NoBackoff(), 0), protocol=2))


class Node:
    """One Redis server, and the rooms whose keys it has."""

    def __init__(self, redis: Redis, address: str, cluster: bool, sharded: bool, moved: Callable[[], None]) -> None:
        self.redis, self.address, self.sharded, self._moved = redis, address, sharded, moved
        # Without sharded channels a cluster forwards messages, and PUBLISH counts the subscribers of one node only.
        self.counts = sharded or not cluster
        self.rooms: dict[bytes, Room] = {}
        self._open = True  # the loops below check it: asyncio.wait_for of Python 3.11 can lose a cancellation
        self._reported: bool | None = None
        self._subscriber: Connection | None = None  # a connection in the subscribed state
        self._numbers = itertools.count()
        self._fences: dict[bytes, asyncio.Future[None]] = {}
        self._outbox: list[Queued] = []
        self._queued = asyncio.Event()
        self._stale: dict[Room, None] = {}  # rooms to be brought up to date
        self._opened = asyncio.Event()
        self.reading = asyncio.Semaphore(CONNECTIONS // 2)  # the other connections stay free for messages
        self._tasks = [asyncio.create_task(loop()) for loop in (self._subscription, self._recovery, self._send)]
        for task in self._tasks:
            task.add_done_callback(end_after_error)

    async def stop(self) -> None:
        self._open = False
        for task in self._tasks:
            task.cancel()
        await asyncio.wait(self._tasks, timeout=2)
        await self.redis.aclose()

    async def open(self, room: "Room") -> None:
        """Subscribe to a room and bring it up to date."""
        room.node, self.rooms[room.channel] = self, room
        if await self._command("SSUBSCRIBE" if self.sharded else "SUBSCRIBE", room.channel):
            self._stale[room] = None
            self._opened.set()

    async def close(self, room: "Room") -> None:
        """Unsubscribe from a room."""
        if self.rooms.get(room.channel) is room:
            del self.rooms[room.channel]
            await self._command("SUNSUBSCRIBE" if self.sharded else "UNSUBSCRIBE", room.channel)

    async def _command(self, *words: str | bytes) -> bool:
        """Send a command through the subscription. Return False if it is broken: a new one is on its way."""
        if not self._subscriber or not self._subscriber.is_connected:
            return False
        try:
            await self._subscriber.send_command(*words, check_health=False)
        except (*REDIS_FAILURES, AttributeError):  # AttributeError: the connection broke during the write
            return False
        return True

    def say(self, room: "Room", member: Member, say: protocol.Say) -> None:
        """Queue a message. Never waits, since Redis may be slow; the answer is "sent" or "failed"."""
        if len(self._outbox) >= OUTBOX:
            return member.failed(say.ref, "too many messages are waiting", retry=True)
        self._outbox.append((room, member, say))
        self._queued.set()

    def publish(self, pipe: Pipeline, room: "Room", data: bytes) -> None:
        """Add the command that sends `data` to all instances with this room."""
        pipe.execute_command("SPUBLISH" if self.sharded else "PUBLISH", room.channel, data)

    async def fence(self) -> None:
        """Wait until everything that was published before this call has arrived here.

        An instance that was frozen may hold old messages, or a subscription that Redis has dropped. Redis answers a
        PING behind the old messages. Raises NotLive if the subscription is broken: a new one is on its way.
        """
        number, fence = b"%d" % next(self._numbers), asyncio.get_running_loop().create_future()
        self._fences[number] = fence
        try:
            if not await self._command("PING", number):
                raise NotLive("the subscription is broken")
            await fence
        finally:
            del self._fences[number]

    async def _subscription(self) -> None:
        """Keep one subscription; make a new one whenever it breaks or falls silent."""
        while self._open:
            subscriber = self.redis.connection_pool.make_connection()
            try:
                await subscriber.connect()
                # In the subscribed state, PING has an answer of its own form.
                await subscriber.send_command("SUBSCRIBE", "chat", check_health=False)
                self._subscriber = subscriber  # from now on, `open` subscribes to new rooms by itself
                await subscriber.send_packed_command(subscriber.pack_commands(
                    ["SSUBSCRIBE" if self.sharded else "SUBSCRIBE", channel] for channel in self.rooms), False)
                self._stale = dict.fromkeys(self.rooms.values())
                self._opened.set()
                await self._listen(subscriber)
            except REDIS_FAILURES as error:
                self._report(False, error)
            except Exception as error:
                log_error("redis.subscription_failed", error, address=self.address)
                self._report(False, error)
            self._subscriber = None
            with contextlib.suppress(*REDIS_FAILURES):
                await subscriber.disconnect(nowait=True)
            for room in self.rooms.values():
                room.interrupted()
            for fence in self._fences.values():
                if not fence.done():
                    fence.set_exception(NotLive("the subscription broke"))
            self._moved()
            await asyncio.sleep(random.uniform(0.1, 0.5))

    async def _listen(self, subscriber: Connection) -> None:
        asked = False
        while self._open:
            match await subscriber.read_response(timeout=SILENCE):
                case [b"message" | b"smessage", channel, data]:
                    if room := self.rooms.get(channel):
                        try:
                            room.receive(data)
                        except Exception as error:
                            room.fail(error)
                case [b"pong", number]:
                    if (fence := self._fences.get(number)) and not fence.done():
                        fence.set_result(None)
                case [b"sunsubscribe", channel, _] if channel in self.rooms:
                    self._moved()  # the room is on another node now
                case None if asked:
                    raise TimeoutError(f"no answer within {SILENCE:.0f} seconds")
                case None:
                    await subscriber.send_command("PING", "", check_health=False)
                    asked = True
                    continue
            asked = False

    async def _recovery(self) -> None:
        """Bring rooms up to date: all of them after a new subscription, and new ones, together."""
        while self._open:
            await self._opened.wait()
            rooms, self._stale = [*self._stale], {}
            self._opened.clear()
            try:
                await self.fence()
                for start in range(0, len(rooms), PAGE):
                    await self._page([room for room in rooms[start:start + PAGE]
                                      if self.rooms.get(room.channel) is room])
            except REDIS_FAILURES as error:
                if not isinstance(error, NotLive):
                    self._report(False, error)
                    self._moved()
                self._stale |= dict.fromkeys(rooms)
                self._opened.set()
                await asyncio.sleep(0.2)
            else:
                self._report(True)

    async def _page(self, rooms: list["Room"]) -> None:
        pipe = self.redis.pipeline(transaction=False)
        for room in rooms:
            room.ask(pipe)
        answers = iter(await pipe.execute(raise_on_error=False))
        for room in rooms:
            mine = list(itertools.islice(answers, room.ASKS))
            try:
                if error := next((answer for answer in mine if isinstance(answer, Exception)), None):
                    raise error
                await room.recover(*mine)
            except Exception as error:
                if isinstance(error, REDIS_FAILURES) and not str(error).startswith("WRONGTYPE"):
                    raise
                room.fail(error)

    async def _send(self) -> None:
        """Send what is queued, all in one trip."""
        while self._open:
            await self._queued.wait()
            self._queued.clear()
            batch, self._outbox = self._outbox, []
            pipe = self.redis.pipeline(transaction=False)
            live, dead = list[Queued](), list[Queued]()
            for item in batch:
                (live if item[0].live.is_set() and item[0].node is self else dead).append(item)
            for room, member, say in live:
                room.send(pipe, member, say)
            try:
                answers = await pipe.execute(raise_on_error=False)
            except REDIS_FAILURES as error:
                answers = [error] * len(live)
            if any(isinstance(answer, MovedError) for answer in answers):
                self._moved()
            for (room, member, say), answer in zip(live, answers, strict=True):
                room.answer(member, say, answer)
            for room, member, say in dead:
                room.answer(member, say, NotLive("Redis does not answer"))

    def _report(self, live: bool, error: BaseException | None = None) -> None:
        """Log a transition once, with its reason. The address holds no password."""
        if live is not self._reported and not isinstance(error, MovedError):
            self._reported = live
            if live:
                log("redis.answers", address=self.address)
            else:
                log("redis.silent", address=self.address, reason=f"{type(error).__name__}: {error}")


class Nodes:
    """All Redis servers of the chat, and all rooms of this instance. `known` is set when the servers are known."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._nodes: dict[str, Node] = {}
        self._slots: list[str] = []  # address by slot; empty without a cluster
        self._moved = asyncio.Event()
        self.known = asyncio.Event()
        self.closed = False
        self.rooms: set[Room] = set()

    async def run(self) -> None:
        """Ask which nodes there are: at the start, and in a cluster whenever something has failed."""
        seed, unknown = client(self._url), True
        while not self.closed:
            self._moved.clear()
            for redis in [*(node.redis for node in self._nodes.values()), seed]:
                try:
                    await self._ask(redis)
                    break
                except REDIS_FAILURES as error:
                    if not self._nodes and unknown:
                        log("redis.silent", address=_address(self._url), reason=f"{type(error).__name__}: {error}")
                        unknown = False
            if self._nodes and not self._slots:
                return await seed.aclose()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(REFRESH if self._nodes else 0.3):
                    await self._moved.wait()
            await asyncio.sleep(0.3)

    async def stop(self) -> None:
        self.closed = True
        await asyncio.gather(*(node.stop() for node in self._nodes.values()))

    def of(self, key: str) -> Node:
        """Return the node that has a key."""
        address = self._slots[key_slot(key.encode())] if self._slots else next(iter(self._nodes))
        return self._nodes[address]

    async def open(self, room: "Room") -> None:
        self.rooms.add(room)
        if self._nodes:
            await self.of(room.key).open(room)

    async def close(self, room: "Room") -> None:
        self.rooms.discard(room)
        if room.node:
            await room.node.close(room)

    async def _ask(self, redis: Redis) -> None:
        """Ask one server for all of them, and hand each room to its node."""
        info = await redis.info()
        slots, addresses = [""] * SLOTS if info["cluster_enabled"] else [], {_address(self._url)}
        if slots:
            for first, last, (host, port, *_), *_replicas in await redis.execute_command("CLUSTER SLOTS"):
                name = host.decode() if host else urlsplit(self._url).hostname
                slots[first:last + 1] = [f"{name}:{port}"] * (last + 1 - first)
            if "" in slots:
                raise ClusterDownError("not all slots have a node")
            addresses = set(slots)
        sharded = bool(slots) and int(info["redis_version"].partition(".")[0]) >= 7
        before, self._slots = self._nodes, slots
        self._nodes = {address: before.get(address) or Node(
            client(_with_address(self._url, address)), address, bool(slots), sharded, self._moved.set)
            for address in addresses}
        for room in [*self.rooms]:
            if (node := self.of(room.key)) is not room.node:
                if room.node:
                    await room.node.close(room)
                    room.interrupted()
                await node.open(room)
        for address in before.keys() - addresses:
            await before[address].stop()
        self.known.set()


def end_after_error(task: asyncio.Task[None]) -> None:
    """End the program after an error in it, instead of serving without one of the loops."""
    if not task.cancelled() and (error := task.exception()):
        log_error("failed", error)
        signal.raise_signal(signal.SIGTERM)


def _address(url: str) -> str:
    return f"{urlsplit(url).hostname}:{urlsplit(url).port or 6379}"


def _with_address(url: str, address: str) -> str:
    parts = urlsplit(url)
    credentials, at, _ = parts.netloc.rpartition("@")
    return parts._replace(netloc=f"{credentials}{at}{address}").geturl()
