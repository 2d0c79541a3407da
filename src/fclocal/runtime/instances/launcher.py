"""Starting the processes of instances, and what is left to do when they end.

The guardian (guardian.py) is the parent of all; the launcher is the platform's side of it. An instance lives in
<state>/instances/<id>: its own copy of the code, its home and its temporary files, gone when it ends.
"""

import asyncio
import contextlib
import errno
import fcntl
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from fclocal.core import startup
from fclocal.core.clock import Clock
from fclocal.core.errors import FcError
from fclocal.core.model import Revision
from fclocal.runtime.instances import guardian
from fclocal.runtime.instances.link import Link, guardians
from fclocal.runtime.instances.output import Output
from fclocal.runtime.instances.process import Process
from fclocal.runtime.instances.readiness import Readiness
from fclocal.runtime.state import package

PRELOAD = Path(__file__).parent / "preload"
_REMOVAL_PAUSES = (0.1, 1.0, 10.0, 100.0)  # seconds
_LOCK_LIMIT = 15.0  # seconds that the guardian of a killed platform may need to clean up


class Launcher:
    """Starts instances under `state`/instances. `start_limit`: seconds an instance has until it serves.

    With `adopts`, this process is the second link of the chain of subreapers: when a function kills the guardian,
    what the guardian had adopted is handed to this process and killed. All children of this process other than
    guardians are killed then.
    """

    def __init__(self, state: Path, clock: Clock, *, start_limit: float, adopts: bool = False) -> None:
        self.clock = clock
        self._root = state.resolve() / "instances"
        self._adopts = adopts
        self._sweep: asyncio.Task[None] | None = None
        self._start_limit = start_limit
        self._guardian: Link | None = None
        self._opening = asyncio.Lock()
        self._lock: int | None = None
        self._spawning: set[asyncio.Task[Process]] = set()
        self._processes: dict[str, Process] = {}
        self._removals: dict[Path, asyncio.Task[None]] = {}

    async def start(
        self,
        *,
        instance_id: str,
        revision: Revision,
        code_zip: Path,
        qualifier: str,
        on_line: Callable[[str, str], None],
        on_dropped: Callable[[int], None],
        on_exit: Callable[[int], None],
    ) -> Process:
        """Start an instance and return when its port is open.

        `on_line(stream, text)` gets its output, `on_dropped(count)` how much of a flood was not kept,
        `on_exit(code)` its end, after the last line. Raises FcError CAExited, CAFileNotFound,
        CAFilePermission or FunctionNotStarted, or what is wrong with the package; no process is left then, nor
        when the call is cancelled.
        """
        begin = asyncio.create_task(
            self._spawn(instance_id, revision, code_zip, qualifier, on_line, on_dropped, on_exit)
        )
        self._spawning.add(begin)
        begin.add_done_callback(self._spawning.discard)
        try:
            process = await asyncio.shield(begin)  # never half done
        except asyncio.CancelledError:
            with contextlib.suppress(FcError):
                process = await begin
                process.close_start()
                await process.stop(0)
            raise
        try:
            await Readiness(process, self._start_limit, self.clock).wait()
        except BaseException:
            await asyncio.shield(process.stop(0))
            raise
        finally:
            process.close_start()
        process.became_ready()
        return process

    async def open(self) -> Link:
        """Start the guardian, and end what a platform that was killed left behind. `start` does it if need be.

        Raises FcError PlatformStartFailed when another platform holds the state.
        """
        async with self._opening:
            if self._sweep is not None:
                await self._sweep
                self._sweep = None
            if self._guardian is None:
                if self._adopts:
                    guardian.become_subreaper()
                if self._lock is None:
                    self._lock = await asyncio.to_thread(_claim, self._root)
                self._guardian = Link(self._lock, self._ended)
            return self._guardian

    async def close(self) -> None:
        """Stop every instance and the guardian; no process survives."""
        await asyncio.gather(*self._spawning, return_exceptions=True)
        await asyncio.gather(*(process.stop(0) for process in list(self._processes.values())))
        removals = dict(self._removals)
        for task in removals.values():
            task.cancel()  # those that wait to try again; this is the last try
        await asyncio.gather(*removals.values(), return_exceptions=True)
        for home in removals:
            await asyncio.to_thread(shutil.rmtree, home, ignore_errors=True)
        if self._guardian is not None:
            await self._guardian.close()
            self._guardian = None
        if self._sweep is not None:
            await self._sweep
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    async def _spawn(
        self, instance_id: str, revision: Revision, code_zip: Path, qualifier: str,
        on_line: Callable[[str, str], None], on_dropped: Callable[[int], None], on_exit: Callable[[int], None],
    ) -> Process:
        home = self._root / instance_id
        runtime = revision.config.custom_runtime_config
        output = Output(self.clock, on_line, on_dropped)
        process = Process(
            home, runtime, output, self.clock, strays=self._strays, on_end=self._gone, on_exit=on_exit
        )
        try:
            with _exhausted():
                await self.open()  # what a platform before us left is swept first
                await asyncio.to_thread(_prepare, home, code_zip)
                process.open_pipe()
                output.open()
                process.reserve_port()
                link = await self.open()  # another guardian, if the first has ended
            self._processes[instance_id] = process
            try:
                order = _order(revision, instance_id, qualifier, home, process.port)
                process.pid = await link.spawn(instance_id, order, output.child_ends)
            except OSError as error:
                raise startup.refused(runtime, error) from error
        except BaseException:
            output.finish()
            process.close_start()
            self._gone(process)
            raise
        output.started()
        return process

    def _strays(self, process: Process) -> list[int]:
        """Return the processes of an instance whose parent has ended: the guardian has adopted them (on Linux)."""
        if self._guardian is None:
            return []
        mains = {one.pid for one in self._processes.values()}
        return [pid for pid in self._guardian.orphans(mains) if _session(pid) == process.pid
                or guardian.marked(pid) == process.home.name]

    def _gone(self, process: Process) -> None:
        """Remove the folder of an instance that has ended."""
        self._processes.pop(process.home.name, None)
        self._removals[process.home] = task = asyncio.create_task(_remove(process.home, self.clock))
        task.add_done_callback(lambda _: self._removals.pop(process.home, None))

    def _ended(self, message: dict[str, Any] | None) -> None:
        """Handle the end of a process (its id and exit code), or of the guardian itself (None)."""
        if message is not None:
            if (process := self._processes.get(message["id"])) is not None:
                process.ended(message["code"])
            return
        self._guardian = None
        if self._adopts:
            self._sweep = asyncio.create_task(asyncio.to_thread(guardian.end_descendants, guardians))
        for process in list(self._processes.values()):
            if process.pid:
                process.kill()
                guardian.kill_all(guardian.processes_of(process.home.name))
                process.ended(128 + signal.SIGKILL)


