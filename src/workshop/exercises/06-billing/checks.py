"""What the ferry's switchboard must count, cost and close."""

import asyncio
import time

from workshop.checking import Mistake, Target, Unexpected, step
from workshop.labs.cost_model import Plan, estimate

BUDGET = 130.0
LINES = 60


async def counted(target: Target, *cases: tuple[list[list[float]], float]) -> None:
    """billed_seconds must give the second of each pair for the first."""
    given = await target.call("meter.py", "billed_seconds", *([intervals] for intervals, _ in cases))
    for (intervals, wanted), got in zip(cases, given, strict=True):
        if got.error:
            raise Unexpected(f"billed_seconds({intervals}) raised {got.error}", got.trace)
        if not isinstance(got.value, int | float) or abs(got.value - wanted) > 1e-6:
            raise Unexpected(f"billed_seconds({intervals}) gave {got.value!r}, not {wanted:g}")


@step("6.1", did="one line from 1 to 4", wanted="3 seconds", local=True)
async def one(target: Target) -> None:
    await counted(target, ([[1, 4]], 3))


@step("6.1", did="two lines that overlap: 1 to 4 and 2 to 7.5", wanted="6.5 seconds: T1 to T4, the overlap once",
      local=True)
async def overlap(target: Target) -> None:
    await counted(target, ([[1, 4], [2, 7.5]], 6.5))


@step("6.1", did="two lines with a pause between: 0 to 1 and 5 to 6", wanted="2 seconds", local=True)
async def pause(target: Target) -> None:
    await counted(target, ([[0, 1], [5, 6]], 2))


@step("6.1", did="lines within lines, in any order, and none at all", wanted="each second once; 0 for none", local=True)
async def any_order(target: Target) -> None:
    await counted(target, ([[0, 10], [2, 3], [4, 12]], 12), ([[5, 6], [0, 1], [0.5, 2]], 3), ([], 0))


@step("6.2", did="deployed s.yaml and read what it asks for", local=True,
      wanted="no line is cut, a forgotten one ends within 20 minutes, no instance bears more than 60")
async def fits(target: Target) -> None:
    config = await asked(target)
    if config.timeout < 600:
        raise Unexpected(f"timeout is {config.timeout}: the longest line, 600 s, is cut")
    if config.timeout > 1200:
        raise Unexpected(f"timeout is {config.timeout}: that long a forgotten line keeps its instance")
    if config.instance_concurrency > LINES:
        raise Unexpected(f"instanceConcurrency is {config.instance_concurrency}: an instance bears {LINES} lines")
    if (config.cpu, config.memory_size) != (0.35, 512):
        raise Unexpected(
            f"the size is {config.cpu:g} vCPU and {config.memory_size} MB: what that bears was not measured")


@step("6.2", did="had a month of that traffic billed", wanted=f"at most {BUDGET:g} CNY", local=True)
async def affordable(target: Target) -> None:
    config = await asked(target)
    cost = (await asyncio.to_thread(estimate, Plan(600, 120, config.instance_concurrency, mb_each=0))).cost
    if cost > BUDGET:
        raise Unexpected(f"a month costs {cost:.2f} CNY with instanceConcurrency {config.instance_concurrency}")


async def asked(target: Target):  # type: ignore[no-untyped-def]
    """The function's configuration as the platform has it."""
    app = await target.deploy()
    from alibabacloud_fc20230330.models import GetFunctionRequest
    return (await asyncio.to_thread(target.fc.sdk.get_function, app.name, GetFunctionRequest())).body


@step("6.3", did="ana spoke every 0.3 s, with IDLE at 0.6 s", wanted="ana's line stays open", local=True)
async def talkers_stay(target: Target) -> None:
    await target.deploy(environmentVariables={"IDLE_SECONDS": "0.6"})
    ana = await target.connect("ana")
    for _ in range(4):
        await ana.send("ahoy")
        await ana.expect("ferry: ahoy")
        await asyncio.sleep(0.3)


@step("6.3", did="bo said nothing, with IDLE at 0.6 s", wanted='bo is closed after 0.6 s with 1000 and "idle"',
      local=True)
async def the_silent_go(target: Target) -> None:
    await target.deploy(environmentVariables={"IDLE_SECONDS": "0.6"})
    bo = await target.connect("bo")
    begin = time.monotonic()
    code = await bo.closed(2)
    if time.monotonic() - begin < 0.5:
        raise Unexpected(f"bo was closed after {time.monotonic() - begin:.1f} s")
    if code != 1000 or bo.connection.close_reason != "idle":
        raise Unexpected(f'bo was closed with {code} "{bo.connection.close_reason}"')


MISTAKES = [
    Mistake("6.1", "the overlap is counted twice", saw=r"gave 8\.5, not 6\.5"),
    Mistake("6.1", "the pause between the lines is counted", saw=r"gave 6(\.0)?, not 2"),
    Mistake("6.1", "the order of the list matters", saw=r"\[\[5, 6\], \[0, 1\], \[0\.5, 2\]\]"),
    Mistake("6.1", "a line within another one counts again", saw=r"\[\[0, 10\], \[2, 3\], \[4, 12\]\]"),
    Mistake("6.2", "the longest lines are cut by the timeout", saw="timeout is .* is cut"),
    Mistake("6.2", "a forgotten line is paid for much too long", saw="timeout is .* forgotten"),
    Mistake("6.2", "more lines than one instance bears", saw="an instance bears"),
    Mistake("6.2", "every line has an instance to itself", saw="with instanceConcurrency 1$"),
    Mistake("6.2", "too few lines share an instance: over the budget", saw="a month costs"),
    Mistake("6.3", "the silent are never closed", saw="still open"),
    Mistake("6.3", "a passenger who speaks is closed, too", saw="ana's connection was closed"),
    Mistake("6.3", "the line is closed with another code or reason", saw='bo was closed with'),
]
