"""The chat functions on fclocal: its instances, timeout, freeze, faults and Redis."""

import asyncio
import json
import os
import ssl
import urllib.request
from http.cookiejar import CookieJar
from typing import Any

import pytest
from awaited import eventually
from chat_support import FUNCTIONS, Client, Figures, clients, talk, under_way
from redis.asyncio import Redis
from test_chat_chaos import settle, verdict
from websockets.asyncio.client import connect

from fclocal import App, Platform
from fclocal.testing import wait_for

BOTH = pytest.mark.parametrize("folder", ["07-chat", "07-chat-durable"])


def wss(app: App) -> str:
    return app.url.replace("https:", "wss:")


def running(fc: Platform, app: App) -> list[str]:
    return [instance["instanceId"] for instance in fc.instances(app.name) if instance["load"]]


def test_in_memory_each_instance_has_a_room_of_its_own(fc: Platform) -> None:
    app = fc.deploy(FUNCTIONS / "07-chat-memory", instanceConcurrency=2)

    async def main() -> None:
        ana, bo, cy = [await connect(f"{wss(app)}/tea?name={name}") for name in ("Ana", "Bo", "Cy")]
        assert len(running(fc, app)) == 2
        assert [await ana.recv(), await ana.recv()] == ["Ana joined", "Bo joined"]
        assert [await bo.recv(), await cy.recv()] == ["Bo joined", "Cy joined"]
        await ana.send("Tea?")
        await cy.send("Anyone?")  # the next message of each member shows that nothing crossed
        assert [await ana.recv(), await bo.recv(), await cy.recv()] == ["Ana: Tea?", "Ana: Tea?", "Cy: Anyone?"]
        for member in (ana, bo, cy):
            await member.close()
    asyncio.run(main())


@BOTH
@pytest.mark.parity("instance.crash")
def test_an_instance_dies_while_people_talk(folder: str, fc: Platform) -> None:
    app = fc.deploy(FUNCTIONS / folder, instanceConcurrency=2)

    async def main() -> None:
        async with clients([wss(app)] * 6) as people:
            before = running(fc, app)
            assert len(before) == 3
            talking = asyncio.create_task(talk(people, 5))
            await under_way(people)
            await asyncio.to_thread(fc.kill, before[0])
            await asyncio.sleep(2)
            with fc.fault("kill", function=app.name, times=1):
                await asyncio.to_thread(wait_for, fc, "fault.hit", what="kill")
            await talking
            await settle(people)
            verdict(folder, "two of three instances killed on fclocal", people, away=True)
            assert sum(person.connections for person in people) > 6
    asyncio.run(main())


