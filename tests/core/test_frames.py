"""Frames read for a tap: what the websockets library writes, in any pieces, and garbage."""

import os
import tracemalloc
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.extensions.permessage_deflate import PerMessageDeflate
from websockets.frames import Frame as Written
from websockets.frames import Opcode

from fclocal.core import frames
from fclocal.core.frames import Frame, FrameReader

DEFLATE = "permessage-deflate; server_max_window_bits=12; client_max_window_bits=12"
NO_TAKEOVER = "permessage-deflate; client_no_context_takeover; server_no_context_takeover"


def wire(opcode: Opcode, data: bytes, final: bool = True, mask: bool = True,
         deflate: PerMessageDeflate | None = None) -> bytes:
    return Written(opcode, data, final).serialize(mask=mask, extensions=[deflate] if deflate else [])


def read(data: bytes, extensions: str = "", step: int = 1 << 30, direction: frames.Direction = "in") -> list[Frame]:
    reader = FrameReader(direction, extensions)
    return [frame for at in range(0, len(data), step) for frame in reader.feed(data[at:at + step])]


@pytest.mark.parity("fault.tap")
@pytest.mark.parametrize("step", [1, 3, 1000])
@pytest.mark.parametrize("mask", [True, False])
def test_every_kind_of_frame_in_any_pieces(step: int, mask: bool) -> None:
    data = b"".join([
        wire(Opcode.TEXT, "héllo\n".encode(), mask=mask), wire(Opcode.BINARY, b"\x00\xff", mask=mask),
        wire(Opcode.TEXT, b"one ", False, mask=mask), wire(Opcode.PING, b"p", mask=mask),
        wire(Opcode.CONT, b"two", mask=mask), wire(Opcode.PONG, b"", mask=mask),
        wire(Opcode.TEXT, b"x" * 70_000, mask=mask),
        wire(Opcode.TEXT, b"y" * 200, mask=mask), wire(Opcode.CLOSE, b"\x03\xe9bye", mask=mask)])
    assert read(data, step=step) == [
        Frame("text", True, 7, None, "héllo\\n", False), Frame("binary", True, 2, None, "00 ff", False),
        Frame("text", False, 4, None, "one ", False), Frame("ping", True, 1, None, "p", False),
        Frame("continuation", True, 3, None, "two", False), Frame("pong", True, 0, None, "", False),
        Frame("text", True, 70_000, None, "x" * 80, False), Frame("text", True, 200, None, "y" * 80, False),
        Frame("close", True, 5, 1001, "bye", False)]


def test_a_close_frame_without_code() -> None:
    assert read(wire(Opcode.CLOSE, b"")) == [Frame("close", True, 0, None, "", False)]


@pytest.mark.parity("fault.tap")
@pytest.mark.parametrize(("extensions", "takeover"), [(DEFLATE, True), (NO_TAKEOVER, False)])
def test_compressed_messages_with_and_without_context(extensions: str, takeover: bool) -> None:
    deflate = PerMessageDeflate(not takeover, not takeover, 12, 12)
    text = b'{"room": "tea", "text": "hello hello hello hello"}'
    data = b"".join(wire(Opcode.TEXT, text, deflate=deflate) for _ in range(5))
    data += wire(Opcode.TEXT, b"a" * 500, False, deflate=deflate) + wire(Opcode.PING, b"p")
    data += wire(Opcode.CONT, b"b" * 500, deflate=deflate) + wire(Opcode.TEXT, text, deflate=deflate)
    for step in (1, 7, 1 << 20):
        seen = read(data, extensions, step)
        assert [frame.preview for frame in seen if frame.opcode == "text" and frame.final] == [text.decode()] * 6
        assert all(frame.compressed == (frame.opcode != "ping") for frame in seen)
        assert seen[7].opcode == "continuation" and set(seen[7].preview) <= {"a", "b"}


def test_each_direction_has_its_own_takeover() -> None:
    deflate = PerMessageDeflate(True, True, 15, 15)
    data = b"".join(wire(Opcode.TEXT, b"the same text", mask=False, deflate=deflate) for _ in range(3))
    one_way = "permessage-deflate; server_no_context_takeover"
    assert [frame.preview for frame in read(data, one_way, direction="out")] == ["the same text"] * 3


@pytest.mark.parametrize(("data", "why"), [
    (b"\x83\x00", "opcode 3"), (b"\xa1\x00", "reserved bit"), (b"\xc1\x00", "reserved bit"),
    (b"\xc9\x00", "reserved bit"),
    (b"\x09\x00", "control frame"), (b"\x89\x7e\x00\x7e", "control frame"), (b"\x80\x00", "no message"),
    (b"\x01\x00\x01\x00", "inside another"), (b"\x82\x7f\xff" + b"\x00" * 7, "highest bit")])
def test_garbage_is_said_once_and_ends_the_reading(data: bytes, why: str) -> None:
    reader = FrameReader("out")
    seen = [frame for frame in reader.feed(data + b"\x81\x02hi") if frame.opcode == "invalid"]
    assert len(seen) == 1 and why in seen[0].preview
    assert reader.feed(b"\x81\x02hi") == []


def test_bytes_that_do_not_inflate_say_so() -> None:
    seen = read(b"\xc1\x05\xff\xff\xff\xff\xff" + b"\xc1\x01\x00", DEFLATE, direction="out")
    assert [frame.preview for frame in seen] == ["(cannot be inflated)"] * 2


def test_memory_is_bounded_for_a_huge_frame_and_for_a_bomb() -> None:
    bomb = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = b"".join(bomb.compress(bytes(1 << 20)) for _ in range(64)) + bomb.flush(zlib.Z_SYNC_FLUSH)[:-4]
    head = b"\xc1\x7f" + len(packed).to_bytes(8)
    huge, chunk = FrameReader("out"), os.urandom(65536)
    tracemalloc.start()
    try:
        assert read(head + packed, DEFLATE, step=4096, direction="out")[0].preview == "(too long to inflate)"
        huge.feed(b"\x82\x7f" + (1 << 40).to_bytes(8))
        for _ in range(512):
            assert huge.feed(chunk) == []
        assert tracemalloc.get_traced_memory()[1] < 2 << 20
    finally:
        tracemalloc.stop()


@given(st.binary(max_size=300), st.integers(1, 50), st.sampled_from(["", DEFLATE, NO_TAKEOVER, ";;=,"]))
def test_nothing_on_the_wire_makes_the_reader_stumble(data: bytes, step: int, extensions: str) -> None:
    for frame in read(data, extensions, step):
        assert frame.preview.isprintable() and len(frame.preview) < 400


@given(st.text(max_size=200), st.integers(1, 20), st.booleans())
def test_a_preview_is_the_beginning_of_the_text(text: str, step: int, packed: bool) -> None:
    deflate = PerMessageDeflate(False, False, 15, 15) if packed else None
    seen = read(wire(Opcode.TEXT, text.encode(), deflate=deflate), DEFLATE if packed else "", step)
    plain = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    assert len(seen) == 1 and plain.startswith(seen[0].preview)
    assert len(text.encode()) >= 80 or plain == seen[0].preview
