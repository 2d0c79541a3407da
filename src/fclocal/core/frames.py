"""WebSocket frames parsed for a tap (RFC 6455), compressed ones included (RFC 7692).

A reader gets a copy of the bytes of one direction and describes each frame. The relay does not wait for it and gets no
error from it. Memory is bounded for every input: a frame's header, the first bytes of its payload, and the window of
zlib. Bytes that are not valid end in one Frame "invalid" with the reason, and the reader ignores the rest.

The parser of `websockets` was tried in its place. It buffers each frame as a whole before it returns it, up to 32 MiB
here per direction and connection, and with a limit it stops at the first frame above it.
"""

import zlib
from dataclasses import dataclass
from typing import Literal

Direction = Literal["in", "out"]
OPCODES = {0: "continuation", 1: "text", 2: "binary", 8: "close", 9: "ping", 10: "pong"}
PREVIEW = 80
"""Bytes of a payload that a preview is made from."""
INFLATE_LIMIT = 16 * 1024 * 1024
"""Inflated bytes of one message after which a connection's compressed previews are given up (zip bombs)."""

_CHUNK = 65536
_TAIL = b"\x00\x00\xff\xff"  # RFC 7692: the sender removes these bytes from the end of a message


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame. `length`: payload bytes on the wire; `close_code` None unless a Close frame carries one.

    `preview`: the beginning of the payload as printable text (binary in hex; a Close frame's reason).
    """

    opcode: str
    final: bool
    length: int
    close_code: int | None
    preview: str
    compressed: bool


class FrameReader:
    """Parses one direction of one connection.

    `extensions` is the Sec-WebSocket-Extensions header of the 101 response, "" if there is none; `direction` is
    "in" for bytes from client to function.
    """

    def __init__(self, direction: Direction, extensions: str = "") -> None:
        offers = [part.strip().lower() for part in extensions.split(";")]
        self._deflate = offers[0] == "permessage-deflate"
        reset = "client_no_context_takeover" if direction == "in" else "server_no_context_takeover"
        self._inflater = _Inflater(reset in offers)
        self._header = bytearray()
        self._payload: _Payload | None = None
        self._message = ""  # "text" or "binary" while a fragmented message is under way
        self._message_deflated = False
        self._broken = False

    def feed(self, data: bytes) -> list[Frame]:
        """Return the frames that `data` completes. Raises no error for any input."""
        frames: list[Frame] = []
        view = memoryview(data)
        while not self._broken:
            if self._payload is None:
                view = self._read_header(view, frames)
                if self._payload is None:
                    break
            view = self._payload.take(view)
            if self._payload.left:
                break
            frames.append(self._payload.frame())
            self._payload = None
        return frames

    def _read_header(self, view: memoryview, frames: list[Frame]) -> memoryview:
        """Take header bytes off `view`; set `_payload` once the header is complete."""
        head = self._header
        while True:
            need = _header_size(head)
            take = min(need - len(head), len(view))
            head += view[:take]
            view = view[take:]
            if len(head) < need:
                return view
            if _header_size(head) == need:
                break
        if why := self._fault(head):
            self._broken = True
            frames.append(Frame("invalid", True, 0, None, why, False))
            return view
        self._open(head)
        self._header = bytearray()
        return view

    def _fault(self, head: bytearray) -> str:
        """Return why this header is not valid, or ""."""
        code, control = head[0] & 0x0F, bool(head[0] & 0x08)
        if code not in OPCODES:
            return f"opcode {code} is reserved"
        if head[0] & 0x30 or (head[0] & 0x40 and (control or code == 0 or not self._deflate)):
            return "a reserved bit is set"
        if control and (not head[0] & 0x80 or (head[1] & 0x7F) > 125):
            return "a control frame is fragmented or longer than 125 bytes"
        if not control and (code == 0) != bool(self._message):
            return "a fragment belongs to no message" if code == 0 else "a message begins inside another"
        return "a length has its highest bit set" if _length(head) >> 63 else ""

    def _open(self, head: bytearray) -> None:
        opcode, final = OPCODES[head[0] & 0x0F], bool(head[0] & 0x80)
        kind, deflated = opcode, False
        if not head[0] & 0x08:
            if opcode != "continuation":
                self._message, self._message_deflated = opcode, bool(head[0] & 0x40)
            kind, deflated = self._message, self._message_deflated
            if final:
                self._message = ""
        mask = bytes(head[-4:]) if head[1] & 0x80 else b""
        self._payload = _Payload(opcode, kind, final, _length(head), mask, self._inflater if deflated else None)


class _Payload:
    """A payload: counted, unmasked as far as needed, its first bytes kept."""

    def __init__(self, opcode: str, kind: str, final: bool, length: int, mask: bytes,
                 inflater: "_Inflater | None") -> None:
        self._opcode, self._kind, self._final, self._length, self._mask = opcode, kind, final, length, mask
        self._inflater = inflater
        self._start = bytearray()
        self.left = length

    def take(self, view: memoryview) -> memoryview:
        """Take this frame's part off `view`, and return the rest."""
        part, rest = view[:self.left], view[self.left:]
        offset = self._length - self.left
        self.left -= len(part)
        wanted = len(part) if self._inflater else max(0, min(len(part), 125 - len(self._start)))
        for begin in range(0, wanted, _CHUNK):
            plain = _unmasked(part[begin:min(begin + _CHUNK, wanted)], self._mask, offset + begin)
            if self._inflater:
                plain = self._inflater.feed(plain, PREVIEW - len(self._start))
            self._start += plain
        return rest

    def frame(self) -> Frame:
        note = ""
        if self._inflater:
            if self._final:
                self._start += self._inflater.end(PREVIEW - len(self._start))
            note = self._inflater.note
        code = None
        if self._opcode == "close" and len(self._start) >= 2:
            code, self._start = int.from_bytes(self._start[:2]), self._start[2:]
        return Frame(self._opcode, self._final, self._length, code, note or _shown(self._kind, bytes(self._start)),
                     self._inflater is not None)


class _Inflater:
    """Inflates the messages of one direction, for their first bytes and for the window that later ones refer to."""

    def __init__(self, reset: bool) -> None:
        self._reset = reset
        self._stream = zlib.decompressobj(-zlib.MAX_WBITS)
        self._total = 0
        self.note = ""

    def feed(self, data: bytes, room: int) -> bytes:
        """Inflate `data` and return at most `room` bytes of it; the rest is dropped."""
        start = bytearray()
        while data and not self.note:
            try:
                out = self._stream.decompress(data, _CHUNK)
            except zlib.error:
                self.note = "(cannot be inflated)"
                break
            start += out[:max(0, room - len(start))]
            self._total += len(out)
            if self._total > INFLATE_LIMIT:
                self.note = "(too long to inflate)"
            data = self._stream.unconsumed_tail
            if self._stream.eof:  # a sender may end its stream; what follows begins a new one (RFC 7692, 7.2.3.4)
                data, self._stream = self._stream.unused_data, zlib.decompressobj(-zlib.MAX_WBITS)
        return bytes(start)

    def end(self, room: int) -> bytes:
        """End the message, and return at most `room` more bytes of it."""
        start = self.feed(_TAIL, room)
        self._total = 0
        if self._reset:
            self._stream = zlib.decompressobj(-zlib.MAX_WBITS)
            self.note = ""
        return start


def _header_size(head: bytearray) -> int:
    """Return the size of the header, as far as the bytes in `head` determine it."""
    if len(head) < 2:
        return 2
    return 2 + {126: 2, 127: 8}.get(head[1] & 0x7F, 0) + (4 if head[1] & 0x80 else 0)


def _length(head: bytearray) -> int:
    short = head[1] & 0x7F
    return int.from_bytes(head[2:4]) if short == 126 else int.from_bytes(head[2:10]) if short == 127 else short


def _unmasked(part: memoryview, mask: bytes, offset: int) -> bytes:
    """Return `part` of a payload, `offset` bytes from its beginning, without its mask."""
    if not mask or not part:
        return bytes(part)
    turned = mask[offset % 4:] + mask[:offset % 4]
    key = (turned * (len(part) // 4 + 1))[:len(part)]
    return (int.from_bytes(part) ^ int.from_bytes(key)).to_bytes(len(part))


def _shown(kind: str, start: bytes) -> str:
    """Return the first bytes of a payload as printable text."""
    start = start[:PREVIEW]
    if kind == "binary":
        return start[:PREVIEW // 3].hex(" ")
    text = start.decode("utf-8", "replace")
    if len(start) == PREVIEW:  # the cut may go through a character
        text = text.rstrip("\N{REPLACEMENT CHARACTER}")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
