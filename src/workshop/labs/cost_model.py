"""What a design will cost: a model of a day's traffic, priced by fclocal's own bill. No widget in here.

    plan = Plan(per_hour=600, seconds=120)
    print(cost_table(plan, server=60.0))

The model lets connections arrive by chance (always the same chance), fills instances as the platform does and bills the
resulting journal. So the curve and the bill of the same traffic on fclocal agree.
"""

import math
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from heapq import heappop, heappush
from itertools import takewhile

from fclocal.core.billing import bill
from fclocal.core.metering import meter
from fclocal.core.prices import Currency
from fclocal.core.records import Record
from workshop.views.drawing import Drawing

START = 1_795_356_000.0         # the top of an hour
CONCURRENCIES = (1, 2, 5, 10, 20, 50, 100, 200)
MOST = 4000                     # connections that one look simulates
BASE_MB = 96                    # what the program itself needs


@dataclass(frozen=True, slots=True)
class Plan:
    """Traffic and instance. `per_hour` connections of `seconds` each; cpu in vCPU, memory in MB.

    `mb_each`: memory that one more connection needs. An instance that is too small for its concurrency is made
    larger, memory in steps of 64 MB, vCPU in steps of 0.05 (at least a quarter of the GB).
    """

    per_hour: float = 600.0
    seconds: float = 120.0
    concurrency: int = 20
    cpu: float = 0.35
    memory: int = 512
    mb_each: float = 4.0
    hours: float = 730.0
    currency: Currency = "CNY"

    @property
    def sized(self) -> "Plan":
        """Return the plan with an instance that can hold its concurrency."""
        memory = max(self.memory, 64 * math.ceil((BASE_MB + self.concurrency * self.mb_each) / 64))
        return replace(self, memory=memory, cpu=max(self.cpu, round(math.ceil(memory / 1024 / 4 / 0.05) * 0.05, 2)))


@dataclass(frozen=True, slots=True)
class Estimate:
    """One point of the curve. `busy`: billed instance-seconds per hour; `cost` per month, in the plan's currency."""

    concurrency: int
    cpu: float
    memory: int
    instances: int
    busy: float
    cost: float


def visits(plan: Plan, window: float, seed: int = 4) -> list[tuple[float, float]]:
    """(arrival, stay) of the connections in `window` seconds, those that are there already included."""
    generator = random.Random(seed)
    there = round(plan.per_hour / 3600 * plan.seconds)
    come = round(plan.per_hour / 3600 * window)
    return [*((0.0, generator.uniform(0, plan.seconds)) for _ in range(there)),
            *((at, plan.seconds) for at in sorted(generator.uniform(0, window) for _ in range(come)))]


def journal(plan: Plan, visits: Sequence[tuple[float, float]]) -> Iterator[Record]:
    """The journal that (arrival, stay), in seconds from the start, would leave; instances are filled fullest first."""
    free: list[list[str]] = [[] for _ in range(plan.concurrency)]      # by load: instances with that many connections
    load: dict[str, int] = {}
    leaving: list[tuple[float, str, str]] = []
    seq = 0

    def moved(instance: str, by: int) -> None:
        if load[instance] < plan.concurrency:
            free[load[instance]].remove(instance)
        load[instance] += by
        if load[instance] < plan.concurrency:
            free[load[instance]].append(instance)

    def record(at: float, kind: str, instance: str, request: str = "", **data: object) -> Record:
        nonlocal seq
        seq += 1
        return Record(seq, START + at, kind, "plan", instance, request, data)

    def leave() -> Record:
        at, request, instance = heappop(leaving)
        moved(instance, -1)
        return record(at, "request.end", instance, request, status=101, closeCode=1000, why="done", error="", bytesIn=0,
                      bytesOut=0)

    for number, (at, stay) in enumerate(visits):
        while leaving and leaving[0][0] <= at:
            yield leave()
        instance = next((names[0] for names in reversed(free) if names), "")
        if not instance:
            instance = f"c-{len(load)}"
            load[instance] = 0
            free[0].append(instance)
            yield record(at, "instance.starting", instance, version="", generation=1, concurrency=plan.concurrency,
                         cpu=plan.cpu, memorySize=plan.memory, diskSize=512, why="request")
        moved(instance, 1)
        heappush(leaving, (at + stay, f"r-{number}", instance))
        yield record(at, "request.begin", instance, f"r-{number}", protocol="websocket", method="GET", path="/",
                     trigger="http", qualifier="LATEST", version="", client="", cold=False, waited=0.0)
    while leaving:
        yield leave()


