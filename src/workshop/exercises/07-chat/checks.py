"""What the chat must do: over two instances, with late members, and with a slow one."""

import asyncio
import json
import re
import secrets
from typing import Any

from redis.asyncio import Redis
from websockets.exceptions import ConnectionClosed

from workshop.checking import PATIENCE, Client, Findings, Mistake, Target, Unexpected, step

ROOM = "tea"
MESSAGES = 500  # times 64 KiB: more than all buffers on the way hold


async def subscriptions(target: Target, room: str) -> int:
    """Return the number of subscriptions that Redis has for a room."""
    async with Redis.from_url(await asyncio.to_thread(target.fc.redis), protocol=2) as redis:
        return int((await redis.pubsub_numsub(f"room:{room}"))[0][1])


async def subscribed(target: Target, room: str, wanted: int, patience: float = PATIENCE) -> int:
    """Return the number of subscriptions as soon as it is `wanted`, at the latest after `patience` seconds."""
    for _ in range(int(patience / 0.05)):
        if (count := await subscriptions(target, room)) == wanted:
            break
        await asyncio.sleep(0.05)
    return count


async def stream_reads(target: Target) -> int:
    """Return how many commands that read a stream Redis has executed."""
    async with Redis.from_url(await asyncio.to_thread(target.fc.redis), protocol=2) as redis:
        stats = await redis.info("commandstats")
    return sum(stats.get(f"cmdstat_{name}", {"calls": 0})["calls"] for name in ("xread", "xrange", "xrevrange"))


def other_channel(findings: Findings) -> bool:
    """Return whether the learner's code publishes on another channel than it subscribes to."""
    published, subscribed = (re.search(rf"\.{call}\((f?[\"'][^\"']*[\"'])", findings.code)
                             for call in ("publish", "subscribe"))
    return bool(published and subscribed and published[1] != subscribed[1])


@step("7.1", did='ana, bo and cy joined on one instance, di on another; ana sent "hello"',
      wanted='bo, cy and di receive "hello" once, ana does not', local=True)
async def across(target: Target) -> None:
    ana, bo, cy, di = members = [await target.connect(name, f"/{ROOM}") for name in ("ana", "bo", "cy", "di")]
    await subscribed(target, ROOM, 2)
    await ana.send("hello")
    for member in (bo, cy, di):
        await member.expect("hello")
    await di.send("over")  # the fence: whatever came before it came because of "hello"
    for member in (ana, bo, cy):
        await member.expect("over")
    await bo.send("end")
    await di.expect("end")
    await asyncio.gather(*(member.close() for member in members))


@step("7.1", did="two members joined on one instance and left; counted the subscriptions in Redis",
      wanted="one, then none", local=True)
async def one_each(target: Target) -> None:
    stays = await target.connect("stays", "/other")  # so that the instance is not frozen
    ana = await target.connect("ana", "/counted")
    await subscribed(target, "counted", 1)
    bo = await target.connect("bo", "/counted")
    await bo.send("I am here")  # the instance reads this after bo has joined
    await ana.expect("I am here")
    if (count := await subscribed(target, "counted", 2, patience=0.5)) != 1:  # a second one would exist by then
        raise Unexpected(f"2 members on 1 instance make {count} subscriptions")
    await asyncio.gather(ana.close(), bo.close())
    if count := await subscribed(target, "counted", 0):
        raise Unexpected(f"the room is empty and has {count} subscription")
    await stays.close()


@step("7.1", did='paused Redis for a second; ana sent "hello?" and a Ping', wanted="a Pong while Redis is paused",
      local=True)
async def stays_responsive(target: Target) -> None:
    ana = await target.connect("ana", "/other")
    await asyncio.to_thread(_paused, target, True)
    try:
        await ana.send("hello?")
        await asyncio.sleep(0.2)  # a Ping that comes in the same packet is answered by the library at once
        waiter = await ana.connection.ping()
        try:
            await asyncio.wait_for(waiter, 0.7)
        except TimeoutError:
            raise Unexpected("no Pong while Redis was paused") from None
    finally:
        await asyncio.to_thread(_paused, target, False)


