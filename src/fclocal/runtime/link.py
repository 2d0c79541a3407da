"""The platform's end of the guardian: starts it, gives it orders, hears how processes end."""

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from typing import Any

from fclocal.core.errors import FcError
from fclocal.runtime import guardian


class Link:
    """One guardian process. `heard(message)` gets the ends of instances, None the guardian's own."""

    def __init__(self, lock: int, heard: Callable[[dict[str, Any] | None], None]) -> None:
        self._heard = heard
        self._loop = asyncio.get_running_loop()
        self._buffer = bytearray()
        self._starting: dict[str, asyncio.Future[int]] = {}
        self._channel, theirs = socket.socketpair()
        with theirs, contextlib.ExitStack() as failed:
            failed.callback(self._channel.close)
            self._process = subprocess.Popen(
                [sys.executable, "-I", guardian.__file__, str(theirs.fileno()), str(lock)],
                pass_fds=(theirs.fileno(), lock), start_new_session=True, cwd="/",
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                env={"PATH": os.defpath, "LANG": "C.UTF-8"},
            )
            failed.pop_all()
        self._loop.add_reader(self._channel, self._readable)

    async def spawn(self, instance_id: str, order: dict[str, Any], descriptors: list[int]) -> int:
        """Start a process and return its pid. Raises OSError as exec would."""
        started: asyncio.Future[int] = self._loop.create_future()
        self._starting[instance_id] = started
        try:
            guardian.send(self._channel, {"id": instance_id, **order}, descriptors)
            return await started
        finally:
            self._starting.pop(instance_id, None)

    def orphans(self, mains: set[int]) -> list[int]:
        """What the guardian has adopted: its children that are no instance's main process."""
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
                self._loop.call_soon(self._heard, message)
            elif started is not None and "pid" in message:
                started.set_result(message["pid"])
            elif started is not None:
                started.set_exception(OSError(message["errno"], os.strerror(message["errno"])))

    def _lost(self) -> None:
        self._loop.remove_reader(self._channel)
        self._channel.close()
        self._process.wait()
        for started in self._starting.values():
            if not started.done():
                started.set_exception(FcError("InternalServerError"))
        self._heard(None)

    async def close(self) -> None:
        """Hang up, which ends the guardian, and wait for it."""
        self._loop.remove_reader(self._channel)
        self._channel.close()
        await asyncio.to_thread(self._process.wait)
