"""Building the course as a site: what stops it. What it looks like: tests/browser/test_book.py."""

from pathlib import Path

import pytest

from workshop.course.book.build import build
from workshop.errors import UserError


def test_a_link_to_nowhere_stops_the_build_and_names_the_page(tmp_path: Path) -> None:
    for folder in ("notebooks", "functions", "exercises", "solutions"):
        (tmp_path / "kit" / folder).mkdir(parents=True)
    (tmp_path / "kit" / "README.md").write_text("# Kit\n\n[one](notebooks/page.md)\n")
    (tmp_path / "kit" / "notebooks" / "page.md").write_text("# Page\n\n[gone](page.md#nowhere)\n")
    (tmp_path / "kit" / "notebooks" / "teaching.md").write_text(
        "# Teach\n\n## Lesson by lesson\n\n### 0. One\n\n- **Idea:** x\n\n## Afterwards\n")
    with pytest.raises(UserError, match="Sphinx found") as failed:
        build(tmp_path / "kit", tmp_path / "book", [])
    assert "notebooks/page.md:3" in failed.value.cure
