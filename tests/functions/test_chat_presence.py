"""Who is in a room: the list stays right whatever arrives first, and a large crowd costs one message per second."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from awaited import eventually
from chat_support import both_listed, instances, redis_server
from redis.asyncio import Redis
from standalone import module
from test_chat import join, receive


class Recorder:
    """In place of Presence and of a pipeline: keeps what it is told."""

    def __init__(self) -> None:
        self.calls: list[Any] = []

    def announce(self, room: object, changes: dict[str, str | None]) -> None:
        self.calls.append(changes)

    def hgetall(self, key: str) -> None:
        self.calls.append(key)


@pytest.mark.parametrize(("entries", "change", "size"), [
    ({}, b'{"c-2 0": "b Bo"}', 1),
    ({b"c-2 0": b"b Bo"}, b'{"c-2 0": null}', 0),
], ids=["joined", "left"])
def test_a_change_is_newer_than_the_answer_that_was_under_way(entries: Any, change: bytes, size: int) -> None:
    """Redis has answered with the members of a room, and a change arrives before that answer is applied."""
    async def main() -> None:
        room = module("07-chat", "redis_room").RedisRoom("tea", "c-1", Recorder())
        room.ask(Recorder())
        room.receive(b"p" + change)
        await room.recover(entries)
        assert room.crowd.size == size
        room.ask(Recorder())
        await room.recover({})  # without a change in between, the answer counts
        assert room.crowd.size == 0
    asyncio.run(main())


def test_members_that_another_instance_removes_are_announced_again(tmp_path: Path) -> None:
    """An instance that was silent for too long is taken for dead; the removal can arrive after it is back."""
    async def main() -> None:
        async with (redis_server(tmp_path) as redis, instances("07-chat", redis.url) as (one, two),
                    Redis.from_url(redis.url) as client):
            ana, bo = await join(one.url, name="Ana"), await join(two.url, name="Bo")
            await eventually(lambda: both_listed(client))
            [field] = [key for key, value in (await client.hgetall("chat:{tea}:members")).items() if b"Ana" in value]
            await client.hdel("chat:{tea}:members", field)
            await client.publish("chat:{tea}", b'p{"%s": null}' % field)
            while not (await receive(bo, "presence"))["left"]:
                pass
            assert [person["name"] for person in (await receive(bo, "presence"))["joined"]] == ["Ana"]
            assert await client.hexists("chat:{tea}:members", field)
            await ana.close()
            await bo.close()
    asyncio.run(main())


def test_a_large_crowd_is_reported_as_a_number_once_per_second(tmp_path: Path) -> None:
    """200 members are listed by name. Above that, joins and leaves change a number; below, the names are complete."""
    async def main() -> None:
        async with redis_server(tmp_path) as redis, instances("07-chat", redis.url, 1) as [one]:
            first, begun = await join(one.url, name="first"), asyncio.get_running_loop().time()
            others = await asyncio.gather(*(join(one.url, name=f"m{number}") for number in range(203)))
            others += [await join(one.url, name=f"m{number}") for number in range(203, 240)]
            listed = await receive(others[-1], "members")
            assert 195 <= len(listed["members"]) <= 201 and "m239" in [person["name"] for person in listed["members"]]
            numbers: list[int] = []
            while 241 not in numbers:
                event = await receive(first, "presence")
                if event["joined"]:
                    assert event["count"] <= 200
                else:
                    numbers.append(event["count"])
            assert numbers == sorted(numbers) and len(numbers) <= asyncio.get_running_loop().time() - begun + 1
            for other in others[:100]:
                other.transport.abort()  # they read nothing, so a closing handshake would wait
            names = [person["name"] for person in (await receive(first, "members"))["members"]]
            assert len(names) == 200 and "first" in names
            for other in (first, *others[100:]):
                other.transport.abort()
    asyncio.run(main())
