"""The chat functions over real sockets and a real Redis, without the platform: what they promise member by member."""

import asyncio
import filecmp
import json
import os
import signal
import socket
from pathlib import Path
from typing import Any

import psutil
import pytest
from awaited import eventually
from chat_support import FUNCTIONS, Client, Figures, Instance, both_listed, clients, instances, redis_server, talk
from redis.asyncio import Redis
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

BOTH = pytest.mark.parametrize("folder", ["07-chat", "07-chat-durable"])


def run(main: Any) -> None:
    asyncio.run(main)


async def receive(connection: ClientConnection, type: str) -> dict[str, Any]:
    """Return the next event of a type."""
    async with asyncio.timeout(10):
        while (event := json.loads(await connection.recv()))["type"] != type:
            pass
    return event


async def join(
    url: str, room: str = "tea", name: str = "Ana", sock: socket.socket | None = None, **more: Any,
) -> ClientConnection:
    connection = await connect(url, compression=None, sock=sock)
    await connection.send(json.dumps({"type": "join", "room": room, "name": name, **more}))
    return connection


def test_the_two_chats_differ_in_one_module() -> None:
    """A function folder stands alone, so files are there twice; they must not drift apart."""
    compared = filecmp.dircmp(FUNCTIONS / "07-chat", FUNCTIONS / "07-chat-durable", ignore=["__pycache__"])
    assert set(compared.diff_files) == {"README.md", "redis_room.py", "s.yaml"}
    assert (compared.left_only, compared.right_only) == (["tokens.py"], ["SCALING.md", "client.py", "retry.py"])
    assert not compared.subdirs["static"].diff_files and not compared.subdirs["static"].left_only
    assert filecmp.cmp(FUNCTIONS / "07-chat-durable" / "retry.py", FUNCTIONS / "05-reconnect" / "retry.py")


