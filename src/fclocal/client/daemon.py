"""Starting and stopping the platform's process.

A platform that `fclocal start` began stays until `fclocal stop`. One that `fclocal.start()` began stays as long
as somebody is attached to it (a notebook's kernel, a script), and a few seconds longer, so that a kernel may
restart: nothing is left behind when the last one ends, however it ends.
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

from fclocal.client.state import Running, running
from fclocal.core.errors import FcError

START_LIMIT = 30.0  # seconds


def spawn(state: Path, *, keep: bool, options: Mapping[str, object]) -> Running:
    """The platform of `state`: the one that runs, or a new process. Raises FcError PlatformStartFailed."""
    if (found := running(state)) is not None:
        return found
    state.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "fclocal.edge.server", str(state), json.dumps(dict(options))]
    if keep:
        command.append("--keep")
    with (state / "platform.log").open("ab") as log:
        child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, start_new_session=True
        )
    if child.stdout is None:
        raise RuntimeError("the child's stdout is a pipe")
    with child.stdout as out:
        told, _, _ = select.select([out], [], [], START_LIMIT)
        line = out.readline().decode().strip() if told else ""
    if line == "ready" and (found := running(state)) is not None:
        child.returncode = 0  # it is meant to outlive this object, which would complain; `stop` waits by its pid
        return found
    if line == "taken":  # somebody else was first: theirs will do
        child.wait()
        until = time.monotonic() + START_LIMIT
        while time.monotonic() < until:
            if (found := running(state)) is not None:
                return found
            time.sleep(0.05)
    if child.poll() is None:
        child.kill()
        child.wait()
    last = (state / "platform.log").read_text(errors="replace").strip().splitlines()[-1:]
    raise FcError("PlatformStartFailed", reason=last[0] if last else f"no answer in {START_LIMIT:g} seconds")


def stop(platform: Running) -> None:
    """Stop the platform and wait until its process is gone; past 15 seconds kill it."""
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
