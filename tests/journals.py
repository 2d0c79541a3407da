"""Journals made by hand, for tests of what is folded from records."""

from collections.abc import Iterable
from typing import Any

from fclocal.core.records import Record, check

START = 1_767_323_045.0


class Story:
    """Writes records as the engine would. Times are seconds after `START`."""

    def __init__(self, function: str = "echo") -> None:
        self.function = function
        self.records: list[Record] = []

    def add(self, at: float, kind: str, instance: str = "", request: str = "", **data: Any) -> None:
        check(kind, data)
        function = "" if kind.startswith("platform.") else self.function
        self.records.append(Record(len(self.records) + 1, START + at, kind, function, instance, request, data))

    def in_order(self) -> list[Record]:
        """Return the records in order of time, numbered as a journal numbers them."""
        return [record._replace(seq=seq) for seq, record in enumerate(sorted(self.records, key=lambda r: r.at), 1)]

    def start(self, at: float, instance: str = "c-1", *, concurrency: int = 2, cpu: float = 0.35, memory: int = 512,
              disk: int = 512, why: str = "request", rest: str = "hibernating", seconds: float = 0.1) -> None:
        self.add(at, "instance.starting", instance, version="", generation=1, concurrency=concurrency, cpu=cpu,
                 memorySize=memory, diskSize=disk, why=why, rest=rest)
        self.add(at + seconds, "instance.ready", instance, seconds=seconds, pid=1, port=1)

    def stop(self, at: float, instance: str = "c-1", why: str = "idle") -> None:
        self.add(at, "instance.stopped", instance, why=why, exitCode=0)

    def begin(self, at: float, request: str, instance: str = "c-1") -> None:
        self.add(at, "request.begin", instance, request, protocol="websocket", method="GET", path="/", trigger="http",
                 qualifier="LATEST", version="", concurrency=2, client="127.0.0.1", cold=False, waited=0.0)

    def end(self, at: float, request: str, instance: str = "c-1", *, status: int = 101, code: int | None = 1000,
            why: str = "done", received: int = 0, sent: int = 0) -> None:
        self.add(at, "request.end", instance, request, status=status, closeCode=code, why=why, error="",
                 bytesIn=received, bytesOut=sent)

    def connections(self, intervals: Iterable[tuple[float, float]], instance: str = "c-1") -> None:
        for number, (begin, end) in enumerate(intervals):
            self.begin(begin, f"{instance}/{number}", instance)
            self.end(end, f"{instance}/{number}", instance)

    def reject(self, at: float, status: int, code: str) -> None:
        self.add(at, "request.rejected", method="GET", path="/", trigger="http", status=status, code=code, message="")


def overlapping() -> Story:
    """The case of the service's page: concurrency 2, A from T1 to T3, B from T2 to T4."""
    story = Story()
    story.start(0.0, "c-1")
    story.begin(1.0, "a")
    story.begin(2.0, "b")
    story.end(4.0, "a")
    story.end(7.5, "b", code=1006, why="timeout")
    return story
