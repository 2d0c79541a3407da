"""The journal's vocabulary: which facts a record carries, and which line it is in the function's log."""

import pytest

from fclocal.core import records
from fclocal.core.records import LOG, Record

REQUEST = "1-65937a35-0badcafe-0123456789ab"


def test_a_record_without_its_facts_is_refused() -> None:
    records.check("instance.frozen", {})
    with pytest.raises(ValueError, match="unknown record kind"):
        records.check("instance.melted", {})
    with pytest.raises(ValueError, match="carries"):
        records.check("instance.kept", {})
    with pytest.raises(ValueError, match="carries"):
        records.check("instance.frozen", {"until": 1.0})


@pytest.mark.parametrize(
    ("kind", "data", "line"),
    [
        ("log", {"stream": "stdout", "text": "hello"}, "hello"),
        ("log.dropped", {"lines": 3}, "... 3 lines dropped ..."),
        ("request.begin", {}, f"FC Invoke Start RequestId: {REQUEST}"),
        ("request.end", {"error": ""}, f"FC Invoke End RequestId: {REQUEST}"),
        ("request.end", {"error": "Function time out after 3 seconds (duration: 3001ms)"},
         f"FC Invoke End RequestId: {REQUEST}, Error: Function time out after 3 seconds (duration: 3001ms)"),
    ],
)
def test_the_lines_of_a_log(kind: str, data: dict[str, object], line: str) -> None:
    assert records.log_line(Record(1, 0.0, kind, "echo", "c-1", REQUEST, data)) == line


def test_other_records_are_not_in_the_log() -> None:
    assert records.log_line(Record(1, 0.0, "instance.frozen", "echo", "c-1")) is None
    assert set(LOG) <= set(records.KINDS)
