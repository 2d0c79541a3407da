"""The frames inspector: what it sends to the page, and its text form."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import connect

from fclocal.client.platform import Platform
from fclocal.core.records import Record
from fclocal.testing import wait_for
from workshop import to_wss
from workshop.views.frames_inspector import KEPT, FramesInspector, frames, text

ROOT = Path(__file__).parents[3]


def record(seq: int, opcode: str = "text", direction: str = "in", **facts: Any) -> Record:
    return Record(seq, float(seq), "tap.frame", "echo", "c-1", "r", {
        "direction": direction, "opcode": opcode, "final": True, "length": 5, "closeCode": None, "preview": "hello",
        "compressed": False, **facts})


def test_a_page_that_opens_later_receives_all_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[dict[str, Any]] = []
    inspector = FramesInspector()
    monkeypatch.setattr(inspector, "send", lambda content: sent.append(content))
    inspector.add([record(1), record(2, "close", closeCode=1000, preview="done")])
    inspector._told({"type": "ready"})
    assert [frame["preview"] for frame in sent[1]["frames"]] == ["hello", "1000 done"]
    inspector.add([record(number) for number in range(KEPT)])
    assert len(inspector.frames) == KEPT


def test_text_has_the_newest_frames_in_76_ascii_columns() -> None:
    inspector = FramesInspector()
    inspector.add([record(number, preview=f"é{number}" * 30) for number in range(30)])
    lines = text("echo", inspector.frames).splitlines()
    assert len(lines) == 21 and max(map(len, lines)) <= 76 and all(line.isascii() for line in lines)
    assert lines[0] == "FRAMES  echo, 30 frames" and lines[-1].startswith("-> text         5 B  +   1000 ms  \\xe929")
    assert "Nothing has happened yet." in text("echo", [])


def test_it_records_at_the_gateway(fc: Platform) -> None:
    app = fc.deploy(ROOT / "functions" / "01-echo")
    inspector = frames(fc, app)

    async def talk() -> None:
        async with connect(to_wss(app.url)) as ws:
            await ws.send("hello")
            await ws.recv()

    asyncio.run(talk())
    wait_for(fc, "request.end", function="echo")
    assert "FRAMES  echo, 4 frames" in str(inspector)
    inspector.stop()
    inspector.stop()
    assert [(frame["direction"], frame["opcode"]) for frame in inspector.widget.frames] == [
        ("in", "text"), ("out", "text"), ("in", "close"), ("out", "close")]
    assert "text/plain" in inspector._repr_mimebundle_()
