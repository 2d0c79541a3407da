"""What the loudspeakers must do: over two instances, with late ships, with a sleepy one."""

import asyncio
import json
import secrets
from typing import Any

from redis.asyncio import Redis
from websockets.exceptions import ConnectionClosed

from workshop.checking import PATIENCE, Client, Mistake, Target, Unexpected, step

QUAY = "tea"
LOUD = 500  # times 64 KiB: more than all buffers on the way hold


async def subscriptions(target: Target, quay: str) -> int:
    """How many subscriptions Redis has for a quay now."""
    async with Redis.from_url(await asyncio.to_thread(target.fc.redis), protocol=2) as redis:
        return int((await redis.pubsub_numsub(f"quay:{quay}"))[0][1])


async def subscribed(target: Target, quay: str, wanted: int, patience: float = PATIENCE) -> int:
    """The number of subscriptions once it is `wanted`, or after a while; nobody tells when a subscription stands."""
    for _ in range(int(patience / 0.05)):
        if (count := await subscriptions(target, quay)) == wanted:
            break
        await asyncio.sleep(0.05)
    return count


@step("7.1", did='ana, bo and cy on one instance, di on another; ana said "fog"',
      wanted='bo, cy and di hear "fog" once, ana does not', local=True)
async def across(target: Target) -> None:
    ana, bo, cy, di = ships = [await target.connect(name, f"/{QUAY}") for name in ("ana", "bo", "cy", "di")]
    await subscribed(target, QUAY, 2)
    await ana.send("fog")
    for ship in (bo, cy, di):
        await ship.expect("fog")
    await di.send("over")  # the fence: whatever came before it came because of "fog"
    for ship in (ana, bo, cy):
        await ship.expect("over")
    await bo.send("end")
    await di.expect("end")
    await asyncio.gather(*(ship.close() for ship in ships))


@step("7.1", did="two ships of one instance came to a quay and left; counted its subscriptions in Redis",
      wanted="one, then none", local=True)
async def one_each(target: Target) -> None:
    stays = await target.connect("stays", "/coal")  # so that the instance is not frozen
    ana = await target.connect("ana", "/sand")
    await subscribed(target, "sand", 1)
    bo = await target.connect("bo", "/sand")
    await bo.send("I am here")  # what the instance reads when it has let bo in
    await ana.expect("I am here")
    if (count := await subscribed(target, "sand", 2, patience=0.5)) != 1:  # a second one would stand by then
        raise Unexpected(f"2 ships on 1 instance make {count} subscriptions")
    await asyncio.gather(ana.close(), bo.close())
    if count := await subscribed(target, "sand", 0):
        raise Unexpected(f"the quay is empty and has {count} subscription")
    await stays.close()


@step("7.1", did='Redis stood still for a second; ana said "hello?" and sent a Ping', wanted="a Pong meanwhile",
      local=True)
async def awake(target: Target) -> None:
    ana = await target.connect("ana", "/coal")
    await asyncio.to_thread(_paused, target, True)
    try:
        await ana.send("hello?")
        await asyncio.sleep(0.2)  # a Ping that comes in the same packet is answered by the library at once
        waiter = await ana.connection.ping()
        try:
            await asyncio.wait_for(waiter, 0.7)
        except TimeoutError:
            raise Unexpected("no Pong while Redis stood still") from None
    finally:
        await asyncio.to_thread(_paused, target, False)


_faults: list[Any] = []


def _paused(target: Target, begin: bool) -> None:
    if begin:
        _faults.append(target.fc.fault("pause_redis", seconds=5))
        _faults[-1].__enter__()
    else:
        _faults.pop().__exit__(None, None, None)


async def told(ship: Client, *texts: str) -> list[str]:
    """The ship is told these texts; their ids."""
    ids: list[str] = []
    for text in texts:
        try:
            got = await ship.receive()
        except Unexpected as saw:
            before = ", ".join(texts[:len(ids)])
            raise Unexpected(f"{ship.name} was told {before}, then nothing") if ids else saw from None
        try:
            entry = json.loads(got)
            found, id = entry["text"], entry["id"]
        except (ValueError, KeyError, TypeError):
            raise Unexpected(f"{ship.name} received {got!r}") from None
        if found != text:
            raise Unexpected(f'{ship.name} was told "{found}", not "{text}"')
        ids.append(id)
    return ids


@step("7.2", did='ana said "1" to "5"; then bo came for the first time', wanted='bo is told "3", "4", "5"', local=True)
async def newest(target: Target) -> None:
    quay, ana = await _talking(target, "12345")
    bo = await target.connect("bo", quay, folder="log")
    await told(bo, "3", "4", "5")
    await ana.send("6")
    await told(bo, "6")


@step("7.2", did='bo left after "5"; ana said "6" and "7"; bo came back with ?after=, ana said "8"',
      wanted='bo is told "6", "7", "8"', local=True)
