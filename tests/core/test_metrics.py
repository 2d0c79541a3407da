"""Metrics from records: each record counts in the metrics that CloudMonitor would count it in."""

from typing import Any

import pytest

from fclocal.core import metrics
from fclocal.core.records import KINDS, Record, check


class Journal:
    """Records in order, with the facts that a test does not name left empty."""

    def __init__(self) -> None:
        self.records: list[Record] = []

    def add(self, kind: str, at: float, function: str = "echo", request: str = "", instance: str = "",
            **facts: Any) -> None:
        data = dict.fromkeys(KINDS[kind]) | facts
        check(kind, data)
        if kind.startswith("platform"):
            function = ""
        self.records.append(Record(len(self.records) + 1, at, kind, function, instance, request, data))

    def request(self, name: str, begin: float, end: float, *, waited: float = 0.0, status: int = 200,
                why: str = "done") -> None:
        self.add("request.begin", begin, request=name, waited=waited)
        self.add("request.end", end, request=name, status=status, why=why)

    def values(self, function: str = "echo", now: float = 100.0) -> dict[str, Any]:
        """The metrics that are not zero."""
        return {name: value for name, value in metrics.compute(self.records, function, now).values.items() if value}


@pytest.mark.parity("metrics.names")
def test_a_request_that_succeeds() -> None:
    journal = Journal()
    journal.request("1", 1.0, 1.25, waited=0.5)
    times = {"FunctionAvgDuration": 250, "FunctionP90Duration": 250, "FunctionP99Duration": 250,
             "FunctionMaxDuration": 250, "FunctionLatencyAvg": 750, "FunctionLatencyMax": 750}
    assert journal.values() == {"FunctionTotalInvocations": 1, "FunctionHTTPStatus2xx": 1, **times}
    assert journal.values("other") == {}


@pytest.mark.parity("metrics.names")
@pytest.mark.parametrize(("status", "why", "expected"), [
    (101, "done", {}),
    (200, "done", {"FunctionHTTPStatus2xx"}),
    (302, "done", {"FunctionHTTPStatus3xx"}),
    (404, "done", {"FunctionHTTPStatus4xx"}),
    (500, "done", {"FunctionHTTPStatus5xx"}),
    (502, "timeout", {"FunctionHTTPStatus5xx", "FunctionFunctionErrors"}),
    (101, "timeout", {"FunctionFunctionErrors"}),
    (502, "instance", {"FunctionHTTPStatus5xx", "FunctionFunctionErrors"}),
    (502, "function", {"FunctionHTTPStatus5xx", "FunctionFunctionErrors"}),
    (499, "client", {"FunctionHTTPStatus4xx", "FunctionClientErrors"}),
    (502, "fault", {"FunctionHTTPStatus5xx", "FunctionServerErrors"}),
    (503, "shutdown", {"FunctionHTTPStatus5xx", "FunctionServerErrors"}),
])
def test_how_a_request_ended(status: int, why: str, expected: set[str]) -> None:
    journal = Journal()
    journal.request("1", 1.0, 1.0, status=status, why=why)
    assert journal.values() == {"FunctionTotalInvocations": 1, **dict.fromkeys(expected, 1)}


@pytest.mark.parity("metrics.names", "metrics.throttles")
@pytest.mark.parametrize(("status", "error"), [
    (429, "FunctionConcurrencyThrottles"), (503, "FunctionResourceThrottles"), (412, "FunctionFunctionErrors"),
    (403, "FunctionClientErrors"), (404, "FunctionClientErrors"), (500, "FunctionServerErrors"),
])
def test_why_a_request_was_rejected(status: int, error: str) -> None:
    journal = Journal()
    journal.add("request.rejected", 1.0, status=status)
    assert journal.values() == {"FunctionTotalInvocations": 1, f"FunctionHTTPStatus{status // 100}xx": 1, error: 1}


def test_percentiles_are_nearest_ranks() -> None:
    journal = Journal()
    for number in range(1, 101):
        journal.request(str(number), 0.0, number / 1000)
    values = journal.values()
    assert [values[f"Function{name}Duration"] for name in ("P90", "P99", "Max")] == [90, 99, 100]
    assert values["FunctionAvgDuration"] == 50.5


def test_instances_that_exist() -> None:
    journal = Journal()
    for instance, why in (("a", "request"), ("b", "request"), ("c", "minimum"), ("d", "request")):
        journal.add("instance.starting", 1.0, instance=instance, why=why)
    journal.add("instance.stopped", 2.0, instance="a")
    journal.add("instance.failed", 2.0, instance="d")
    assert journal.values() == {"FunctionOndemandActiveInstance": 1, "FunctionProvisionedCurrentInstance": 1}
    journal.add("platform.started", 3.0)
    assert journal.values() == {}


def test_what_a_killed_platform_left_open_has_no_duration() -> None:
    journal = Journal()
    journal.add("request.begin", 1.0, request="1", waited=0.0)
    journal.add("platform.started", 50.0)
    journal.add("request.end", 60.0, request="1", status=200, why="done")
    assert journal.values() == {"FunctionTotalInvocations": 1}


def test_the_json() -> None:
    journal = Journal()
    journal.request("1", 7.0, 8.0)
    wire = metrics.compute(journal.records, "echo", 9.0).wire()
    assert (wire["functionName"], wire["since"], wire["until"]) == ("echo", 7.0, 9.0)
    assert [row["metricName"] for row in wire["metrics"]] == list(metrics.TABLE)
    assert wire["metrics"][0] == {"metricName": "FunctionTotalInvocations", "unit": "count", "value": 1,
                                  "description": "requests, rejected ones included"}
