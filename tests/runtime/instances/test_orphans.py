"""How processes of an instance are found outside Linux, where no process adopts them. Run here with the same psutil.

macOS hides the environment of its protected programs (/bin/sh for example). A process started with an empty environment
looks the same here. Not run on macOS.
"""

import os
import pty
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fclocal.runtime.instances import guardian

Start = Callable[..., int]


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """Start a process that waits, in the folder of instance c-1 by default, and return its pid."""
    monkeypatch.setattr(guardian, "_LINUX", False)
    home = tmp_path / "instances" / "c-1" / "code"
    home.mkdir(parents=True)
    running: list[subprocess.Popen[bytes]] = []

    def started(cwd: Path = home, terminal: bool = False, **env: str) -> int:
        code = "import fcntl, os, sys, termios\n"
        code += "fcntl.ioctl(0, termios.TIOCSCTTY, 0)\n" if terminal else ""
        code += "os.write(1, b'.'); os.read(3, 1)"
        reading, writing = os.pipe()
        ours, theirs = pty.openpty()
        process = subprocess.Popen([sys.executable, "-ISc", f"import os; os.dup2({reading}, 3)\n{code}"], cwd=cwd,
                                   env=env, start_new_session=True, pass_fds=(reading,),
                                   stdin=theirs if terminal else subprocess.DEVNULL, stdout=subprocess.PIPE)
        assert process.stdout and process.stdout.read(1) == b"."
        process.stdout.close()
        for descriptor in (reading, theirs):
            os.close(descriptor)
        open_descriptors.extend((ours, writing))
        running.append(process)
        return process.pid

    open_descriptors: list[int] = []
    yield started
    for process in running:
        process.kill()
        process.wait()
    for descriptor in open_descriptors:
        os.close(descriptor)


def test_the_mark_in_the_environment_decides(start: Start, tmp_path: Path) -> None:
    assert guardian.marked(start(tmp_path, FC_INSTANCE_ID="c-2")) == "c-2"
    assert guardian.marked(start(LANG="C")) == "", "a program of the learner's in the folder of an instance"


def test_a_hidden_environment_is_replaced_by_the_folder(start: Start, tmp_path: Path) -> None:
    orphan = start()
    assert guardian.marked(orphan) == "c-1"
    assert orphan in guardian.processes_of("c-1")
    assert guardian.marked(start(tmp_path)) == ""


def test_a_shell_in_a_terminal_is_not_an_orphan(start: Start) -> None:
    assert guardian.marked(start(terminal=True)) == ""


def test_a_process_that_has_ended_has_no_mark(start: Start) -> None:
    pid = start()
    os.kill(pid, 9)
    os.waitpid(pid, 0)
    assert guardian.marked(pid) == ""
