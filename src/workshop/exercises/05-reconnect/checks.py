"""What the client must receive, and how long it must wait."""

import asyncio
import re
import time
from itertools import pairwise

from workshop.checking import Findings, Finished, Mistake, Target, Unexpected, step

ALL = [str(number) for number in range(1, 501)]


async def received(target: Target) -> Finished:
    """Run client.py to its end. Raises Unexpected unless it stored 1 to 500, each once and in order."""
    url = (await target.url()).replace("https", "wss") + "/"

    async def failed(out: str) -> bool:
        numbers = out.split()
        # The third connection shows that all messages of the second one have arrived.
        from_one = any(not re.search(r"\?(.*&)?after=", path) for path in (await requests(target))[1:-1])
        return from_one or numbers != ALL[:len(numbers)]

    began = time.monotonic()
    done = await target.run("client.py", url, seconds=8, failed=failed)
    numbers = done.out.split()
    first, last = " ".join(numbers[:3]), " ".join(numbers[-3:])
    target.record("client", "check", "print", f"{len(numbers)} numbers, {first} ... {last}")
    if numbers != ALL:
        seconds = time.monotonic() - began
        how = f"was stopped after {seconds:.0f} s" if done.code is None else f"ended with {done.code}"
        last = "".join(done.err.strip().splitlines()[-1:])
        paths = await requests(target)
        requested = f", and its second connection requested {paths[1]}" if len(paths) > 1 else ""
        raise Unexpected(f"{wrong(numbers)}, the client {how}" + (f": {last}" if last else requested), done.err)
    return done


async def requests(target: Target) -> list[str]:
    """Return the paths that the client's connections requested."""
    return re.findall("requested: (.*)", await target.logs())


def wrong(numbers: list[str]) -> str:
    """Return the first place where the list is wrong."""
    for index, (number, wanted) in enumerate(zip(numbers, ALL, strict=False)):
        if number != wanted:
            return f"after {numbers[index - 1] if index else 'the beginning'} it stored {number}"
    return f"{len(numbers)} numbers were stored"


def repeats(findings: Findings) -> bool:
    """Return whether a message was stored again."""
    numbers = re.match(r"after (\d+) it stored (\d+),", findings.saw)
    return bool(numbers) and int(numbers[2]) <= int(numbers[1])


@step("5.1", did="ran client.py; the execution timeout closed its connection after 1 s",
      wanted="1 to 500, each once and in order",
      local=True)
async def through_the_timeout(target: Target) -> None:
    await target.deploy()
    await received(target)


async def waits(target: Target, *cases: tuple[int, int, float]) -> list[float | None]:
    """Return the results of wait() for each (cause, failures, random_number)."""
    results = await target.call("client.py", "wait", *cases)
    for case, got in zip(cases, results, strict=True):
        if got.error:
            raise Unexpected(f"wait{case} raised {got.error}", got.trace)
        if got.value is not None and not (isinstance(got.value, int | float) and got.value >= 0):
            raise Unexpected(f"wait{case} returned {got.value!r}")
    return [got.value for got in results]


@step("5.2", did="called wait for 400, 403, 404 and 1008", wanted="None each time", local=True)
async def never(target: Target) -> None:
    cases = [(cause, 0, 0.5) for cause in (400, 403, 404, 1008)]
    for case, got in zip(cases, await waits(target, *cases), strict=True):
        if got is not None:
            raise Unexpected(f"wait{case} returned {got!r}, not None")


@step("5.2", did="called wait for 1006, 429, 503, 1011, 1012 and 1013", wanted="a number of seconds", local=True)
async def again(target: Target) -> None:
    cases = [(cause, 0, 0.5) for cause in (1006, 429, 503, 1011, 1012, 1013)]
    for case, got in zip(cases, await waits(target, *cases), strict=True):
        if got is None or got > 1:
            raise Unexpected(f"wait{case} returned {got!r}")


