"""Taps: record the targets of requests and the WebSocket frames of chosen functions in the journal.

A connection is recorded if it opens while a tap is on for its function. All others keep the relay that parses nothing.
"""

from collections.abc import Callable

from fclocal.core import frames
from fclocal.core.request import Headers, IncomingRequest
from fclocal.runtime.state.journal import Journal


class FrameTap:
    """Reads the frames of one connection. `feed` never raises: bytes that are not WebSocket frames are ignored."""

    def __init__(
        self, extensions: bytes, wanted: Callable[[], bool], record: Callable[[str, frames.Frame], None]
    ) -> None:
        text = extensions.decode("latin-1")
        self._readers = {"in": frames.FrameReader("in", text), "out": frames.FrameReader("out", text)}
        self._wanted = wanted
        self._record = record

    def feed(self, direction: str, data: bytes) -> None:
        """Read bytes of the connection: "in" from client to function, "out" back."""
        if self._wanted():
            for frame in self._readers[direction].feed(data):
                self._record(direction, frame)


class Taps:
    """Counts the taps of each function."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._count: dict[str, int] = {}

    def on(self, function: str) -> None:
        """Record the frames of connections that open from now on."""
        self._count[function] = self._count.get(function, 0) + 1

    def off(self, function: str) -> None:
        """Remove one tap; with the last one recording ends, also for connections that are open."""
        self._count[function] = max(0, self._count.get(function, 0) - 1)

    def head(self, function: str, request: IncomingRequest) -> None:
        """Record that a request has arrived, with its query, if a tap is on."""
        if self._count.get(function):
            self._journal.append("tap.head", function=function, request=request.request_id, protocol=request.protocol,
                                 target=request.head.preview())

    def open(self, function: str, instance: str, request: str, headers: Headers) -> FrameTap | None:
        """Return a tap for a connection of `function`, or None if no tap is on."""
        if not self._count.get(function):
            return None

        def record(direction: str, frame: frames.Frame) -> None:
            self._journal.append(
                "tap.frame",
                function=function,
                instance=instance,
                request=request,
                direction=direction,
                opcode=frame.opcode,
                final=frame.final,
                length=frame.length,
                closeCode=frame.close_code,
                preview=frame.preview,
                compressed=frame.compressed,
            )

        extensions = b", ".join([value for name, value in headers if name == b"sec-websocket-extensions"])
        return FrameTap(extensions, lambda: bool(self._count.get(function)), record)