def _claim(root: Path) -> int:
    """Take the lock that a guardian holds while it lives, and end what a platform before us left behind."""
    root.mkdir(parents=True, exist_ok=True)
    lock = os.open(root / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    until = time.monotonic() + _LOCK_LIMIT
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            if time.monotonic() > until:
                os.close(lock)
                raise FcError("PlatformStartFailed", reason=f"another platform uses '{root.parent}'") from None
            time.sleep(0.01)
    if left := [path for path in root.iterdir() if path.is_dir()]:
        ids = [path.name for path in left]
        guardian.kill_all(guardian.processes_of(*ids))
        for path in left:
            shutil.rmtree(path, ignore_errors=True)
    return lock


async def _remove(home: Path, clock: Clock) -> None:
    """Remove an instance's folder. Reasons to fail, such as missing descriptors or a last write, pass after a while.

    A folder that is left after all attempts is removed when the next platform starts.
    """
    def remove() -> bool:
        shutil.rmtree(home, ignore_errors=True)
        return not home.exists()

    for pause in _REMOVAL_PAUSES:
        if await asyncio.to_thread(remove):
            return
        await clock.sleep(pause)


@contextlib.contextmanager
def _exhausted() -> Iterator[None]:
    """Turn missing descriptors, memory or disk space into FcError ResourceThrottled."""
    try:
        yield
    except OSError as error:
        raise FcError("ResourceThrottled", reason=f"no instance can be started: {error.strerror}") from error


def _prepare(home: Path, code_zip: Path) -> None:
    """Create the instance's folder: code, temporary files, and the pipe on which its preload reports."""
    home.mkdir(parents=True)
    package.unpack(code_zip, home / "code")
    (home / "tmp").mkdir()
    os.mkfifo(home / "ready")


def _order(revision: Revision, instance_id: str, qualifier: str, home: Path, port: int) -> dict[str, Any]:
    """Return the guardian's order to start the process. Raises OSError if there is no program to execute."""
    code = home / "code"
    env = startup.environment(
        revision, instance_id=instance_id, qualifier=qualifier, port=port, code=str(code), home=str(home),
        path=f"{Path(sys.executable).parent}:{os.environ.get('PATH', os.defpath)}", preload=str(PRELOAD),
        ready=str(home / "ready"),
    )
    argv = [startup.local(word, str(code)) for word in startup.words(revision.config.custom_runtime_config)]
    program = sys.executable if argv[0] in ("python", "python3") else argv[0]
    if "/" not in program:
        program = shutil.which(program, path=env["PATH"]) or ""
    path = code / program
    if not program or not path.exists():
        raise FileNotFoundError(errno.ENOENT, "no such file", argv[0])
    return {"path": str(path), "argv": argv, "env": env, "cwd": str(code)}


def _session(pid: int) -> int:
    try:
        return os.getsid(pid)
    except OSError:
        return 0
