"""The output of an instance: two pipes become lines, and a flood becomes a number.

Lines beyond the budget of a second are counted, not kept. The pipe is then read slowly, so that a function that floods
its log slows down itself and not the platform.
"""

import asyncio
import os
from collections import deque
from collections.abc import Callable

from fclocal.core.clock import Clock, Timer

LINE_LIMIT = 32 * 1024  # bytes of one log entry; longer lines are split
LINES_PER_SECOND = 2000
BYTES_PER_SECOND = 2 * 2**20
_READ = 64 * 1024
_PAUSE = 0.005  # seconds between reads of a flood
_DRAIN_READS = 32  # at the end: more than a pipe holds, but not for ever
_TAIL = 20  # lines kept for the message of a failed start


class Output:
    """stdout and stderr of one instance. `open`, hand `child_ends` to the process, `started`; `finish` in any case.

    `on_line(stream, text)` is called with each line, `on_dropped(count)` at most once a second with the number of lines
    that were not kept.
    """

    def __init__(
        self, clock: Clock, on_line: Callable[[str, str], None], on_dropped: Callable[[int], None]
    ) -> None:
        self._clock = clock
        self._on_line = on_line
        self._on_dropped = on_dropped
        self._loop = asyncio.get_running_loop()
        self._pipes: dict[int, _Pipe] = {}
        self.child_ends: list[int] = []
        self.tail: deque[str] = deque(maxlen=_TAIL)
        self._lines, self._bytes, self._dropped = LINES_PER_SECOND, BYTES_PER_SECOND, 0
        self._window: Timer | None = None

    def open(self) -> None:
        """Make the pipes. Raises OSError when descriptors run out."""
        for stream in ("stdout", "stderr"):
            ours, theirs = os.pipe()
            os.set_blocking(ours, False)
            self._pipes[ours] = _Pipe(stream)
            self.child_ends.append(theirs)

    def started(self) -> None:
        """Close our copies of the process's ends, and read from the pipes."""
        self._close_child_ends()
        for descriptor in self._pipes:
            self._loop.add_reader(descriptor, self._readable, descriptor)

    def finish(self) -> None:
        """Read what is left in the pipes of a process that has ended, and close them."""
        self._close_child_ends()
        for descriptor in list(self._pipes):
            for _ in range(_DRAIN_READS):
                if not self._read(descriptor):
                    break
            self._close(descriptor)
        if self._window is not None:
            self._window.cancel()
            self._new_window()

    def _close_child_ends(self) -> None:
        while self.child_ends:
            os.close(self.child_ends.pop())

    def _readable(self, descriptor: int) -> None:
        if self._read(descriptor) and self._dropped:
            self._loop.remove_reader(descriptor)
            self._clock.call_later(_PAUSE, self._resume, descriptor)

    def _resume(self, descriptor: int) -> None:
        if descriptor in self._pipes:
            self._loop.add_reader(descriptor, self._readable, descriptor)

    def _read(self, descriptor: int) -> bool:
        """Read once; return False if the pipe is empty or closed."""
        pipe = self._pipes.get(descriptor)
        if pipe is None:
            return False
        try:
            data = os.read(descriptor, _READ)
        except BlockingIOError:
            return False
        if not data:
            self._close(descriptor)
            return False
        for line in pipe.split(data):
            self._emit(pipe.stream, line)
        return True

    def _close(self, descriptor: int) -> None:
        if (pipe := self._pipes.pop(descriptor, None)) is not None:
            self._loop.remove_reader(descriptor)
            os.close(descriptor)
            if pipe.rest:
                self._emit(pipe.stream, pipe.rest)

    def _emit(self, stream: str, line: bytes) -> None:
        if self._window is None:
            self._window = self._clock.call_later(1.0, self._new_window)
        if self._lines <= 0 or self._bytes <= 0:
            self._dropped += 1
            return
        self._lines -= 1
        self._bytes -= len(line)
        text = line.removesuffix(b"\r").decode(errors="replace")
        self.tail.append(text)
        self._on_line(stream, text)

    def _new_window(self) -> None:
        dropped = self._dropped
        self._lines, self._bytes, self._dropped, self._window = LINES_PER_SECOND, BYTES_PER_SECOND, 0, None
        if dropped:
            self._on_dropped(dropped)


class _Pipe:
    """One stream, split into lines; `rest` is a line whose end has not arrived yet."""

    def __init__(self, stream: str) -> None:
        self.stream = stream
        self.rest = b""

    def split(self, data: bytes) -> list[bytes]:
        *whole, rest = (self.rest + data).split(b"\n")
        lines: list[bytes] = []
        for line in whole:
            while len(line) > LINE_LIMIT:
                line = self._cut(line, lines)
            lines.append(line)
        while len(rest) > LINE_LIMIT:
            rest = self._cut(rest, lines)
        self.rest = rest
        return lines

    @staticmethod
    def _cut(line: bytes, lines: list[bytes]) -> bytes:
        at = LINE_LIMIT
        while at > LINE_LIMIT - 3 and line[at] & 0xC0 == 0x80:  # not through a UTF-8 character
            at -= 1
        lines.append(line[:at])
        return line[at:]