async def resumed(target: Target) -> None:
    quay, ana = await _talking(target, "12345")
    bo = await target.connect("bo", quay, folder="log")
    after = (await told(bo, "3", "4", "5"))[-1]
    await bo.close()
    for text in "67":
        await ana.send(text)
    await told(ana, "6", "7")
    back = await target.connect("bo again", f"{quay}?after={after}", folder="log")
    await told(back, "6")
    await ana.send("8")
    await told(back, "7", "8")


@step("7.2", did='ana said "1" to "5"; the instance was killed; bo came', wanted='bo is told "3", "4", "5"', local=True)
async def outlives(target: Target) -> None:
    quay, ana = await _talking(target, "12345")
    app = await target.deploy("log")
    for instance in await asyncio.to_thread(target.fc.instances, app.name):
        await asyncio.to_thread(target.fc.kill, instance["instanceId"])
    await ana.closed()
    bo = await target.connect("bo", quay, folder="log")
    await told(bo, "3", "4", "5")


async def _talking(target: Target, texts: str) -> tuple[str, Client]:
    """A new quay, and ana there, who has said `texts` and was told them."""
    quay = f"/{secrets.token_hex(4)}"
    ana = await target.connect("ana", quay, folder="log")
    await asyncio.sleep(0.2)  # she listens before anybody speaks: at a stream that is empty
    for text in texts:
        await ana.send(text)
        await told(ana, text)
    return quay, ana


@step("7.3", did=f"zed listened to nothing while ana said {LOUD} long things, one after the other; then zed woke up",
      wanted="bo hears each at once; zed has been cut off", local=True)
async def sleepy(target: Target) -> None:
    url = (await target.url("crowd")).replace("https:", "http:")  # the port speaks both; without TLS it is quicker
    ana, bo, zed = [await target.connect(name, folder="crowd", url=url) for name in ("ana", "bo", "zed")]
    for number in range(LOUD):
        try:
            async with asyncio.timeout(PATIENCE):
                await ana.connection.send("w" * 2**16)
                await bo.connection.recv()
        except TimeoutError:
            raise Unexpected(f"bo heard {number} of {LOUD}, then nothing") from None
        except ConnectionClosed:
            raise (bo.ended() if bo.connection.close_code else ana.ended()) from None
    for number in range(LOUD):
        try:
            await zed.receive(1.0)
        except Unexpected as saw:
            if "nothing within" in str(saw):
                raise Unexpected(f"zed heard {number} of {LOUD} and is still there") from None
            return
    raise Unexpected(f"zed heard all {LOUD}")


MISTAKES = [
    Mistake("7.1", "only ships on the same instance hear it", saw="(cy|di) received nothing",
            likely="say() must publish, and a listener must pass on what Redis sends"),
    Mistake("7.1", "the ship that speaks hears itself", saw='ana received "fog"',
            likely="publish the id of the ship too, and leave it out in hear()"),
    Mistake("7.1", "the id is heard as part of the text", saw=r'received ".*-.*-.* fog"'),
    Mistake("7.1", "each ship has a subscription of its own", saw="make [2-9] subscriptions",
            likely="the first ship of a quay subscribes, the others use what it has"),
    Mistake("7.1", "every ship hears it as often as there are ships", saw='received "fog"$',
            likely="each ship has a subscription that speaks to all ships"),
    Mistake("7.1", "the listener goes on when the quay is empty", saw="the quay is empty",
            likely="leave() must cancel the task in listeners[quay] after the last ship"),
    Mistake("7.1", "waiting for Redis stops everything else", saw="no Pong while", code=r"redis\.Redis|sync|\bblocking",
            likely="the client of redis blocks the event loop; use the one of redis.asyncio"),
    Mistake("7.2", "bo is not told what he missed", saw='told "8", not|bo again received nothing',
            likely='"$" means: what comes from now on. Read on from the id that the ship knows'),
    Mistake("7.2", "the newest come first", saw='told "5", not "3"', likely="xrevrange gives the newest first"),
    Mistake("7.2", "the whole log is told to who comes first", saw='bo was told "1", not "3"'),
    Mistake("7.2", "what the ship knows already is told again", saw='bo again was told "5", not "6"',
            likely='xrange includes its start; "(" + id leaves it out'),
    Mistake("7.2", "after what it missed, the ship hears no more", saw="bo again was told .*, then nothing"),
    Mistake("7.2", "what was said is lost with its instance", saw="bo received nothing"),
    Mistake("7.2", "on an empty stream, tell() ends at once", saw="ana received nothing",
            code=r"""^(?!.*["']0).*xread""",
            likely='an empty `after` is no id for xread; begin after "0" where nothing was said yet'),
    Mistake("7.2", "nothing new is told", saw="ana received nothing"),
    Mistake("7.3", "the quay waits for the ship that does not listen", saw=r"bo heard \d+ of"),
    Mistake("7.3", "what a sleepy ship does not hear is kept without end", saw="zed heard all"),
    Mistake("7.3", "a sleepy ship is forgotten but not cut off", saw="is still there"),
]
