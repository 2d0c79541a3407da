"""What the telegraph's receiving end must do."""

import asyncio
from itertools import pairwise

from workshop.checking import Finished, Mistake, Target, Unexpected, step

ALL = [str(number) for number in range(1, 501)]


async def received(target: Target) -> Finished:
    """Run the client to its end. Raises Unexpected unless it wrote down 1 to 500, each once and in order."""
    url = (await target.url()).replace("https", "wss") + "/"
    done = await target.run("client.py", url, seconds=8)
    words = done.out.split()
    target.record("client", "check", "print", f"{len(words)} numbers, {' '.join(words[:3])} ... {' '.join(words[-3:])}")
    if words != ALL:
        how = "was stopped after 8 s" if done.code is None else f"ended with {done.code}"
        last = "".join(done.err.strip().splitlines()[-1:])
        raise Unexpected(f"{wrong(words)}, and the client {how}" + (f": {last}" if last else ""), done.err)
    return done


def wrong(words: list[str]) -> str:
    """The first place at which the list is not as it should be."""
    for index, (word, wanted) in enumerate(zip(words, ALL, strict=False)):
        if word != wanted:
            return f"after {words[index - 1] if index else 'the beginning'} came {word}"
    return f"{len(words)} numbers were written down"


@step("5.1", did="500 words came; the service cut the wire after 1 s", wanted="1 to 500, each once and in order",
      local=True)
async def through_the_timeout(target: Target) -> None:
    await target.deploy()
    await received(target)


async def waits(target: Target, *cases: tuple[int, int, float]) -> list[float | None]:
    """What wait() gives for each (cause, failures, draw)."""
    given = await target.call("client.py", "wait", *cases)
    for case, got in zip(cases, given, strict=True):
        if got.error:
            raise Unexpected(f"wait{case} raised {got.error}", got.trace)
        if got.value is not None and not (isinstance(got.value, int | float) and got.value >= 0):
            raise Unexpected(f"wait{case} gave {got.value!r}")
    return [got.value for got in given]


@step("5.2", did="called wait for 400, 403, 404 and 1008", wanted="None each time", local=True)
async def never(target: Target) -> None:
    cases = [(cause, 0, 0.5) for cause in (400, 403, 404, 1008)]
    for case, got in zip(cases, await waits(target, *cases), strict=True):
        if got is not None:
            raise Unexpected(f"wait{case} gave {got!r}, not None")


@step("5.2", did="called wait for 1006, 429, 503, 1011, 1012 and 1013", wanted="a number of seconds", local=True)
async def again(target: Target) -> None:
    cases = [(cause, 0, 0.5) for cause in (1006, 429, 503, 1011, 1012, 1013)]
    for case, got in zip(cases, await waits(target, *cases), strict=True):
        if got is None or got > 1:
            raise Unexpected(f"wait{case} gave {got!r}")


@step("5.2", did="let it fail 0, 1, 2, 3 and 100 times", wanted="twice as long each time, but never longer than 2 s",
      local=True)
async def backs_off(target: Target) -> None:
    *got, last = [seconds or 0 for seconds in await waits(target, *[(503, n, 0.99) for n in (0, 1, 2, 3, 100)])]
    told = f"the waits were {', '.join(f'{seconds:g}' for seconds in (*got, last))} s"
    if sorted({*got, last}) != [*got, last]:
        raise Unexpected(f"{told}: they do not grow")
    if not all(1.8 * early < late < 2.2 * early for early, late in pairwise(got)):
        raise Unexpected(f"{told}: they do not double")
    if last > 2:
        raise Unexpected(f"after 100 failures it waits {last:g} s")


@step("5.2", did="called wait with the draws 0.1 and 0.9", wanted="two different waits", local=True)
async def jitter(target: Target) -> None:
    for failures in (3, 10):
        low, high = await waits(target, (503, failures, 0.1), (503, failures, 0.9))
        if low == high:
            raise Unexpected(f"after {failures} failures both were {low:g} s: all clients come back in the same moment")


@step("5.3", did="two 503, a cut, the timeout and a deployment while 500 words came", local=True,
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
    Mistake("5.1", "after the cut it begins again with number 1", saw=r"after \d+ came 1,"),
    Mistake("5.1", "the word before the cut is written down twice", saw=r"after (\d+) came \1,"),
    Mistake("5.1", "a word is missing after the cut", saw=r"after .+ came \d+,"),
    Mistake("5.1", "nothing is written down", saw=r"^0 numbers"),
    Mistake("5.1", "it does not get to the last word in time", saw="was stopped after",
            likely="each connection has to ask with ?after= and the last number"),
    Mistake("5.2", "it tries again where that cannot help", saw="not None"),
    Mistake("5.2", "it gives up where trying again would help", saw="gave None"),
    Mistake("5.2", "the waits do not grow", saw="they do not grow"),
    Mistake("5.2", "the waits grow, but they do not double", saw="they do not double"),
    Mistake("5.2", "the waits grow without a limit", saw="after 100 failures"),
    Mistake("5.2", "there is no jitter any more when the limit is reached", saw="after 10 failures both",
            likely="first the span with its limit, then `draw` from it"),
    Mistake("5.2", "there is no jitter", saw="in the same moment", likely="`draw` belongs into the result"),
    Mistake("5.3", "it gives up when it is turned away", saw="gave up"),
    Mistake("5.3", "the refusal is not caught", log="InvalidStatus", saw="ended with 1"),
    Mistake("5.3", "it ends before all words are there", saw="ended with 0"),
]
