"""show(): regions of real files."""

from pathlib import Path

import pytest

from workshop.course.listing import lines_of, shown
from workshop.errors import UserError

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
