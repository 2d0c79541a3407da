"""The fixed diagrams: up to date, readable in light and dark, nothing outside its box, described in words."""

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from workshop.views import diagrams

ROOT = Path(__file__).parents[3]
SVG = "{http://www.w3.org/2000/svg}"
DIAGRAMS = dict(diagrams.files())


@pytest.mark.parametrize("name", DIAGRAMS)
def test_the_file_in_the_repository_is_what_the_module_draws(name: str) -> None:
    path = ROOT / "notebooks" / "images" / name
    assert path.read_text("utf-8") == DIAGRAMS[name], "run: workshop build"


@pytest.mark.parametrize("name", DIAGRAMS)
def test_a_diagram_has_a_title_and_follows_the_theme(name: str) -> None:
    root = ET.fromstring(DIAGRAMS[name])
    title = root.findtext(f"{SVG}title") or root.get("aria-label", "")
    assert len(title.split()) > 15 and root.get("role") == "img"
    assert "light-dark(" in DIAGRAMS[name] and "prefers-color-scheme" not in DIAGRAMS[name]


@pytest.mark.parametrize("name", DIAGRAMS)
def test_no_text_leaves_the_picture_or_meets_another_text(name: str) -> None:
    root = ET.fromstring(DIAGRAMS[name])
    boxes = []
    for text in root.iter(f"{SVG}text"):
        words = "".join(text.itertext())
        dim, mono = "dim" in text.get("class", ""), "mono" in text.get("class", "")
        width = len(words) * (5.9 if dim else 7.6 if mono else 7.0)
        x, y = float(text.get("x", 0)), float(text.get("y", 0))
        left = {"middle": x - width / 2, "end": x - width}.get(text.get("text-anchor", "start"), x)
        boxes.append((left, y - 9, left + width, y + 2, words))
    wide, high = map(float, root.get("viewBox", "").split()[2:])
    for number, (left, top, right, bottom, words) in enumerate(boxes):
        assert left >= 0 and top >= 0 and right <= wide + 4 and bottom <= high, words
        for other in boxes[number + 1:]:
            apart = right <= other[0] or other[2] <= left or bottom <= other[1] or other[3] <= top
            assert apart, f"{words!r} meets {other[4]!r}"


def test_the_command_writes_what_is_missing(tmp_path: Path) -> None:
    assert len(diagrams.write(tmp_path)) == len(DIAGRAMS)
    (tmp_path / "map.svg").write_text("old")
    assert diagrams.write(tmp_path) == [str(tmp_path / "map.svg")]
    assert diagrams.write(tmp_path) == []
