"""The sequence diagram: what the model makes of records, and what picture and text say about it."""

import asyncio
import re
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest
from journals import START, Story
from websockets.asyncio.client import connect

from fclocal.client.platform import Platform
from workshop import Nat, to_wss
from workshop.labs.nat import NatEvent
from workshop.views.sequence import sequence, svg, text
from workshop.views.sequence_model import Arrow, Diagram, Note, RedisCommand, diagram

ROOT = Path(__file__).parents[3]


def frame(story: Story, at: float, opcode: str, direction: str = "in", request: str = "r", instance: str = "c-1",
          **facts: Any) -> None:
    story.add(at, "tap.frame", instance, request, **{
        "direction": direction, "opcode": opcode, "final": True, "length": 5, "closeCode": None, "preview": "",
        "compressed": False, **facts})


def arrows(happened: Diagram) -> list[tuple[str, str, str]]:
    return [(happened.lanes[row.start][0], happened.lanes[row.end][0], row.label)
            for row in happened.rows if isinstance(row, Arrow)]


def conversation() -> Story:
    """A cold start, a message and its answer, a close from the client."""
    story = Story()
    story.start(0.0)
    story.begin(0.1, "r")
    frame(story, 0.2, "text", preview="hello")
    frame(story, 0.3, "text", "out", preview="<hello>")
    frame(story, 0.4, "close", closeCode=1000)
    frame(story, 0.5, "close", "out", closeCode=1000)
    story.end(0.6, "r")
    return story


def test_a_connection_is_its_request_its_frames_and_its_close() -> None:
    happened = diagram(conversation().records, "echo")
    assert arrows(happened) == [
        ("client", "gateway", "GET /"), ("gateway", "instance c-1", "GET"), ("instance c-1", "client", "101"),
        ("client", "instance c-1", "text"), ("instance c-1", "client", "text"),
        ("client", "instance c-1", "close 1000"), ("instance c-1", "client", "close 1000")]
    assert [(life.state, life.begin, life.end) for life in happened.lives["c-1"]] == [
        ("starting", START, START + 0.1), ("running", START + 0.1, None)]


@pytest.mark.parametrize(("why", "start", "end", "note"), [
    ("timeout", "gateway", "client", "execution timeout"),
    ("instance", "gateway", "client", "the instance ended"),
    ("client", "client", "gateway", "the client disappeared"),
    ("function", "instance c-1", "client", "the program disappeared"),
])
def test_an_end_without_a_close_frame_says_who_caused_it(why: str, start: str, end: str, note: str) -> None:
    story = Story()
    story.begin(0.1, "r")
    story.end(1.0, "r", code=1006, why=why)
    happened = diagram(story.records, "echo")
    last = happened.rows[-1]
    assert isinstance(last, Arrow)
    assert arrows(happened)[-1] == (start, end, "1006")
    assert note in last.note and last.kind == "bad"


def test_a_rejection_shows_its_status() -> None:
    story = Story()
    story.add(0.0, "request.rejected", request="r", method="GET", path="/x", trigger="http", status=429,
              code="ResourceThrottled", message="too many")
    assert arrows(diagram(story.records, "echo")) == [
        ("client", "gateway", "GET /x"), ("gateway", "client", "429 ResourceThrottled")]


def test_a_request_that_waited_in_vain_arrives_before_the_cold_start() -> None:
    story = Story()
    story.add(0.0, "tap.head", request="r", protocol="websocket", target="/x")
    story.start(0.1)
    story.add(0.2, "request.rejected", request="r", method="GET", path="/x", trigger="http", status=412,
              code="CAExited", message="exited")
    rows = diagram(story.records, "echo").rows
    assert [row.label if isinstance(row, Arrow) else row.text for row in rows] == [
        "GET /x", "cold start", "412 CAExited"]
    assert isinstance(rows[0], Arrow) and rows[0].note == "Upgrade: websocket"


def test_a_close_code_that_names_an_error_is_drawn_as_one() -> None:
    story = Story()
    story.begin(0.0, "r")
    frame(story, 0.1, "close", "out", closeCode=1011)
    frame(story, 0.2, "close", "in", closeCode=1001)
    assert [row.kind for row in diagram(story.records, "echo").rows if isinstance(row, Arrow)][-2:] == ["bad", "data"]


def test_a_request_shows_its_query_if_the_tap_recorded_it() -> None:
    story = Story()
    story.add(0.0, "tap.head", request="r", protocol="websocket", target="/?after=9")
    story.begin(0.0, "r")
    story.begin(1.0, "later")
    assert [label for _, end, label in arrows(diagram(story.records, "echo")) if end == "gateway"] == [
        "GET /?after=9", "GET /"]


def test_an_instance_that_turns_unhealthy_says_so() -> None:
    story = Story()
    story.start(0.0)
    story.add(1.0, "instance.unhealthy", "c-1", reason="404")
    story.add(2.0, "instance.healthy", "c-1")
    notes = [row.text for row in diagram(story.records, "echo").rows if isinstance(row, Note)]
    assert notes == ["cold start", "unhealthy: 404", "healthy again"]


