"""Run one notebook from top to bottom: `python execute.py NOTEBOOK RESULT`. A program, run by test_execute.py.

It runs in its own process so that it can be cut off from every network but loopback, and takes the seconds that the
cells need into the result's metadata.
"""

import fcntl
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


def main(notebook: Path, result: Path) -> None:
    """Execute every cell, also after one that fails; write the notebook with what each printed; stop its platform."""
    loopback_up()
    book = nbformat.read(notebook, as_version=4)
    client = NotebookClient(book, timeout=60, allow_errors=True, kernel_name="python3",
                            resources={"metadata": {"path": str(notebook.parent)}})
    with client.setup_kernel():
        began = time.monotonic()
        for number, cell in enumerate(book.cells):
            client.execute_cell(cell, number)
        book.metadata["seconds"] = time.monotonic() - began
    nbformat.write(book, result)
    with suppress(FcError):
        fclocal.attach(notebook.parents[1] / ".fclocal").stop()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
