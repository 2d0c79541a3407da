"""Which seconds are billed, which settings fit, and which connections must be closed."""

import asyncio
import time

from workshop.checking import Mistake, Target, Unexpected, step
from workshop.labs.cost_model import Plan, estimate

BUDGET = 130.0
CONNECTIONS = 60


async def counted(target: Target, *cases: tuple[list[list[float]], float]) -> None:
    """Require that billed_seconds returns the number of each pair for its list. Raises Unexpected."""
    results = await target.call("meter.py", "billed_seconds", *([intervals] for intervals, _ in cases))
    for (intervals, wanted), got in zip(cases, results, strict=True):
        if got.error:
            raise Unexpected(f"billed_seconds({intervals}) raised {got.error}", got.trace)
        if not isinstance(got.value, int | float) or abs(got.value - wanted) > 1e-6:
            raise Unexpected(f"billed_seconds({intervals}) returned {got.value!r}, not {wanted:g}")


@step("6.1", did="called billed_seconds with one connection, open from 1 to 4", wanted="3 seconds", local=True)
async def one(target: Target) -> None:
    await counted(target, ([[1, 4]], 3))


@step("6.1", did="called billed_seconds with two that overlap: 1 to 4 and 2 to 7.5", local=True,
      wanted="6.5 seconds: T1 to T4, the overlap once")
async def overlap(target: Target) -> None:
    await counted(target, ([[1, 4], [2, 7.5]], 6.5))


@step("6.1", did="called billed_seconds with a pause: 0 to 1 and 5 to 6", wanted="2 seconds", local=True)
async def pause(target: Target) -> None:
    await counted(target, ([[0, 1], [5, 6]], 2))


@step("6.1", did="called billed_seconds with nested intervals, any order, an empty list", wanted="each second once",
      local=True)
async def any_order(target: Target) -> None:
    await counted(target, ([[0, 10], [2, 3], [4, 12]], 12), ([[5, 6], [0, 1], [0.5, 2]], 3), ([], 0))


@step("6.2", did="deployed s.yaml and read its settings", local=True,
      wanted="timeout from 600 to 1200, and at most 60 connections per instance")
async def fits(target: Target) -> None:
    config = await asked(target)
    if config.timeout < 600:
        raise Unexpected(f"timeout is {config.timeout}: the longest connection, 600 s, is closed")
    if config.timeout > 1200:
        raise Unexpected(f"timeout is {config.timeout}: a forgotten connection is billed that long")
    if config.instance_concurrency > CONNECTIONS:
        count = config.instance_concurrency
        raise Unexpected(f"instanceConcurrency is {count}: an instance holds {CONNECTIONS} connections")
    if (config.cpu, config.memory_size) != (0.35, 512):
        raise Unexpected(
            f"the size is {config.cpu:g} vCPU and {config.memory_size} MB, but 60 was measured with 0.35 and 512 MB")


@step("6.2", did="calculated the bill for a month of this traffic", wanted=f"at most {BUDGET:g} CNY", local=True)
async def affordable(target: Target) -> None:
    config = await asked(target)
    cost = (await asyncio.to_thread(estimate, Plan(600, 120, config.instance_concurrency, mb_each=0))).cost
    if cost > BUDGET:
        raise Unexpected(f"a month costs {cost:.2f} CNY with instanceConcurrency {config.instance_concurrency}")


async def asked(target: Target):  # type: ignore[no-untyped-def]
    """Return the configuration of the function as the platform stores it."""
    app = await target.deploy()
    from alibabacloud_fc20230330.models import GetFunctionRequest
    return (await asyncio.to_thread(target.fc.sdk.get_function, app.name, GetFunctionRequest())).body


@step("6.3", did="ana sent a message every 0.3 s, with IDLE at 0.6 s", wanted="ana's connection stays open", local=True)
async def active_clients_stay(target: Target) -> None:
    await target.deploy(environmentVariables={"IDLE_SECONDS": "0.6"})
    ana = await target.connect("ana")
    for _ in range(4):
        await ana.send("hello")
        await ana.expect("received: hello")
        await asyncio.sleep(0.3)


