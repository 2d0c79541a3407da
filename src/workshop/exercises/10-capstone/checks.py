"""What the auction and its client must do."""

import asyncio
import json
import re
import secrets
from typing import Any

from websockets.asyncio.server import ServerConnection, serve

from workshop.checking import Client, Mistake, Target, Unexpected, preview, step

CLIENTS, ROUNDS, BIDS = 4, 3, 8


def new_item() -> str:
    """Return the path of an item that no earlier check has used."""
    return f"/{secrets.token_hex(4)}"


def bid(number: int, price: int, bidder: str) -> dict[str, Any]:
    """Return an accepted bid as the server must send it."""
    return {"number": number, "price": price, "bidder": bidder}


async def offer(client: Client, price: int) -> None:
    """Send a bid."""
    await client.send(json.dumps({"price": price, "bidder": client.name}))


async def receives(client: Client, wanted: dict[str, Any]) -> None:
    """Require that the next message is this JSON object. Raises Unexpected."""
    got = await client.receive()
    try:
        same = json.loads(got) == wanted
    except ValueError:
        same = False
    if not same:
        text = got if isinstance(got, str) else preview(got)
        raise Unexpected(f"{client.name} received {text}, not {json.dumps(wanted)}")


async def rejected(client: Client, last: int) -> None:
    """Require the error for a price that is not higher. Raises Unexpected."""
    await receives(client, {"error": f"the price must be higher than {last}"})


@step("10.1", did="ana and bo joined an auction; ana bid 20", wanted="both receive bid number 1 with price 20")
async def first_bid(target: Target) -> None:
    item = new_item()
    ana, bo = await target.connect("ana", item), await target.connect("bo", item)
    await offer(ana, 20)
    for client in (ana, bo):
        await receives(client, bid(1, 20, "ana"))


@step("10.1", did="after ana's bid of 20, bo bid 19, 20 and 25",
      wanted="bo receives two errors; then both receive bid number 2 with price 25")
async def higher_only(target: Target) -> None:
    item = new_item()
    ana, bo = await target.connect("ana", item), await target.connect("bo", item)
    await offer(ana, 20)
    for client in (ana, bo):
        await receives(client, bid(1, 20, "ana"))
    for price in (19, 20):
        await offer(bo, price)
        await rejected(bo, 20)
    await offer(bo, 25)
    for client in (ana, bo):
        await receives(client, bid(2, 25, "bo"))


@step("10.1", did="ana sent five messages that are not bids, then bid 5", wanted='five times "not a bid", then the bid')
async def not_a_bid(target: Target) -> None:
    ana = await target.connect("ana", new_item())
    for text in ("hello", "[1]", "{}", '{"price": "5", "bidder": "ana"}', '{"price": 5}'):
        await ana.send(text)
        await receives(ana, {"error": "not a bid"})
    await offer(ana, 5)
    await receives(ana, bid(1, 5, "ana"))


@step("10.1", did="after three bids, cy joined, and dan joined with ?after=1",
      wanted="cy receives bid 3; dan receives bids 2 and 3")
async def late_clients(target: Target) -> None:
    item = new_item()
    ana = await target.connect("ana", item)
    for number in (1, 2, 3):
        await offer(ana, number)
        await receives(ana, bid(number, number, "ana"))
    await receives(await target.connect("cy", item), bid(3, 3, "ana"))
    dan = await target.connect("dan", f"{item}?after=1")
    for number in (2, 3):
        await receives(dan, bid(number, number, "ana"))


@step("10.1", did="ana disconnected without a Close frame; bo bid 7; sent a POST request", local=True,
      wanted="bo receives its bid; the log has no traceback; POST is rejected with 403")
async def quiet(target: Target) -> None:
    item = new_item()
    ana, bo = await target.connect("ana", item), await target.connect("bo", item)
    ana.vanish()
    await offer(bo, 7)
    await receives(bo, bid(1, 7, "bo"))
    for _ in range(4):
        if "Traceback" in (log := await target.logs()):
            raise Unexpected("a traceback in the log after ana disconnected", log)
        await asyncio.sleep(0.05)
    if (answer := await target.request("/", method="POST")).status != 403:
        raise Unexpected(f"POST was answered with {answer.status}")


