"""The chat while things break: Redis killed and frozen, instances killed. Each run prints its figures (pytest -s).

Durable: 0 lost, 0 duplicated, 0 out of order, for every failure. Publish/subscribe: 0 duplicated, 0 out of order, and
every loss for a member who was connected was told to the sender.
"""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from chat_support import Figures, clients, instances, redis_server, talk, under_way
from redis.asyncio import Redis
from redis.exceptions import RedisError

BOTH = pytest.mark.parametrize("folder", ["07-chat", "07-chat-durable"])


async def settle(people: list[Any]) -> None:
    """Wait until each message is answered and all members have received the last one."""
    async with asyncio.timeout(30):
        await asyncio.gather(*(person.joined() for person in people))
        await asyncio.gather(*(person.confirmed() for person in people))
        counts: list[int] = []
        while counts != (counts := [len(person.messages) for person in people]):  # noqa: ASYNC110
            await asyncio.sleep(0.5)


def verdict(folder: str, what: str, people: list[Any], *, away: bool = False) -> Figures:
    """Print the figures and hold them against the promise. `away`: members were cut, so pub/sub may lose untold."""
    figures = Figures(people)
    print(f"\n{folder}, {what}: {figures}")
    assert figures.accepted and figures.delivered
    assert figures.duplicated == figures.disordered == 0, figures
    if folder == "07-chat-durable":
        assert figures.lost == figures.refused == figures.unsure == figures.missed == 0, figures
        assert len(figures.accepted) == figures.said and figures.same_order
        assert not any(person.gone for person in people)
    elif not away:
        assert figures.untold == 0, figures
    return figures


async def answers(url: str) -> float:
    """The moment Redis answers a PING."""
    async with Redis.from_url(url) as client:
        while True:
            try:
                await client.ping()
                return asyncio.get_running_loop().time()
            except (RedisError, OSError):
                await asyncio.sleep(0.05)


@BOTH
def test_redis_is_killed_and_back_after_five_seconds(folder: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with (redis_server(tmp_path) as redis, instances(folder, redis.url) as (one, two),
                    clients([one.url, two.url] * 10) as people):
            delays: dict[bool, list[float]] = {False: [], True: []}
            clock = asyncio.get_running_loop().time
            for person in people:
                person.on_event = lambda event: event["type"] == "status" and delays[event["live"]].append(clock())
            talking = asyncio.create_task(talk(people, 8))
            await under_way(people)
            url = redis.url
            await redis.kill()
            await asyncio.sleep(5)
            await redis.start()
            back = await answers(url)
            await talking
            await settle(people)
            verdict(folder, "Redis killed for 5 s", people)
            assert len(delays[False]) == len(delays[True]) == len(people)  # each received one event of each kind
            delay = max(delays[True]) - back
            print(f"\n{folder}: the last member received the event {delay:.2f} s after Redis was back")
            # An instance pauses for at most 0.5 s before it connects again, and reads what it missed. The rest is load:
            # this process receives 10,000 repeated messages for its 20 clients at that moment.
            assert delay < 5
            assert all(person.connections == 1 for person in people)  # no connection suffered
            async with Redis.from_url(url) as client:
                reads = (await client.info("commandstats")).get("cmdstat_xrange", {"calls": 0})["calls"]
            assert reads < 100  # an instance that missed messages reads them together, not one at a time
    asyncio.run(main())


@BOTH
def test_redis_is_frozen_for_five_seconds(folder: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with (redis_server(tmp_path) as redis, instances(folder, redis.url) as (one, two),
                    clients([one.url, two.url] * 10) as people):
            talking = asyncio.create_task(talk(people, 7))
            await under_way(people)
            await redis.freeze()
            await asyncio.sleep(2.5)
            for person in people[:2]:  # the instances are awake
                await asyncio.wait_for(await person._connection.ping(), 1)
            await asyncio.sleep(2.5)
            redis.thaw()
            await talking
            await settle(people)
            verdict(folder, "Redis frozen for 5 s", people)
            assert all(person.connections == 1 for person in people)
    asyncio.run(main())


@pytest.mark.timeout(150)
def test_an_instance_is_killed_every_two_seconds_for_a_minute(tmp_path: Path) -> None:
    """Both chats at once, on one Redis."""
    async def one(folder: str, url: str) -> None:
        async with instances(folder, url) as pair, clients([member.url for member in pair] * 5, folder) as people:
            talking = asyncio.create_task(talk(people, 60))
            for number in range(29):
                await asyncio.sleep(2)
                await pair[number % 2].kill()
                await pair[number % 2].start()
            await talking
            await settle(people)
            verdict(folder, "an instance killed every 2 s for a minute", people, away=True)
            assert all(person.connections > 10 for person in people)

    async def main() -> None:
        async with redis_server(tmp_path) as redis:
            await asyncio.gather(one("07-chat", redis.url), one("07-chat-durable", redis.url))
    asyncio.run(main())
