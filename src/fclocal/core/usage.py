"""What functions used: the sums that the meter keeps and the bill prices.

Times are whole microseconds and sums are integers, so no amount depends on how a journal is divided.
"""

from collections import Counter
from dataclasses import dataclass, field, replace

from fclocal.core.retention import Rest

FREE_DISK = 512  # MB that cost nothing


@dataclass(frozen=True, slots=True)
class Size:
    """The resources of one instance: hundredths of a vCPU, MB of memory, MB of disk, requests at a time."""

    cpu: int
    memory: int
    disk: int
    concurrency: int
    minimum: bool
    rest: Rest = Rest.HIBERNATING

    @property
    def billed_disk(self) -> int:
        """The MB of disk that are billed."""
        return max(0, self.disk - FREE_DISK)


ASSUMED = Size(cpu=35, memory=512, disk=512, concurrency=1, minimum=False)


@dataclass(slots=True)
class Fleet:
    """The number of instances of one size."""

    size: Size
    instances: int


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
        """The first request in, seconds since 1970."""
        return self.begin_us / 1e6

    @property
    def end(self) -> float:
        """The last request out (or the moment of the bill, while running), seconds since 1970."""
        return self.end_us / 1e6

    @property
    def ms(self) -> int:
        """Billed milliseconds, rounded up."""
        return rounded_up(self.end_us - self.begin_us)


@dataclass(slots=True)
class Earlier:
    """The sums of the spans that are no longer listed one by one. `begin_us` is None if there is no such span."""

    begin_us: int | None = None
    spans: int = 0
    ms: int = 0
    requests: int = 0

    def add(self, span: Span) -> None:
        """Add one span to the sums."""
        self.begin_us = span.begin_us if self.begin_us is None else min(self.begin_us, span.begin_us)
        self.spans += 1
        self.ms += span.ms
        self.requests += span.requests


@dataclass(slots=True)
class Hour:
    """The usage of one function in one clock hour. Products of ms with hundredths of a vCPU, or with MB.

    cpu, memory, disk: active. idle: minimum instances that hibernate. tail: other instances that hibernate after a
    request. work: background work after a request, until the instance hibernates.
    """

    cpu: int = 0
    memory: int = 0
    disk: int = 0
    idle_memory: int = 0
    idle_disk: int = 0
    tail_cpu: int = 0
    tail_memory: int = 0
    tail_disk: int = 0
    work_cpu: int = 0
    work_memory: int = 0
    work_disk: int = 0
    invocations: int = 0


@dataclass(slots=True)
class Usage:
    """Everything that one function used. `hours`: hours since 1970 -> usage in that hour.

    `spans` in order of their begin; a meter that limits them adds the oldest to `earlier`. `unbilled`: reason ->
    number of requests. `notes`: gaps in the records, and how they were counted.
    """

    function: str
    spans: list[Span] = field(default_factory=list)
    earlier: Earlier = field(default_factory=Earlier)
    hours: dict[int, Hour] = field(default_factory=dict)
    fleets: list[Fleet] = field(default_factory=list)
    bytes_in: int = 0
    bytes_out: int = 0
    unbilled: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)

    @property
    def instances(self) -> int:
        """The number of instances of all sizes."""
        return sum(fleet.instances for fleet in self.fleets)

    def hour(self, number: int) -> Hour:
        """Return the clock hour with this number, created empty when it is missing."""
        return self.hours.setdefault(number, Hour())

    def count(self, size: Size) -> None:
        """Count one more instance of `size`."""
        for fleet in self.fleets:
            if fleet.size == size:
                fleet.instances += 1
                return
        self.fleets.append(Fleet(size, 1))

    def limit(self, listed: int) -> None:
        """Keep the newest `listed` spans and add the others to `earlier`."""
        self.spans.sort(key=lambda span: (span.begin_us, span.instance))
        for span in self.spans[:-listed]:
            self.earlier.add(span)
        del self.spans[:-listed]

    def copy(self) -> "Usage":
        """Return a copy that shares nothing mutable."""
        return replace(
            self, spans=list(self.spans), earlier=replace(self.earlier), unbilled=Counter(self.unbilled),
            hours={number: replace(hour) for number, hour in self.hours.items()}, notes=list(self.notes),
            fleets=[replace(fleet) for fleet in self.fleets])


def rounded_up(us: int) -> int:
    """Return microseconds as milliseconds, rounded up."""
    return -(-us // 1000)
