"""The chat while things break: Redis killed and frozen, instances killed. Each run prints its figures (pytest -s).

Durable: 0 lost, 0 duplicated, 0 out of order, for every failure. Publish/subscribe: 0 duplicated, 0 out of order, and
every loss for a member who was connected was told to the sender.

Each fault has a short run, which every test run contains, and a long one with more members, which is nightly. The
short outage is longer than the 2 s after which the chat's Redis client gives up.
"""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from awaited import eventually
from chat_support import Figures, answers, clients, instances, redis_server, talk, under_way
from redis.asyncio import Redis

BOTH = pytest.mark.parametrize("folder", ["07-chat", "07-chat-durable"])
OUTAGES = pytest.mark.parametrize(("members", "seconds"), [(8, 3), pytest.param(20, 5, marks=pytest.mark.nightly)])


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


@BOTH
@OUTAGES
def test_redis_is_killed_and_comes_back(folder: str, members: int, seconds: int, tmp_path: Path) -> None:
    async def main() -> None:
        async with (redis_server(tmp_path) as redis, instances(folder, redis.url) as (one, two),
                    clients([one.url, two.url] * (members // 2)) as people):
            delays: dict[bool, list[float]] = {False: [], True: []}
            clock = asyncio.get_running_loop().time
            for person in people:
                person.on_event = lambda event: event["type"] == "status" and delays[event["live"]].append(clock())
            talking = asyncio.create_task(talk(people, seconds + 3))
            await under_way(people)
            url = redis.url
            await redis.kill()
            await asyncio.sleep(seconds)
            await redis.start()
            async with Redis.from_url(url) as client:
                await eventually(lambda: answers(client))
            back = clock()
            await talking
            await settle(people)
            verdict(folder, f"Redis killed for {seconds} s", people)
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
@OUTAGES
def test_redis_is_frozen_and_thaws(folder: str, members: int, seconds: int, tmp_path: Path) -> None:
    async def main() -> None:
        async with (redis_server(tmp_path) as redis, instances(folder, redis.url) as (one, two),
                    clients([one.url, two.url] * (members // 2)) as people):
            talking = asyncio.create_task(talk(people, seconds + 2))
            await under_way(people)
            await redis.freeze()
            await asyncio.sleep(seconds / 2)
            for person in people[:2]:  # the instances are awake
                await asyncio.wait_for(await person._connection.ping(), 1)
            await asyncio.sleep(seconds / 2)
            redis.thaw()
            await talking
            await settle(people)
            verdict(folder, f"Redis frozen for {seconds} s", people)
            assert all(person.connections == 1 for person in people)
    asyncio.run(main())


@pytest.mark.timeout(150)
@pytest.mark.parametrize(("members", "kills", "connections"),
                         [(4, 6, 3), pytest.param(10, 29, 11, marks=pytest.mark.nightly)])
def test_an_instance_is_killed_every_two_seconds(members: int, kills: int, connections: int, tmp_path: Path) -> None:
    """Both chats at once, on one Redis."""
    async def one(folder: str, url: str) -> None:
        async with (instances(folder, url) as pair,
                    clients([member.url for member in pair] * (members // 2), folder) as people):
            talking = asyncio.create_task(talk(people, 2 * kills + 2))
            for number in range(kills):
                await asyncio.sleep(2)
                await pair[number % 2].kill()
                await pair[number % 2].start()
            await talking
            await settle(people)
            verdict(folder, f"{kills} instances killed, one every 2 s", people, away=True)
            assert all(person.connections >= connections for person in people)

    async def main() -> None:
        async with redis_server(tmp_path) as redis:
            await asyncio.gather(one("07-chat", redis.url), one("07-chat-durable", redis.url))
    asyncio.run(main())
