"""The journal's vocabulary: every kind of record, and the facts it carries.

Bill, timeline, logs, events and tests all read these records and nothing else. A kind or fact that is not in
`KINDS` is refused when it is written, so the table below is complete.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

# kind -> names of its facts. All times are seconds, sizes bytes unless the name says otherwise.
KINDS: dict[str, tuple[str, ...]] = {
    "platform.started": ("version", "pid"),
    "platform.stopped": (),
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
    "instance.starting": ("version", "generation", "concurrency", "cpu", "memorySize", "diskSize", "why"),
    "instance.ready": ("seconds", "pid", "port"),
    "instance.failed": ("code", "message"),
    "instance.frozen": (),
    "instance.thawed": (),
    # why: idle | update | deleted | shutdown | memory | exit | fault | unhealthy | failed
    "instance.stopping": ("why",),
    "instance.stopped": ("why", "exitCode"),
    # A request that never reached the function. Not billed.
    "request.rejected": ("method", "path", "trigger", "status", "code", "message"),
    # A request on an instance: from the lease (begin) to its release (end).
    # protocol: http | websocket | invoke. cold: it waited for a cold start of `waited` seconds.
    "request.begin": ("protocol", "method", "path", "trigger", "qualifier", "version", "client", "cold", "waited"),
    # status: HTTP status the client saw (101 for a WebSocket). closeCode: WebSocket close code the client
    # saw, None if not known. why: done | client | function | timeout | instance | fault | shutdown.
    "request.end": ("status", "closeCode", "why", "bytesIn", "bytesOut"),
    # stream: stdout | stderr | platform. One line, without its line end.
    "log": ("stream", "text"),
    "log.dropped": ("lines",),
    # Injected faults. rule: id of the rule. what: reject | delay | slow_start | kill | cut | silence | pause_redis
    "fault.armed": ("rule", "what", "detail"),
    "fault.hit": ("rule", "what", "detail"),
    "fault.cleared": ("rule", "what"),
    # One WebSocket frame seen by a tap. direction: in (client to function) | out. preview: first bytes as text.
    "tap.frame": ("direction", "opcode", "final", "length", "closeCode", "preview", "compressed"),
}


@dataclass(frozen=True, slots=True)
class Record:
    """One thing that happened. `at`: seconds since 1970; `instance` and `request` are "" where none applies."""

    seq: int
    at: float
    kind: str
    function: str = ""
    instance: str = ""
    request: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)

    def wire(self) -> dict[str, Any]:
        """The record as one flat JSON object, as `fclocal events` prints it."""
        head = {"seq": self.seq, "at": self.at, "kind": self.kind}
        ids = {"function": self.function, "instance": self.instance, "request": self.request}
        return {**head, **{k: v for k, v in ids.items() if v}, **self.data}

    @classmethod
    def from_wire(cls, wire: Mapping[str, Any]) -> "Record":
        """The record that `wire()` made."""
        rest = dict(wire)
        head = (rest.pop("seq"), rest.pop("at"), rest.pop("kind"))
        ids = (rest.pop("function", ""), rest.pop("instance", ""), rest.pop("request", ""))
        return cls(*head, *ids, rest)


def check(kind: str, data: Mapping[str, Any]) -> None:
    """Raise ValueError unless `data` has exactly the facts that `kind` carries."""
    if kind not in KINDS:
        raise ValueError(f"unknown record kind {kind!r}")
    if set(data) != set(KINDS[kind]):
        raise ValueError(f"record {kind!r} carries {KINDS[kind]}, not {tuple(data)}")
