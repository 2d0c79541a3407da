"""From journal to usage: what is billed, before any price.

The rules (page "HTTP trigger for WebSocket" and Pay-as-you-go of 2025-12-13): a connection is one long request. An
instance is billed from the first request in to the last request out, whatever overlaps counts once; with
instanceConcurrency 1 nothing can overlap, so the same rule bills from open to close. Each such span is rounded up
to 1 ms. Requests that never reached the function cost nothing, nor do those the platform ended with 429, 500 or 503.

Times are whole microseconds in here and sums are integers: the result does not depend on the order of the records.
"""

from array import array
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from fclocal.core.records import Record

HOUR = 3_600_000_000
TAIL = 60_000_000            # an on-demand instance is kept this long after its last request (since 2025-12-09)
MINIMUM_STEP_MS = 10_000     # minimum instances are metered in steps of 10 s
FREE_DISK = 512              # MB of disk that cost nothing
UNBILLED_STATUS = frozenset({429, 500, 503})
PLATFORM_ENDED = frozenset({"fault", "instance", "shutdown"})
# Ends of an instance that come from this machine; the service would have kept it for its release minute.
LOCAL_STOPS = frozenset({"idle", "shutdown"})


@dataclass(frozen=True, slots=True)
class Size:
    """What one instance holds: hundredths of a vCPU, MB of memory, MB of disk, requests at a time."""

    cpu: int
    memory: int
    disk: int
    concurrency: int
    minimum: bool


ASSUMED = Size(cpu=35, memory=512, disk=512, concurrency=1, minimum=False)


@dataclass(frozen=True, slots=True)
class Span:
    """One billed interval of one instance, first request in to last request out, in microseconds since 1970."""

    instance: str
    begin_us: int
    end_us: int
    requests: int
    running: bool

    @property
    def begin(self) -> float:
        """First request in, seconds since 1970."""
        return self.begin_us / 1e6

    @property
    def end(self) -> float:
        """Last request out (or the moment of the bill, while running), seconds since 1970."""
        return self.end_us / 1e6

    @property
    def ms(self) -> int:
        """Billed milliseconds: rounded up."""
        return rounded_up(self.end_us - self.begin_us)


@dataclass(slots=True)
class Hour:
    """What one function used in one clock hour. Products of ms with hundredths of a vCPU, or with MB."""

    cpu: int = 0
    memory: int = 0
    disk: int = 0
    idle_memory: int = 0
    idle_disk: int = 0
    tail_cpu: int = 0
    tail_memory: int = 0
    tail_disk: int = 0
    invocations: int = 0


@dataclass(slots=True)
class Usage:
    """Everything that one function used. `hours`: hours since 1970 -> what was used in it.

    `unbilled`: reason -> how many requests. `notes`: what the records left open and how it was counted.
    """

    function: str
    spans: list[Span] = field(default_factory=list)
    hours: defaultdict[int, Hour] = field(default_factory=lambda: defaultdict(Hour))
    sizes: dict[str, Size] = field(default_factory=dict)
    bytes_in: int = 0
    bytes_out: int = 0
    unbilled: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)


def rounded_up(us: int) -> int:
    """Microseconds as milliseconds, rounded up."""
    return -(-us // 1000)


def micros(at: float) -> int:
    """A record's time as whole microseconds."""
    return round(at * 1_000_000)


def union(intervals: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int, int]]:
    """Join what overlaps or touches: (begin, end, how many) of each stretch, in order of time."""
    begin = end = count = 0
    for next_begin, next_end in sorted(intervals):
        if count and next_begin <= end:
            end = max(end, next_end)
            count += 1
            continue
        if count:
            yield begin, end, count
        begin, end, count = next_begin, next_end, 1
    if count:
        yield begin, end, count


class _Journal:
    """The records, boiled down to what metering needs; filled in one pass, in any order."""

    def __init__(self, records: Iterable[Record], function: str | None) -> None:
        self.open: dict[str, tuple[str, int]] = {}
        self.early_end: dict[str, Record] = {}
        self.intervals: defaultdict[str, array[int]] = defaultdict(lambda: array("q"))
        self.owner: dict[str, str] = {}
        self.sizes: dict[str, Size] = {}
        self.ready: dict[str, int] = {}
        self.stopped: dict[str, tuple[int, str]] = {}
        self.platform: list[tuple[int, bool]] = []
        self.usages: dict[str, Usage] = {}
        self.times = array("q")
        for record in records:
            at = micros(record.at)
            self.times.append(at)
            kind = record.kind
            if kind in ("platform.started", "platform.stopped"):
                self.platform.append((at, kind == "platform.started"))
            elif function is None or record.function == function:
                self._take(kind, at, record)

    def _take(self, kind: str, at: int, record: Record) -> None:
        if kind == "request.begin":
            self.owner.setdefault(record.instance, record.function)
            if (end := self.early_end.pop(record.request, None)) is None:
                self.open[record.request] = (record.instance, at)
            else:
                self._close(record.instance, at, end)
        elif kind == "request.end":
            if (begin := self.open.pop(record.request, None)) is None:
                self.early_end[record.request] = record
            else:
                self._close(*begin, record)
        elif kind == "request.rejected":
            data = record.data
            self.usage(record.function).unbilled[f"{data['status']} {data['code']}, before the function"] += 1
        elif kind == "instance.starting":
            data = record.data
            self.owner[record.instance] = record.function
            self.sizes[record.instance] = Size(round(data["cpu"] * 100), data["memorySize"], data["diskSize"],
                                               data["concurrency"], data["why"] == "minimum")
        elif kind == "instance.ready":
            self.ready[record.instance] = at
        elif kind == "instance.stopped":
            self.stopped[record.instance] = (at, record.data["why"])

    def _close(self, instance: str, begin: int, end: Record) -> None:
        data, usage = end.data, self.usage(end.function)
        usage.bytes_in += data["bytesIn"]
        usage.bytes_out += data["bytesOut"]
        if data["status"] in UNBILLED_STATUS and data["why"] in PLATFORM_ENDED:
            usage.unbilled[f"{data['status']}, ended by the platform"] += 1
        else:
            self.intervals[instance].extend((begin, micros(end.at)))

    def usage(self, function: str) -> Usage:
        if (usage := self.usages.get(function)) is None:
            usage = self.usages[function] = Usage(function)
        return usage

    def end_of(self, instance: str, begin: int, now: int) -> tuple[int, bool]:
        """Where a request without end ends: with its instance, with the platform, or not yet (True)."""
        if instance in self.stopped:
            return max(begin, self.stopped[instance][0]), False
        for at, started in self.platform:
            if at > begin:
                # A platform that was killed wrote no end: its last record is the last sign of life.
                return (max(begin, self.times[bisect_left(self.times, at) - 1]) if started else at), False
        return now, True


