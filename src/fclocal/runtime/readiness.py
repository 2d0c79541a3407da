"""When does an instance serve? Told by its preload, else seen in the system's table of sockets.

The service checks that the port takes connections. Connecting would do, but each probe is a broken handshake in
the function's log, so fclocal looks instead: the preload tells of listen() the moment it happens, and for programs
without a preload the sockets of the process tree are read at rising intervals.
"""

import asyncio
import contextlib
import os
import re
from collections.abc import Collection
from typing import Protocol

import psutil

from fclocal.core import startup
from fclocal.core.model import CustomRuntime, HealthCheck
from fclocal.core.startup import Listener
from fclocal.runtime.output import Output

WRONG_LIMIT = 1.0  # seconds a server may listen in the wrong place only before the start counts as failed
_TOLD = re.compile(r"(bind|listen) (\S+) (\d{1,5})")
_FIRST_LOOK = 0.1  # seconds; a Python or Node server has told by then
_LAST_LOOK = 0.5


class Starting(Protocol):
    """What is needed of a process."""

    port: int
    pipe: int  # descriptor on which the preload reports
    runtime: CustomRuntime
    output: Output
    exited: asyncio.Future[int]

    def tree(self) -> list[int]: ...


class Readiness:
    """Waits until a process serves; `limit` in seconds."""

    def __init__(self, process: Starting, limit: float) -> None:
        self._process = process
        self._limit = limit
        self._loop = asyncio.get_running_loop()
        self._told: dict[Listener, bool] = {}  # by listen() in a preload
        self._bound: dict[int, str] = {}  # port -> address given to bind() in a preload
        self._changed = asyncio.Event()

    async def wait(self) -> None:
        """Return when the instance's port is open to all. Raises FcError CAExited or FunctionNotStarted."""
        process = self._process
        process.exited.add_done_callback(lambda _: self._changed.set())
        self._loop.add_reader(process.pipe, self._hear, process.pipe)
        try:
            await self._wait()
        finally:
            self._loop.remove_reader(process.pipe)

    async def _wait(self) -> None:
        process, seen = self._process, dict[Listener, bool]()
        begin = self._loop.time()
        wrong_since: float | None = None
        pause = _FIRST_LOOK
        while True:
            if process.exited.done():
                raise startup.exited(process.runtime, process.exited.result(), process.output.tail)
            if startup.reachable(seen, process.port):
                return
            now = self._loop.time()
            wrong_since = (wrong_since or now) if seen else None
            left = begin + self._limit - now
            if left <= 0 or (wrong_since is not None and now - wrong_since >= WRONG_LIMIT):
                raise startup.not_started(process.runtime, limit=self._limit, own=process.port, seen=seen,
                                          logs=process.output.tail)
            self._changed.clear()
            try:
                await asyncio.wait_for(self._changed.wait(), min(pause, left))
            except TimeoutError:
                pause = min(pause * 1.6, _LAST_LOOK)
                seen = self._placed(await asyncio.to_thread(listening, process.tree()))
            seen = seen | self._told

    def _hear(self, pipe: int) -> None:
        for line in os.read(pipe, 4096).decode(errors="replace").splitlines():
            if (told := _TOLD.fullmatch(line)) is None:
                continue  # whoever wrote that into the pipe, it was no preload
            what, host, port = told.groups()
            if what == "listen":
                self._told[(host, int(port))] = True
            else:
                self._bound[int(port)] = host
        self._changed.set()

    def _placed(self, looked: Collection[Listener]) -> dict[Listener, bool]:
        """What was seen in the system's table, with the address that the program asked for where that is known."""
        known = {port for _, port in self._told}
        return {(self._bound.get(port, host), port): port in self._bound for host, port in looked if port not in known}


def listening(pids: Collection[int]) -> set[Listener]:
    """Where the processes `pids` listen."""
    found: set[Listener] = set()
    for pid in pids:
        with contextlib.suppress(psutil.Error):
            found |= {(c.laddr.ip, c.laddr.port) for c in psutil.Process(pid).net_connections("tcp")
                      if c.status == psutil.CONN_LISTEN}
    return found


async def healthy(process: Starting) -> None:
    """Wait until healthCheckConfig is content, if there is one. Raises FcError FunctionNotStarted."""
    check = process.runtime.health_check_config
    if check is None or not check.http_get_url:
        return
    await asyncio.sleep(check.initial_delay_seconds)
    good = bad = 0
    while good < check.success_threshold:
        answer = await probe(process.port, check)
        if process.exited.done():
            raise startup.exited(process.runtime, process.exited.result(), process.output.tail)
        good, bad = (good + 1, 0) if answer == "" else (0, bad + 1)
        if bad >= check.failure_threshold:
            raise startup.unhealthy(process.runtime, answer, process.output.tail)
        if good < check.success_threshold:
            await asyncio.sleep(check.period_seconds)


async def probe(port: int, check: HealthCheck) -> str:
    """One GET of the health check: "" if the answer is good (200 to 399 in time), else what was wrong."""
    try:
        async with asyncio.timeout(check.timeout_seconds):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                writer.write(f"GET {check.http_get_url} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
                             "Connection: close\r\n\r\n".encode())
                status = (await reader.readline()).split()
            finally:
                writer.close()
    except TimeoutError:
        return f"took more than {check.timeout_seconds} s"
    except OSError as error:
        return f"failed: {error.strerror}"
    if len(status) < 2 or not status[1].isdigit():
        return "got no HTTP answer"
    return "" if 200 <= int(status[1]) < 400 else f"answered {int(status[1])}"
