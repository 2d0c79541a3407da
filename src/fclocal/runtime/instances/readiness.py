"""When does an instance serve? Its preload reports it; otherwise the system's table of sockets shows it.

The service checks that the port accepts connections. To connect is enough, but each probe is a broken handshake in the
function's log. So fclocal looks instead: the preload reports listen() the moment it is called, and for programs without
a preload the sockets of the process tree are read at growing intervals.
"""

import asyncio
import contextlib
import os
import re
from collections.abc import Collection

import psutil

from fclocal.core import startup
from fclocal.core.clock import Clock, timeout
from fclocal.core.startup import Address
from fclocal.runtime.instances.process import Process

WRONG_LIMIT = 1.0  # seconds a server may listen in the wrong place only before the start counts as failed
_REPORT = re.compile(r"(bind|listen) (\S+) (\d{1,5})")
_FIRST_LOOK = 0.1  # seconds; the preload of Python and Node has reported by then
_LAST_LOOK = 0.5


class Readiness:
    """Waits until a process serves; `limit` in seconds."""

    def __init__(self, process: Process, limit: float, clock: Clock) -> None:
        self._process = process
        self._limit = limit
        self._clock = clock
        self._listening: dict[Address, bool] = {}  # reported by a preload at listen()
        self._bound: dict[int, str] = {}  # port -> address, reported by a preload at bind()
        self._changed = asyncio.Event()

    async def wait(self) -> None:
        """Return when the instance's port is open to all. Raises FcError CAExited or FunctionNotStarted."""
        process, loop = self._process, asyncio.get_running_loop()
        process.exited.add_done_callback(lambda _: self._changed.set())
        loop.add_reader(process.pipe, self._read_reports, process.pipe)
        try:
            await self._wait()
        finally:
            loop.remove_reader(process.pipe)

    async def _wait(self) -> None:
        process, seen = self._process, dict[Address, bool]()
        begin = self._clock.now()
        wrong_since: float | None = None
        pause = _FIRST_LOOK
        while True:
            if process.exited.done():
                raise startup.exited(process.runtime, process.exited.result(), process.output.tail)
            if startup.reachable(seen, process.port):
                return
            now = self._clock.now()
            wrong_since = (wrong_since or now) if seen else None
            left = begin + self._limit - now
            if left <= 0 or (wrong_since is not None and now - wrong_since >= WRONG_LIMIT):
                raise startup.not_started(process.runtime, limit=self._limit, own=process.port, seen=seen,
                                          logs=process.output.tail)
            self._changed.clear()
            try:
                async with timeout(self._clock, min(pause, left)):
                    await self._changed.wait()
            except TimeoutError:
                pause = min(pause * 1.6, _LAST_LOOK)
                seen = self._placed(await asyncio.to_thread(listening, process.tree()))
            seen = seen | self._listening

    def _read_reports(self, pipe: int) -> None:
        for line in os.read(pipe, 4096).decode(errors="replace").splitlines():
            if (report := _REPORT.fullmatch(line)) is None:
                continue  # not written by a preload
            what, host, port = report.groups()
            if what == "listen":
                self._listening[(host, int(port))] = True
            else:
                self._bound[int(port)] = host
        self._changed.set()

    def _placed(self, sockets: Collection[Address]) -> dict[Address, bool]:
        """Return the listening sockets, with the address that the program asked for where a preload reported it."""
        known = {port for _, port in self._listening}
        return {
            (self._bound.get(port, host), port): port in self._bound for host, port in sockets if port not in known
        }


def listening(pids: Collection[int]) -> set[Address]:
    """Return the addresses on which the processes `pids` listen."""
    addresses: set[Address] = set()
    for pid in pids:
        with contextlib.suppress(psutil.Error):
            addresses |= {(c.laddr.ip, c.laddr.port) for c in psutil.Process(pid).net_connections("tcp")
                          if c.status == psutil.CONN_LISTEN}
    return addresses
