"""An engine with a fake clock, processes that are only noted, and a journal in memory."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from fake_clock import FakeClock

from fclocal.core import records
from fclocal.core.ending import Ending
from fclocal.core.errors import FcError
from fclocal.core.headers import Headers
from fclocal.core.model import Code, Function, FunctionConfig, HttpTriggerConfig, Revision, Trigger
from fclocal.core.options import Options
from fclocal.core.request import Entry, RequestHead
from fclocal.runtime.instances.instance import Instance, Lease
from fclocal.runtime.requests.engine import Engine
from fclocal.runtime.requests.injection import Injection

ENTRY = Entry("trigger", "echo", "http")


class Journal:
    """Keeps the records; refuses those that the real journal refuses."""

    def __init__(self) -> None:
        self.records: list[tuple[str, Mapping[str, Any]]] = []

    def append(self, kind: str, *, function: str = "", instance: str = "", request: str = "", **data: Any) -> None:
        records.check(kind, data)
        self.records.append((kind, {"function": function, "instance": instance, "request": request, **data}))

    def of(self, kind: str) -> list[Mapping[str, Any]]:
        return [data for known, data in self.records if known == kind]


class Process:
    """A fake process that records what is done to it."""

    def __init__(self, pid: int, on_exit: Callable[[int], None]) -> None:
        self.pid, self.port, self.on_exit, self.running, self.done = pid, 40_000 + pid, on_exit, True, list[str]()
        self.used = 0.0  # CPU seconds

    def freeze(self) -> None:
        self.done.append("freeze")

    def thaw(self) -> None:
        self.done.append("thaw")

    def memory(self) -> int:
        return 0

    def cpu_seconds(self) -> float:
        return self.used

    def kill(self) -> None:
        self.exit(137)

    def exit(self, code: int) -> None:
        if self.running:
            self.running = False
            self.on_exit(code)

    async def stop(self, grace: float) -> int:
        self.exit(0)
        return 0


class Starter:
    """Starts processes when `gate` is open; `failure` makes starts fail."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.gate.set()
        self.failure: FcError | None = None
        self.processes: list[Process] = []

    async def start(self, instance: Instance, on_exit: Callable[[int], None]) -> Process:
        await self.gate.wait()
        if self.failure is not None:
            raise self.failure
        self.processes.append(Process(len(self.processes) + 1, on_exit))
        return self.processes[-1]

    async def before_stop(self, instance: Instance) -> None:
        pass


class Catalogue:
    """One function with one anonymous trigger."""

    access_key_id, access_key_secret = "id", "secret"

    def __init__(self, **config: Any) -> None:
        self.domains: dict[str, Any] = {}
        self.functions = {"echo": _function(1, config)}

    def update(self, **config: Any) -> None:
        """Replace LATEST, as UpdateFunction does."""
        self.functions["echo"] = _function(self.functions["echo"].latest.generation + 1, config)

    def publish(self, **config: Any) -> None:
        """Publish LATEST as version 1 and give LATEST the configuration `config`."""
        old = self.functions["echo"]
        version = old.latest.model_copy(update={"version_id": "1"})
        self.functions["echo"] = _function(old.latest.generation + 1, config).model_copy(
            update={"versions": {"1": version}})


def _function(generation: int, config: Mapping[str, Any]) -> Function:
    function = FunctionConfig(function_name="echo", runtime="custom.debian12", **{"timeout": 60, **config})
    trigger = Trigger(
        trigger_name="http",
        trigger_id="t",
        config=HttpTriggerConfig(auth_type="anonymous", methods=("GET", "POST")),
        port=1,
        created=0.0,
        modified=0.0,
    )
    latest = Revision(generation=generation, config=function, code=Code(checksum="0" * 64, size=1), created=0.0)
    return Function(function_id="f", latest=latest, created=0.0, modified=0.0, triggers={"http": trigger})


class Client:
    """One request and the task that carries it out, as an HTTP exchange does; or, once `switched`, a WebSocket."""

    def __init__(self, bench: "Bench", headers: Headers = (), entry: Entry = ENTRY) -> None:
        self._bench = bench
        self._head = RequestHead("GET", "/", headers)
        self._entry = entry
        self.ending: Ending | None = None
        self.lease: Lease | None = None
        self.error: FcError | None = None
        self.finished = asyncio.Event()
        self.switched = False
        self.task = asyncio.create_task(self._run())

    def abort(self, ending: Ending) -> None:
        self.ending = ending
        if self.switched and self.lease is not None:
            self.lease.end(ending, status=101)
        else:
            self.task.cancel()

    def silence(self) -> None:
        pass

    def switch(self) -> None:
        """Hand the lease over, as the answer 101 does; the task ends."""
        if self.lease is not None and not self.task.done():
            self.switched = True
            self.finished.set()

    def close(self) -> None:
        """The client's end of the request: an answer that is complete, or a WebSocket's Close."""
        self.finished.set()
        if self.switched and self.lease is not None:
            self.lease.end(Ending.DONE, status=101, close_code=1000)

    async def _run(self) -> None:
        engine = self._bench.engine
        try:
            admission = engine.admit(engine.receive(self._entry, self._head, "http", "127.0.0.1"))
            with await engine.lease(admission, self) as self.lease:
                await self.finished.wait()
                if self.switched:
                    self.lease.hand_over(self)
                else:
                    self.lease.end(Ending.DONE, status=200)
        except FcError as error:
            self.error = error


class Bench:
    """An engine, its clock, its journal and its starter."""

    def __init__(self, *, options: Options | None = None, **config: Any) -> None:
        self.clock = FakeClock()
        self.journal = Journal()
        self.starter = Starter()
        self.catalogue = Catalogue(**config)
        parts: Any = {"catalogue": self.catalogue, "journal": self.journal, "starter": self.starter}
        injection: Any = Injection(self.journal, self.clock, None)  # type: ignore[arg-type]
        self.engine = Engine(**parts, injection=injection, clock=self.clock, options=options or Options())

    async def open(self, headers: Headers = (), entry: Entry = ENTRY) -> Client:
        """A client whose request has its place or has been rejected."""
        client = Client(self, headers, entry)
        await self.settle()
        return client

    async def settle(self) -> None:
        """Let every task run as far as it can."""
        for _ in range(12):
            await asyncio.sleep(0)

    async def advance(self, seconds: float) -> None:
        self.clock.advance(seconds)
        await self.settle()
