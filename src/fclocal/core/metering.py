"""From journal to usage: what is billed, before any price.

The rules (page "HTTP trigger for WebSocket" and Pay-as-you-go of 2025-12-13): a connection is one long request. An
instance is billed from the first request in to the last request out, and overlapping time counts once; with
instanceConcurrency 1 nothing can overlap, so the same rule bills from open to close. Each such span is rounded up
to 1 ms. A lifecycle hook is billed like a request. Requests that never reached the function cost nothing, nor do
those the platform ended with 429, 500 or 503.

Times are whole microseconds in here and sums are integers, so no amount depends on how a journal is divided.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from operator import itemgetter

from fclocal.core import ending
from fclocal.core.ending import Ending
from fclocal.core.records import Record
from fclocal.core.retention import Rest
from fclocal.core.usage import ASSUMED, Size, Span, Usage, rounded_up

HOUR = 3_600_000_000
TAIL = 60_000_000            # an on-demand instance is kept this long after its last request (since 2026-03-30)
MINIMUM_STEP_MS = 10_000     # minimum instances are metered in steps of 10 s
# Ends of an instance that come from this machine; the service would have kept it for its release minute.
LOCAL_STOPS = frozenset({"idle", "shutdown"})
_COMPACT_EVERY = 10_000      # records


@dataclass(slots=True)
class MeteredInstance:
    """One instance that may still be billed.

    `open`: request -> its begin. `stretches`: (begin, end, requests) of billed requests that have ended, joined
    where they overlap or touch, in order of time. `settled`: the end of the newest stretch that is already in the
    sums. `kept`: the end of a stretch -> until when the function kept the instance after it. `frozen`: the end of a
    stretch -> when the instance was frozen after it. All times in microseconds.
    """

    function: str
    size: Size | None = None
    ready: int | None = None
    stopped: int | None = None
    why: str = ""
    open: dict[str, int] = field(default_factory=dict)
    stretches: list[tuple[int, int, int]] = field(default_factory=list)
    settled: int | None = None
    kept: dict[int, int] = field(default_factory=dict)
    frozen: dict[int, int] = field(default_factory=dict)

    def close(self, begin: int, end: int) -> None:
        """Add a billed request. Requests end in order of time, so only the newest stretches can overlap it."""
        count = 1
        while self.stretches and self.stretches[-1][1] >= begin:
            joined_begin, joined_end, joined = self.stretches.pop()
            begin, end, count = min(begin, joined_begin), max(end, joined_end), count + joined
            self.kept.pop(joined_end, None)
            self.frozen.pop(joined_end, None)
        self.stretches.append((begin, end, count))

    def unchangeable(self) -> int:
        """Return the number of stretches that no further record can change.

        A request that is still open may join all stretches since its begin. The last stretch may grow by a request
        that begins in the moment it ends, and the minute after it ends early when another request begins.
        """
        first = min(self.open.values(), default=None)
        closed = len(self.stretches) if first is None else bisect_left(self.stretches, first, key=itemgetter(1))
        return max(0, closed - 1)

    def copy(self) -> "MeteredInstance":
        """Return a copy that shares nothing mutable."""
        return replace(self, open=dict(self.open), stretches=list(self.stretches), kept=dict(self.kept),
                       frozen=dict(self.frozen))


def micros(at: float) -> int:
    """Return a record's time as whole microseconds."""
    return round(at * 1_000_000)


