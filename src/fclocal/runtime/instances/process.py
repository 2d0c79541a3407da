"""A function instance as a tree of processes: signals, memory, CPU time, health, and its end.

The main process is a child of the guardian (guardian.py), which reports its end.
"""

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import psutil

from fclocal.core import health, startup
from fclocal.core.clock import Clock, timeout
from fclocal.core.errors import FcError
from fclocal.core.health import Verdict
from fclocal.core.model import CustomRuntime, HealthCheck
from fclocal.runtime.instances import guardian, hooks, ports
from fclocal.runtime.instances.output import Output


class Process:
    """One running instance. `home` is its folder, named by its id; `port` the port its server has on loopback.

    `strays(process)` returns the processes that left its tree. `on_end(process)` is called when nothing of it is left,
    and then, once it has become ready, `on_exit(code)`.
    """

    def __init__(
        self,
        home: Path,
        runtime: CustomRuntime,
        output: Output,
        clock: Clock,
        *,
        strays: Callable[["Process"], list[int]],
        on_end: Callable[["Process"], None],
        on_exit: Callable[[int], None],
    ) -> None:
        self.pid = 0
        self.home = home
        self.port = 0
        self.reservation: socket.socket | None = None  # of the port, until the server listens
        self.runtime = runtime
        self.output = output
        self.exited: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.pipe = -1  # where its preload reports; open before it starts, or its first words would be lost
        self._clock = clock
        self._strays = strays
        self._on_end = on_end
        self._on_exit = on_exit
        self._ready = False

    def open_pipe(self) -> None:
        self.pipe = os.open(self.home / "ready", os.O_RDWR | os.O_NONBLOCK)  # RDWR: no end of file between writers

    def reserve_port(self) -> None:
        self.reservation = ports.reserve()
        self.port = self.reservation.getsockname()[1]

    def close_start(self) -> None:
        """Close what only the start needs: the pipe and the reservation of the port."""
        if self.pipe >= 0:
            os.close(self.pipe)
            self.pipe = -1
        if self.reservation is not None:
            self.reservation.close()
            self.reservation = None

    def freeze(self) -> None:
        """Stop the whole tree where it stands, as the service does between requests."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let the whole tree run on."""
        self._signal(signal.SIGCONT)

    def memory(self) -> int:
        """Resident bytes of the whole tree."""
        total = 0
        for pid in self.tree():
            with contextlib.suppress(psutil.Error):
                total += psutil.Process(pid).memory_info().rss
        return total

    def cpu_seconds(self) -> float:
        """CPU time that the whole tree has used so far, in seconds."""
        total = 0.0
        for pid in self.tree():
            with contextlib.suppress(psutil.Error):
                times = psutil.Process(pid).cpu_times()
                total += times.user + times.system
        return total

    async def stop(self, grace: float) -> int:
        """SIGTERM to the tree, SIGKILL after `grace` seconds; returns the exit code once nothing is left."""
        if grace > 0 and not self.exited.done():
            self._signal(signal.SIGTERM)
            self._signal(signal.SIGCONT)
            with contextlib.suppress(TimeoutError):
                async with timeout(self._clock, grace):
                    await asyncio.shield(self.exited)
        self.kill()
        return await asyncio.shield(self.exited)

    def kill(self) -> None:
        """Send SIGKILL to the tree; `on_exit` is called afterwards."""
        if not self.exited.done():
            self._kill_tree()

    def tree(self) -> list[int]:
        """Return every process of the instance, also those that left its group, session or parent."""
        pids: list[int] = [] if self.exited.done() else [self.pid, *guardian.descendants(self.pid)]
        for orphan in self._strays(self):
            pids += [orphan, *guardian.descendants(orphan)]
        return pids

    def _signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)
        guardian.kill_all(self.tree(), number)

    def _kill_tree(self) -> None:
        stopped: set[int] = set()
        while running := set(self.tree()) - stopped:  # a stopped process cannot fork any more
            guardian.kill_all(running, signal.SIGSTOP)
            stopped |= running
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        guardian.kill_all(stopped, signal.SIGKILL)

    def became_ready(self) -> None:
        """Report the end by `on_exit` from now on, not by the error of the start."""
        self._ready = True

    async def check_health(self) -> None:
        """Wait until the health check succeeds, if there is one.

        Raises FcError FunctionNotStarted.
        """
        check = self.runtime.health_check_config
        if check is None or not check.http_get_url:
            return
        await self._clock.sleep(check.initial_delay_seconds)
        streak = 0
        while health.verdict(check, streak) is not Verdict.HEALTHY:
            if streak:
                await self._clock.sleep(check.period_seconds)
            problem = await self.probe(check)
            if self.exited.done():
                raise startup.exited(self.runtime, self.exited.result(), self.output.tail)
            streak = health.count(streak, problem)
            if health.verdict(check, streak) is Verdict.UNHEALTHY:
                raise startup.unhealthy(self.runtime, problem, self.output.tail)

    async def probe(self, check: HealthCheck) -> str:
        """Send one GET of the health check; return "" after an answer of 200 to 399 in time, else what was wrong."""
        try:
            async with timeout(self._clock, check.timeout_seconds):
                answer = await hooks.send("GET", check.http_get_url, self.port)
        except TimeoutError:
            return f"took more than {check.timeout_seconds} s"
        except FcError as error:
            return f"failed: {error.facts['reason']}"
        return health.problem(answer.status)

    def ended(self, code: int) -> None:
        """Handle the guardian's report that the main process ended with `code`."""
        if self.exited.done():
            return
        self.output.finish()
        self.exited.set_result(code)
        self._kill_tree()  # processes that it left behind
        if sys.platform != "linux":  # orphans go to init there, not to the guardian
            guardian.kill_all(guardian.processes_of(self.home.name))
        self._on_end(self)
        if self._ready:
            self._on_exit(code)
