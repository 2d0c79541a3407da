"""show(): regions of real files."""

import re
from html import unescape
from pathlib import Path

import pytest

from workshop.course.listing import excerpt, lines_of, shown
from workshop.errors import UserError
from workshop.views.code_listing import listing

PYTHON = '''import os

PORT = 1


@decorated
async def handler(ws):
    pass


class Room:
    def join(self):
        pass
'''
YAML = '''resources:
  echo:
    props:
      timeout: 5
      triggers:
        - triggerName: http
          triggerConfig:
            methods: [GET]
      nasConfig: auto
'''
JS = '''const a = 1;
function connect(url) {
  if (url) {
    go();
  }
}
// region retry
again();
// endregion
'''


@pytest.mark.parametrize(("text", "region", "suffix", "span"), [
    (PYTHON, "handler", ".py", (6, 8)),
    (PYTHON, "Room.join", ".py", (12, 13)),
    (PYTHON, "PORT", ".py", (3, 3)),
    (PYTHON, "2-4", ".py", (2, 4)),
    (YAML, "triggers", ".yaml", (5, 8)),
    (YAML, "timeout", ".yaml", (4, 4)),
    (YAML, "echo", ".yaml", (2, 9)),
    (JS, "connect", ".js", (2, 6)),
    (JS, "retry", ".js", (8, 8)),
])
def test_regions(text: str, region: str, suffix: str, span: tuple[int, int]) -> None:
    assert lines_of(text, region, suffix) == span


def test_shown_has_path_and_line_numbers(tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text(PYTHON)
    assert shown("main.py", "handler", tmp_path).splitlines() == [
        "main.py, lines 6 to 8", "6  @decorated", "7  async def handler(ws):", "8      pass"]


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text(PYTHON)
    for path, region in (("other.py", None), ("main.py", "nobody")):
        with pytest.raises(UserError):
            shown(path, region, tmp_path)


def test_the_listing_is_highlighted_and_can_be_copied(tmp_path: Path) -> None:
    source = 'async def f(a):\n    """Say <b>."""\n    return a < 1\n'
    (tmp_path / "main.py").write_text(source)
    lines, first = excerpt("main.py", "f", tmp_path)
    html = listing("main.py", lines, first)
    assert 'href="../main.py"' in html and "lines 1 to 3" in html
    assert html.count('class="ln"') == 3 and '<span class="nf">f</span>' in html
    assert "<b>." not in html.replace("&lt;b&gt;", "")
    copied = re.search(r'data-code="([^"]*)"', html)
    assert copied and unescape(copied[1]) == source.rstrip("\n")