@dataclass(slots=True)
class Meter:
    """The usage of all functions, kept as sums while records come.

    Records must come in the order of the journal. With `listed`, the newest spans of each function are kept one by
    one and older ones as sums: no amount changes, and the memory does not grow with the number of requests.
    `latest` is the time of the newest record, `platform_stopped` that of the platform's own stop.
    """

    listed: int | None = None
    usages: dict[str, Usage] = field(default_factory=dict)
    instances: dict[str, MeteredInstance] = field(default_factory=dict)
    latest: int = 0
    platform_stopped: int | None = None
    taken: int = 0

    def take(self, record: Record) -> None:
        """Count one record."""
        at, kind, data = micros(record.at), record.kind, record.data
        if kind == "request.begin":
            if (instance := self.instances.get(record.instance)) is None:
                instance = self.instances[record.instance] = MeteredInstance(record.function)
            instance.open[record.request] = at
        elif kind == "request.end":
            if (instance := self.instances.get(record.instance)) and record.request in instance.open:
                self._end(instance, instance.open.pop(record.request), at, record)
        elif kind == "request.rejected":
            self.usage(record.function).unbilled[f"{data['status']} {data['code']}, before the function"] += 1
        elif kind == "instance.starting":
            size = Size(round(data["cpu"] * 100), data["memorySize"], data["diskSize"], data["concurrency"],
                        data["why"] == "minimum", Rest(data.get("rest", Rest.HIBERNATING)))
            self.instances[record.instance] = MeteredInstance(record.function, size)
        elif kind == "instance.ready":
            if instance := self.instances.get(record.instance):
                instance.ready = at
        elif kind in ("instance.kept", "instance.frozen"):
            if (instance := self.instances.get(record.instance)) and instance.stretches:
                last = instance.stretches[-1][1]
                if kind == "instance.kept":
                    instance.kept[last] = micros(data["until"])
                else:
                    instance.frozen.setdefault(last, at)
        elif kind == "instance.hook":
            if instance := self.instances.get(record.instance):
                begin = at - micros(data["seconds"])
                _add_active(self.usage(record.function), instance.size or ASSUMED, begin, at, 1)
                self.usage(record.function).spans.append(Span(record.instance, begin, at, 0, False))
                if data["hook"] == "PreStop":
                    instance.stopped = begin
        elif kind == "instance.stopped":
            if instance := self.instances.get(record.instance):
                instance.stopped, instance.why = min(at, instance.stopped or at), data["why"]
        elif kind == "platform.stopped":
            self.platform_stopped = at
        elif kind == "platform.started":
            # A platform that was killed wrote no end: its last record is the last sign of life.
            self._finish(self.latest)
            self.platform_stopped = None
        self.latest = at
        self.taken += 1
        if not self.taken % _COMPACT_EVERY:
            self.compact()

    def usage(self, function: str) -> Usage:
        """Return the usage of one function so far, created empty when it is missing."""
        if (usage := self.usages.get(function)) is None:
            usage = self.usages[function] = Usage(function)
        return usage

    def compact(self) -> None:
        """Move what can no longer change into the sums, and limit the spans that are listed."""
        for name, instance in list(self.instances.items()):
            if instance.stopped is not None and not instance.open:
                self._release(name, instance.stopped, running=False)
            elif count := instance.unchangeable():
                self._settle(name, instance, count)
        if self.listed is not None:
            for usage in self.usages.values():
                usage.limit(self.listed)

    def at(self, now: float | None = None, function: str | None = None) -> list[Usage]:
        """Return the usage of each function up to now, in order of name; only of `function` if it is given.

        A request that has not ended is counted up to `now` (seconds since 1970, at the earliest the newest record)
        and marked as running. The meter itself stays as it is.
        """
        copy = replace(
            self, usages={name: usage.copy() for name, usage in self.usages.items() if function in (None, name)},
            instances={name: instance.copy() for name, instance in self.instances.items()
                       if function in (None, instance.function)})
        return copy.finish(now, function)

    def finish(self, now: float | None = None, function: str | None = None) -> list[Usage]:
        """Return the same as `at`, and end the meter with it."""
        self._finish(self.latest if now is None else max(self.latest, micros(now)), running=True)
        if function is not None:
            return [self.usage(function)]
        return [self.usages[name] for name in sorted(self.usages)]

    def _end(self, instance: MeteredInstance, begin: int, at: int, record: Record) -> None:
        data, usage = record.data, self.usage(record.function)
        usage.bytes_in += data["bytesIn"]
        usage.bytes_out += data["bytesOut"]
        if not ending.is_billed(Ending(data["why"]), data["status"]):
            usage.unbilled[f"{data['status']}, ended by the platform"] += 1
        else:
            instance.close(begin, at)

    def _finish(self, at: int, *, running: bool = False) -> None:
        """End every request and every instance at `at`, or earlier where a record says so."""
        for name in sorted(self.instances):
            instance = self.instances[name]
            if (end := instance.stopped) is None:
                end = self.platform_stopped
            for begin in sorted(instance.open.values()):
                instance.close(begin, max(begin, at if end is None else end))
            self._release(name, at if end is None else end, running=running and end is None and bool(instance.open))
        for usage in self.usages.values():
            usage.spans.sort(key=lambda span: (span.begin_us, span.instance))

    def _release(self, name: str, end: int, *, running: bool) -> None:
        """Count an instance to its end and forget it."""
        instance = self.instances.pop(name)
        usage = self.usage(instance.function)
        if instance.size is None:
            usage.notes.append(f"The start of {name} is not in these records: counted as 0.35 vCPU, 512 MB.")
        size = instance.size or ASSUMED
        usage.count(size)
        self._settle(name, instance, len(instance.stretches), running=running)
        if size.minimum:
            if instance.ready is not None:
                _add_idle_time(usage, size, instance.ready if instance.settled is None else instance.settled, end)
                life = rounded_up(max(0, end - instance.ready))
                _add_idle(usage, size, max(instance.ready, end - 1) // HOUR, -life % MINIMUM_STEP_MS)
        elif instance.settled is not None and not running:
            stopped = None if instance.why in LOCAL_STOPS else instance.stopped
            _add_rest(usage, instance, size, stopped, worked_until=end)

    def _settle(self, name: str, instance: MeteredInstance, count: int, *, running: bool = False) -> None:
        """Move the first `count` stretches into the sums; `running`: the last one has not ended."""
        usage, size = self.usage(instance.function), instance.size or ASSUMED
        for number, (begin, end, requests) in enumerate(instance.stretches[:count], 1):
            usage.spans.append(Span(name, begin, end, requests, running and number == count))
            _add_active(usage, size, begin, end, requests)
            if size.minimum:
                if (since := instance.ready if instance.settled is None else instance.settled) is not None:
                    _add_idle_time(usage, size, since, begin)
            elif instance.settled is not None:
                _add_rest(usage, instance, size, begin, worked_until=begin)
            instance.settled = end
        del instance.stretches[:count]


def meter(records: Iterable[Record], function: str | None = None, *, now: float | None = None) -> list[Usage]:
    """Return what each function used, in order of name; only `function` if it is given.

    Give it the whole journal in its order. A request that has not ended is counted up to `now` (seconds since 1970;
    default: the newest record) and marked as running.
    """
    whole = Meter()
    for record in records:
        if function is None or record.function == function or record.kind.startswith("platform."):
            whole.take(record)
        else:
            whole.latest = micros(record.at)
    return whole.finish(now, function)


def _add_active(usage: Usage, size: Size, begin: int, end: int, invocations: int) -> None:
    """Count the time in which an instance serves requests or executes a hook."""
    usage.hour(begin // HOUR).invocations += invocations
    for number, ms in _by_hour(begin, end):
        hour = usage.hour(number)
        hour.cpu += ms * size.cpu
        hour.memory += ms * size.memory
        hour.disk += ms * size.billed_disk


def _add_idle_time(usage: Usage, size: Size, begin: int, end: int) -> None:
    """Count a minimum instance between two requests."""
    for number, ms in _by_hour(begin, end):
        _add_idle(usage, size, number, ms)


def _add_idle(usage: Usage, size: Size, number: int, ms: int) -> None:
    if ms:
        hour = usage.hour(number)
        if size.rest is Rest.ACTIVE:
            hour.cpu += ms * size.cpu
            hour.memory += ms * size.memory
            hour.disk += ms * size.billed_disk
        else:
            hour.idle_memory += ms * size.memory
            hour.idle_disk += ms * size.billed_disk


def _add_rest(
    usage: Usage, instance: MeteredInstance, size: Size, end: int | None, *, worked_until: int
) -> None:
    """Count the time that an on-demand instance is kept after its settled stretches, at the latest until `end`.

    It works in the background until it is frozen, or until `worked_until`, and hibernates afterwards.
    """
    since = instance.settled or 0
    until = max(since + TAIL, instance.kept.pop(since, 0))
    until = until if end is None else min(until, max(since, end))
    frozen = instance.frozen.pop(since, worked_until)
    hibernates = min(until, max(since, frozen)) if size.rest is Rest.BY_CPU else since
    for number, ms in _by_hour(since, hibernates):
        hour = usage.hour(number)
        hour.work_cpu += ms * size.cpu
        hour.work_memory += ms * size.memory
        hour.work_disk += ms * size.billed_disk
    for number, ms in _by_hour(hibernates, until):
        hour = usage.hour(number)
        hour.tail_cpu += ms * size.cpu
        hour.tail_memory += ms * size.memory
        hour.tail_disk += ms * size.billed_disk


def _by_hour(begin: int, end: int) -> Iterator[tuple[int, int]]:
    """Yield (clock hour, ms) of an interval; the parts add up to the interval rounded up to 1 ms."""
    start, counted = begin, 0
    while start < end:
        number = start // HOUR
        start = min(end, (number + 1) * HOUR)
        total = rounded_up(start - begin)
        yield number, total - counted
        counted = total
