"""What the harbour and its buoys must do when the relay forgets."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from workshop.checking import Finished, Mistake, Target, Unexpected, step
from workshop.labs.nat import Nat

INTERVAL = 0.3
DEAD = "the line is dead"


@asynccontextmanager
async def relay(target: Target, forget_after: float | None) -> AsyncIterator[Nat]:
    """The relay on the headland, in front of the learner's function."""
    nat = Nat((await target.url()).replace("https", "wss"), forget_after=forget_after)
    await asyncio.to_thread(nat.start)
    try:
        yield nat
    finally:
        await asyncio.to_thread(nat.stop)


@step("4.1", did="ana said nothing for three intervals, but was there", wanted="ana is still connected")
async def the_living_stay(target: Target) -> None:
    ana = await target.connect("ana")
    await asyncio.sleep(3 * INTERVAL)
    await ana.send("depth 4")
    await ana.expect("noted: depth 4")


@step("4.1", did="the relay forgot bo; two intervals went by", wanted="ana asks who is here: one less than before",
      local=True)
async def the_dead_go(target: Target) -> None:
    async with relay(target, None) as nat:
        ana, bo = await target.connect("ana"), await target.connect("bo", url=nat.url)
        await bo.send("who")
        before = await bo.receive()
        await asyncio.to_thread(nat.forget)
        until = time.monotonic() + 2 * INTERVAL + 1
        while time.monotonic() < until:
            await ana.send("who")
            if await ana.receive() != before:
                return
            await asyncio.sleep(0.1)
        raise Unexpected("bo was still on the list one second after that")


async def buoy(target: Target, url: str, tide: float) -> Finished:
    """Run the buoy's program to its end."""
    done = await target.run("client.py", url, str(tide), seconds=tide + 3)
    for line in done.out.splitlines():
        target.record("buoy", "check", "print", line)
    return done


def said(done: Finished) -> str:
    """What the program printed, as one line."""
    return ", ".join(done.out.split("\n")).strip(", ") or "nothing"


@step("4.2", did="the buoy reported, was silent for 1.3 s, reported again", wanted="both reports are noted", local=True)
async def silent_and_known(target: Target) -> None:
    await target.deploy(environmentVariables={"PING_SECONDS": "20"})
    async with relay(target, 0.6) as nat:
        done = await buoy(target, nat.url, 1.3)
    if done.out.split("\n")[:2] != ["noted: depth 4", "noted: depth 5"]:
        how = "was still waiting" if done.code is None else f"ended with {done.code}"
        raise Unexpected(f"the buoy printed {said(done)} and {how}" + (", ConnectionClosedError" if done.code else ""))


@step("4.3", did="the relay forgot the buoy all the same", wanted=f'the buoy prints "{DEAD}" and ends', local=True)
async def knows_that_it_is_lost(target: Target) -> None:
    await target.deploy(environmentVariables={"PING_SECONDS": "20"})
    async with relay(target, None) as nat:
        running = asyncio.ensure_future(buoy(target, nat.url, 1.2))
        for _ in range(100):
            if running.done() or "depth 4" in await target.logs():
                break
            await asyncio.sleep(0.05)
        await asyncio.to_thread(nat.forget)
        done = await running
    if done.code is None or said(done) != f"noted: depth 4, {DEAD}":
        raise Unexpected(f"the buoy printed {said(done)}" + (" and was still waiting" if done.code is None else ""))


MISTAKES = [
    Mistake("4.1", "no pings are sent, so nothing is noticed", saw="bo was still on the list", code="None"),
    Mistake("4.1", "pings are sent every 20 s only", saw="bo was still on the list",
            when=lambda found: '"ping_interval"' not in found.code, likely="ping_interval has a default of 20 seconds"),
    Mistake("4.1", "pings are sent, but a missing pong has 20 s to come", saw="bo was still on the list",
            when=lambda found: '"ping_timeout"' not in found.code, likely="ping_timeout has a default of 20 seconds"),
    Mistake("4.1", "a buoy that is alive is dropped", saw="keepalive ping timeout",
            likely="a pong needs time to come back: give it one INTERVAL"),
    Mistake("4.2", "no pings are sent, so the relay forgets the line", saw="was still waiting", code="None"),
    Mistake("4.2", "the pings come less often than the relay forgets", saw="printed noted: depth 4",
            likely="the relay forgets after 0.6 s of silence"),
    Mistake("4.3", "the exception is not caught", log="Traceback.*ConnectionClosedError",
            likely="report() raises ConnectionClosedError when the line is dead"),
    Mistake("4.3", "nobody noticed that the line is dead", saw="was still waiting",
            likely="task 4.2 comes first: pings, and 0.5 s of patience"),
    Mistake("4.3", "nothing is printed when the line is dead", saw=r"printed noted: depth 4$"),
    Mistake("4.3", "it says something else than was agreed", saw=r"printed noted: depth 4, (?!the line is dead)"),
]
