"""The sequence of what happened, before it is drawn: lanes, arrows and notes, made from recorded data.

`diagram(...)` is a pure function of journal records, the events of a NAT and the commands that Redis received.
`workshop.views.sequence` records these and draws the result.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from fclocal.core.records import Record
from workshop.labs.nat import NatEvent

Kind = Literal["http", "data", "ping", "redis", "bad"]
GATEWAY, NAT, REDIS = "gateway", "NAT", "Redis"
# Why a WebSocket ended without a Close frame, and which side caused it: "gateway" or "client" or "instance".
CAUSES = {
    "timeout": ("execution timeout, no Close frame", "gateway"),
    "fault": ("injected fault, no Close frame", "gateway"),
    "shutdown": ("the platform stopped", "gateway"),
    "instance": ("the instance ended, no Close frame", "gateway"),
    "client": ("the client disappeared, no Close frame", "client"),
    "function": ("the program disappeared, no Close frame", "instance"),
}


@dataclass(frozen=True, slots=True)
class RedisCommand:
    """One command that Redis received. `instance`: id of the sender, "" if unknown; `key`: channel or stream."""

    at: float
    instance: str
    name: str
    key: str
    text: str = ""


@dataclass(frozen=True, slots=True)
class Arrow:
    """Something that travelled from one lane to another; `lost`: it ended at lane `end` and never reached its goal."""

    at: float
    start: str
    end: str
    kind: Kind
    label: str
    note: str = ""
    details: str = ""
    lost: bool = False


@dataclass(frozen=True, slots=True)
class Note:
    """A moment of one lane, for example "frozen". `count`: how many rows this one stands for."""

    at: float
    lane: str
    text: str


@dataclass(slots=True)
class Life:
    """A stretch of an instance. `state`: starting | running | frozen; `end` None: until the end of the picture."""

    state: str
    begin: float | None
    end: float | None = None


@dataclass(slots=True)
class Diagram:
    """Lanes from left to right (key -> title and subtitle), rows from top to bottom, states of the instances."""

    function: str
    begin: float
    lanes: dict[str, tuple[str, str]]
    rows: list[Arrow | Note]
    lives: dict[str, list[Life]]


@dataclass(slots=True)
class _Connection:
    """One request, collected from its records."""

    request: str
    arrived: float
    client: str = ""
    instance: str = ""
    protocol: str = ""
    ended: float | None = None
    status: int | None = None  # None: not answered yet
    closed: bool = False  # a Close frame was seen
    flow: int | None = None
    removed: float | None = None  # when the NAT removed its entry


@dataclass(slots=True)
class _Builder:
    function: str
    names: Sequence[str]
    rows: list[tuple[float, int, Arrow | Note]] = field(default_factory=list)
    lives: dict[str, list[Life]] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    connections: dict[str, _Connection] = field(default_factory=dict)
    heads: dict[str, Record] = field(default_factory=dict)  # request -> its head, as the tap recorded it

    def add(self, row: Arrow | Note, at: float | None = None) -> None:
        self.rows.append((row.at if at is None else at, len(self.rows), row))


def diagram(records: Iterable[Record], function: str, *, clients: Sequence[str] = (),
            nat: Sequence[NatEvent] = (), redis: Sequence[RedisCommand] = ()) -> Diagram:
    """Return what happened to `function`. `clients`: names of the clients in the order of their connections."""
    mine = [record for record in records if record.function in (function, "")]
    build = _Builder(function, clients)
    for record in mine:
        _begin(record, build)
    _match_flows(build, nat)
    _name_clients(build)
    for record in mine:
        _take(record, build)
    _nat_rows(build, nat)
    _redis_rows(build, redis)
    rows = _folded([row for *_, row in sorted(build.rows, key=lambda entry: entry[:2])])
    while rows and isinstance(rows[0], Note) and rows[0].text == "frozen":  # after what happened before the recording
        del rows[0]
    begin = min((row.at for row in rows), default=0.0)
    return Diagram(function, begin, _lanes(build, rows), rows, build.lives)


def _begin(record: Record, build: _Builder) -> None:
    """Register a request, so that clients and NAT entries can be assigned before the rows are made."""
    if record.kind == "request.begin":
        build.connections[record.request] = _Connection(
            record.request, record.at - float(record.data["waited"]), instance=record.instance,
            protocol=record.data["protocol"])
        build.versions.setdefault(record.instance, record.data["version"])
    elif record.kind == "request.rejected":
        head = build.heads.get(record.request)
        build.connections[record.request] = _Connection(record.request, head.at if head else record.at,
                                                        ended=record.at, protocol=head.data["protocol"] if head else "")
    elif record.kind == "tap.head":
        build.heads[record.request] = record
    elif record.kind == "request.end" and (known := build.connections.get(record.request)):
        known.ended, known.status = record.at, record.data["status"]


def _name_clients(build: _Builder) -> None:
    """Give each connection a client: a name not used yet, else the client that has been without one for longest."""
    names = list(dict.fromkeys(build.names))
    busy: dict[str, _Connection] = {}
    for number, connection in enumerate(sorted(build.connections.values(), key=lambda one: one.arrived)):
        if number < len(build.names):
            connection.client = build.names[number]
        else:
            free = [name for name, last in busy.items() if last.ended is not None and last.ended <= connection.arrived]
            if not free:
                names.append(f"client {len(names) + 1}")
            connection.client = free[0] if free else names[-1]
        busy[connection.client] = connection
    if names == ["client 1"]:
        for connection in build.connections.values():
            connection.client = "client"


def _match_flows(build: _Builder, nat: Sequence[NatEvent]) -> None:
    """Find for each request the NAT entry through which it came: the newest one before it that no other one has."""
    opened = [event for event in nat if event.kind == "opened"]
    for connection in sorted(build.connections.values(), key=lambda one: one.arrived):
        fitting = [event for event in opened if event.at <= connection.arrived + 0.05]
        if fitting:
            opened.remove(fitting[-1])
            connection.flow = fitting[-1].flow
            connection.removed = next((event.at for event in nat if event.flow == connection.flow
                                       and event.kind == "removed"), None)


def _take(record: Record, build: _Builder) -> None:
    at, data, instance = record.at, record.data, record.instance
    connection = build.connections.get(record.request)
    match record.kind:
        case "instance.starting":
            build.lives[instance] = [Life("starting", at)]
            build.versions[instance] = data["version"]
            build.add(Note(at, instance, "cold start"))
        case "instance.ready":
            _next_life(build, instance, "running", at)
        case "instance.frozen":
            _next_life(build, instance, "frozen", at)
            build.add(Note(at, instance, "frozen"))
        case "instance.thawed":
            _next_life(build, instance, "running", at)
        case "instance.stopped" | "instance.failed":
            _next_life(build, instance, "", at)
            build.add(Note(at, instance, str(data.get("code") or f"stopped: {data['why']}")))
        case "instance.unhealthy":
            build.add(Note(at, instance, f"unhealthy: {data['reason']}"))
        case "instance.healthy":
            build.add(Note(at, instance, "healthy again"))
        case "request.rejected" if connection:
            _request_head(record, connection, build)
            build.add(Arrow(at, GATEWAY, connection.client, "bad", f"{data['status']} {data['code']}",
                            data["message"], f"rejected with {data['status']} {data['code']}: {data['message']}"))
        case "request.begin" if connection:
            _request(record, connection, build)
        case "tap.frame" if connection:
            _frame(record, connection, build)
        case "request.end" if connection:
            _end(record, connection, build)


def _request_head(record: Record, connection: _Connection, build: _Builder, more: str = "") -> None:
    """Add the arrow of a request from its client to the gateway."""
    data, head = record.data, build.heads.get(record.request)
    label = f"{data['method']} {head.data['target'] if head else data['path']}"
    if data["method"] == "-":
        label = "a head that breaks the limits"
    build.add(Arrow(connection.arrived, connection.client, GATEWAY, "http", label,
                    "Upgrade: websocket" * (connection.protocol == "websocket"),
                    f"request head: {label}, trigger {data['trigger']}{more}"))


def _next_life(build: _Builder, instance: str, state: str, at: float) -> None:
    lives = build.lives.setdefault(instance, [Life("running", None)])
    if lives:
        lives[-1].end = at
    if state:
        lives.append(Life(state, at))


def _request(record: Record, connection: _Connection, build: _Builder) -> None:
    data, socket = record.data, connection.protocol == "websocket"
    build.lives.setdefault(record.instance, [Life("running", None)])
    _request_head(record, connection, build, f", qualifier {data['qualifier']}")
    build.add(Arrow(record.at, GATEWAY, record.instance, "http", data["method"], "+ x-fc-* headers",
                    f"forwarded with x-fc-request-id {record.request}"))
    if socket and connection.status in (None, 101):
        build.add(Arrow(record.at, record.instance, connection.client, "http", "101", "Switching Protocols",
                        "101 Switching Protocols: from here on, frames in both directions"))


def _frame(record: Record, connection: _Connection, build: _Builder) -> None:
    data, opcode = record.data, record.data["opcode"]
    kind: Kind = "ping" if opcode in ("ping", "pong") else "data"
    label, shown = opcode, ""
    if opcode == "close":
        connection.closed = True
        label, shown = f"close {data['closeCode'] or ''}".rstrip(), data["preview"]
        kind = "data" if data["closeCode"] in (None, 1000, 1001) else "bad"
    elif opcode == "text":
        shown = f'"{data["preview"]}"'
    elif kind == "data":
        shown = data["preview"]
    way = ("client to function", "function to client")[data["direction"] == "out"]
    details = (f"{opcode} frame, {way}, {data['length']} bytes" + " compressed" * bool(data["compressed"])
               + (f", close code {data['closeCode']}" if data["closeCode"] else "")
               + (f': {data["preview"]}' if kind == "data" and data["preview"] else ""))
    if data["direction"] == "in":
        build.add(Arrow(record.at, connection.client, record.instance, kind, label, shown, details))
    elif connection.removed is not None and connection.removed <= record.at:
        build.add(Arrow(record.at, record.instance, NAT, kind, label, "not forwarded: no entry", details, lost=True))
    else:
        build.add(Arrow(record.at, record.instance, connection.client, kind, label, shown, details))


def _end(record: Record, connection: _Connection, build: _Builder) -> None:
    data, at = record.data, record.at
    if data["status"] != 101 or connection.protocol != "websocket":
        kind: Kind = "bad" if data["status"] >= 400 else "http"
        start = record.instance if data["why"] in ("done", "function") else GATEWAY
        build.add(Arrow(at, start, connection.client, kind, str(data["status"]),
                        "" if data["why"] == "done" else data["why"], f"status {data['status']}, {data['why']}"))
        return
    if connection.closed and data["closeCode"] != 1006:
        return
    note, side = CAUSES.get(data["why"], ("no Close frame", "gateway"))
    code = str(data["closeCode"] or 1006)
    details = f"the connection ended with {code}: {note}"
    if side == "client":
        build.add(Arrow(at, connection.client, GATEWAY, "bad", code, note, details))
    elif connection.removed is not None and connection.removed <= at:
        build.add(Arrow(at, GATEWAY, NAT, "bad", code, f"{note}; not forwarded", details, lost=True))
    else:
        start = record.instance if side == "instance" else GATEWAY
        build.add(Arrow(at, start, connection.client, "bad", code, note, details))


def _nat_rows(build: _Builder, nat: Sequence[NatEvent]) -> None:
    clients = {one.flow: one.client for one in build.connections.values() if one.flow is not None}
    for event in nat:
        client = clients.get(event.flow)
        if client is None:
            continue
        if event.kind == "removed":
            build.add(Note(event.at, NAT, f"entry removed after {event.idle:.2g} s of silence"))
        elif event.kind == "dropped" and event.direction == "in":
            build.add(Arrow(event.at, client, NAT, "data", f"{event.size} bytes", "dropped: no entry",
                            f"{event.size} bytes from the client; the NAT has deleted the entry and reports nothing",
                            lost=True))
        elif event.kind == "reset":
            build.add(Arrow(event.at, NAT, client, "bad", "TCP reset", "no entry", "the NAT answers with a TCP reset"))


def _redis_rows(build: _Builder, commands: Sequence[RedisCommand]) -> None:
    """PUBLISH and XADD, and the delivery to each instance that subscribed to the channel or reads the stream."""
    readers: dict[str, dict[str, None]] = {}
    for command in commands:
        match command.name:
            case "SUBSCRIBE" | "XREAD":
                known = command.instance in readers.setdefault(command.key, {})
                readers[command.key][command.instance] = None
                if command.instance and (command.name == "SUBSCRIBE" or not known):
                    build.add(Arrow(command.at, command.instance, REDIS, "redis", command.name, command.key,
                                    f"{command.name} {command.key}"))
            case "UNSUBSCRIBE":
                readers.get(command.key, {}).pop(command.instance, None)
            case "PUBLISH" | "XADD":
                shown = f"{command.name} {command.key}: {command.text}"
                if command.instance:
                    build.add(Arrow(command.at, command.instance, REDIS, "redis", command.name, command.text, shown))
                for instance in filter(None, readers.get(command.key, {})):
                    build.add(Arrow(command.at, REDIS, instance, "redis", "message", command.text,
                                    f"delivered: {shown}"))


def _folded(rows: list[Arrow | Note]) -> list[Arrow | Note]:
    """Fold pings and pongs that repeat without anything else between them: the first pair stays."""
    folded: list[Arrow | Note] = []
    for row in rows:
        if isinstance(row, Arrow) and row.kind == "ping" and len(folded) >= 2:
            before = [one for one in folded[-2:] if isinstance(one, Arrow) and one.kind == "ping"]
            same = next((one for one in before if one.label.partition(",")[0] == row.label
                         and (one.start, one.end, one.lost) == (row.start, row.end, row.lost)), None)
            if same:
                count = int(same.label.partition(", ")[2].split()[0]) if "," in same.label else 1
                folded[folded.index(same)] = replace(same, label=f"{row.label}, {count + 1} times")
                continue
        folded.append(row)
    return folded


def _lanes(build: _Builder, rows: list[Arrow | Note]) -> dict[str, tuple[str, str]]:
    used = {lane for row in rows for lane in ((row.start, row.end) if isinstance(row, Arrow) else (row.lane,))}
    clients = dict.fromkeys(one.client for one in sorted(build.connections.values(), key=lambda one: one.arrived))
    several = len(set(build.versions.values())) > 1
    lanes = {client: (client, "") for client in clients if client in used}
    if NAT in used or any(one.flow is not None for one in build.connections.values()):
        lanes[NAT] = (NAT, "")
    lanes[GATEWAY] = (GATEWAY, "")
    for instance in build.lives:
        version = build.versions.get(instance, "")
        lanes[instance] = (f"instance {instance[-4:]}", (f"version {version or 'LATEST'}") if several else "")
    if REDIS in used:
        lanes[REDIS] = (REDIS, "")
    return lanes
