"""In a real kernel: scripts with asyncio.run run unchanged in a cell, checks and the console too, with nothing lost."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

import fclocal

ROOT = Path(__file__).parents[2]
CELLS = (
    "from workshop import check, console, lesson\nfc = lesson(0)",
    "import asyncio\nasync def main():\n    async with asyncio.timeout(5):\n        await asyncio.sleep(0.01)\n"
    "    return 'ran'\nprint(asyncio.run(main()))",
    "print(await main())",
    "async def two():\n    return await asyncio.gather(main(), main())\nprint(asyncio.run(two()))",
    "check('1.1')",
    "console(fc)",
)


def test_the_first_cell_makes_scripts_run_in_cells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FCLOCAL_STATE", str(tmp_path / "fclocal"))
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in CELLS])
    try:
        NotebookClient(book, timeout=60, kernel_name="python3",
                       resources={"metadata": {"path": str(ROOT / "notebooks")}}).execute()
    finally:
        fclocal.attach(tmp_path / "fclocal").stop()
    printed = ["".join(output.get("text", "") or output.get("data", {}).get("text/plain", "")
                       for output in cell.outputs) for cell in book.cells]
    assert printed[0].startswith("Setup complete. Lesson 0: ")
    assert printed[1:4] == ["ran\n", "ran\n", "['ran', 'ran']\n"]
    assert printed[4].startswith("1.1 NOT STARTED")
    [shown] = book.cells[5].outputs
    assert "application/vnd.jupyter.widget-view+json" in shown.data
    assert "--- Trigger:" in shown.data["text/plain"]
