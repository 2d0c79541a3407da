"""The platform's process: build store, journal, engine, gateway and management API, and run them.

`python -m fclocal.edge.server STATE OPTIONS [--keep]` prints "ready" when it serves, or "taken" when another
platform already uses the state directory. Everything runs on one event loop; blocking work runs in threads.
"""

import argparse
import asyncio
import contextlib
import errno
import fcntl
import gc
import json
import os
import resource
import signal
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, TextIO

import uvicorn
import uvloop

from fclocal.core.clock import SystemClock, Timer
from fclocal.core.errors import FcError
from fclocal.core.options import Options, parse
from fclocal.edge.control import management_app
from fclocal.edge.gateway import Gateway
from fclocal.edge.local import Local
from fclocal.runtime.instances.launcher import Launcher
from fclocal.runtime.instances.redis_server import RedisServer
from fclocal.runtime.instances.starter import Starter
from fclocal.runtime.requests.engine import Engine
from fclocal.runtime.requests.injection import Injection
from fclocal.runtime.requests.invocation import invoke
from fclocal.runtime.state.certificates import Certificates
from fclocal.runtime.state.journal import Journal
from fclocal.runtime.state.registry import Registry
from fclocal.runtime.state.store import Store

VERSION = "0.1.0"
OWNERLESS = 5.0  # seconds that a platform without --keep runs on without an attached client
LOCK_ATTEMPTS = 20  # 10 ms apart
CONTROL_PORT = 9400  # the first port that the management API tries


class Server:
    """One platform over one state directory."""

    def __init__(self, state: Path, options: Options, *, keep: bool) -> None:
        self.state = state
        self.keep = keep
        self.options = options
        self.clock = SystemClock()
        self.closing = asyncio.Event()
        self._owners = 0
        self._ownerless: Timer | None = None

    async def run(self, ready: Callable[[], None]) -> None:
        """Serve until a signal or a call of `stop`; `ready` is called once every part answers."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.closing.set)
        async with contextlib.AsyncExitStack() as stack:
            self.journal = Journal(self.state / "journal.sqlite", self.clock)
            stack.callback(self.journal.close)
            self.store = Store(self.state / "state.sqlite")
            stack.callback(self.store.close)
            launcher = Launcher(self.state, self.clock, start_limit=self.options.start_limit, adopts=True)
            stack.push_async_callback(launcher.close)
            await launcher.open()
            self.redis = redis = RedisServer(self.state)
            stack.push_async_callback(redis.stop)
            starter = Starter(launcher, redis, self.journal, self.clock, self.store.code_path)
            self.engine = Engine(
                catalogue=self.store,
                journal=self.journal,
                starter=starter,
                injection=Injection(self.journal, self.clock, redis),
                clock=self.clock,
                options=self.options,
            )
            gateway = Gateway(self.engine, Certificates(self.state / "ca", self.store.domains))
            stack.push_async_callback(gateway.close)
            stack.push_async_callback(self.engine.close)
            self.registry = Registry(self.store, self.journal, self.clock, gateway)
            self.registry.watch(self.engine.changed)
            await self.registry.restore()
            for name in list(self.store.functions):
                self.engine.changed(name)
            with _listen(self.store.control_port or CONTROL_PORT) as listener:
                port = listener.getsockname()[1]
                self.store.control_port = port
                self.endpoint = f"127.0.0.1:{port}"
                api = _Api(self._app(), listener)
                await api.start()
                stack.push_async_callback(api.stop)
                self.started = self.journal.append("platform.started", version=VERSION, pid=os.getpid()).seq
                self._publish()
                stack.callback((self.state / "platform.json").unlink, missing_ok=True)
                self.attached(0)
                _collect_garbage_less_often()
                ready()
                await self.closing.wait()
                self.journal.append("platform.stopped")

    def _app(self) -> Any:
        local = Local(
            engine=self.engine,
            journal=self.journal,
            redis=self.redis,
            status=self.status,
            stop=self.closing.set,
            keep=self.stay,
            attached=self.attached,
            closing=self.closing,
        )
        return management_app(
            self.registry,
            self.engine,
            invoke=partial(invoke, self.engine),
            local=local.routes(),
            clock=self.clock,
            store=self.store,
        )

    def _publish(self) -> None:
        about = {
            "pid": os.getpid(),
            "endpoint": self.endpoint,
            "version": VERSION,
        }
        draft = self.state / "platform.json.new"
        draft.write_text(json.dumps(about))
        draft.chmod(0o600)
        draft.replace(self.state / "platform.json")

    def attached(self, change: int) -> None:
        """Count a client that attached (+1) or left (-1). Without --keep the platform ends after the last one."""
        self._owners += change
        if self._ownerless is not None:
            self._ownerless.cancel()
            self._ownerless = None
        if not self._owners and not self.keep:
            self._ownerless = self.clock.call_later(OWNERLESS, self.closing.set)

    def stay(self) -> None:
        """Run until `stop` is called, with or without attached clients."""
        self.keep = True
        self.attached(0)

    def status(self) -> dict[str, Any]:
        """Return what runs where, as /local/status answers it."""
        return {
            "version": VERSION,
            "pid": os.getpid(),
            "endpoint": self.endpoint,
            "state": str(self.state),
            "keep": self.keep,
            "journal": self.journal.last(),
            "started": self.started,
            "options": asdict(self.options),
            "functions": [
                {
                    "functionName": name,
                    "triggers": [{"triggerName": t.trigger_name, "url": t.url} for t in f.triggers.values()],
                    "generation": f.latest.generation,
                }
                for name, f in sorted(self.store.functions.items())
            ],
            "redis": self.redis.program,
            "customDomains": [
                {"domainName": d.domain_name, "url": d.url} for _, d in sorted(self.store.domains.items())
            ],
            "instances": [
                {
                    "instanceId": i.instance_id,
                    "function": i.name,
                    "version": i.revision.version_id or "LATEST",
                    "generation": i.revision.generation,
                    "state": str(i.state),
                    "load": i.load,
                    "pid": i.process.pid if i.process else None,
                }
                for i in self.engine.instances()
            ],
        }


class _Api:
    """The management API: uvicorn on a socket that is already bound, in the loop that already runs."""

    def __init__(self, app: Any, listener: socket.socket) -> None:
        config = uvicorn.Config(app, log_level="warning", lifespan="off", timeout_graceful_shutdown=1, ws="none")
        self._server = uvicorn.Server(config)
        self._listener = listener

    async def start(self) -> None:
        self._server.config.load()
        self._server.lifespan = self._server.config.lifespan_class(self._server.config)
        await self._server.startup(sockets=[self._listener])

    async def stop(self) -> None:
        await self._server.shutdown(sockets=[self._listener])


def _collect_garbage_less_often() -> None:
    """Leave modules out of garbage collection, and collect new objects in larger steps.

    A request makes hundreds of objects and no reference cycle; with Python's own thresholds a tenth of the CPU time of
    an open goes into looking for one.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