def meter(records: Iterable[Record], function: str | None = None, *, now: float | None = None) -> list[Usage]:
    """What each function used, in order of name; only `function` if it is given.

    Give it the whole journal, in any order; one pass. A request that has not ended is counted up to `now`
    (seconds since 1970; default: the newest record) and marked as running.
    """
    journal = _Journal(records, function)
    journal.times = array("q", sorted(journal.times))
    journal.platform.sort()
    until = micros(now) if now is not None else (journal.times[-1] if journal.times else 0)
    running: set[str] = set()
    for instance, begin in journal.open.values():
        end, still = journal.end_of(instance, begin, until)
        if begin <= until:
            journal.intervals[instance].extend((begin, max(begin, end)))
            if still:
                running.add(instance)
    for instance in sorted(journal.owner.keys() | journal.sizes.keys()):
        usage = journal.usage(journal.owner[instance])
        size = journal.sizes.get(instance)
        if size is None:
            size = ASSUMED
            usage.notes.append(f"The start of {instance} is not in these records: counted as 0.35 vCPU, 512 MB.")
        usage.sizes[instance] = size
        _instance(journal, usage, instance, size, until, instance in running)
    return [journal.usages[name] for name in sorted(journal.usages)]


def _instance(journal: _Journal, usage: Usage, instance: str, size: Size, until: int, running: bool) -> None:
    flat = iter(journal.intervals.get(instance, ()))
    intervals = ((begin, min(end, until)) for begin, end in zip(flat, flat, strict=True) if begin <= until)
    disk = max(0, size.disk - FREE_DISK)
    first = len(usage.spans)
    for begin, end, count in union(intervals):
        usage.spans.append(Span(instance, begin, end, count, running and end == until))
        usage.hours[begin // HOUR].invocations += count
        for number, ms in _by_hour(begin, end):
            hour = usage.hours[number]
            hour.cpu += ms * size.cpu
            hour.memory += ms * size.memory
            hour.disk += ms * disk
    spans = usage.spans[first:]
    stop, why = journal.stopped.get(instance, (None, ""))
    if size.minimum:
        life_end = until if stop is None else min(stop, until)
        _hold(usage, size, disk, journal.ready.get(instance, life_end), life_end, spans)
        return
    for span, following in zip(spans, [*spans[1:], None], strict=False):
        limit = span.end_us + (0 if span.running else TAIL)
        if following is not None:
            limit = min(limit, following.begin_us)
        elif stop is not None and why not in LOCAL_STOPS:
            limit = min(limit, max(span.end_us, stop))
        for number, ms in _by_hour(span.end_us, limit):
            hour = usage.hours[number]
            hour.tail_cpu += ms * size.cpu
            hour.tail_memory += ms * size.memory
            hour.tail_disk += ms * disk


def _hold(usage: Usage, size: Size, disk: int, begin: int, end: int, spans: list[Span]) -> None:
    """A minimum instance between requests: hibernating, its whole life rounded up to 10 s."""
    edges = [begin, *(edge for span in spans for edge in (span.begin_us, span.end_us)), end]
    parts = [part for gap in zip(edges[::2], edges[1::2], strict=True) for part in _by_hour(*gap)]
    life = rounded_up(max(0, end - begin))
    parts.append((max(begin, end - 1) // HOUR, -life % MINIMUM_STEP_MS))
    for number, ms in parts:
        if ms:
            usage.hours[number].idle_memory += ms * size.memory
            usage.hours[number].idle_disk += ms * disk


def _by_hour(begin: int, end: int) -> Iterator[tuple[int, int]]:
    """(clock hour, ms) of an interval; the parts sum up to the interval rounded up to 1 ms."""
    start, counted = begin, 0
    while start < end:
        number = start // HOUR
        start = min(end, (number + 1) * HOUR)
        total = rounded_up(start - begin)
        yield number, total - counted
        counted = total
