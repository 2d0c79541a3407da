"""Check that the journal stays small and its bill exact under an hour of heavy load; measure the CPU of a record.

    python benchmarks/journal.py                    # a table, in some minutes; exits 1 if a limit is missed
    python benchmarks/journal.py --minutes 5

The load is that of a ten-minute attack on the platform, which left 954,000 records: WebSockets and short requests on
20 instances, with two lines of output each. The platform ends some of them. The clock is fake; the disk is real.
"""

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from fclocal.core.billing import bill
from fclocal.core.clock import SystemClock
from fclocal.core.metering import Meter
from fclocal.core.records import Record
from fclocal.core.usage import Usage
from fclocal.runtime.state.journal import Journal

PER_MINUTE = 95_400  # records
WRITE_EVERY = 160  # records: the writer takes those of 100 ms at a time
BOUND = 64  # MB
START = 1_795_356_000.0


class RecordedTime(SystemClock):
    """The time of the record that is written next."""

    at = START

    def now(self) -> float:
        return self.at


def load(minutes: float, seed: int = 7) -> Iterator[Record]:
    """Yield the records of `minutes`, with the seq and time that the journal will assign."""
    generator = random.Random(seed)
    step = 60 / PER_MINUTE
    running: list[tuple[str, str]] = []
    events: list[tuple[str, str, str, dict[str, object]]] = [
        ("instance.starting", f"c-{number}", "", {
            "version": "", "generation": 1, "concurrency": 20, "cpu": 0.35, "memorySize": 512, "diskSize": 512,
            "why": "request", "rest": "hibernating"}) for number in range(20)]
    for seq in range(1, round(minutes * PER_MINUTE)):
        if not events:
            if len(running) > generator.randrange(60):
                request, instance = running.pop(generator.randrange(len(running)))
                status, why = generator.choice([(101, "done")] * 8 + [(503, "fault"), (101, "timeout")])
                events.append(("request.end", instance, request, {
                    "status": status, "closeCode": 1000, "why": why, "error": "", "bytesIn": 100, "bytesOut": 1000}))
            else:
                request, instance = f"1-{seq:08x}-15d63510-fecf237c590c", f"c-{generator.randrange(20)}"
                running.append((request, instance))
                events.append(("request.begin", instance, request, {
                    "protocol": "websocket", "method": "GET", "path": "/", "trigger": "http", "qualifier": "LATEST",
                    "version": "", "client": "127.0.0.1", "cold": False, "waited": 0.0}))
        kind, instance, request, data = events.pop()
        yield Record(seq, START + seq * step, kind, f"load-{instance[-1]}", instance, request, data)


def amounts(usages: list[Usage], now: float) -> dict[str, object]:
    """Return a bill without its list of spans."""
    charges = bill(usages, now=now)
    return {**charges.wire(), "spans": None, "earlier": None, "seconds": charges.seconds,
            "requests": charges.requests}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0)
    minutes = parser.parse_args().minutes
    largest = count = 0
    with tempfile.TemporaryDirectory() as folder:
        clock = RecordedTime()
        journal = Journal(Path(folder) / "journal.sqlite", clock)
        begin = time.process_time()
        for record in load(minutes):
            clock.at = record.at
            journal.append(record.kind, function=record.function, instance=record.instance, request=record.request,
                           **record.data)
            count += 1
            if not count % WRITE_EVERY:
                journal.flush()
            if not count % PER_MINUTE:
                largest = max(largest, size(folder))
        spent = time.process_time() - begin
        largest = max(largest, size(folder))
        now = clock.now() + 1
        begin = time.process_time()
        billed = amounts(journal.usages(now=now), now)
        first = time.process_time() - begin
        begin = time.process_time()
        journal.usages(now=now)
        again = time.process_time() - begin
        journal.close()
    expected = Meter()
    for record in load(minutes):
        expected.take(record)
    exact = billed == amounts(expected.finish(now), now)
    rows = [("largest size", largest / 2**20, BOUND, "MB"), ("CPU of a record", spent / count * 1e6, 40, "us"),
            ("CPU of first bill", first, 3, "s"), ("CPU of next bill", again, 0.5, "s"),
            ("bill differs", float(not exact), 0, "")]
    print(f"{count:,} records of {minutes:g} minutes")
    for name, measured, limit, unit in rows:
        print(f"{name:<20}{measured:>10.3f} {unit:<4}limit {limit:g} {unit:<4}"
              f"{'ok' if measured <= limit else 'MISSED'}")
    return int(any(measured > limit for _, measured, limit, _ in rows))


def size(folder: str) -> int:
    """Return the bytes that the journal's files take."""
    return sum(path.stat().st_size for path in Path(folder).iterdir())


if __name__ == "__main__":
    sys.exit(main())
