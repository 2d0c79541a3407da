"""The chats on a Redis Cluster of three real servers. Each run prints its figures (pytest -s)."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from awaited import eventually
from chat_support import Cluster, clients, instances, talk, under_way
from redis.asyncio import Redis
from test_chat_chaos import settle, verdict
from test_chat_simple import join, received

BOTH = pytest.mark.parametrize("folder", ["07-chat", "07-chat-durable"])


def rooms_of(cluster: Cluster, count: int = 2) -> list[str]:
    """Names of rooms, `count` on each server."""
    by_port: dict[int, list[str]] = {port: [] for port in cluster.ports}
    for number in range(1000):
        if len(rooms := by_port[cluster.port_of(f"r{number}")]) < count:
            rooms.append(f"r{number}")
    return [room for rooms in by_port.values() for room in rooms]


async def crowd(stack: AsyncExitStack, urls: list[str], rooms: list[str]) -> dict[str, list[Any]]:
    """Two members of each room, on different instances."""
    return {room: await stack.enter_async_context(clients(urls, room)) for room in rooms}


@BOTH
@pytest.mark.parametrize("path", [None, ""], ids=["redis", "valkey"])
def test_rooms_on_all_servers_span_instances(folder: str, path: str | None, tmp_path: Path) -> None:
    """One subscription per instance and server, however many rooms."""
    async def main() -> None:
        async with (Cluster(tmp_path, *([] if path is None else [path])) as cluster,
                    instances(folder, cluster.url) as (one, two), AsyncExitStack() as stack):
            rooms = await crowd(stack, [one.url, two.url], rooms_of(cluster))
            await asyncio.gather(*(talk(people, 1) for people in rooms.values()))
            for room, people in rooms.items():
                await settle(people)
                figures = verdict(folder, f"room {room} on a cluster", people)
                assert figures.lost == figures.refused == figures.unsure == figures.missed == 0
                for person in people:
                    await eventually(lambda person=person: len(person.members) == 2)
            for port in cluster.ports:
                async with Redis(port=port) as client:
                    subscribed = [entry for entry in await client.client_list() if entry["ssub"] not in (0, "0")]
                    assert len(subscribed) == 2, subscribed
    asyncio.run(main())


@BOTH
def test_a_server_is_killed_under_load(folder: str, tmp_path: Path) -> None:
    """The rooms of the other servers go on; the rooms of the killed one wait for it, and durably lose nothing."""
    async def main() -> None:
        async with (Cluster(tmp_path) as cluster, instances(folder, cluster.url) as (one, two),
                    AsyncExitStack() as stack):
            rooms = await crowd(stack, [one.url, two.url], rooms_of(cluster))
            talking = [asyncio.create_task(talk(people, 8)) for people in rooms.values()]
            await under_way([person for people in rooms.values() for person in people])
            await cluster.kill_node(cluster.ports[0])
            await asyncio.sleep(4)
            await cluster.start_node(cluster.ports[0])
            await asyncio.gather(*talking)
            everybody = []
            for room, people in rooms.items():
                await settle(people)
                verdict(folder, f"room {room}, a server of the cluster killed for 4 s", people)
                everybody += people
            assert all(person.connections == 1 for person in everybody)
            print(f"\n{folder}: {sum(len(person.messages) for person in everybody)} deliveries in all")
    asyncio.run(main())


def test_rooms_move_to_another_server(tmp_path: Path) -> None:
    """A slot is given to another server while its room is in use: the room follows it."""
    async def main() -> None:
        async with (Cluster(tmp_path) as cluster, instances("07-chat-durable", cluster.url) as (one, two),
                    clients([one.url, two.url], "tea") as people):
            source = cluster.port_of("tea")
            target = next(port for port in cluster.ports if port != source)
            talking = asyncio.create_task(talk(people, 4))
            await under_way(people)
            await move_slot(cluster, "tea", source, target)
            await talking
            await settle(people)
            verdict("07-chat-durable", "the room moved to another server of the cluster", people)
            async with Redis(port=target) as client:
                assert await client.xlen("chat:{tea}:log") == sum(person.acked for person in people)
    asyncio.run(main())


async def move_slot(cluster: Cluster, room: str, source: int, target: int) -> None:
    """What `redis-cli --cluster reshard` does, for one slot."""
    async with Redis(port=source) as giver, Redis(port=target) as taker:
        slot = await giver.execute_command("CLUSTER KEYSLOT", f"chat:{{{room}}}")
        names = {port: await client.execute_command("CLUSTER MYID")
                 for port, client in ((source, giver), (target, taker))}
        await taker.execute_command("CLUSTER SETSLOT", slot, "IMPORTING", names[source])
        await giver.execute_command("CLUSTER SETSLOT", slot, "MIGRATING", names[target])
        while keys := await giver.execute_command("CLUSTER GETKEYSINSLOT", slot, 100):
            await giver.execute_command("MIGRATE", "127.0.0.1", target, "", 0, 2000, "KEYS", *keys)
        for port in (target, source, *cluster.ports):
            async with Redis(port=port) as client:
                await client.execute_command("CLUSTER SETSLOT", slot, "NODE", names[target])


def test_the_simple_chat_works_with_any_server(tmp_path: Path) -> None:
    async def main() -> None:
        async with Cluster(tmp_path) as cluster:
            urls = [f"redis://127.0.0.1:{port}/0" for port in cluster.ports[:2]]
            async with (instances("07-chat-simple", urls[0], 1) as [one],
                        instances("07-chat-simple", urls[1], 1) as [two]):
                ana, bo = await join(one.url, "Ana"), await join(two.url, "Bo")
                await bo.send("Tea?")
                await received(ana, "Bo: Tea?")
                await ana.close()
                await bo.close()
    asyncio.run(main())
