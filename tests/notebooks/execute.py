"""Run one notebook twice in one kernel: `python execute.py NOTEBOOK FIRST SECOND CELLS`, for test_execute.py.

First every cell with the exercises untouched, into FIRST; then, with the solutions in the exercises' place, the cells
that hold one of the words CELLS (comma-separated; "" is in every cell), into SECOND. It runs in its own process so that
it can be cut off from every network but loopback. The metadata of FIRST holds the seconds that its cells needed.
"""

import fcntl
import shutil
import socket
import struct
import sys
import time
from contextlib import suppress
from pathlib import Path

import nbformat
from nbclient import NotebookClient

import fclocal
from fclocal import FcError

UP, RUNNING = 0x1, 0x40
SIOCSIFFLAGS = 0x8914


def loopback_up() -> None:
    """In a new network namespace even loopback is down at first."""
    with suppress(OSError), socket.socket() as any_socket:
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sh", b"lo", UP | RUNNING))


def main(notebook: Path, first: Path, second: Path, words: list[str]) -> None:
    """Execute both passes, also after a cell that fails; stop the platform of the notebook."""
    loopback_up()
    book = nbformat.read(notebook, as_version=4)
    kit = notebook.parents[1]
    client = NotebookClient(book, timeout=60, allow_errors=True, kernel_name="python3",
                            coalesce_streams=True,  # one line can come in two messages; JupyterLab joins them, too
                            resources={"metadata": {"path": str(notebook.parent)}})
    with client.setup_kernel():
        began = time.monotonic()
        for number, cell in enumerate(book.cells):
            client.execute_cell(cell, number)
        book.metadata["seconds"] = time.monotonic() - began
        nbformat.write(book, first)
        if (solutions := kit / "solutions" / notebook.stem).is_dir():
            shutil.copytree(solutions, kit / "exercises" / notebook.stem, dirs_exist_ok=True)
        book.cells = [cell for cell in book.cells
                      if cell.cell_type == "code" and any(word in cell.source for word in words)]
        for number, cell in enumerate(book.cells):
            client.execute_cell(cell, number)
        nbformat.write(book, second)
    with suppress(FcError):
        fclocal.attach(kit / ".fclocal").stop()


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:4]), sys.argv[4].split(","))
