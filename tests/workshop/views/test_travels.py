"""The picture of how messages travel between instances."""

import xml.etree.ElementTree as ET

from fclocal.core.records import Record
from workshop.views import travels


def frame(at: float, instance: str, preview: str, request: str = "r") -> Record:
    return Record(0, at, "tap.frame", "chat", instance, request, {"preview": preview})


FRAMES = [
    frame(1.0, "c-a", '{"type": "join", "room": "tea"}'),
    frame(2.0, "c-a", '{"type": "say", "ref": 1, "text": "<b>Tea?"}'),
    frame(2.002, "c-a", '{"type":"message","text":"<b>Tea?","name":"An'),  # a preview is cut off
    frame(2.004, "c-b", '{"id":"1-0","type":"message","text":"<b>Tea?","na', "s"),
    frame(2.005, "c-b", "not JSON"),
    frame(3.0, "c-b", '{"type": "say", "ref": 1, "text": "nobody hears"}'),
]


def test_each_message_is_followed_to_who_heard_it() -> None:
    first, second = travels.messages(FRAMES)
    assert (first.words, first.instance) == ("<b>Tea?", "c-a")
    assert [(instance, request) for _, instance, request in first.heard] == [("c-a", "r"), ("c-b", "s")]
    assert second.heard == []


def test_words_and_picture_say_the_same() -> None:
    assert travels.text(FRAMES) == (
        '"<b>Tea?" said at instance 1\n    instance 1: heard by 1, 2.0 ms later\n'
        '    instance 2: heard by 1, 4.0 ms later\n"nobody hears" said at instance 2\n'
        "    instance 1: heard by 0\n    instance 2: heard by 0\n")
    picture = ET.fromstring(travels.svg(FRAMES))
    assert picture.findtext("{*}title") == "2 messages over 2 instances"
    kinds = [circle.get("class") for circle in picture.iterfind(".//{*}circle")]
    assert sorted(kinds) == ["heard", "heard", "said", "said"]


def test_nothing_said_is_an_empty_picture() -> None:
    assert travels.text([]) == "\n"
    ET.fromstring(travels.svg([]))