def estimate(plan: Plan) -> Estimate:
    """Return what the plan costs in a month."""
    plan = plan.sized
    window = min(3600.0, 3600.0 * MOST / max(plan.per_hour, 1.0))
    now = START + window
    within = takewhile(lambda record: record.at <= now, journal(plan, visits(plan, window)))
    charges = bill(meter(within, now=now), currency=plan.currency, now=now)
    per_hour = 3600.0 / window
    # The rounding up to 1 CU and the minimum apply per hour, for every length of the window.
    units = math.ceil(float(sum(line.cu for line in charges.lines)) * per_hour)
    price = float(charges.tariff.tiers[0].price)
    hour = max(units * price, float(charges.tariff.minimum or 0) if charges.requests else 0.0)
    return Estimate(plan.concurrency, plan.cpu, plan.memory, len({span.instance for span in charges.spans}),
                    charges.seconds * per_hour, hour * plan.hours)


def curve(plan: Plan, concurrencies: Iterable[int] = CONCURRENCIES) -> list[Estimate]:
    """Return the estimates of the same traffic for each concurrency."""
    return [estimate(replace(plan, concurrency=number)) for number in concurrencies]


def optimum(points: Sequence[Estimate]) -> Estimate:
    """Return the cheapest estimate; of equal ones, that with the lowest concurrency."""
    return min(points, key=lambda point: (round(point.cost, 6), point.concurrency))


def cost_table(plan: Plan, server: float | None = None) -> str:
    """Return the plan as a table of at most 76 ASCII columns. `server`: price of an always-on server per month."""
    points = curve(plan)
    best = optimum(points)
    most = max(point.cost for point in points) or 1.0
    lines = [f"PLAN  {plan.per_hour:g} connections per hour, {plan.seconds:g} s each, {plan.hours:g} h a month", "",
             f"{'concurrency':>11}{'vCPU':>7}{'MB':>7}{'instances':>11}{'busy s/h':>10}"
             f"{plan.currency + ' a month':>14}"]
    for point in points:
        bar = "#" * max(1, round(12 * point.cost / most))
        lines.append(f"{point.concurrency:>11}{point.cpu:>7g}{point.memory:>7}{point.instances:>11}{point.busy:>10.0f}"
                     f"{point.cost:>14.2f}  {bar}{' <' if point is best else ''}")
    lines += ["", f"Cheapest: concurrency {best.concurrency}, {best.cost:.2f} {plan.currency} a month."]
    if server is not None:
        lines.append(against(best, server, plan))
    return "\n".join([*lines, "A model: connections come by chance, by night as by day.",
                      "Check the current price."]) + "\n"


def against(best: Estimate, server: float, plan: Plan) -> str:
    """Return one sentence that compares the plan with a server that always runs."""
    if best.cost < server:
        return f"A server at {server:g} {plan.currency} a month costs {server - best.cost:.2f} {plan.currency} more."
    return f"A server at {server:g} {plan.currency} a month costs {best.cost - server:.2f} {plan.currency} less."


def svg(plan: Plan, server: float | None = None) -> str:
    """Draw the cost against the concurrency, the cheapest point marked."""
    points = curve(plan)
    best = optimum(points)
    width, left, bottom = 640, 70, 250
    most = max([point.cost for point in points] + [server or 0.0]) * 1.1 or 1.0

    def x(concurrency: int) -> float:
        return left + math.log(concurrency) / math.log(200) * (width - left - 30)

    def y(cost: float) -> float:
        return bottom - cost / most * (bottom - 40)

    title = f"Cost per month by instanceConcurrency: {plan.per_hour:g} connections per hour, {plan.seconds:g} s each"
    picture = Drawing(width, 300, title, f"Cheapest at concurrency {best.concurrency}: {best.cost:.2f} "
                      f"{plan.currency}. " + " ".join(f"{p.concurrency}: {p.cost:.2f}." for p in points))
    picture.text(left, 20, title, bold=True)
    for share in range(5):
        cost = most / 1.1 * share / 4
        picture.line(left, y(cost), width - 30, y(cost), "grid")
        picture.text(left - 8, y(cost) + 4, f"{cost:{'.0f' if most >= 40 else '.2f'}}", "dim", anchor="end")
    picture.text(left - 8, 26, plan.currency, "dim", anchor="end")
    picture.path("M" + "L".join(f"{x(point.concurrency):.1f} {y(point.cost):.1f}" for point in points), edge="data",
                 width=2)
    for point in points:
        picture.text(x(point.concurrency), bottom + 18, str(point.concurrency), "dim", anchor="middle")
        picture.circle(x(point.concurrency), y(point.cost), 3, "data",
                       tip=f"{point.concurrency}: {point.cost:.2f} {plan.currency}")
    picture.circle(x(best.concurrency), y(best.cost), 8, edge="bill", width=2)
    picture.text(max(left + 78, min(x(best.concurrency), width - 90)), y(best.cost) - 14,
                 f"cheapest: {best.cost:.2f} {plan.currency}", anchor="middle", halo=True)
    if server is not None:
        picture.line(left, y(server), width - 30, y(server), "edge", dash="6 4")
        picture.text(left + 6, y(server) - 5, f"always-on server: {server:g} {plan.currency}", "dim", halo=True)
    picture.text(width / 2, 288, "instanceConcurrency", "dim", anchor="middle")
    return picture.svg()