@pytest.mark.parity("timeout.websocket-1006")
@pytest.mark.parametrize("members", [20, pytest.param(50, marks=pytest.mark.nightly)])
def test_members_on_three_instances_are_cut_every_four_seconds(members: int, fc: Platform) -> None:
    """The execution timeout as a chat feels it; the durable one loses nothing."""
    app = fc.deploy(FUNCTIONS / "07-chat-durable", timeout=4, instanceConcurrency=members * 2 // 5)

    async def main() -> None:
        async with clients([wss(app)] * members) as people:
            await talk(people, 10, every=0.5)
            await eventually(lambda: all(person.connections >= 3 for person in people))
            await settle(people)
            verdict("07-chat-durable", f"{members} members, execution timeout 4 s", people)
    asyncio.run(main())
    ends = [record.data["why"] for record in fc.events(function=app.name, kinds="request.end")]
    assert ends.count("timeout") >= 2 * members


@BOTH
@pytest.mark.parity("instance.freeze", "fault.pause-redis")
def test_a_frozen_instance_receives_nothing_and_is_up_to_date_when_it_wakes(folder: str, fc: Platform) -> None:
    """An instance without members freezes while the room continues. Its next member receives the right messages."""
    app = fc.deploy(FUNCTIONS / folder, instanceConcurrency=1)

    async def main() -> None:
        async with clients([wss(app)]) as [ana], Redis.from_url(fc.redis()) as redis:
            bo = Client(wss(app), "tea", "bo")
            task = asyncio.create_task(bo.run())
            await asyncio.wait_for(bo.joined(), 10)
            (mine, frozen) = running(fc, app)
            task.cancel()
            await asyncio.wait([task])
            await asyncio.to_thread(wait_for, fc, "instance.frozen", instance=frozen)
            for number in range(1, 11):
                await ana.say(f"p0 {number}")
            await asyncio.wait_for(ana.confirmed(), 10)
            back = asyncio.Event()
            ana.on_event = lambda event: event["type"] == "status" and event["live"] and back.set()
            await redis.client_kill_filter(_type="pubsub")  # as Redis does when a subscriber does not read
            await asyncio.wait_for(back.wait(), 10)
            with fc.fault("pause_redis"):  # and not even a healthy Redis when it wakes up
                task = asyncio.create_task(bo.run())
                await asyncio.sleep(1)
            await eventually(lambda: bo.state == "in" and bo.connections > 1, 20)
            assert sorted(running(fc, app)) == sorted((mine, frozen))
            await eventually(lambda: len(ana.members) >= 2)
            await ana.say("p0 11")
            await asyncio.wait_for(ana.confirmed(), 10)
            await eventually(lambda: bo.messages and bo.messages[-1]["text"] == "p0 11")
            expected = [f"p0 {number}" for number in range(1, 12)] if folder == "07-chat-durable" else ["p0 11"]
            assert [message["text"] for message in bo.messages] == expected
            assert Figures([ana]).duplicated == 0
            task.cancel()
            await asyncio.wait([task])
    asyncio.run(main())


def ask(app: App, jar: CookieJar | None = None, **headers: str) -> dict[str, Any]:
    """What functions/07-sessions answers to a GET."""
    context = ssl.create_default_context(cafile=os.environ["SSL_CERT_FILE"])
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context),
                                         urllib.request.HTTPCookieProcessor(jar))
    with opener.open(urllib.request.Request(app.url, headers=headers), timeout=10) as response:
        answer: dict[str, Any] = json.load(response)
        return answer


@pytest.mark.parity("affinity.cookie", "affinity.cookie-foreign", "affinity.header", "affinity.limit")
def test_sessions_meet_their_instance(fc: Platform) -> None:
    none = fc.deploy(FUNCTIONS / "07-sessions")

    async def busy(app: App) -> dict[str, Any]:
        """One request while a connection holds the instance."""
        async with connect(wss(app)) as connection:
            await connection.send("count")
            held = json.loads(await connection.recv())
            asked = await asyncio.to_thread(ask, app)
            assert asked["instance"] != held["instance"]
            return asked
    assert asyncio.run(busy(none))["count"] == 1

    cookie = fc.deploy(FUNCTIONS / "07-sessions", sessionAffinity="GENERATED_COOKIE",
                       sessionAffinityConfig={"sessionConcurrencyPerInstance": 1})
    ana, bo = CookieJar(), CookieJar()
    answers = [(ask(cookie, ana), ask(cookie, bo)) for _ in range(3)]
    assert [(a["count"], b["count"]) for a, b in answers] == [(1, 1), (2, 2), (3, 3)]
    assert len({a["instance"] for a, _ in answers}) == len({b["instance"] for _, b in answers}) == 1
    assert answers[0][0]["instance"] != answers[0][1]["instance"]

    async def by_websocket(**headers: str) -> dict[str, Any]:
        async with connect(wss(cookie), additional_headers=headers) as connection:
            await connection.send("count")
            answer: dict[str, Any] = json.loads(await connection.recv())
            return answer
    foreign = CookieJar()
    ask(cookie, foreign, Cookie="x-fc-cookie-session-id=mine")
    assert [c.value for c in foreign] not in ([], ["mine"])
    held = asyncio.run(by_websocket(Cookie="; ".join(f"{c.name}={c.value}" for c in ana)))
    assert held == {"instance": answers[0][0]["instance"], "count": 4}

    fc.deploy(FUNCTIONS / "07-sessions", sessionAffinity="HEADER_FIELD",
              sessionAffinityConfig={"affinityHeaderFieldName": "my-session", "sessionConcurrencyPerInstance": 1})
    counts = [ask(none, **{"my-session": who})["count"] for who in ("ana", "bo", "ana", "bo", "ana")]
    assert counts == [1, 1, 2, 2, 3]