def test_clients_have_lanes_and_a_client_that_returns_keeps_its_own() -> None:
    story = Story()
    for at, request in ((0.0, "a"), (0.1, "b")):
        story.begin(at, request)
    story.end(0.2, "a", code=1006, why="timeout")
    story.begin(0.3, "c")
    happened = diagram(story.records, "echo", clients=["Ana", "Bo"])
    assert [start for start, _, label in arrows(happened) if label == "GET /"] == ["Ana", "Bo", "Ana"]


def test_what_a_nat_drops_ends_at_the_nat() -> None:
    story = Story()
    story.begin(0.0, "r")
    frame(story, 2.0, "ping", "out")
    story.end(3.0, "r", code=1006, why="timeout")
    nat = [NatEvent(START - 0.01, 0, "opened"), NatEvent(START + 1.0, 0, "removed", idle=0.5),
           NatEvent(START + 1.5, 0, "dropped", "in", 33)]
    happened = diagram(story.records, "echo", nat=nat)
    assert list(happened.lanes)[:3] == ["client", "NAT", "gateway"]
    lost = [(row.start, row.end, row.label) for row in happened.rows if isinstance(row, Arrow) and row.lost]
    assert lost == [("client", "NAT", "33 bytes"), ("c-1", "NAT", "ping"), ("gateway", "NAT", "1006")]
    assert "entry removed after 0.5 s of silence" in [row.text for row in happened.rows if isinstance(row, Note)]


def test_redis_delivers_to_each_instance_that_subscribed() -> None:
    story = Story()
    story.start(0.0, "c-1")
    story.start(0.0, "c-2")
    redis = [RedisCommand(START + 1, "c-1", "SUBSCRIBE", "tea"), RedisCommand(START + 1, "c-2", "SUBSCRIBE", "tea"),
             RedisCommand(START + 2, "c-1", "PUBLISH", "tea", "hi"), RedisCommand(START + 2, "c-1", "PUBLISH", "x", "")]
    assert arrows(diagram(story.records, "echo", redis=redis))[2:] == [
        ("instance c-1", "Redis", "PUBLISH"), ("Redis", "instance c-1", "message"),
        ("Redis", "instance c-2", "message"), ("instance c-1", "Redis", "PUBLISH")]


def test_repeated_pings_are_folded() -> None:
    story = Story()
    story.begin(0.0, "r")
    for number in range(5):
        frame(story, 1.0 + number, "ping")
        frame(story, 1.5 + number, "pong", "out")
    labels = [label for _, _, label in arrows(diagram(story.records, "echo"))]
    assert labels[3:] == ["ping, 5 times", "pong, 5 times"]


def test_picture_and_text_say_the_same_and_nothing_is_code() -> None:
    happened = diagram(conversation().records, "echo")
    drawn, written = svg(happened), text(happened)
    picture = ET.fromstring(drawn)
    labels = ["".join(element.itertext()) for element in picture.iterfind(".//{*}text")]
    for _, _, label in arrows(happened):
        assert any(words.startswith(label) for words in labels)
        assert label in written
    assert '"<hello>"' in written and any('"<hello>"' in words for words in labels)
    assert all(len(line) <= 76 and line.isascii() for line in written.splitlines())
    focusable = [group.get("aria-label") for group in picture.iterfind(".//{*}g[@tabindex]")]
    assert len(focusable) == 7 and "close code 1000" in str(focusable[5])


def test_a_long_sequence_keeps_its_beginning_and_end() -> None:
    story = Story()
    story.begin(0.0, "r")
    for number in range(500):
        frame(story, 1.0 + number, "text", preview=f"m{number}")
    happened = diagram(story.records, "echo")
    drawn, written = svg(happened), text(happened)
    assert all(f": {name}<" in drawn for name in ("m0", "m499")) and ": m250<" not in drawn
    assert "443 more" in written and "443 rows are not drawn" in drawn
    assert len(drawn) < 100_000


def test_nothing_yet_is_said() -> None:
    happened = diagram([], "echo")
    assert "Nothing has happened yet." in text(happened) and "Nothing has happened yet." in svg(happened)


def test_it_is_recorded_at_the_gateway(fc: Platform) -> None:
    """Real parts: a client through a NAT that removes its entry, another one that connects directly."""
    app = fc.deploy(ROOT / "functions" / "01-echo")

    async def talk(nat: Nat) -> None:
        async with connect(f"{to_wss(app.url)}/?after=9") as direct:
            await direct.send("direct")
            await direct.recv()
        silent = await connect(to_wss(nat.url), ping_interval=None)
        await silent.send("one")
        await silent.recv()
        await asyncio.to_thread(nat.wait_forgotten)
        await silent.send("two")
        silent.transport.abort()

    with Nat(app.url, forget_after=0.3) as nat, sequence(fc, app, nat=nat) as recording:
        asyncio.run(talk(nat))
    written = str(recording)
    assert "GET /?after=9" in written
    assert re.search(r'client\s+-> instance \w{4}\s+text  "direct"', written)
    assert re.search(r'client\s+-> instance \w{4}\s+text  "one"', written)
    assert re.search(r"client\s+-x NAT\s+\d+ bytes  dropped: no entry", written) and '"two"' not in written
    assert recording._repr_mimebundle_()["text/html"].startswith("<svg")
