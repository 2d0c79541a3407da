"""Topics: what a backend publishes, carried by Redis to every instance that has a subscriber.

An event is an entry of the Redis stream `push:TOPIC`. A message on the channel `push` names the topic
with a new entry, and each instance with subscribers reads the entry once for all of them. The stream keeps the events:
a client that reconnects with its last id receives the events that it missed.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

from redis.asyncio import Redis
from redis.exceptions import RedisError

KEEP_EVENTS = 1000  # per topic, approximately
KEEP_SECONDS = 24 * 3600  # after the last event of a topic
WAITING_EVENTS = 1000  # for one subscriber; a slower one is disconnected and can continue after its last id
CHANNEL = "push"

Id = tuple[int, int]
"""The id of a stream entry, 1700000000000-3, in the order of the stream."""


def parse_id(text: str) -> Id:
    """Return the parts of an id. Raises ValueError."""
    milliseconds, _, number = text.partition("-")
    if not (milliseconds.isdecimal() and number.isdecimal() and len(text) <= 40):
        raise ValueError(f"{text!r} is not an event id")
    return int(milliseconds), int(number)


class TooSlow(Exception):
    """The subscriber reads more slowly than the topic grows."""


class Topic:
    """The subscribers of one topic on this instance."""

    def __init__(self) -> None:
        self.queues: set[asyncio.Queue[tuple[str, str] | None]] = set()
        self.last: str | None = None  # the newest entry that went to the queues, None before the first subscriber

    def put(self, entry_id: str, event: str) -> None:
        """Give one event to all subscribers. One with a full queue gets None as its last item."""
        self.last = entry_id
        for queue in list(self.queues):
            if queue.full():
                self.queues.discard(queue)
                queue.get_nowait()
                queue.put_nowait(None)
            else:
                queue.put_nowait((entry_id, event))


class Topics:
    """All topics of this instance. `log` is called when Redis fails and when it answers again."""

    def __init__(self, redis: Redis, log: Callable[..., None]) -> None:
        self._redis, self._log = redis, log
        self._topics: dict[str, Topic] = {}

    async def publish(self, name: str, event: str) -> str:
        """Append an event to a topic, and return its id. Raises RedisError."""
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.xadd(_key(name), {"event": event}, maxlen=KEEP_EVENTS, approximate=True)
            pipe.expire(_key(name), KEEP_SECONDS)
            pipe.publish(CHANNEL, name)
            return str((await pipe.execute())[0])

    async def subscribe(self, name: str, after: str | None) -> AsyncIterator[tuple[str, str | None]]:
        """Yield id and event of every entry after `after`, in order, each once.

        Without `after` begin with the next event, and yield the current position (an id without an event) first: the
        client needs it to continue after a cut. Raises RedisError and TooSlow.
        """
        queue: asyncio.Queue[tuple[str, str] | None] = asyncio.Queue(WAITING_EVENTS)
        topic = self._topics.setdefault(name, Topic())
        topic.queues.add(queue)  # before the history is read, so that no event falls between the two
        try:
            newest = await self._redis.xrevrange(_key(name), count=1)
            position = newest[0][0] if newest else "0-0"
            topic.last = topic.last or position
            if after is None:
                after = position
                yield after, None
            last = parse_id(after)
            for entry_id, fields in await self._redis.xrange(_key(name), min=f"({after}"):
                last = parse_id(entry_id)
                yield entry_id, fields["event"]
            while (item := await queue.get()) is not None:
                if parse_id(item[0]) > last:  # the history may have it already
                    yield item
            raise TooSlow
        finally:
            topic.queues.discard(queue)
            if not topic.queues and self._topics.get(name) is topic:
                del self._topics[name]

    async def listen(self) -> None:
        """Deliver new events until cancelled, through every failure of Redis."""
        failed = False
        while True:
            try:
                async with self._redis.pubsub() as channel:
                    await channel.subscribe(CHANNEL)
                    while True:
                        message = await channel.get_message(timeout=5)
                        kind = message["type"] if message else "timeout"
                        names = [message["data"]] if message and kind == "message" else list(self._topics)
                        for name in names:  # after (re)subscribing and in silence: all, a message may have been lost
                            await self._deliver(name)
                        if failed:
                            failed = False
                            self._log("redis-answers")
            except (RedisError, OSError) as error:
                if not failed:
                    failed = True
                    self._log("redis-failed", reason=type(error).__name__)
                await asyncio.sleep(1)

    async def _deliver(self, name: str) -> None:
        """Read what is new in a topic, and give it to the subscribers of this instance."""
        topic = self._topics.get(name)
        if topic and topic.last:
            for entry_id, fields in await self._redis.xrange(_key(name), min=f"({topic.last}"):
                topic.put(entry_id, fields["event"])


def _key(name: str) -> str:
    return f"push:{name}"


@contextlib.asynccontextmanager
async def open_topics(redis: Redis, log: Callable[..., None]) -> AsyncIterator[Topics]:
    """Topics that deliver events for the duration of the context."""
    topics = Topics(redis, log)
    task = asyncio.create_task(topics.listen())
    try:
        yield topics
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
