"""The parent of every process that the platform starts, so that none outlives it: instances and Redis.

A small process of its own, standard library only, with an environment that holds no secrets. It starts processes on
the platform's order, reports how they end, and when the platform is gone (end of file on its socket) it kills all
that is left and ends. On Linux it is the "child subreaper": a grandchild that left its parent, group
and session is still handed to the guardian, never to init. The platform is the next subreaper above it, so a function
that kills the guardian frees nothing.

The platform imports the functions that find a process tree; run as a script this file is the guardian.

Messages, each way: 4 bytes length, then JSON.
  platform -> guardian: {"id", "path", "argv", "env", "cwd"} and the descriptors of stdout and stderr
  guardian -> platform: {"id", "pid"} started | {"id", "errno"} not started | {"id", "code"} ended
"""

import contextlib
import fcntl
import json
import os
import select
import signal
import socket
import struct
import sys
import time
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import Any

MARK = "FC_INSTANCE_ID"  # in the environment of every process of an instance
_LINUX = sys.platform == "linux"
_PR_SET_CHILD_SUBREAPER = 36
_KILL_LIMIT = 10.0  # seconds; SIGKILL cannot be refused, only a disk that hangs can delay it
_LENGTH = struct.Struct("!I")


def send(channel: socket.socket, message: dict[str, Any], descriptors: Iterable[int] = ()) -> None:
    """Send one message. Raises OSError when the other side is gone."""
    body = json.dumps(message).encode()
    data = _LENGTH.pack(len(body)) + body
    sent = socket.send_fds(channel, [data], list(descriptors)) if descriptors else 0
    channel.sendall(data[sent:])


def messages(buffer: bytearray) -> list[dict[str, Any]]:
    """Take the complete messages from the start of `buffer` and return them."""
    complete = []
    while len(buffer) >= 4 and len(buffer) >= (end := 4 + _LENGTH.unpack_from(buffer)[0]):
        complete.append(json.loads(buffer[4:end]))
        del buffer[:end]
    return complete


def children(pid: int) -> list[int]:
    """Return the processes whose parent is `pid` now, none if it is gone."""
    pids: list[int] = []
    if not _LINUX:
        import psutil

        with contextlib.suppress(psutil.Error):
            pids = [child.pid for child in psutil.Process(pid).children()]
        return pids
    with contextlib.suppress(OSError):
        for task in os.listdir(f"/proc/{pid}/task"):  # noqa: PTH208 - runs at every freeze
            with contextlib.suppress(OSError), open(f"/proc/{pid}/task/{task}/children", "rb") as file:  # noqa: PTH123
                pids += map(int, file.read().split())
    return pids


def descendants(pid: int) -> list[int]:
    """Return all processes below `pid`, nearest first."""
    pids = children(pid)
    for child in pids:  # the list grows during the loop
        pids += children(child)
    return pids


def marked(pid: int) -> str:
    """Return the id of the instance that started process `pid`, "" if it is not known."""
    if not _LINUX:
        return _marked_elsewhere(pid)
    try:
        environment = Path(f"/proc/{pid}/environ").read_bytes()
        for entry in environment.split(b"\0"):
            if entry.startswith(MARK.encode() + b"="):
                return entry.partition(b"=")[2].decode(errors="replace")
        if environment:  # for example a learner's shell in the folder of an instance
            return ""
        return _instance_of(os.readlink(f"/proc/{pid}/cwd"))  # noqa: PTH115
    except OSError:
        return ""


def _marked_elsewhere(pid: int) -> str:
    """Do the same outside Linux. macOS hides the environment of its protected programs, /bin/sh for example.

    Then the folder counts, except for the programs of a terminal: a learner's shell may be there.
    """
    import psutil

    try:
        process = psutil.Process(pid)
        environment: dict[str, str] = {}
        with contextlib.suppress(psutil.AccessDenied):
            environment = process.environ()
        if environment or process.terminal():
            return environment.get(MARK, "")
        return _instance_of(process.cwd())
    except (psutil.Error, OSError):
        return ""


def _instance_of(folder: str) -> str:
    """Return the id of the instance whose home the folder is in, "" if it is in none."""
    return folder.partition("/instances/")[2].partition("/")[0]


def all_processes() -> list[int]:
    """Return every process of this machine that this user can see."""
    if not _LINUX:
        import psutil

        return [int(pid) for pid in psutil.pids()]
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdecimal()]


