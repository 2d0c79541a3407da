"""The planner's traffic on a real platform: do measured seconds lie where the model says?"""

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from websockets.asyncio.client import connect

from fclocal.core.metering import meter
from workshop.planner import START, Plan, journal
from workshop.urls import to_wss


@dataclass(frozen=True, slots=True)
class Replay:
    """(concurrency, modelled seconds, measured seconds) of the same visits; printed as a table."""

    points: tuple[tuple[int, float, float], ...]
    visits: int

    def __str__(self) -> str:
        rows = [f"{concurrency:>11}{model:>12.2f}{measured:>12.2f}{measured / model - 1:>+10.1%}"
                for concurrency, model, measured in self.points]
        return "\n".join([f"{self.visits} visits, billed seconds", f"{'concurrency':>11}{'model':>12}{'measured':>12}"
                          f"{'off by':>10}", *rows])


def schedule(visits: int, seconds: float, seed: int = 3) -> list[tuple[float, float]]:
    """(arrival, stay) of `visits` connections within three stays."""
    draw = random.Random(seed)
    return [(at, seconds) for at in sorted(draw.uniform(0, 3 * seconds) for _ in range(visits))]


def modelled(visits: Sequence[tuple[float, float]], concurrency: int) -> tuple[float, int]:
    """Billed seconds of the visits by the planner's model, and the instances that they need."""
    end = START + max(at + stay for at, stay in visits)
    [usage] = meter(journal(Plan(concurrency=concurrency, seconds=visits[0][1]), visits), now=end)
    return sum(span.ms for span in usage.spans) / 1000, len(usage.sizes)


async def replay(fc: Any, folder: str, *, visits: int = 9, seconds: float = 0.3,
                 concurrencies: Sequence[int] = (1, 3, 9)) -> Replay:
    """Send the same visits to the function of `folder` (it takes ?seconds=N) for each concurrency, and meter them.

    Leaves the function deployed with the last concurrency. Raises what deploying and connecting raise.
    """
    plan = schedule(visits, seconds)
    points = []
    for concurrency in concurrencies:
        model, instances = modelled(plan, concurrency)
        points.append((concurrency, model, await _measured(fc, folder, plan, concurrency, instances)))
    return Replay(tuple(points), visits)


async def _measured(fc: Any, folder: str, visits: Sequence[tuple[float, float]], concurrency: int,
                    instances: int) -> float:
    app = await asyncio.to_thread(lambda: fc.deploy(folder, instanceConcurrency=concurrency))

    async def visit(arrives: float, stays: float) -> None:
        await asyncio.sleep(arrives)
        async with connect(f"{to_wss(app.url)}/?seconds={stays}") as ws:
            await ws.wait_closed()

    # All instances are there before the clock runs: the model knows no cold starts.
    await asyncio.gather(*(visit(0, 0.1) for _ in range(instances * concurrency)))
    after = (await asyncio.to_thread(fc.status))["journal"]
    await asyncio.gather(*(visit(*one) for one in visits))
    records = await asyncio.to_thread(lambda: list(fc.events(after, function=app.name)))
    return sum(span.ms for usage in meter(records, app.name) for span in usage.spans) / 1000
