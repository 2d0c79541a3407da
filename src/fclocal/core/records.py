"""The journal's vocabulary: every kind of record, and the facts it carries.

Bill, timeline, logs, events and tests all read these records and nothing else. A record of a kind or with a fact
that is not in `KINDS` is rejected when it is written, so the table below is complete.
"""

from collections.abc import Collection, Mapping
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

# kind -> names of its facts. All times are seconds, sizes bytes unless the name says otherwise.
KINDS: dict[str, tuple[str, ...]] = {
    "platform.started": ("version", "pid"),
    "platform.stopped": (),
    # In place of old records that the journal no longer holds, of all functions. Bills keep their sums.
    "journal.dropped": ("records",),
    "function.created": ("generation",),
    "function.updated": ("generation",),
    "function.deleted": (),
    "version.published": ("version",),
    "version.deleted": ("version",),
    "alias.changed": ("alias", "version", "weights"),
    "alias.deleted": ("alias",),
    "trigger.changed": ("trigger", "url", "qualifier"),
    "trigger.deleted": ("trigger",),
    "domain.changed": ("domain", "url"),
    "domain.deleted": ("domain",),
    "invocation.disabled": ("reason",),
    "invocation.enabled": (),
    # An instance: one process. cpu in vCPU, memorySize and diskSize in MB; why: "request" | "minimum".
    # rest: how it passes time without requests, a value of core.retention.Rest.
    "instance.starting": ("version", "generation", "concurrency", "cpu", "memorySize", "diskSize", "why",
                          "rest"),
    "instance.ready": ("seconds", "pid", "port"),
    "instance.failed": ("code", "message"),
    # A lifecycle hook that has ended after `seconds`. hook: Initialize | PreStop. error: "" where it succeeded.
    "instance.hook": ("hook", "seconds", "error"),
    "instance.frozen": (),
    # Without a request, and kept until this time by idleTimeout or by its sessions. until: seconds since 1970.
    "instance.kept": ("until",),
    "instance.thawed": (),
    # Its health check failed failureThreshold times in a row, or succeeds again. reason: of the last failure.
    "instance.unhealthy": ("reason",),
    "instance.healthy": (),
    # why: idle | update | deleted | disabled | shutdown | memory | exit | fault | unhealthy | failed | canceled
    "instance.stopping": ("why",),
    "instance.stopped": ("why", "exitCode"),
    # A request that never reached the function. Not billed.
    "request.rejected": ("method", "path", "trigger", "status", "code", "message"),
    # A request on an instance: from the lease (begin) to its release (end).
    # protocol: http | websocket | invoke. cold: it waited for a cold start of `waited` seconds. concurrency: the
    # instance's, for readers that did not see it start.
    "request.begin": ("protocol", "method", "path", "trigger", "qualifier", "version", "concurrency", "client", "cold",
                      "waited"),
    # status: HTTP status the client saw (101 for a WebSocket). closeCode: WebSocket close code the client
    # saw, None if not known. why: a value of core.ending.Ending. error: what the function's log says about the end.
    "request.end": ("status", "closeCode", "why", "error", "bytesIn", "bytesOut"),
    # stream: stdout | stderr | platform. One line, without its line end.
    "log": ("stream", "text"),
    # Lines beyond the budget of a second; without an instance: old lines and frames that the journal dropped.
    "log.dropped": ("lines",),
    # Injected faults. rule: id of the rule. what: reject | delay | slow_start | kill | cut | silence | pause_redis
    "fault.armed": ("rule", "what", "detail"),
    "fault.hit": ("rule", "what", "detail"),
    "fault.cleared": ("rule", "what"),
    # A request that arrived while a tap was on. target: path and query, long values shortened (they may be tokens).
    "tap.head": ("protocol", "target"),
    # One WebSocket frame seen by a tap. direction: in (client to function) | out. preview: first bytes as text.
    "tap.frame": ("direction", "opcode", "final", "length", "closeCode", "preview", "compressed"),
}


LOG = ("log", "log.dropped", "request.begin", "request.end")
"""The records that are a line of the function's log, see `log_line`."""

# Records of the functions' output. They are the first to go when the journal grows too large.
OUTPUT = frozenset({"log", "log.dropped", "tap.head", "tap.frame"})
_FACTS = {kind: frozenset(facts) for kind, facts in KINDS.items()}


class Record(NamedTuple):
    """One event. `at`: seconds since 1970; `function`, `instance` and `request` are "" where none applies."""

    seq: int
    at: float
    kind: str
    function: str = ""
    instance: str = ""
    request: str = ""
    data: Mapping[str, Any] = {}

    def wire(self) -> dict[str, Any]:
        """Return the record as one flat JSON object, as `fclocal events` prints it."""
        head = {"seq": self.seq, "at": self.at, "kind": self.kind}
        ids = {"function": self.function, "instance": self.instance, "request": self.request}
        return {**head, **{k: v for k, v in ids.items() if v}, **self.data}

    @classmethod
    def from_wire(cls, wire: Mapping[str, Any]) -> "Record":
        """Return the record that `wire()` came from."""
        rest = dict(wire)
        head = (rest.pop("seq"), rest.pop("at"), rest.pop("kind"))
        ids = (rest.pop("function", ""), rest.pop("instance", ""), rest.pop("request", ""))
        return cls(*head, *ids, rest)


def log_line(record: Record) -> str | None:
    """Return the line that the record is in the function's log, None if it is not in there."""
    match record.kind:
        case "log":
            return str(record.data["text"])
        case "log.dropped":
            return f"... {record.data['lines']} lines dropped ..."
        case "request.begin":
            return f"FC Invoke Start RequestId: {record.request}"
        case "request.end":
            error = record.data["error"]
            return f"FC Invoke End RequestId: {record.request}" + (f", Error: {error}" if error else "")
    return None


def check(kind: str, data: Mapping[str, Any]) -> None:
    """Raise ValueError unless `data` has exactly the facts that `kind` carries."""
    if kind not in KINDS:
        raise ValueError(f"unknown record kind {kind!r}")
    if data.keys() != _FACTS[kind]:
        raise ValueError(f"record {kind!r} carries {KINDS[kind]}, not {tuple(data)}")


def matching(patterns: Collection[str]) -> frozenset[str]:
    """Return the kinds that any of `patterns` names; a pattern may end in ".*". No pattern names them all."""
    if not patterns:
        return frozenset(KINDS)
    return frozenset(kind for kind in KINDS if any(fnmatchcase(kind, pattern) for pattern in patterns))