_faults: list[Any] = []


def _paused(target: Target, begin: bool) -> None:
    if begin:
        _faults.append(target.fc.fault("pause_redis", seconds=5))
        _faults[-1].__enter__()
    else:
        _faults.pop().__exit__(None, None, None)


async def receives(member: Client, *texts: str) -> list[str]:
    """Require that the member receives these texts; return their ids. Raises Unexpected."""
    ids: list[str] = []
    for text in texts:
        try:
            got = await member.receive()
        except Unexpected as saw:
            before = ", ".join(texts[:len(ids)])
            raise Unexpected(f"{member.name} received {before}, then nothing") if ids else saw from None
        try:
            entry = json.loads(got)
            received, id = entry["text"], entry["id"]
        except (ValueError, KeyError, TypeError):
            raise Unexpected(f"{member.name} received {got!r}") from None
        if received != text:
            raise Unexpected(f'{member.name} received "{received}", not "{text}"')
        ids.append(id)
    return ids


@step("7.2", did='ana sent "1" to "5"; then bo joined', wanted='bo receives "3", "4", "5"', local=True)
async def newest(target: Target) -> None:
    room, ana = await _talking(target, "12345")
    bo = await target.connect("bo", room, folder="log")
    await receives(bo, "3", "4", "5")
    await ana.send("6")
    await receives(bo, "6")


@step("7.2", did='bo left after "5"; ana sent "6", "7"; bo returned with ?after=; ana sent "8"',
      wanted='bo receives "6", "7", "8"', local=True)
async def resumed(target: Target) -> None:
    room, ana = await _talking(target, "12345")
    bo = await target.connect("bo", room, folder="log")
    after = (await receives(bo, "3", "4", "5"))[-1]
    await bo.close()
    for text in "67":
        await ana.send(text)
    await receives(ana, "6", "7")
    back = await target.connect("bo again", f"{room}?after={after}", folder="log")
    await receives(back, "6")
    await ana.send("8")
    await receives(back, "7", "8")


@step("7.2", did='ana sent "1" to "5"; the instance was killed; bo joined', wanted='bo receives "3", "4", "5"',
      local=True)
async def outlives(target: Target) -> None:
    room, ana = await _talking(target, "12345")
    app = await target.deploy("log")
    for instance in await asyncio.to_thread(target.fc.instances, app.name):
        await asyncio.to_thread(target.fc.kill, instance["instanceId"])
    await ana.closed()
    bo = await target.connect("bo", room, folder="log")
    await receives(bo, "3", "4", "5")


async def _talking(target: Target, texts: str) -> tuple[str, Client]:
    """Return the path of a new room, and its member ana, who has sent `texts` and received them."""
    room = f"/{secrets.token_hex(4)}"
    await target.deploy("log")
    before = await stream_reads(target)
    ana = await target.connect("ana", room, folder="log")
    for _ in range(int(PATIENCE / 0.02)):  # she reads before the first message: from a stream that is empty
        if await stream_reads(target) > before:
            break
        await asyncio.sleep(0.02)
    for text in texts:
        await ana.send(text)
        await receives(ana, text)
    return room, ana


@step("7.3", did=f"zed read nothing while ana sent {MESSAGES} long messages; then zed read again",
      wanted="bo receives each at once; the connection of zed was aborted", local=True)
async def slow_member(target: Target) -> None:
    url = (await target.url("crowd")).replace("https:", "http:")  # the port speaks both; without TLS it is quicker
    ana, bo, zed = [await target.connect(name, folder="crowd", url=url) for name in ("ana", "bo", "zed")]
    for number in range(MESSAGES):
        try:
            async with asyncio.timeout(PATIENCE):
                await ana.connection.send("w" * 2**16)
                await bo.connection.recv()
        except TimeoutError:
            raise Unexpected(f"bo received {number} of {MESSAGES}, then nothing") from None
        except ConnectionClosed:
            raise (bo.ended() if bo.connection.close_code else ana.ended()) from None
    for number in range(MESSAGES):
        try:
            await zed.receive(1.0)
        except Unexpected as saw:
            if "nothing within" in str(saw):
                raise Unexpected(f"zed received {number} of {MESSAGES} and is still connected") from None
            return
    raise Unexpected(f"zed received all {MESSAGES}")