async def crowd(target: Target, item: str) -> list[Client]:
    """Connect clients to several instances. Raises Unexpected if one instance has them all."""
    clients = [await target.connect(name, item) for name in ("ana", "bo", "cy", "di")]
    instances = await asyncio.to_thread(target.fc.instances, (await target.deploy()).name)
    if len(instances) < 2:
        raise Unexpected(f"{CLIENTS} clients are on one instance: instanceConcurrency is not 2")
    return clients


@step("10.2", did="four clients joined on two instances; each of them bid once", local=True,
      wanted="every client receives the four bids, each once")
async def every_instance(target: Target) -> None:
    clients = await crowd(target, new_item())
    for number, bidder in enumerate(clients, 1):
        await offer(bidder, number * 10)
        for client in clients:
            await receives(client, bid(number, number * 10, bidder.name))


@step("10.2", did=f"four clients bid the same price at the same moment, {ROUNDS} times", local=True,
      wanted="exactly one bid is accepted each time")
async def one_winner(target: Target) -> None:
    item = new_item()
    clients = await crowd(target, item)
    for price in range(1, ROUNDS + 1):
        with target.fc.fault("pause_redis"):  # so that the bids of all instances reach Redis at one moment
            await asyncio.gather(*(offer(client, price) for client in clients))
            await asyncio.sleep(0.1)
        for client in clients:
            seen: dict[str, Any] = {}
            while seen.get("price") != price:
                got = await client.receive()
                try:
                    seen = json.loads(got)
                except ValueError:
                    raise Unexpected(f"{client.name} received {preview(got)}") from None
    reader = await target.connect("reader", f"{item}?after=0")
    for number in range(1, ROUNDS + 1):
        got = json.loads(await reader.receive())
        if got.get("price") != number:
            raise Unexpected(f"bid number {number} has the price {got.get('price')}: two bids of {number - 1} won")


@step("10.2", did="after two bids all instances were killed; eve joined with ?after=0", local=True,
      wanted="eve receives both bids")
async def durable(target: Target) -> None:
    item = new_item()
    ana = await target.connect("ana", item)
    for number in (1, 2):
        await offer(ana, number)
        await receives(ana, bid(number, number, "ana"))
    name = (await target.deploy()).name
    for instance in await asyncio.to_thread(target.fc.instances, name):
        await asyncio.to_thread(target.fc.kill, instance["instanceId"])
    await ana.closed()
    eve = await target.connect("eve", f"{item}?after=0")
    for number in (1, 2):
        await receives(eve, bid(number, number, "ana"))


def begun(target: Target, function: str) -> int:
    """Return how many requests of a function have begun; a rejected one does not begin."""
    return sum(1 for _ in target.fc.events(function=function, kinds="request.begin"))


@step("10.3", did=f"ran client.py through two 503 and a killed instance while ana bid {BIDS} times", local=True,
      wanted=f"it prints bids 1 to {BIDS}, each once and in order, and ends")
