"""What server and client must do when a NAT gateway removes a connection from its table."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from workshop.checking import Finished, Mistake, Target, Unexpected, step
from workshop.labs.nat import Nat

INTERVAL = 0.3
DEAD = "the connection is dead"


@asynccontextmanager
async def gateway(target: Target, forget_after: float | None) -> AsyncIterator[Nat]:
    """Run a NAT gateway in front of the learner's function."""
    nat = Nat((await target.url()).replace("https", "wss"), forget_after=forget_after)
    await asyncio.to_thread(nat.start)
    try:
        yield nat
    finally:
        await asyncio.to_thread(nat.stop)


@step("4.1", did="ana sent nothing for three intervals, but answered Pings", wanted="ana is still connected")
async def silent_clients_stay(target: Target) -> None:
    ana = await target.connect("ana")
    await asyncio.sleep(3 * INTERVAL)
    await ana.send("message 1")
    await ana.expect("stored: message 1")


@step("4.1", did="the NAT gateway removed bo's connection; two intervals passed", local=True,
      wanted="the server counts one connection less")
async def dead_connections_are_closed(target: Target) -> None:
    async with gateway(target, None) as nat:
        ana, bo = await target.connect("ana"), await target.connect("bo", url=nat.url)
        await bo.send("count")
        before = await bo.receive()
        await asyncio.to_thread(nat.forget)
        until = time.monotonic() + 2 * INTERVAL + 1
        while time.monotonic() < until:
            await ana.send("count")
            if await ana.receive() != before:
                return
            await asyncio.sleep(0.1)
        raise Unexpected("bo's connection was still counted one second later")


async def client(target: Target, url: str, silence: float) -> Finished:
    """Run client.py to its end."""
    done = await target.run("client.py", url, str(silence), seconds=silence + 5)
    for line in done.out.splitlines():
        target.record("client", "check", "print", line)
    return done


def printed(done: Finished) -> str:
    """Return the output of the program as one line."""
    return ", ".join(done.out.split("\n")).strip(", ") or "nothing"


@step("4.2", did="client.py sent a message, was silent for 1.3 s, sent another one", local=True,
      wanted="both are stored")
async def silent_and_known(target: Target) -> None:
    await target.deploy(environmentVariables={"PING_SECONDS": "20"})
    async with gateway(target, 0.6) as nat:
        done = await client(target, nat.url, 1.3)
    if done.out.split("\n")[:2] != ["stored: message 1", "stored: message 2"]:
        how = "was still waiting" if done.code is None else f"ended with {done.code}"
        why = ", ConnectionClosedError" if done.code else ""
        raise Unexpected(f"client.py printed {printed(done)} and {how}{why}")


@step("4.3", did="the NAT gateway removed the connection of client.py", wanted=f'it prints "{DEAD}" and ends',
      local=True)
async def reports_the_dead_connection(target: Target) -> None:
    await target.deploy(environmentVariables={"PING_SECONDS": "20"})
    async with gateway(target, None) as nat:
        running = asyncio.ensure_future(client(target, nat.url, 1.2))
        for _ in range(100):
            if running.done() or "message 1" in await target.logs():
                break
            await asyncio.sleep(0.05)
        await asyncio.to_thread(nat.forget)
        done = await running
    if done.code is None or printed(done) != f"stored: message 1, {DEAD}":
        raise Unexpected(f"client.py printed {printed(done)}" + (" and was still waiting" if done.code is None else ""))


MISTAKES = [
    Mistake("4.1", "no Pings are sent, so a dead connection is not detected", saw="still counted", code="None"),
    Mistake("4.1", "Pings are sent only every 20 s", saw="still counted",
            when=lambda findings: '"ping_interval"' not in findings.code,
            likely="ping_interval defaults to 20 seconds"),
    Mistake("4.1", "Pings are sent, but ping_timeout is still 20 s", saw="still counted",
            when=lambda findings: '"ping_timeout"' not in findings.code,
            likely="ping_timeout defaults to 20 seconds"),
    Mistake("4.1", "seconds and milliseconds are confused", saw="still counted", code=r"1000",
            likely="ping_interval and ping_timeout are in seconds, as INTERVAL is"),
    Mistake("4.1", "a connection that is alive is closed", saw="keepalive ping timeout",
            likely="a Pong needs time to arrive: allow one INTERVAL"),
    Mistake("4.2", "no Pings are sent, so the NAT gateway removes the connection", saw="was still waiting",
            code="None"),
    Mistake("4.2", "the Pings are less frequent than the NAT gateway's limit", saw="printed stored: message 1",
            likely="the NAT gateway removes a connection after 0.6 s without traffic"),
    Mistake("4.3", "the exception is not caught", log="Traceback.*ConnectionClosedError",
            likely="report() raises ConnectionClosedError when the connection is dead"),
    Mistake("4.3", "the client does not detect the dead connection", saw="was still waiting",
            likely="task 4.2 comes first: Pings, and at most 0.5 s for a Pong"),
    Mistake("4.3", "nothing is printed when the connection is dead", saw=r"printed stored: message 1$"),
    Mistake("4.3", "the line is printed without a dead connection too", saw=r"message 2.*connection is dead"),
    Mistake("4.3", "the printed line has other words", saw=r"printed stored: message 1, (?!the connection is dead)",
            likely="print the line of the TODO word for word"),
]