MISTAKES = [
    Mistake("7.1", "a confirmation is handled like a message", log="'int' object has no attribute|unsupported.*int",
            likely='the first message confirms the subscription: test message["type"] == "message"'),
    Mistake("7.1", "a coroutine is never awaited", log="was never awaited", likely="write `await` before the call"),
    Mistake("7.1", "messages go to another channel than the subscription", saw="(bo|cy|di) received nothing",
            when=other_channel, likely='publish and subscribe with the same name: "room:" and the name of the room'),
    Mistake("7.1", "members on the sender's own instance receive nothing", saw="bo received nothing",
            likely="deliver() sends to the members of this instance: call it for each message from Redis"),
    Mistake("7.1", "only members on the same instance receive the message", saw="(cy|di) received nothing",
            likely="publish() must publish to Redis, and a listener must deliver the messages from Redis"),
    Mistake("7.1", "members receive each message twice", saw='received "hello"$',
            code=r"redis\.publish[^\n]*\n\s+deliver",
            likely="Redis also returns the message to this instance: do not call deliver() in publish()"),
    Mistake("7.1", "the sender receives its own message", saw='ana received "hello"',
            likely="publish the id of the member too, and leave it out in deliver()"),
    Mistake("7.1", "the id is sent as part of the text", saw=r'received ".*-.*-.* hello"'),
    Mistake("7.1", "each member has a subscription of its own", saw="make [2-9] subscriptions",
            likely="the first member of a room subscribes, the others use this subscription"),
    Mistake("7.1", "each member receives the message once per member", saw='received "hello"$',
            likely="each member has a subscription that sends to all members"),
    Mistake("7.1", "the listener continues when the room is empty", saw="the room is empty",
            likely="leave() must cancel the task in listeners[room] after the last member"),
    Mistake("7.1", "waiting for Redis blocks the event loop", saw="no Pong while", code=r"redis\.Redis|sync|\bblocking",
            likely="the client of redis blocks the event loop; use the one of redis.asyncio"),
    Mistake("7.2", "bo does not receive the missed entries", saw='received "8", not|bo again received nothing',
            likely='"$" means: only entries from now on. Read on from the id of the last entry'),
    Mistake("7.2", "the newest entries are sent first", saw='received "5", not "3"',
            likely="xrevrange returns the newest first"),
    Mistake("7.2", "a new member receives the whole log", saw='bo received "1", not "3"'),
    Mistake("7.2", "an entry that the member has is sent again", saw='bo again received "5", not "6"',
            likely='xrange includes its start; "(" + id excludes it'),
    Mistake("7.2", "the same entry is sent again and again", saw=r'received "(\d)", not "(?!\1)\d"', code="xread",
            likely="set `after = id` after each entry that you send"),
    Mistake("7.2", "after the missed entries the member receives nothing", saw="bo again received .*, then nothing"),
    Mistake("7.2", "the messages are lost with their instance", saw="bo received nothing"),
    Mistake("7.2", "on an empty stream, forward() ends at once", log="Invalid stream ID",
            likely='an empty `after` is not an id for xread; start after "0" when the stream is empty'),
    Mistake("7.2", "new entries are not sent", saw="ana received nothing"),
    Mistake("7.3", "the room waits for the member that does not read", saw=r"bo received \d+ of"),
    Mistake("7.3", "unsent messages of a slow member are kept without limit", saw="zed received all"),
    Mistake("7.3", "a slow member is removed, but its connection stays open", saw="is still connected",
            likely="discard() only changes the set; abort() ends the connection"),
]