async def misses_nothing(target: Target) -> None:
    item = new_item()
    name = (await target.deploy()).name
    ana = await target.connect("ana", item)
    url = (await target.url()).replace("https", "wss") + item
    for number in (1, 2):
        await offer(ana, number)
        await receives(ana, bid(number, number, "ana"))
    before = await asyncio.to_thread(begun, target, name)
    with target.fc.fault("reject", function=name, status=503, times=2):
        running = asyncio.ensure_future(target.run("client.py", url, str(BIDS), seconds=8))
        for _ in range(80):
            if running.done() or await asyncio.to_thread(begun, target, name) > before:
                break
            await asyncio.sleep(0.05)
    for number in range(3, BIDS + 1):
        if number == BIDS // 2 + 1:
            await asyncio.sleep(0.3)  # client.py has printed the first half
            for instance in await asyncio.to_thread(target.fc.instances, name):
                await asyncio.to_thread(target.fc.kill, instance["instanceId"])
            ana = await target.connect("ana", f"{item}?after={number - 1}")
        await offer(ana, number)
        await receives(ana, bid(number, number, "ana"))
    done = await running
    lines = done.out.splitlines()
    target.record("client", "check", "print", ", ".join(lines))
    how = "was stopped after 8 s" if done.code is None else f"ended with {done.code}"
    wanted = [f"{number} {number} ana" for number in range(1, BIDS + 1)]
    if lines != wanted:
        at = next((at for at, pair in enumerate(zip(lines, wanted, strict=False)) if pair[0] != pair[1]), len(lines))
        seen = f'printed "{lines[at]}" as line {at + 1}' if at < len(lines) else f"printed {len(lines)} lines"
        raise Unexpected(f"client.py {seen} and {how}", done.err)
    if done.code != 0:
        raise Unexpected(f"client.py printed all bids and {how}", done.err)


@step("10.3", did="ran client.py with a server that rejects it with 403", local=True, wanted="it ends with exit code 1")
async def stops(target: Target) -> None:
    async def handler(connection: ServerConnection) -> None:
        await connection.wait_closed()

    async with serve(handler, "localhost", 0, process_request=lambda ws, _: ws.respond(403, "rejected")) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        done = await target.run("client.py", f"ws://localhost:{port}/lamp", "1", seconds=3)
    if done.code != 1 or re.search("Traceback", done.err):
        how = "was stopped after 3 s" if done.code is None else f"ended with {done.code}"
        raise Unexpected(f"client.py {how} after 403", done.err)


MISTAKES = [
    Mistake("10.1", "a bid that is not higher is accepted", saw=r'not \{"error": "the price',
            likely="compare with the last accepted price; equal is not higher"),
    Mistake("10.1", "a message that is not a bid is accepted", saw=r'received \{"number.*not \{"error": "not a bid'),
    Mistake("10.1", "the error goes to every client", saw=r'received \{"error".*not \{"number"',
            likely="send errors to the sender only"),
    Mistake("10.1", "a disconnected client causes a traceback", saw="after ana disconnected",
            likely="catch ConnectionClosed around the loop over the messages"),
    Mistake("10.1", "the numbers of the bids are wrong", saw=r'received \{"number": (?!1,).*not \{"number": 1'),
    Mistake("10.1", "a wrong bid gets no error", saw=r"received nothing", code=r"^(?!.*not a bid)"),
    Mistake("10.1", "no client receives the accepted bid", saw=r"ana received nothing"),
    Mistake("10.2", "two bids with the same price are accepted", saw="two bids of",
            likely="read the last price and append the bid in one step: a Lua script, or WATCH and MULTI"),
    Mistake("10.2", "the clients share one instance", saw="on one instance",
            likely="instanceConcurrency: 2 in s.yaml"),
    Mistake("10.2", "clients on the other instance do not receive the bid", saw="(cy|di) received nothing",
            likely="publish each accepted bid in Redis, and subscribe on every instance"),
    Mistake("10.2", "the bids are lost with their instance", saw="eve received nothing"),
    Mistake("10.3", "a rejection ends the client", log="InvalidStatus", saw="ended with 1"),
    Mistake("10.3", "a lost connection ends the client", log="ConnectionClosed", saw="ended with 1"),
    Mistake("10.3", "after the lost connection a bid is missing", saw=r'printed "[2-9].* as line|printed [1-7] lines',
            likely="connect with ?after= and the number of the last bid"),
    Mistake("10.3", "a bid is printed twice", saw='printed "'),
    Mistake("10.3", "the client retries after a permanent error", saw="was stopped after 3 s after 403",
            likely="403 stays 403: exit with 1"),
    Mistake("10.3", "the exit code after a permanent error is not 1", saw="after 403"),
]
