"""The timeline in lesson 0: records written by hand, drawn by the view that draws the real ones."""

from typing import Any

from fclocal.core.records import Record, check
from workshop.views.timeline import timeline

BEGIN = 1_767_323_045.0
FIRST, SECOND = "c-7f3a01b2-91d4e6a8", "c-7f3a01b5-24c80f53"
_STARTING: dict[str, Any] = {"version": "", "generation": 1, "concurrency": 2, "cpu": 0.35, "memorySize": 512,
                             "diskSize": 512, "why": "request", "rest": "hibernating"}


def svg() -> str:
    """Return the picture as the text of an SVG file."""
    drawn = timeline(_records(), now=BEGIN + 7.5).svg
    return drawn.replace('width="100%"', 'width="900"', 1) + "\n"  # a file needs a size of its own


def _records() -> list[Record]:
    """Two connections share an instance and one of them is cut, a third needs a second instance, one is rejected."""
    return [
        _record(0.0, "instance.starting", FIRST, **_STARTING),
        _record(0.8, "instance.ready", FIRST, seconds=0.8, pid=1, port=1),
        _begin(0.8, FIRST, "a"),
        _begin(1.8, FIRST, "b"),
        _record(2.5, "instance.starting", SECOND, **_STARTING),
        _record(3.3, "instance.ready", SECOND, seconds=0.8, pid=2, port=2),
        _begin(3.3, SECOND, "c"),
        _record(4.1, "request.rejected", method="GET", path="/", trigger="http", status=503,
                code="ServiceUnavailable", message=""),
        _end(4.6, FIRST, "a", 1000, "done"),
        _end(5.4, SECOND, "c", 1000, "done"),
        _record(5.4, "instance.frozen", SECOND),
        _end(6.8, FIRST, "b", 1006, "timeout"),
        _record(6.8, "instance.frozen", FIRST),
    ]


def _record(at: float, kind: str, instance: str = "", request: str = "", **data: Any) -> Record:
    check(kind, data)
    return Record(int(at * 1000), BEGIN + at, kind, "echo", instance, request, data)


def _begin(at: float, instance: str, request: str) -> Record:
    return _record(at, "request.begin", instance, request, protocol="websocket", method="GET", path="/",
                   trigger="http", qualifier="LATEST", version="", concurrency=2, client="127.0.0.1", cold=False,
                   waited=0.0)


def _end(at: float, instance: str, request: str, code: int, why: str) -> Record:
    return _record(at, "request.end", instance, request, status=101, closeCode=code, why=why, error="", bytesIn=0,
                   bytesOut=0)
