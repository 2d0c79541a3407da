"""The timeline, as a picture and as text, from the same records."""

import xml.etree.ElementTree as ET
from collections.abc import Iterable
from itertools import pairwise

import pytest
from journals import START, Story, overlapping

from fclocal.core.records import Record
from workshop.views.drawing import text_width
from workshop.views.timeline import timeline
from workshop.views.timeline_model import scene

SVG = "{http://www.w3.org/2000/svg}"


def eventful() -> Story:
    story = overlapping()
    for number in range(4):
        story.add(1.2 + number / 2, "tap.frame", "c-1", "a", direction="in", opcode=9, final=True, length=4,
                  closeCode=None, preview="", compressed=False)
    story.add(7.5, "instance.frozen", "c-1")
    story.reject(5.0, 429, "ResourceExhausted")
    story.reject(5.001, 429, "ResourceExhausted")
    story.add(6.0, "fault.hit", "c-1", rule="1", what="cut", detail="")
    story.start(2.5, "c-2")
    story.add(3.0, "instance.failed", "c-2", code="CAExited", message="")
    return story


def svg(records: Iterable[Record], now: float | None = None, last: float | None = None) -> str:
    return timeline(records, now=now, last=last).svg


def text(records: Iterable[Record], last: float | None = None) -> str:
    return timeline(records, last=last).text


def titles(picture: str, begin: str = "") -> list[str]:
    return [e.text or "" for e in ET.fromstring(picture).iter(f"{SVG}title") if (e.text or "").startswith(begin)]


def words(picture: str) -> list[str]:
    return [element.text or "" for element in ET.fromstring(picture).iter(f"{SVG}text")]


def test_the_picture_names_what_happened():
    drawn = words(svg(eventful().records))
    assert {"c-1", "concurrency 2", "1000", "1006 timeout", "frozen", "T1", "T2", "T3", "T4", "fault: cut", "CAExited",
            "429 ResourceExhausted x 2, not billed", "billed 6.500 s: first in to last out"} <= set(drawn)


def test_t1_to_t4_stand_where_the_connections_begin_and_end():
    tree = ET.fromstring(svg(overlapping().records))
    lines = sorted(float(line.get("x1", "")) for line in tree.iter(f"{SVG}line") if line.findtext(f"{SVG}title"))
    scale = (lines[3] - lines[0]) / 6.5
    assert [round((x - lines[0]) / scale, 1) for x in lines] == [0.0, 1.0, 3.0, 6.5]


def test_pings_are_ticks_with_their_time():
    assert titles(svg(eventful().records), "ping") == [f"ping in at {1.2 + number / 2:.3f} s" for number in range(4)]


def test_the_picture_has_a_title_and_a_description_for_those_who_do_not_see_it():
    tree = ET.fromstring(svg(eventful().records))
    description = tree.get("aria-label", "")
    assert tree.get("role") == "img" and description.startswith("Instance timeline of echo")
    assert "c-1 served 2 requests (1000, 1006 timeout), billed 6.500 seconds." in description
    assert "2 requests rejected before an instance, not billed" in description


def test_names_from_outside_are_escaped():
    story = Story("<script>alert(1)</script>")
    story.start(0, '"><img>')
    story.connections([(1.0, 2.0)], '"><img>')
    picture = svg(story.records)
    assert "<script" not in picture and "<img" not in picture
    assert story.function in "".join(words(picture))


def test_text_has_a_row_for_each_thing_in_76_ascii_columns():
    lines = text(eventful().records).splitlines()
    assert max(map(len, lines)) <= 76 and all(line.isascii() for line in lines)
    shown = {line[:19].strip(): line[19:] for line in lines}
    assert shown["1000"].strip().startswith("[") and shown["1000"].count("i") == 4
    assert shown["1006 timeout"].rstrip().endswith("x")
    assert len(shown["billed 6.500 s"].strip()) > len(shown["1000"].strip())
    assert any("2 x 429 ResourceExhausted, not billed" in line for line in lines)


@pytest.mark.parametrize("view", [svg, text])
def test_the_order_of_records_changes_nothing_and_each_call_gives_the_same(view):
    records = eventful().records
    assert view(reversed(records)) == view(records) == view(records)


@pytest.mark.parametrize("view", [svg, text])
def test_nothing_yet(view):
    assert "Nothing has happened yet." in view([])


def test_an_open_connection_reaches_to_now():
    story = Story()
    story.start(0)
    story.begin(1.0, "a")
    assert "billed 9.000 s so far" in words(svg(story.records, now=START + 10))


def test_two_hundred_connections_still_fit():
    story = Story()
    story.start(0, concurrency=200)
    story.connections([(1.0 + number / 100, 5.0) for number in range(200)])
    picture = svg(story.records)
    assert float(ET.fromstring(picture).get("viewBox", "").split()[3]) < 500
    assert "  and 188 more: 1000 x 188" in text(story.records)


