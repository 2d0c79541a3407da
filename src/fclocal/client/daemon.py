"""Starting and stopping the platform's process.

A platform that `fclocal start` started runs until `fclocal stop`. One that `fclocal.start()` started runs as long as
a client is attached to it (a notebook's kernel, a script), and a few seconds longer, so that a kernel can restart.
When the last client ends, in whatever way, no process is left.
"""

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from fclocal.client.state import Running, running
from fclocal.core.errors import FcError
from fclocal.runtime.state.storage import storage_errors

START_LIMIT = 30.0  # seconds


def spawn(state: Path, *, keep: bool, options: Mapping[str, object]) -> Running:
    """Return the platform of `state`: the one that runs, or a new process.

    Raises FcError PlatformStartFailed, StateDamaged or StateNotWritten.
    """
    if (found := _answering(state)) is not None:
        return found
    log = state / "platform.log"
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
        told, _, _ = select.select([answer], [], [], START_LIMIT)
        line = answer.readline().decode().strip() if told else ""
    if line == "ready" and (found := running(state)) is not None:
        child.returncode = 0  # the platform outlives this object, which would complain; `stop` waits by its pid
        return found
    if line == "taken":  # another process started one at the same time: attach to that one
        child.wait()
        until = time.monotonic() + START_LIMIT
        while time.monotonic() < until:
            if (found := _answering(state)) is not None:
                return found
            time.sleep(0.05)
    if child.poll() is None:
        child.kill()
        child.wait()
    raise FcError("PlatformStartFailed", reason=line.removeprefix("failed ") or _last_line(log))


def _answering(state: Path) -> Running | None:
    """Return the platform that runs and accepts connections. One that was killed holds its lock for a moment more."""
    if (found := running(state)) is not None:
        host, port = found.endpoint.split(":")
        with contextlib.suppress(OSError), socket.create_connection((host, int(port)), timeout=5):
            return found
    return None


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
