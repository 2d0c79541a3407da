"""The platform's end of a guardian: start it, send it orders, receive how processes end."""

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

from fclocal.core.errors import FcError
from fclocal.runtime.instances import guardian

_guardians: set[int] = set()
_starting = threading.Lock()


def guardians() -> frozenset[int]:
    """Return the process ids of this process's guardians; waits for one that is being started."""
    with _starting:
        return frozenset(_guardians)


class Link:
    """One guardian process, which holds the file `lock` locked while it lives.

    `on_end(message)` is called with the id and exit code of each process that ends, and with None when the guardian
    itself ends without `close`.
    """

    def __init__(self, lock: int | None, on_end: Callable[[dict[str, Any] | None], None]) -> None:
        self._on_end = on_end
        self._loop = asyncio.get_running_loop()
        self._buffer = bytearray()
        self._starting: dict[str, asyncio.Future[int]] = {}
        self._channel, theirs = socket.socketpair()
        with theirs, contextlib.ExitStack() as failed:
            failed.callback(self._channel.close)
            with _starting:
                descriptors = (theirs.fileno(),) if lock is None else (theirs.fileno(), lock)
                self._process = subprocess.Popen(
                    [sys.executable, "-I", guardian.__file__, *map(str, descriptors)],
                    pass_fds=descriptors, start_new_session=True, cwd="/",
                    stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                    env={"PATH": os.defpath, "LANG": "C.UTF-8"},
                )
                _guardians.add(self._process.pid)
            failed.pop_all()
        self._loop.add_reader(self._channel, self._readable)

    async def spawn(self, instance_id: str, order: dict[str, Any], descriptors: list[int]) -> int:
        """Start a process and return its pid. Raises OSError as exec would.

        `order` has path, argv, env and cwd; `descriptors` become stdout and stderr.
        """
        started: asyncio.Future[int] = self._loop.create_future()
        self._starting[instance_id] = started
        try:
            guardian.send(self._channel, {"id": instance_id, **order}, descriptors)
            return await started
        finally:
            self._starting.pop(instance_id, None)

    def orphans(self, mains: set[int]) -> list[int]:
        """Return what the guardian has adopted: its children that are not the main process of an instance."""
        return [pid for pid in guardian.children(self._process.pid) if pid not in mains]

    def _readable(self) -> None:
        try:
            data = self._channel.recv(65536)
        except OSError:
            data = b""
        if not data:
            self._lost()
            return
        self._buffer += data
        for message in guardian.messages(self._buffer):
            started = self._starting.get(message["id"])
            if "code" in message:
                # An end may come right behind the start: let the one who waits for the pid go first.
                self._loop.call_soon(self._on_end, message)
            elif started is not None and "pid" in message:
                started.set_result(message["pid"])
            elif started is not None:
                started.set_exception(OSError(message["errno"], os.strerror(message["errno"])))

    def _lost(self) -> None:
        self._loop.remove_reader(self._channel)
        self._channel.close()
        self._wait()
        for started in self._starting.values():
            if not started.done():
                started.set_exception(FcError("InternalServerError"))
        self._on_end(None)

    async def close(self) -> None:
        """Hang up, which ends the guardian, and wait for it."""
        self._loop.remove_reader(self._channel)
        self._channel.close()
        await asyncio.to_thread(self._wait)

    def _wait(self) -> None:
        self._process.wait()
        _guardians.discard(self._process.pid)