@step("6.3", did="bo sent nothing, with IDLE at 0.6 s", wanted='bo receives a Close frame after 0.6 s: 1000 "idle"',
      local=True)
async def idle_connections_are_closed(target: Target) -> None:
    await target.deploy(environmentVariables={"IDLE_SECONDS": "0.6"})
    bo = await target.connect("bo")
    begin = time.monotonic()
    code = await bo.closed(2)
    if time.monotonic() - begin < 0.5:
        raise Unexpected(f"bo was closed after {time.monotonic() - begin:.1f} s")
    if code != 1000 or bo.connection.close_reason != "idle":
        raise Unexpected(f'bo was closed with {code} "{bo.connection.close_reason}"')


@step("6.3", did="ana closed her connection", wanted="the log has no traceback", local=True)
async def a_normal_close_logs_no_traceback(target: Target) -> None:
    await target.deploy(environmentVariables={"IDLE_SECONDS": "0.6"})
    ana, bo = await target.connect("ana"), await target.connect("bo")
    await ana.close()
    await bo.send("hello")  # answered after the server handled ana's Close frame
    await bo.expect("received: hello")
    for _ in range(4):
        if "Traceback" in (log := await target.logs()):
            raise Unexpected("a traceback in the log after a normal close", log)
        await asyncio.sleep(0.05)


MISTAKES = [
    Mistake("6.1", "the overlap is counted twice", saw=r"returned 8\.5, not 6\.5"),
    Mistake("6.1", "the seconds are rounded", saw=r"returned [67](\.0)?, not 6\.5",
            likely="return the number as it is, without int(), round() or //"),
    Mistake("6.1", "the pause between the connections is counted", saw=r"returned 6(\.0)?, not 2"),
    Mistake("6.1", "the result depends on the order of the list", saw=r"\[\[5, 6\], \[0, 1\], \[0\.5, 2\]\]"),
    Mistake("6.1", "a connection inside another one is counted again", saw=r"\[\[0, 10\], \[2, 3\], \[4, 12\]\]"),
    Mistake("6.1", "the result is negative: the subtraction is reversed", saw=r"returned -"),
    Mistake("6.1", "only the first connection is counted", saw=r"returned 3(\.0)?, not 6\.5",
            likely="`return` inside the loop ends it after one round"),
    Mistake("6.1", "the function returns None", saw="returned None", likely="`return` is missing at the end"),
    Mistake("6.2", "the timeout closes the longest connections", saw="timeout is .* is closed"),
    Mistake("6.2", "a forgotten connection is billed for too long", saw="timeout is .* forgotten"),
    Mistake("6.2", "an instance has more connections than it can hold", saw="an instance holds"),
    Mistake("6.2", "every connection has an instance of its own", saw="with instanceConcurrency 1$"),
    Mistake("6.2", "too few connections share an instance: over the budget", saw="a month costs"),
    Mistake("6.3", "a normal close logs a traceback", saw="after a normal close",
            log="ConnectionClosed", likely="when the client leaves, ws.recv() raises ConnectionClosed: catch it too"),
    Mistake("6.3", "idle connections are never closed", saw="still open", code=r"^(?!.*timeout\()",
            likely="put `async with asyncio.timeout(IDLE):` around ws.recv()"),
    Mistake("6.3", "idle connections are never closed", saw="still open"),
    Mistake("6.3", "an active connection is closed too", saw="ana's connection was closed"),
    Mistake("6.3", "a coroutine is never awaited", saw='closed with 1000 ""', log="never awaited",
            likely="write `await` in front of ws.close(...)"),
    Mistake("6.3", "the handler returns without the reason", saw='closed with 1000 ""',
            likely='await ws.close(1000, "idle") before the handler returns'),
    Mistake("6.3", "another close code or reason is sent", saw="bo was closed with"),
]