def processes_of(*ids: str) -> list[int]:
    """Return every process of this machine whose mark names one of the instances `ids`."""
    return [pid for pid in all_processes() if pid != os.getpid() and marked(pid) in ids]


def kill_all(pids: Iterable[int], number: int = signal.SIGKILL) -> None:
    """Send a signal to each of `pids` that still exists."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


def become_subreaper() -> None:
    """Have processes below this one that lose their parent handed to this process, not to init (Linux only)."""
    if _LINUX:
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def end_descendants(spared: Callable[[], Collection[int]] = tuple, ids: Collection[str] = ()) -> None:
    """Kill and reap every process below this one, but not the children `spared()` and what is below them.

    `ids`: instances whose processes are killed too, wherever they are (no subreaper exists outside Linux).
    """
    deadline = time.monotonic() + _KILL_LIMIT
    while time.monotonic() < deadline:
        mine = children(os.getpid())
        keep = spared()  # after the children, so that it names a child that has just started
        mine = [pid for pid in mine if pid not in keep]
        left = [*mine, *(below for pid in mine for below in descendants(pid))]
        if not _LINUX:
            left += processes_of(*ids)
        kill_all(left)
        for pid in mine:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
        if not left:
            return
        time.sleep(0.002)


class _Guardian:
    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self._instances: dict[int, str] = {}  # pid -> id
        self._ids: set[str] = set()

    def run(self, wake: int) -> None:
        """Serve until the platform is gone. `wake` becomes readable when a child ended."""
        while True:
            ready, _, _ = select.select([self._channel.fileno(), wake], [], [])
            if wake in ready:
                os.read(wake, 4096)
                self._reap()
            if self._channel.fileno() in ready and not self._serve():
                return

    def _serve(self) -> bool:
        head, descriptors, _, _ = socket.recv_fds(self._channel, 4, 2)
        if not head:
            return False
        (length,) = _LENGTH.unpack(head + self._receive(4 - len(head)))
        self._start(json.loads(self._receive(length)), descriptors)
        return True

    def _receive(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            if not (more := self._channel.recv(size - len(data))):
                raise EOFError
            data += more
        return data

    def _start(self, order: dict[str, Any], descriptors: list[int]) -> None:
        actions: list[tuple[int, ...]] = []
        for target, descriptor in enumerate(descriptors, 1):
            os.set_inheritable(descriptor, False)
            actions.append((os.POSIX_SPAWN_DUP2, descriptor, target))
        try:
            os.chdir(order["cwd"])
            pid = os.posix_spawn(order["path"], order["argv"], order["env"], file_actions=actions, setsid=True,
                                 setsigmask=(), setsigdef=(signal.SIGPIPE, signal.SIGXFSZ))
        except OSError as error:
            send(self._channel, {"id": order["id"], "errno": error.errno})
        else:
            self._instances[pid] = order["id"]
            self._ids.add(order["id"])
            send(self._channel, {"id": order["id"], "pid": pid})
        finally:
            os.chdir("/")
            for descriptor in descriptors:
                os.close(descriptor)

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            if (instance := self._instances.pop(pid, None)) is not None:
                code = os.waitstatus_to_exitcode(status)
                send(self._channel, {"id": instance, "code": code if code >= 0 else 128 - code})

    def end(self) -> None:
        """Kill every process that is left, also those that have another parent now."""
        end_descendants(ids=self._ids)


def main() -> None:
    """`guardian.py SOCKET [LOCK]`: descriptors of the platform's socket and of the file whose lock says "in use"."""
    channel, *locks = (int(text) for text in sys.argv[1:])
    for descriptor in (channel, *locks):
        os.set_inheritable(descriptor, False)
    for lock in locks:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # a copy of the platform's own; held to the end
    become_subreaper()
    wake, woken = os.pipe()
    os.set_blocking(woken, False)
    signal.set_wakeup_fd(woken, warn_on_full_buffer=False)
    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: None)  # not SIG_IGN: functions would inherit that
    guardian = _Guardian(socket.socket(fileno=channel))
    try:
        guardian.run(wake)
    except (OSError, EOFError):
        pass  # the platform went away in the middle of a message
    finally:
        guardian.end()


if __name__ == "__main__":
    main()
