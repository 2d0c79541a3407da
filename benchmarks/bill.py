"""Measure the time and memory to turn a journal into a bill and a timeline.

    python benchmarks/bill.py            # a table; exits 1 if a limit is missed

The records are generated one at a time and not stored, like those of the journal's reader. The time to generate them
is measured alone and subtracted.
"""

import random
import sys
import time
import tracemalloc
from collections.abc import Iterator

from fclocal.core.billing import bill
from fclocal.core.metering import meter
from fclocal.core.records import Record
from workshop.views.timeline import timeline

START = 1_795_356_000.0


def records(number: int, instances: int = 50, seed: int = 7) -> Iterator[Record]:
    """Yield `number` records of a busy day. Few connections overlap, so nearly each is its own span."""
    generator = random.Random(seed)
    at, seq = START, 0
    for instance in range(instances):
        yield Record(seq, at, "instance.starting", "room", f"c-{instance}", "", {
            "version": "", "generation": 1, "concurrency": 20, "cpu": 0.35, "memorySize": 512, "diskSize": 512,
            "why": "request", "rest": "hibernating"})
        seq += 1
    running: list[tuple[float, str, str]] = []
    while seq < number:
        at += 86_400 / number
        if len(running) > instances / 2:
            request, instance = running.pop(generator.randrange(len(running)))
            yield Record(seq, at, "request.end", "room", instance, request, {
                "status": 101, "closeCode": 1000, "why": "done", "error": "", "bytesIn": 100, "bytesOut": 100})
        else:
            request, instance = f"1-{seq:08x}-15d63510-fecf237c590c", f"c-{generator.randrange(instances)}"
            running.append((request, instance))
            yield Record(seq, at, "request.begin", "room", instance, request, {
                "protocol": "websocket", "method": "GET", "path": "/", "trigger": "http", "qualifier": "LATEST",
                "version": "", "client": "127.0.0.1", "cold": False, "waited": 0.0})
        seq += 1


def seconds(work) -> float:
    """Return how many seconds a call of `work` takes."""
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def main() -> int:
    generated = seconds(lambda: [None for _ in records(1_000_000)])
    billed = seconds(lambda: bill(meter(records(1_000_000)))) - generated
    tracemalloc.start()
    bill(meter(records(1_000_000)))
    peak = tracemalloc.get_traced_memory()[1] / 2**20
    tracemalloc.stop()
    events = list(records(10_000))
    timeline_seconds = min(seconds(lambda: timeline(events).svg) for _ in range(3))
    rows = [("bill of 1,000,000 records", billed, 10.0, "s"), ("peak memory of the bill", peak, 200.0, "MiB"),
            ("timeline SVG of 10,000 events", timeline_seconds, 1.0, "s")]
    for name, measured, limit, unit in rows:
        verdict = "ok" if measured <= limit else "MISSED"
        print(f"{name:<32}{measured:>9.2f} {unit:<4} limit {limit:g} {unit:<4}{verdict}")
    return int(any(measured > limit for _, measured, limit, _ in rows))


if __name__ == "__main__":
    sys.exit(main())
