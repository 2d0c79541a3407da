"""Lessons as web pages: what a cell gives stands in the page, widgets as their text."""

from pathlib import Path

import nbformat
import pytest

from workshop.course import render
from workshop.course.catalog import Lesson, lessons


def test_a_page_holds_outputs_and_widgets_as_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FCLOCAL_STATE", "")  # put back at the end
    monkeypatch.setitem(lessons(), 0, Lesson("00-small", "Small", 1, 1))
    book = nbformat.v4.new_notebook(cells=[
        nbformat.v4.new_markdown_cell("# A small lesson"),
        nbformat.v4.new_code_cell("import ipywidgets, os\nprint('state', os.environ['FCLOCAL_STATE'])"),
        nbformat.v4.new_code_cell("ipywidgets.Text('spoken')")])
    (tmp_path / "notebooks").mkdir()
    before = nbformat.writes(book)
    (tmp_path / "notebooks" / "00-small.ipynb").write_text(before)
    [page] = render.render(tmp_path, [0], tmp_path / "pages")
    html = page.read_text("utf-8")
    assert "A small lesson" in html
    assert "workshop-render-" in html
    assert "Text(value=" in html and "widget-state" not in html
    assert (tmp_path / "notebooks" / "00-small.ipynb").read_text() == before
