"""What a timeline shows, without a pixel: lanes of instances, made from journal records.

`scene(records)` is a pure function; `views.timeline` draws its result as SVG and as text. Billed spans come from
fclocal's own metering, so that picture and bill cannot disagree.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from heapq import heappop, heappush

from fclocal.core.metering import meter
from fclocal.core.records import Record
from fclocal.core.usage import Span

PING_NAMES = {9: "ping", 10: "pong", "ping": "ping", "pong": "pong"}
# Records that say that something goes on; what comes later (freezing, idle stops) only fills the rest of the lane.
ACTIVITY = frozenset({"instance.starting", "instance.ready", "instance.failed", "request.begin", "request.end",
                      "request.rejected", "fault.hit", "tap.frame"})


@dataclass(slots=True)
class Bar:
    """One request on an instance. `row`: its place in the lane. `end` is None while it runs."""

    request: str
    protocol: str
    begin: float
    end: float | None = None
    label: str = "open"
    broken: bool = False
    row: int = 0
    pings: list[tuple[float, str]] = field(default_factory=list)


@dataclass(slots=True)
class Mark:
    """A moment. what: rejected | fault | failed | stopped (an ordinary end of an instance)."""

    at: float
    what: str
    text: str


@dataclass(slots=True)
class Lane:
    """One instance. `cold` and `frozen` are intervals whose end may be None: still so."""

    instance: str
    note: str = ""
    cold: list[tuple[float, float | None]] = field(default_factory=list)
    frozen: list[tuple[float, float | None]] = field(default_factory=list)
    bars: list[Bar] = field(default_factory=list)
    marks: list[Mark] = field(default_factory=list)
    spans: list[Span] = field(default_factory=list)
    stopped: float | None = None
    rows: int = 1

    @property
    def name(self) -> str:
        """Return the instance id, shortened to its distinct part."""
        return self.instance[:19]

    @property
    def billed(self) -> float:
        """Return the billed seconds."""
        return sum(span.ms for span in self.spans) / 1000


@dataclass(slots=True)
class Scene:
    """Everything between `begin` and `end` (seconds since 1970). `at_gateway`: what never reached an instance."""

    function: str
    begin: float
    end: float
    lanes: list[Lane]
    at_gateway: list[Mark]

    def last(self, seconds: float) -> "Scene":
        """Return what can be seen of the last `seconds`, without an idle stretch before its first event."""
        begin = max(self.begin, self.end - seconds)
        begin = min((max(start, begin) for start, end in self.busy() if end >= begin), default=begin)
        lanes = []
        for lane in self.lanes:
            if lane.stopped is not None and lane.stopped < begin:
                continue
            lanes.append(replace(
                lane, bars=[bar for bar in lane.bars if bar.end is None or bar.end >= begin],
                marks=[mark for mark in lane.marks if mark.at >= begin],
                spans=[span for span in lane.spans if span.end >= begin]))
        return Scene(self.function, begin, self.end, lanes, [mark for mark in self.at_gateway if mark.at >= begin])

    def busy(self) -> list[tuple[float, float]]:
        """Return the intervals in which something happens: a request, a cold start, a mark."""
        intervals = [(mark.at, mark.at) for lane in self.lanes for mark in lane.marks]
        intervals += [(mark.at, mark.at) for mark in self.at_gateway]
        for lane in self.lanes:
            intervals += [(bar.begin, self.end if bar.end is None else bar.end) for bar in lane.bars]
            intervals += [(begin, self.end if end is None else end) for begin, end in lane.cold]
        return intervals

    def summary(self) -> str:
        """Return the picture in sentences, for readers who do not see it."""
        if not self.lanes and not self.at_gateway:
            return "Nothing has happened yet."
        parts = [f"{_count(len(self.lanes), 'instance')} in {self.end - self.begin:.1f} seconds."]
        for lane in self.lanes:
            ends = ", ".join(bar.label for bar in lane.bars[:6]) + ", ..." * (len(lane.bars) > 6)
            parts.append(f"{lane.name} served {_count(len(lane.bars), 'request')}"
                         + (f" ({ends})" if ends else "") + f", billed {lane.billed:.3f} seconds.")
        if refused := sum(mark.what == "rejected" for mark in self.at_gateway):
            parts.append(f"{_count(refused, 'request')} rejected before an instance, not billed.")
        return " ".join(parts)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' * (number != 1)}"


def scene(records: Iterable[Record], function: str | None = None, now: float | None = None) -> Scene:
    """Return the lanes of one function (None: of all), up to `now` (default: the newest record)."""
    everything = sorted(records, key=lambda record: (record.at, record.seq))
    mine = [record for record in everything if function is None or record.function in (function, "")]
    lanes: dict[str, Lane] = {}
    bars: dict[str, Bar] = {}
    at_gateway: list[Mark] = []
    for record in mine:
        _take(record, lanes, bars, at_gateway)
    for usage in meter(everything, function, now=now):
        for span in usage.spans:
            lanes.setdefault(span.instance, Lane(span.instance)).spans.append(span)
    active = [record.at for record in mine if record.kind in ACTIVITY]
    newest = now if now is not None else (everything[-1].at if everything else 0.0)
    begin = active[0] if active else newest
    running = any(bar.end is None for bar in bars.values())
    last = newest if running or not active else active[-1]
    end = max(last, min(newest, last + 0.08 * (last - begin) + 0.2), begin + 0.1)
    for lane in lanes.values():
        lane.rows = _rows(lane.bars)
    names = {record.function for record in mine if record.function}
    title = function or (names.pop() if len(names) == 1 else "all functions")
    return Scene(title, begin, end, list(lanes.values()), at_gateway)


def _take(record: Record, lanes: dict[str, Lane], bars: dict[str, Bar], at_gateway: list[Mark]) -> None:
    kind, at, data = record.kind, record.at, record.data
    if kind == "request.rejected":
        at_gateway.append(Mark(at, "rejected", f"{data['status']} {data['code']}"))
        return
    if not record.instance:
        if kind == "fault.hit":
            at_gateway.append(Mark(at, "fault", f"fault: {data['what']}"))
        return
    if kind == "tap.frame":
        if (name := PING_NAMES.get(data["opcode"])) and (bar := bars.get(record.request)):
            bar.pings.append((at, f"{name} {data['direction']}"))
        return
    lane = lanes.get(record.instance)
    if lane is None:
        lane = lanes[record.instance] = Lane(record.instance)
    match kind:
        case "instance.starting":
            lane.note = "minimum instance" if data["why"] == "minimum" else f"concurrency {data['concurrency']}"
            lane.cold.append((at, None))
        case "instance.ready" | "instance.failed":
            _end_last(lane.cold, at)
            if kind == "instance.failed":
                lane.marks.append(Mark(at, "failed", str(data["code"])))
        case "instance.frozen":
            lane.frozen.append((at, None))
        case "instance.thawed":
            _end_last(lane.frozen, at)
        case "instance.stopped":
            _end_last(lane.cold, at)
            _end_last(lane.frozen, at)
            lane.stopped = at
            ordinary = data["why"] in ("idle", "update", "deleted", "disabled", "shutdown")
            lane.marks.append(Mark(at, "stopped" if ordinary else "failed", f"stopped: {data['why']}"))
            for bar in lane.bars:
                bar.end = at if bar.end is None else bar.end
        case "fault.hit":
            lane.marks.append(Mark(at, "fault", f"fault: {data['what']}"))
        case "request.begin":
            if not lane.note and "concurrency" in data:  # its start is not among the records
                lane.note = f"concurrency {data['concurrency']}"
            bars[record.request] = bar = Bar(record.request, data["protocol"], at)
            lane.bars.append(bar)
        case "request.end" if bar := bars.get(record.request):
            bar.end, bar.label = at, _ending(bar.protocol, record)
            bar.broken = data["why"] not in ("done", "client", "function") or data["closeCode"] == 1006


def _ending(protocol: str, record: Record) -> str:
    """Return how a request ended: close code or status, and the reason unless the end is normal."""
    status, code, why = (record.data[fact] for fact in ("status", "closeCode", "why"))
    shown = (code or "closed") if protocol == "websocket" and status == 101 else status
    return f"{shown}" if why in ("done", "client", "function") else f"{shown} {why}"


def _end_last(intervals: list[tuple[float, float | None]], at: float) -> None:
    if intervals and intervals[-1][1] is None:
        intervals[-1] = (intervals[-1][0], at)


def _rows(bars: list[Bar]) -> int:
    """Give each bar the first row that is free when it begins; the number of rows used."""
    free: list[int] = []
    taken: list[tuple[float, int]] = []
    used = 0
    for bar in bars:
        while taken and taken[0][0] <= bar.begin:
            heappush(free, heappop(taken)[1])
        if free:
            bar.row = heappop(free)
        else:
            bar.row, used = used, used + 1
        if bar.end is not None:
            heappush(taken, (bar.end, bar.row))
    return max(1, used)
