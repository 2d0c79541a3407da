"""The metrics of a function, computed from the journal and named as CloudMonitor names them (namespace acs_fc).

Source: the service's page "Monitoring metrics". CloudMonitor gives a value for each minute; here a metric covers
everything the journal holds.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from fclocal.core.ending import Ending
from fclocal.core.records import Record

KINDS = ("platform.started", "request.*", "instance.*")
"""The records that `compute` needs."""

TABLE: dict[str, tuple[str, str]] = {
    "FunctionTotalInvocations": ("count", "requests, rejected ones included"),
    "FunctionHTTPStatus2xx": ("count", "requests answered with status 200 to 299"),
    "FunctionHTTPStatus3xx": ("count", "requests answered with status 300 to 399"),
    "FunctionHTTPStatus4xx": ("count", "requests answered or rejected with status 400 to 499"),
    "FunctionHTTPStatus5xx": ("count", "requests answered or rejected with status 500 to 599"),
    "FunctionServerErrors": ("count", "requests that the platform failed"),
    "FunctionClientErrors": ("count", "requests rejected with 4xx, or canceled by the client"),
    "FunctionFunctionErrors": ("count", "requests that the function failed: timeout, exit, failed start, bad answer"),
    "FunctionConcurrencyThrottles": ("count", "requests rejected with 429"),
    "FunctionResourceThrottles": ("count", "requests rejected with 503"),
    "FunctionAvgDuration": ("ms", "average time that a request ran"),
    "FunctionP90Duration": ("ms", "90 % of the requests ran at most this long"),
    "FunctionP99Duration": ("ms", "99 % of the requests ran at most this long"),
    "FunctionMaxDuration": ("ms", "longest time that a request ran"),
    "FunctionLatencyAvg": ("ms", "average time with the wait for an instance"),
    "FunctionLatencyMax": ("ms", "longest time with the wait for an instance"),
    "FunctionOndemandActiveInstance": ("count", "instances now that requests started"),
    "FunctionProvisionedCurrentInstance": ("count", "instances now that a minimum keeps"),
}
"""Metric names in order of their display: unit and meaning."""

_BY_FUNCTION = frozenset({Ending.TIMEOUT, Ending.INSTANCE, Ending.FUNCTION})
_BY_PLATFORM = frozenset({Ending.FAULT, Ending.SHUTDOWN})


@dataclass(frozen=True, slots=True)
class Metrics:
    """The metrics of one function from the first to the last record. `since`, `until`: seconds since 1970.

    A time is None while no request has ended.
    """

    function: str
    since: float
    until: float
    values: dict[str, float | None]

    def wire(self) -> dict[str, Any]:
        """Return the JSON of `fclocal metrics NAME --json`."""
        return {
            "functionName": self.function,
            "since": self.since,
            "until": self.until,
            "metrics": [{"metricName": name, "unit": unit, "value": self.values[name], "description": text}
                        for name, (unit, text) in TABLE.items()],
        }


def compute(records: Iterable[Record], function: str, now: float) -> Metrics:
    """Compute the metrics of `function`. `records`: those of `KINDS`, in order. `now`: seconds since 1970."""
    counts: dict[str, int] = dict.fromkeys(TABLE, 0)
    begun: dict[str, Record] = {}
    instances: dict[str, str] = {}
    durations: list[float] = []
    latencies: list[float] = []
    since = now

    def count(status: int) -> None:
        if (name := f"FunctionHTTPStatus{status // 100}xx") in counts:
            counts[name] += 1

    for record in records:
        if record.kind == "platform.started":  # a killed platform leaves its requests and instances without an end
            begun.clear()
            instances.clear()
        if record.function != function:
            continue
        since = min(since, record.at)
        if record.kind == "request.rejected":
            counts["FunctionTotalInvocations"] += 1
            count(record.data["status"])
            counts[_rejection(record.data["status"])] += 1
        elif record.kind == "request.begin":
            counts["FunctionTotalInvocations"] += 1
            begun[record.request] = record
        elif record.kind == "request.end" and (begin := begun.pop(record.request, None)) is not None:
            count(record.data["status"])
            if (error := _failure(record.data["why"])) is not None:
                counts[error] += 1
            durations.append((record.at - begin.at) * 1000)
            latencies.append(durations[-1] + begin.data["waited"] * 1000)
        elif record.kind == "instance.starting":
            instances[record.instance] = record.data["why"]
        elif record.kind in ("instance.stopped", "instance.failed"):
            instances.pop(record.instance, None)
    values: dict[str, float | None] = dict(counts)
    values |= {
        "FunctionAvgDuration": _average(durations),
        "FunctionP90Duration": _percentile(durations, 0.9),
        "FunctionP99Duration": _percentile(durations, 0.99),
        "FunctionMaxDuration": _percentile(durations, 1.0),
        "FunctionLatencyAvg": _average(latencies),
        "FunctionLatencyMax": _percentile(latencies, 1.0),
        "FunctionOndemandActiveInstance": sum(why == "request" for why in instances.values()),
        "FunctionProvisionedCurrentInstance": sum(why == "minimum" for why in instances.values()),
    }
    return Metrics(function, since, now, values)


def _rejection(status: int) -> str:
    """Return the error metric of a request that did not reach the function."""
    special = {429: "FunctionConcurrencyThrottles", 503: "FunctionResourceThrottles", 412: "FunctionFunctionErrors"}
    return special.get(status, "FunctionServerErrors" if status >= 500 else "FunctionClientErrors")


def _failure(why: str) -> str | None:
    """Return the error metric of a request that reached the function, None for one that succeeded."""
    if why in _BY_FUNCTION:
        return "FunctionFunctionErrors"
    if why in _BY_PLATFORM:
        return "FunctionServerErrors"
    return "FunctionClientErrors" if why == Ending.CLIENT else None


def _average(values: Sequence[float]) -> float | None:
    return round(sum(values) / len(values), 3) if values else None


def _percentile(values: Sequence[float], share: float) -> float | None:
    """Return the least value that `share` of all values do not exceed (nearest rank)."""
    if not values:
        return None
    return round(sorted(values)[max(1, math.ceil(share * len(values))) - 1], 3)
