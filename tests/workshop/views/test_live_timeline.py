"""The live timeline: which records it sends to the page."""

from typing import Any

import pytest
from journals import Story

from workshop.views.live_timeline import LiveTimeline


def test_a_page_that_opens_later_receives_what_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[dict[str, Any]] = []
    live = LiveTimeline()
    monkeypatch.setattr(live, "send", lambda content: sent.append(content))
    story = Story()
    story.start(0.0)
    story.begin(1.0, "r")
    story.add(1.5, "log", "c-1", "r", stream="stdout", text="not shown")
    live.add(story.records)
    live._told({"type": "ready"})
    kinds = ["instance.starting", "instance.ready", "request.begin"]
    assert [[record["kind"] for record in message["records"]] for message in sent] == [kinds, kinds]
    live.add([], clear=True)
    assert sent[-1] == {"records": [], "clear": True} and live.records == []