def _listen(preferred: int) -> socket.socket:
    """Return a listening socket on 127.0.0.1 at the first free port from `preferred` on."""
    for port in range(preferred, 65536):
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
            listener.listen(256)
            return listener
        except OSError:
            listener.close()
    raise FcError("PlatformStartFailed", reason=f"no free port from {preferred} on")


def _lock(state: Path) -> TextIO | None:
    """Take the state directory for this process and return the open lock; None if another platform has it.

    A client that asks whether a platform runs holds the lock for a moment, so one refusal proves nothing.
    """
    handle = (state / "lock").open("a")
    for _ in range(LOCK_ATTEMPTS):
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(0.01)
            continue
        handle.truncate(0)
        print(os.getpid(), file=handle, flush=True)
        (state / "platform.json").unlink(missing_ok=True)  # of a platform that was killed
        return handle
    handle.close()
    return None


def main() -> int:
    """Run a platform in the foreground."""
    parser = argparse.ArgumentParser(prog="fclocal.edge.server")
    parser.add_argument("state", type=Path)
    parser.add_argument("options", type=json.loads)
    parser.add_argument("--keep", action="store_true")
    arguments = parser.parse_args()
    try:
        options = parse(arguments.options)
    except FcError as error:
        print(error.message, file=sys.stderr)
        return 2
    try:
        return _run(arguments.state, options, keep=arguments.keep)
    except (FcError, OSError) as error:
        if isinstance(error, OSError) and error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES):
            raise
        # Over stdout, because on a full disk the log is empty.
        reason = error if isinstance(error, FcError) else FcError(
            "StateNotWritten", file=error.filename or arguments.state, reason=error.strerror)
        print(f"failed {reason}", flush=True)
        return 1


def raise_descriptor_limit() -> None:
    """Allow this process as many files and sockets as the system grants; a refusal changes nothing.

    macOS reports no hard limit, and refuses a soft limit above kern.maxfilesperproc. Its manual of setrlimit names
    OPEN_MAX, 10240, as the value to use.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = hard if hard != resource.RLIM_INFINITY else 65_536
    for limit in (most, min(most, 10_240)):
        if limit > soft:
            with contextlib.suppress(ValueError, OSError):
                resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
                return


def _run(state: Path, options: Options, *, keep: bool) -> int:
    state.mkdir(parents=True, exist_ok=True)
    state.chmod(0o700)
    lock = _lock(state)
    if lock is None:
        print("taken", flush=True)
        return 0
    raise_descriptor_limit()

    def ready() -> None:
        print("ready", flush=True)
        # The reader closes its end after this line; a later print must not kill the platform.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)

    with lock:
        uvloop.run(Server(state, options, keep=keep).run(ready))
    return 0


if __name__ == "__main__":
    sys.exit(main())
