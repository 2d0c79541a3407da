"""The planner's traffic on a real platform: do measured seconds lie where the model says?"""

import asyncio
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

from websockets.asyncio.client import connect

from fclocal import Platform
from fclocal.core.metering import meter
from workshop.labs.cost_model import START, Plan, journal
from workshop.labs.urls import to_wss
from workshop.views.drawing import Drawing, Picture
from workshop.views.progress_line import working


@dataclass(frozen=True, slots=True)
class Replay:
    """(concurrency, modelled seconds, measured seconds) of the same visits; printed as a table, shown as a chart.

    `curve`: the modelled seconds for every concurrency from 1 to the number of visits.
    """

    points: tuple[tuple[int, float, float], ...]
    visits: int
    curve: tuple[tuple[int, float], ...]

    def __str__(self) -> str:
        rows = [f"{concurrency:>11}{model:>12.2f}{measured:>12.2f}{measured / model - 1:>+10.1%}"
                for concurrency, model, measured in self.points]
        return "\n".join([f"{self.visits} visits, billed seconds", f"{'concurrency':>11}{'model':>12}{'measured':>12}"
                          f"{'off by':>10}", *rows])

    __repr__ = __str__

    def _repr_mimebundle_(self, **kwargs: object) -> dict[str, str]:
        return Picture(self.svg(), str(self))._repr_mimebundle_()

    def svg(self) -> str:
        """Draw the modelled seconds as a line and the measured ones as crosses."""
        width, left, bottom = 840, 60, 210
        most = math.ceil(max([seconds for _, seconds in self.curve] + [measured for _, _, measured in self.points]))

        def place(concurrency: int, seconds: float) -> tuple[float, float]:
            share = (concurrency - 1) / max(1, self.visits - 1)
            return left + 20 + share * (width - left - 100), bottom - seconds / most * 160

        picture = Drawing(width, 290, "Billed seconds by instanceConcurrency", str(self))
        picture.text(left, 20, picture.title, bold=True)
        for seconds in range(0, most + 1, math.ceil(most / 4)):
            y = place(1, seconds)[1]
            picture.line(left, y, width - 30, y, "grid")
            picture.text(left - 8, y + 4, f"{seconds} s", "dim", anchor="end")
        line = "L".join("{:.1f} {:.1f}".format(*place(*point)) for point in self.curve)
        picture.path(f"M{line}", edge="data", width=2)
        for concurrency, _ in self.curve:
            picture.text(place(concurrency, 0)[0], bottom + 18, str(concurrency), "dim", anchor="middle")
        picture.text(width / 2, bottom + 38, "instanceConcurrency", "dim", anchor="middle")
        for concurrency, _, measured in self.points:
            x, y = place(concurrency, measured)
            with picture.group(f"measured at concurrency {concurrency}: {measured:.2f} s"):
                picture.cross(x, y)
            picture.text(x + 10, y - 6, f"{measured:.2f} s", halo=True)
        picture.legend(bottom + 66, ("data", "the planner's model"), ("bad", "measured"), x=left)
        return picture.svg()


def schedule(visits: int, seconds: float, seed: int = 3) -> list[tuple[float, float]]:
    """Return (arrival, stay) of `visits` connections within three stays."""
    generator = random.Random(seed)
    return [(at, seconds) for at in sorted(generator.uniform(0, 3 * seconds) for _ in range(visits))]


def modelled(visits: Sequence[tuple[float, float]], concurrency: int) -> tuple[float, int]:
    """Return the billed seconds of the visits by the planner's model, and the instances that they need."""
    end = START + max(at + stay for at, stay in visits)
    [usage] = meter(journal(Plan(concurrency=concurrency, seconds=visits[0][1]), visits), now=end)
    return sum(span.ms for span in usage.spans) / 1000, usage.instances


async def replay_traffic(fc: Platform, folder: str, *, visits: int = 9, seconds: float = 0.3,
                 concurrencies: Sequence[int] = (1, 3, 9)) -> Replay:
    """Send the same visits to the function of `folder` (it takes ?seconds=N) for each concurrency, and meter them.

    Leaves the function deployed with the last concurrency. Raises what deploying and connecting raise.
    """
    plan = schedule(visits, seconds)
    points = []
    with working("Deploying ...") as say:
        for concurrency in concurrencies:
            say(f"{visits} visits with instanceConcurrency {concurrency} ...")
            model, instances = modelled(plan, concurrency)
            points.append((concurrency, model, await _measured(fc, folder, plan, concurrency, instances)))
    line = tuple((number, modelled(plan, number)[0]) for number in range(1, visits + 1))
    return Replay(tuple(points), visits, line)


async def _measured(fc: Platform, folder: str, visits: Sequence[tuple[float, float]], concurrency: int,
                    instances: int) -> float:
    app = await asyncio.to_thread(lambda: fc.deploy(folder, instanceConcurrency=concurrency))

    async def visit(arrives: float, stays: float) -> None:
        await asyncio.sleep(arrives)
        async with connect(f"{to_wss(app.url)}/?seconds={stays}") as ws:
            await ws.wait_closed()

    # All instances run before the measurement begins: the model has no cold starts.
    await asyncio.gather(*(visit(0, 0.1) for _ in range(instances * concurrency)))
    after = (await asyncio.to_thread(fc.status))["journal"]
    await asyncio.gather(*(visit(*one) for one in visits))
    records = await asyncio.to_thread(lambda: list(fc.events(after, function=app.name)))
    return sum(span.ms for usage in meter(records, app.name) for span in usage.spans) / 1000