@BOTH
def test_a_room_spans_instances(folder: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with redis_server(tmp_path) as redis, instances(folder, redis.url) as (one, two):
            async with clients([one.url, two.url, one.url]) as people:
                async with clients([two.url], "coffee") as [stranger]:
                    await talk(people, 0.5)
                    for person in people:
                        await person.confirmed()
                        await eventually(lambda person=person: len(person.members) == 3)
                        await eventually(lambda person=person: len(person.messages) == sum(p._last for p in people))
                    assert stranger.messages == [] and len(stranger.members) == 1
                figures = Figures(people)
                assert figures.lost == figures.duplicated == figures.disordered == 0, figures
                assert figures.accepted and not figures.refused and not figures.unsure
            async with clients([two.url]) as [last]:  # everybody left
                await eventually(lambda: len(last.members) == 1)
    run(main())


@BOTH
def test_a_client_that_breaks_the_format_is_closed_with_a_reason(folder: str, tmp_path: Path) -> None:
    entered = {"type": "join", "room": "tea", "name": "Ana"}
    wrong = [
        ([entered, {"type": "say", "ref": 1, "text": "x" * 9000}], 1009, "8192"),
        ([entered, {"type": "say", "ref": -1, "text": "x"}], 1008, "ref must be a whole number"),
        ([{**entered, "name": "x" * 33}], 1008, "name is longer than 32 characters"),
        ([{**entered, "name": "Ana\u202e"}], 1008, "name contains invisible or control characters"),
        ([{**entered, "name": "A\u200bna"}], 1008, "name contains invisible"),
        ([{**entered, "name": "Ana\nBo"}], 1008, "name contains invisible"),
        ([{**entered, "name": "\x1b[31mAna"}], 1008, "name contains invisible"),
        ([{**entered, "room": "x" * 41}], 1008, "room is longer than 40 characters"),
        ([{**entered, "room": "  "}], 1008, "room must be a text that is not empty"),
        ([{**entered, "client": "*" * 20}], 1008, "client must be 16 to 64 letters"),
        ([{**entered, "client": "short"}], 1008, "client must be 16 to 64 letters"),
        ([{"type": "say", "ref": 1, "text": "x"}], 1008, "join a room"),
        ([{"type": "dance"}], 1008, "type must be join, say or leave"),
        (["[" * 3000], 1008, "one JSON object"),
        (["7"], 1008, "one JSON object"),
        ([b"{}"], 1008, "one JSON object"),
        ([entered, *({"type": "say", "ref": n, "text": "x"} for n in range(1, 400))], 1008, "messages per second"),
    ]

    async def main() -> None:
        async with (redis_server(tmp_path) as redis, instances(folder, redis.url, 1) as [one],
                    clients([one.url]) as [bystander]):
            for messages, code, reason in wrong:
                connection = await connect(one.url, compression=None)
                with pytest.raises(ConnectionClosed) as closed:
                    for message in messages:
                        await connection.send(message if isinstance(message, str | bytes) else json.dumps(message))
                    async with asyncio.timeout(10):
                        while True:
                            await connection.recv()
                assert closed.value.rcvd and closed.value.rcvd.code == code, (messages[0], closed.value)
                assert reason in closed.value.rcvd.reason
            await bystander.say("p0 1")
            await asyncio.wait_for(bystander.confirmed(), 10)
            assert bystander.connections == 1
    run(main())


@BOTH
def test_a_bad_text_is_answered_and_the_next_one_is_accepted(folder: str, tmp_path: Path) -> None:
    """The clients have nothing to repeat, and nothing is lost: the bad text has its answer, in its place."""
    bad: list[tuple[Any, str]] = [("x" * 1001, "longer than 1000"), ("", "empty"), (7, "empty"),
                                  ("a\x0bb", "control characters"), ("\ud800", "control characters")]

    async def main() -> None:
        async with redis_server(tmp_path) as redis, instances(folder, redis.url, 1) as [one]:
            ana = await join(one.url)
            await receive(ana, "members")
            for ref, (text, reason) in enumerate(bad, 1):
                await ana.send(json.dumps({"type": "say", "ref": ref, "text": text}))
                failed = await receive(ana, "failed")
                assert failed["ref"] == ref and reason in failed["reason"] and failed["sure"] and not failed["retry"]
            await ana.send(json.dumps({"type": "say", "ref": len(bad) + 1, "text": "good"}))
            assert (await receive(ana, "sent"))["ref"] == len(bad) + 1
            await ana.close()
    run(main())


@BOTH
@pytest.mark.parametrize("texts", [["x"] * 200, ["\U0001f600" * 700] * 3, ["one", "a\x0bb", "two"]],
                         ids=["200 at once", "700 emoji", "a vertical tab"])
def test_the_client_keeps_to_the_limits(folder: str, texts: list[str], tmp_path: Path) -> None:
    """One session, and every text has its answer."""
    async def main() -> None:
        async with (redis_server(tmp_path) as redis, instances(folder, redis.url, 1) as [one],
                    clients([one.url]) as [ana]):
            for text in texts:
                await ana.say(text)
            await asyncio.wait_for(ana.confirmed(), 30)
            good = [text for text in texts if "\x0b" not in text]
            await eventually(lambda: len(ana.messages) == len(good))
            assert [message["text"] for message in ana.messages] == good and len(ana.refused) == len(texts) - len(good)
            assert ana.connections == 1 and not ana.unsure
    run(main())


@BOTH
def test_an_identity_cannot_be_claimed(folder: str, tmp_path: Path) -> None:
    """The public id is derived from the secret, and using it as a secret gives another id."""
    async def main() -> None:
        async with redis_server(tmp_path) as redis, instances(folder, redis.url) as (one, two):
            ana = await join(one.url)
            id = (await receive(ana, "welcome"))["id"]
            mallory = await join(two.url, client=id.rjust(16, "0"))
            assert (await receive(mallory, "welcome"))["id"] != id
            for ref in (1, 2):
                await mallory.send(json.dumps({"type": "say", "ref": ref, "text": f"mine {ref}"}))
                await receive(mallory, "sent")
            await ana.send(json.dumps({"type": "say", "ref": 1, "text": "hers"}))
            while (await receive(ana, "message"))["text"] != "hers":
                pass
            secret = "0123456789abcdef" * 2
            ids = []
            for url in (one.url, two.url):
                back = await join(url, client=secret)
                ids.append((await receive(back, "welcome"))["id"])
                await back.close()
            assert ids[0] == ids[1] and ids[0] not in secret
            await ana.close()
            await mallory.close()
    run(main())


@BOTH
def test_a_room_that_failed_is_built_again(folder: str, tmp_path: Path) -> None:
    """A payload that this program cannot read closes the room's members; the next member is served again."""
    async def main() -> None:
        async with redis_server(tmp_path) as redis:
            one = Instance(folder, redis.url)
            await one.start()
            try:
                async with clients([one.url]) as [ana], Redis.from_url(redis.url) as client:
                    await client.hset("chat:{tea}:members", "\xff no member", "\xff")  # ignored
                    await client.publish("chat:{tea}", b"p{broken")
                    await eventually(lambda: ana.connections == 2 and ana.state == "in")
                    await ana.say("Here?")
                    await eventually(lambda: [message["text"] for message in ana.messages] == ["Here?"])
                    assert len(ana.members) == 1
            finally:
                await one.kill()
            assert sum('"room.failed"' in line for line in one.lines) == 1
    run(main())


@BOTH
def test_an_outage_of_redis_is_logged_once_each_way(folder: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with redis_server(tmp_path) as redis:
            password = redis.url.split(":")[2].split("@")[0]
            early = Instance(folder, redis.url)
            await redis.kill()
            await early.start()  # never saw Redis
            await eventually(lambda: any('"redis.silent"' in line for line in early.lines))
            await redis.start()
            await eventually(lambda: any('"redis.answers"' in line for line in early.lines))
            await redis.kill()
            await eventually(lambda: sum('"redis.silent"' in line for line in early.lines) == 2)
            await asyncio.sleep(1)  # several attempts
            await redis.start()
            await eventually(lambda: sum('"redis.answers"' in line for line in early.lines) == 2)
            await early.kill()
            messages = [json.loads(line) for line in early.lines]
            assert [line["event"] for line in messages if line["event"].startswith("redis")] == [
                "redis.silent", "redis.answers"] * 2
            assert all("ConnectionError" in line["reason"] for line in messages if line["event"] == "redis.silent")
            assert password not in "".join(early.lines)
    run(main())


def test_a_join_costs_nothing_in_redis_once_it_is_over(tmp_path: Path) -> None:
    """The stream of a room is created with its first message."""
    async def main() -> None:
        async with (redis_server(tmp_path) as redis, instances("07-chat-durable", redis.url, 1) as [one],
                    Redis.from_url(redis.url) as client):
            for number in range(20):
                connection = await join(one.url, room=f"r{number}")
                await receive(connection, "members")
                await connection.close()
            async def no_room() -> bool:
                return not await client.keys("chat:{*")

            await eventually(no_room)
    run(main())


@BOTH
def test_one_source_address_cannot_take_everything(folder: str, tmp_path: Path) -> None:
    """The address that the gateway appended counts, not the ones that the client invented before it."""
    async def main() -> None:
        async with redis_server(tmp_path) as redis, instances(folder, redis.url, 1) as [one]:
            async def visit(address: str, name: str) -> int | None:
                """Join twenty rooms of one's own; the close code, None if all of them were open."""
                async with connect(one.url, compression=None, additional_headers={"x-forwarded-for": address}) as ws:
                    for number in range(20):
                        await ws.send(json.dumps({"type": "join", "room": f"{name}-{number}", "name": "x"}))
                    joined = 0
                    try:
                        while joined < 20:
                            joined += json.loads(await ws.recv())["type"] == "members"
                    except ConnectionClosed:
                        pass
                    return ws.close_code
            # At once: one after the other, a busy machine stays below the limit of 20 joins per second.
            codes = await asyncio.gather(*(visit(f"10.9.8.{number}, 8.8.4.4, 10.0.0.7", f"r{number}")
                                           for number in range(40)))
            assert 1013 in codes, codes
            assert await visit("8.8.4.4, 9.9.9.9", "other") is None  # another address has limits of its own
    run(main())


@BOTH
def test_a_member_that_vanished_is_noticed_by_pings(folder: str, tmp_path: Path) -> None:
    """Half-open: the connection is open and the peer does not answer, as behind a NAT that dropped it."""
    async def main() -> None:
        async with (redis_server(tmp_path) as redis, instances(folder, redis.url, PING_SECONDS="0.5") as (one, two),
                    clients([one.url]) as [ana]):
            gone = await join(two.url, name="gone")
            await receive(gone, "members")
            await eventually(lambda: "gone" in ana.members.values())
            gone.transport.pause_reading()
            begun = asyncio.get_running_loop().time()
            await eventually(lambda: "gone" not in ana.members.values(), 15)
            assert asyncio.get_running_loop().time() - begun < 2 * 0.5 + 2 + 2 + 1  # pings, close, presence, a moment
            gone.transport.abort()
    run(main())


@BOTH
def test_an_instance_that_must_stop_sends_close_frames(folder: str, tmp_path: Path) -> None:
    """SIGTERM: its members are closed with 1001 and are gone at once; a client that reconnects goes on."""
    async def main() -> None:
        async with (redis_server(tmp_path) as redis, instances(folder, redis.url) as (one, two),
                    clients([one.url, two.url]) as (ana, bo)):
            stays = await join(two.url, name="stays")
            await receive(stays, "members")
            await eventually(lambda: len(ana.members) == 3)
            await ana.say("p0 1")
            await eventually(lambda: len(bo.messages) == 1)
            begun = asyncio.get_running_loop().time()
            await two.kill(signal.SIGTERM)
            assert asyncio.get_running_loop().time() - begun < 5
            with pytest.raises(ConnectionClosed) as closed:
                while True:
                    await stays.recv()
            assert closed.value.rcvd and closed.value.rcvd.code == 1001
            await eventually(lambda: len(ana.members) == 1)
            await two.start()
            await eventually(lambda: bo.connections == 2 and bo.state == "in")
            await ana.say("p0 2")
            await eventually(lambda: [message["text"] for message in bo.messages] == ["p0 1", "p0 2"])
    run(main())


def test_without_redis_url_one_line_says_so() -> None:
    import subprocess
    import sys

    result = subprocess.run([sys.executable, "main.py"], cwd=FUNCTIONS / "07-chat", env={"PATH": os.environ["PATH"]},
                          capture_output=True, text=True, timeout=20)
    assert result.returncode and result.stderr == "REDIS_URL is not set. Example: REDIS_URL=redis://localhost:6379/0\n"


@BOTH
def test_a_slow_member_does_not_delay_others(folder: str, tmp_path: Path) -> None:
    """One member reads nothing: it is closed when it is 1 MiB behind; the others receive everything."""
    async def main() -> None:
        async with (redis_server(tmp_path) as redis, instances(folder, redis.url, 1) as [one],
                    clients([one.url] * 16) as people):
            with socket.socket() as sock:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)  # else the kernel reads megabytes for it
                sock.connect(("127.0.0.1", one.port))
                slow = await join(one.url, name="slow", sock=sock.dup())
            await receive(slow, "members")
            slow.transport.pause_reading()
            memory = psutil.Process(one.pid).memory_info().rss
            await eventually(lambda: "slow" in people[0].members.values())
            longest, clock = 0.0, asyncio.get_running_loop().time
            async with asyncio.timeout(40):
                while "slow" in people[0].members.values():
                    begun = clock()
                    await asyncio.gather(*(person.say("\u5b57" * 1000) for person in people))
                    await asyncio.gather(*(person.confirmed() for person in people))
                    longest = max(longest, clock() - begun)
                    await asyncio.sleep(0.02 if people[0].acked < 60 else 0.06)  # 80 at once, then 20 per second
            slow.transport.abort()
            sent = people[0].acked * len(people) * 3000 / 2**20
            print(f"\n{folder}: slow member cut after {sent:.1f} MiB, longest round of the others {longest:.3f} s")
            assert longest < 2.0
            assert psutil.Process(one.pid).memory_info().rss - memory < 32 * 2**20
    run(main())


@pytest.mark.parametrize("path", [os.environ["PATH"], ""], ids=["redis", "valkey"])
def test_durable_history_and_resume(path: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with redis_server(tmp_path, path) as redis, instances("07-chat-durable", redis.url) as (one, two):
            async with clients([one.url]) as [ana]:
                for number in range(1, 61):
                    await ana.say(f"p0 {number}")
                await asyncio.wait_for(ana.confirmed(), 20)
                # "sent" says that a message is kept, not that it has come back.
                await eventually(lambda: len(ana.messages) == 60)
            fresh = await join(two.url, name="Bo")
            welcome = await receive(fresh, "welcome")
            assert welcome["durable"] and not welcome["gone"]
            texts = [(await receive(fresh, "message"))["text"] for _ in range(50)]
            assert texts == [f"p0 {number}" for number in range(11, 61)]  # the newest 50
            after = ana.messages[29]["id"]
            resumed = await join(two.url, name="Ana", after=after)
            texts = [(await receive(resumed, "message"))["text"] for _ in range(30)]
            assert texts == [f"p0 {number}" for number in range(31, 61)]
            # what is sent again is recognised; what comes too early is refused
            say = {"type": "say", "ref": 1, "text": "once"}
            first = await join(one.url, client="secret-of-0123456789")
            await first.send(json.dumps(say))
            await receive(first, "sent")
            again = await join(two.url, client="secret-of-0123456789", after=ana.messages[-1]["id"])
            await again.send(json.dumps(say))
            await again.send(json.dumps({**say, "ref": 3, "text": "early"}))
            await again.send(json.dumps({**say, "ref": 2, "text": "twice"}))
            failed = await receive(again, "failed")
            assert failed["ref"] == 3 and failed["retry"]
            await receive(again, "sent")
            texts = [(await receive(resumed, "message"))["text"] for _ in range(2)]
            assert texts == ["once", "twice"]
            # the history is gone: said, not hidden
            async with Redis.from_url(redis.url) as client:
                await client.flushall()
            await fresh.send(json.dumps({"type": "say", "ref": 1, "text": "anew"}))
            await receive(resumed, "gone")
            assert (await receive(resumed, "message"))["text"] == "anew"
            late = await join(one.url, after=after)
            assert (await receive(late, "welcome"))["gone"]
            # a member that joined before the first message misses nothing, however many follow
            early = await join(one.url, room="empty")
            start = (await receive(early, "welcome"))["after"]
            await early.close()
            async with clients([two.url], "empty") as [bo]:
                for number in range(1, 61):
                    await bo.say(f"p0 {number}")
                await asyncio.wait_for(bo.confirmed(), 20)
            early = await join(one.url, room="empty", after=start)
            assert not (await receive(early, "welcome"))["gone"]
            assert [(await receive(early, "message"))["text"] for _ in range(60)] == [f"p0 {n}" for n in range(1, 61)]
            for connection in (fresh, resumed, first, again, late, early):
                await connection.close()
    run(main())


def test_a_trimmed_history_is_reported(tmp_path: Path) -> None:
    async def main() -> None:
        async with (redis_server(tmp_path) as redis, instances("07-chat-durable", redis.url, 1) as [one],
                    clients([one.url]) as [ana], Redis.from_url(redis.url) as client):
            for number in range(1, 11):
                await ana.say(f"p0 {number}")
            await asyncio.wait_for(ana.confirmed(), 10)
            await eventually(lambda: len(ana.messages) == 10)
            await client.xtrim("chat:{tea}:log", maxlen=5, approximate=False)
            for message, gone in ((ana.messages[2], True), (ana.messages[7], False)):
                back = await join(one.url, after=message["id"])
                assert (await receive(back, "welcome"))["gone"] is gone
                assert (await receive(back, "message"))["text"] == ("p0 6" if gone else "p0 9")
                await back.close()
            assert 0 < await client.pttl("chat:{tea}:log") <= 24 * 3600 * 1000
    run(main())


def test_who_is_not_back_yet_after_an_outage_is_counted_as_missed(tmp_path: Path) -> None:
    """Bo has just come, on another instance, when Redis fails; Ana's instance is back before his."""
    async def main() -> None:
        async with (redis_server(tmp_path) as redis, instances("07-chat", redis.url) as (one, two),
                    clients([one.url]) as [ana], Redis.from_url(redis.url) as client):
            bo = await join(two.url, name="Bo")
            await eventually(lambda: both_listed(client))
            back = asyncio.Event()
            ana.on_event = lambda event: event["type"] == "status" and event["live"] and back.set()
            await redis.kill()
            os.kill(two.pid, signal.SIGSTOP)
            await redis.start()
            await asyncio.wait_for(back.wait(), 10)
            await ana.say("Tea?")
            await asyncio.wait_for(ana.confirmed(), 10)
            assert ana.missed == ["Tea?"] and not ana.refused and not ana.unsure
            os.kill(two.pid, signal.SIGCONT)
            await bo.close()
    run(main())


@BOTH
def test_a_frozen_instance_is_up_to_date_when_it_wakes(folder: str, tmp_path: Path) -> None:
    """An instance is frozen while the room continues; its next member receives nothing old and misses nothing."""
    async def main() -> None:
        async with (redis_server(tmp_path) as redis, instances(folder, redis.url) as (one, two),
                    clients([one.url]) as [ana], Redis.from_url(redis.url) as client):
            bo = Client(two.url, "tea", "bo")
            task = asyncio.create_task(bo.run())
            await asyncio.wait_for(bo.joined(), 10)
            os.kill(two.pid, signal.SIGSTOP)  # before it can clean up: as the platform does
            bo._connection.transport.abort()
            task.cancel()
            await asyncio.wait([task])
            for number in range(1, 21):
                await ana.say(f"p0 {number}")
            await asyncio.wait_for(ana.confirmed(), 10)
            back = asyncio.Event()
            ana.on_event = lambda event: event["type"] == "status" and event["live"] and back.set()
            if folder == "07-chat":  # Redis has cut the subscription, as it does when too much is waiting
                await client.client_kill_filter(_type="pubsub")
                await asyncio.wait_for(back.wait(), 10)  # the sender's instance has its subscription again
            os.kill(two.pid, signal.SIGCONT)
            task = asyncio.create_task(bo.run())
            await eventually(lambda: bo.connections == 2 and bo.state == "in", 15)
            await ana.say("p0 21")
            await asyncio.wait_for(ana.confirmed(), 10)
            await eventually(lambda: bo.messages and bo.messages[-1]["text"] == "p0 21")
            expected = [f"p0 {n}" for n in range(1, 22)] if folder == "07-chat-durable" else ["p0 21"]
            assert [message["text"] for message in bo.messages] == expected
            task.cancel()
            await asyncio.wait([task])
    run(main())


@BOTH
def test_nothing_grows(folder: str, tmp_path: Path) -> None:
    """1,000 joins and leaves, a hundred rooms: subscriptions, connections, descriptors and memory as before."""
    async def main() -> None:
        async with redis_server(tmp_path) as redis, instances(folder, redis.url, 1) as [one]:
            process = psutil.Process(one.pid)

            async def visit(count: int) -> None:
                connection = await connect(one.url, compression=None)
                for number in range(count):
                    await connection.send(json.dumps({"type": "join", "room": f"r{number % 100}", "name": "x"}))
                    await receive(connection, "members")
                    await connection.send('{"type": "leave"}')
                    await asyncio.sleep(0.05)  # the rate limit is 20 messages per second
                await connection.close()

            async with Redis.from_url(redis.url) as client:
                async def all_left() -> bool:
                    return bool(await client.pubsub_channels() == [b"chat"])

                async def settled() -> tuple[int, int]:
                    await eventually(all_left)
                    return len(process.net_connections()), process.num_fds()

                await asyncio.gather(*(visit(5) for _ in range(20)))
                before, memory = await settled(), process.memory_info().rss
                await asyncio.gather(*(visit(20) for _ in range(50)))
                after = await settled()
                # Redis connections are pooled: at most one more per visitor at a time
                assert after[0] - before[0] <= 60 and after[1] - before[1] <= 60
                await asyncio.gather(*(visit(20) for _ in range(50)))
                assert await settled() <= (after[0] + 5, after[1] + 5)
                assert process.memory_info().rss - memory < 16 * 2**20
    run(main())
