"""`workshop render`: the lessons with their outputs, as web pages to read without running anything."""

import os
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbconvert import HTMLExporter

import fclocal
from fclocal.core.errors import FcError
from workshop.course.catalog import lessons


def render(project: Path, numbers: Iterable[int], target: Path) -> list[Path]:
    """Run the notebooks on a platform of their own and write one HTML page each into `target`.

    The notebooks themselves stay as they are. Raises nbclient's CellExecutionError if a cell fails.
    """
    written = []
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="workshop-render-") as state:
        os.environ["FCLOCAL_STATE"] = state  # the kernels', so that the learner's own state is not shown
        try:
            for number in numbers:
                source = project / "notebooks" / lessons()[number].notebook
                page = target / f"{source.stem}.html"
                page.write_text(_page(source), encoding="utf-8")
                written.append(page)
        finally:
            with suppress(FcError):
                fclocal.attach(state).stop()
    return written


def _page(source: Path) -> str:
    book = nbformat.read(source, as_version=4)
    place = {"metadata": {"path": str(source.parent), "name": source.stem}}
    NotebookClient(book, timeout=120, kernel_name="python3", resources=place).execute()
    book.metadata.pop("widgets", None)
    for output in (output for cell in book.cells for output in cell.get("outputs", [])):
        output.get("data", {}).pop("application/vnd.jupyter.widget-view+json", None)  # a page has no kernel: as text
    html: str = HTMLExporter(embed_images=True).from_notebook_node(book, resources=place)[0]
    return html