@step("5.2", did="called wait with 0, 1, 2, 3 and 100 failures", wanted="twice as long each time, but at most 2 s",
      local=True)
async def backs_off(target: Target) -> None:
    *got, last = [seconds or 0 for seconds in await waits(target, *[(503, n, 0.99) for n in (0, 1, 2, 3, 100)])]
    if await waits(target, (503, 3, 0.5)) != await waits(target, (503, 3, 0.5)):
        raise Unexpected("two calls with the same arguments returned different waits")
    text = f"the waits were {', '.join(f'{seconds:g}' for seconds in (*got, last))} s"
    if sorted({*got, last}) != [*got, last]:
        raise Unexpected(f"{text}: they do not grow")
    if not all(1.8 * early < late < 2.2 * early for early, late in pairwise(got)):
        raise Unexpected(f"{text}: they do not double")
    if last > 2:
        raise Unexpected(f"after 100 failures it waits {last:g} s")


@step("5.2", did="called wait with the random numbers 0.1 and 0.9", wanted="two different waits", local=True)
async def jitter(target: Target) -> None:
    for failures in (3, 10):
        low, high = await waits(target, (503, failures, 0.1), (503, failures, 0.9))
        if low == high:
            raise Unexpected(f"after {failures} failures both were {low:g} s: all clients reconnect at the same moment")


@step("5.3", did="ran client.py through two 503, a lost connection, the timeout and a deployment", local=True,
      wanted="1 to 500, each once and in order")
async def bad_day(target: Target) -> None:
    name = (await target.deploy()).name
    with target.fc.fault("reject", function=name, status=503, times=2), \
            target.fc.fault("cut", function=name, after=0.4, times=1):
        running = asyncio.ensure_future(received(target))
        await asyncio.sleep(0.8)
        await target.deploy(environmentVariables={"PACE_SECONDS": "0.001"})
        await running


MISTAKES = [
    Mistake("5.1", "the URL has & instead of ? before `after`", saw=r"requested /&after",
            likely="a query begins with ?"),
    Mistake("5.1", "the URL has / instead of ? before `after`", saw=r"requested /+after",
            likely="a query begins with ?"),
    Mistake("5.1", "the parameter has another name", saw=r"requested \S*\?(?!after=)\w+=",
            likely="the parameter is `after`"),
    Mistake("5.1", "after the lost connection it starts at number 1 again", saw=r"after \d+ it stored 1,"),
    Mistake("5.1", "the repeated messages are stored twice", when=repeats),
    Mistake("5.1", "every second message is dropped", saw=r"after 1 it stored 3,",
            likely="compare with > last, and set `last` once for each message"),
    Mistake("5.1", "a message is missing after the lost connection", saw=r"after .+ it stored \d+,"),
    Mistake("5.1", "nothing is stored", saw=r"^0 numbers"),
    Mistake("5.1", "the last message does not arrive in time", saw="was stopped after",
            likely="each connection must request ?after= with the last number"),
    Mistake("5.2", "it retries after a permanent error", saw="not None"),
    Mistake("5.2", "it gives up after a temporary error", saw="returned None"),
    Mistake("5.2", "the argument random_number is not used", saw="same arguments",
            likely="multiply by random_number, not by random.random()"),
    Mistake("5.2", "the waits do not grow", saw="they do not grow"),
    Mistake("5.2", "the waits grow, but they do not double", saw="they do not double"),
    Mistake("5.2", "the waits grow without a limit", saw="after 100 failures"),
    Mistake("5.2", "the jitter is lost at the limit", saw="after 10 failures both",
            likely="first limit the span, then multiply it by random_number"),
    Mistake("5.2", "the jitter is missing", saw="at the same moment", likely="multiply the span by random_number"),
    Mistake("5.3", "it gives up after a temporary rejection", saw="gave up"),
    Mistake("5.3", "the rejection is not caught", log="InvalidStatus", saw="ended with 1"),
    Mistake("5.3", "it ends before all messages are stored", saw="ended with 0"),
]