def test_what_is_billed_at_the_right_edge_can_be_read():
    story = Story()
    story.start(0)
    story.connections([(1.0, 2.0), (60.0, 60.1)])
    tree = ET.fromstring(svg(story.records))
    billed = [(float(e.get("x", "")), e.text or "") for e in tree.iter(f"{SVG}text")
              if (e.text or "").startswith("billed ")]
    assert [words for _, words in billed] == ["billed 1.000 s", "billed 0.100 s"]
    assert all(x + text_width(words, 11) <= float(tree.get("viewBox", "").split()[2]) for x, words in billed)


def test_rows_are_used_again_when_they_are_free():
    story = Story()
    story.start(0)
    story.connections([(1.0, 2.0), (1.5, 3.0), (2.0, 4.0)])
    [lane] = scene(story.records).lanes
    assert [bar.row for bar in lane.bars] == [0, 1, 0]


def test_a_label_runs_into_nothing():
    story = Story()
    story.start(0)
    story.connections([(1.0, 1.1), (1.3, 3.0), (3.2, 3.3), (6.0, 6.1)])
    story.add(3.35, "instance.frozen", "c-1")
    story.add(5.9, "instance.thawed", "c-1")
    story.add(9.0, "instance.frozen", "c-1")
    tree = ET.fromstring(svg(story.records))
    labels = [(float(e.get("x", "")), e.text or "") for e in tree.iter(f"{SVG}text")
              if e.text in ("1000", "frozen")][:4]                  # what follows is the legend
    bars = [float(e.get("x", "")) for e in tree.iter(f"{SVG}rect") if "request" in (e.findtext(f"{SVG}title") or "")
            and "requests" not in (e.findtext(f"{SVG}title") or "")]
    assert [word for _, word in sorted(labels)] == ["1000", "1000", "frozen", "1000"]    # the first bar's: a tool tip
    inside, behind, frozen, _ = (x for x, _ in sorted(labels))
    assert bars[1] < inside < bars[2] < behind < frozen - 28 < bars[3] - 64


def test_an_idle_gap_is_folded_and_what_happened_keeps_its_room():
    story = Story()
    story.start(0)
    story.connections([(1.0, 3.0), (400.0, 402.0)])
    picture = svg(story.records)
    bars = [float(e.get("width", "")) for e in ET.fromstring(picture).iter(f"{SVG}rect")
            if "websocket request" in (e.findtext(f"{SVG}title") or "")]
    assert len(bars) == 2 and min(bars) > 150
    assert "6 min 36 s" in words(picture)
    assert "// idle and folded: 6 min 36 s" in text(story.records)


def test_an_open_connection_is_never_folded():
    story = Story()
    story.start(0)
    story.connections([(1.0, 400.0)])
    assert not titles(svg(story.records), "6 min")


def test_the_last_minute_shows_what_is_there_now():
    story = Story()
    story.start(0, "c-1")
    story.connections([(1.0, 3.0)], "c-1")
    story.stop(5.0, "c-1")
    story.start(500.0, "c-2")
    story.begin(501.0, "open", "c-2")
    picture = svg(story.records, now=START + 600, last=60)
    assert "c-2" in words(picture) and "c-1" not in words(picture)
    assert words(picture)[0].startswith("echo, 60.0 s from")
    assert "c-1" not in text(story.records, last=60)


def test_the_last_minute_begins_with_its_first_event():
    story = Story()
    story.connections([(0.0, 1.0), (100.0, 101.0)])
    assert scene(story.records).last(60).begin == START + 100
    story.connections([(10.0, 200.0)], "c-2")  # open all the time: nothing is idle
    assert scene(story.records).last(150).begin == START + 50


def test_concurrency_is_shown_where_the_start_of_the_instance_is_not_among_the_records():
    assert [lane.note for lane in scene(overlapping().records[2:]).lanes] == ["concurrency 2"]


def test_an_ordinary_end_of_an_instance_is_no_fault():
    story = Story()
    story.start(0)
    story.connections([(1.0, 2.0)])
    story.stop(4.0, why="idle")
    picture = svg(story.records)
    assert "stopped: idle" in words(picture) and "cut, rejected or fault" not in words(picture)
    story.start(4.5, "c-2")
    story.stop(5.0, "c-2", why="exit")
    assert "cut, rejected or fault" in words(svg(story.records))


def test_names_of_moments_stay_inside_and_apart():
    """At the right edge and where connections begin at the same time."""
    story = Story()
    story.start(0, concurrency=3)
    story.connections([(1.0, 9.0), (1.001, 9.0), (1.002, 9.0)])
    tree = ET.fromstring(svg(story.records))
    labels = sorted((float(e.get("x", "")), e.text) for e in tree.iter(f"{SVG}text") if (e.text or "")[:1] == "T"
                   and (e.text or "")[1:].isdigit())
    assert labels and all(x + 16 <= 900 - 24 + 1 for x, _ in labels)
    assert all(right - left >= 17 for (left, _), (right, _) in pairwise(labels))


def test_the_words_of_the_longest_span_come_first():
    story = Story()
    story.start(0)
    story.connections([(1.0, 1.003), (1.2, 6.0)])
    assert "billed 4.800 s" in words(svg(story.records)) and "billed 0.003 s" not in words(svg(story.records))
