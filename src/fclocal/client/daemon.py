"""Starting and stopping the platform's process.

A platform that `fclocal start` started runs until `fclocal stop`. One that `fclocal.start()` started runs as long as
a client is attached to it (a notebook's kernel, a script), and a few seconds longer, so that a kernel can restart.
When the last client ends, in whatever way, no process is left.
"""

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from fclocal.client.state import Running, locked, running
from fclocal.core.errors import FcError
from fclocal.runtime.state.storage import storage_errors

START_LIMIT = 30.0  # seconds


def spawn(state: Path, *, keep: bool, options: Mapping[str, object]) -> Running:
    """Return the platform of `state`: the one that runs, or a new process.

    While another process holds the directory, wait: its platform starts, and is then the one, or it ends.
    Raises FcError PlatformStartFailed, StateDamaged or StateNotWritten.
    """
    until = time.monotonic() + START_LIMIT
    while True:
        if (attachment := _answering(state)) is not None:
            return attachment
        line = _launch(state, keep=keep, options=options)
        if line == "ready" and (attachment := running(state)) is not None:
            return attachment
        if line != "taken" or time.monotonic() > until:
            raise FcError("PlatformStartFailed", reason=line.removeprefix("failed ") or _last_line(_log(state)))
        while locked(state) and _answering(state) is None and time.monotonic() < until:
            time.sleep(0.05)


def _launch(state: Path, *, keep: bool, options: Mapping[str, object]) -> str:
    """Start a platform's process and return its first line: "ready", "taken" or "failed ..."; "" if there is none."""
    log = _log(state)
    with storage_errors(log, "nothing else is lost"):
        state.mkdir(parents=True, exist_ok=True)
        out = log.open("ab")
    command = [sys.executable, "-m", "fclocal.edge.server", str(state), json.dumps(dict(options))]
    if keep:
        command.append("--keep")
    with out:
        child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=out, start_new_session=True
        )
    if child.stdout is None:
        raise RuntimeError("the child's stdout is a pipe")
    with child.stdout as answer:
        readable, _, _ = select.select([answer], [], [], START_LIMIT)
        line = answer.readline().decode().strip() if readable else ""
    if line == "ready":
        child.returncode = 0  # the platform outlives this object, which would complain; `stop` waits by its pid
        return line
    if line != "taken":
        child.kill()
    child.wait()
    return line


def _log(state: Path) -> Path:
    return state / "platform.log"


def _answering(state: Path) -> Running | None:
    """Return the platform that runs and answers. One that was killed keeps its lock and its port for a moment more."""
    found = running(state)
    try:
        if found is not None:
            found.call("GET", "/status")
    except FcError:
        return None
    return found


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else f"no answer in {START_LIMIT:g} seconds"


def stop(platform: Running) -> None:
    """Stop the platform and wait until its process has ended; after 15 seconds, kill it."""
    try:
        platform.call("POST", "/stop")
    except FcError:
        _signal(platform.pid, signal.SIGTERM)
    until = time.monotonic() + 15
    while time.monotonic() < until:
        if not _alive(platform.pid):
            return
        time.sleep(0.02)
    _signal(platform.pid, signal.SIGKILL)


def _signal(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def _alive(pid: int) -> bool:
    try:
        # A platform that this very process started stays a zombie until it is waited for.
        if os.waitpid(pid, os.WNOHANG)[0] == pid:
            return False
    except ChildProcessError:
        pass
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
