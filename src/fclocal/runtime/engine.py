"""The only place that turns events into decisions and decisions into effects.

A request goes through it twice: `admit` says whether it may come in and to which revision, `lease` gives it a
place on an instance until `Lease.end`. Around that the engine keeps the time limits, watches memory, releases
idle instances, follows changes of functions, and carries out injected faults.
"""

import asyncio
import contextlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from fclocal.core import admission, identifiers
from fclocal.core.admission import Admission
from fclocal.core.clock import Clock
from fclocal.core.errors import FcError
from fclocal.core.model import CustomDomain, Function, Revision, snapshot
from fclocal.core.request import Entry, RequestHead
from fclocal.runtime import hooks
from fclocal.runtime.journal import Journal
from fclocal.runtime.pool import Census, Instance, Pool, Process


@dataclass(frozen=True, slots=True)
class Options:
    """What the platform lets a learner turn. Times in seconds."""

    freeze: bool = True
    idle_release: float = 60.0  # release of a request-spawned instance after its last request
    instance_quota: int = 100  # instances per region
    memory_sweep: float = 0.5
    propagation: float = 0.0  # until a new trigger answers ("about 10 seconds" on the service)


class Launcher(Protocol):
    """What the engine needs of runtime.process.Launcher."""

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
    ) -> Process: ...


class Catalogue(Protocol):
    """What the engine reads of runtime.store.Store."""

    @property
    def functions(self) -> Mapping[str, Function]: ...
    @property
    def domains(self) -> Mapping[str, CustomDomain]: ...
    @property
    def access_key_id(self) -> str: ...
    @property
    def access_key_secret(self) -> str: ...
    def code_path(self, checksum: str) -> Path: ...


class Lease:
    """A place on an instance, from the moment it is given until `end`."""

    __slots__ = ("_engine", "_instance", "_pool", "_timer", "admission", "began", "on_abort", "request_id")

    host = "127.0.0.1"

    def __init__(
        self, engine: "Engine", pool: Pool, instance: Instance, admitted: Admission, on_abort: Callable[[str], None]
    ) -> None:
        self._engine = engine
        self._pool = pool
        self._instance = instance
        self.admission = admitted
        self.request_id = admitted.request_id
        self.on_abort = on_abort
        self.began = engine.clock.now()
        self._timer = asyncio.get_running_loop().call_later(admitted.timeout, self.abort, "timeout")
        instance.aborts.add(self.abort)

    @property
    def instance_id(self) -> str:
        return self._instance.instance_id

    @property
    def port(self) -> int:
        process = self._instance.process
        if process is None:
            raise RuntimeError("a lease is given on running instances only")
        return process.port

    @property
    def deadline(self) -> float:
        """When the execution timeout cuts the request, in seconds of the platform's clock."""
        return self.began + self.admission.timeout

    def abort(self, why: str) -> None:
        """Cut the request: the gateway aborts both sides, without a Close frame, and ends the lease.

        The instance is left alone until then, so that it cannot say its own goodbye first.
        """
        self.on_abort(why)

    def end(self, *, status: int, close_code: int | None, why: str, bytes_in: int, bytes_out: int) -> None:
        """The request is over. May be called more than once; the first call counts."""
        if self.abort not in self._instance.aborts:
            return
        self._instance.aborts.discard(self.abort)
        self._timer.cancel()
        self._engine.ended(self, status, close_code, why, bytes_in, bytes_out)
        self._pool.release(self._instance)


class Engine:
    """Instances and requests of one platform. Call from one event loop only."""

    def __init__(
        self, *, catalogue: Catalogue, journal: Journal, launcher: Launcher, clock: Clock, options: Options
    ) -> None:
        self.catalogue = catalogue
        self.journal = journal
        self.clock = clock
        self.options = options
        self._launcher = launcher
        self._pools: dict[tuple[str, str, int], Pool] = {}
        self._sweeper: asyncio.TimerHandle | None = None
        self._closing = False

    # Requests

    def admit(
        self, entry: Entry, head: RequestHead, *, body: bytes = b"", request_id: str, draw: float
    ) -> Admission:
        """Who may come in, and to which revision. Raises FcError; writes nothing. See core.admission."""
        return admission.admit(
            entry,
            head,
            functions=self.catalogue.functions,
            domains=self.catalogue.domains,
            keys={self.catalogue.access_key_id: self.catalogue.access_key_secret},
            now=self.clock.now(),
            wall=self.clock.wall(),
            propagation=self.options.propagation,
            body=body,
            request_id=request_id,
            draw=draw,
        )

    def needs_body(self, entry: Entry, head: RequestHead) -> bool:
        """Whether `admit` must be given the request's body (a token in a form)."""
        return admission.needs_body(entry, head, self.catalogue.functions, self.catalogue.domains)

    def reject(self, entry: Entry, head: RequestHead, error: FcError, *, request_id: str) -> None:
        """Write down a request that did not reach a function. Not billed."""
        self.journal.append(
            "request.rejected",
            function=admission.function_of(entry, head, self.catalogue.domains),
            request=request_id,
            method=head.method,
            path=head.path,
            trigger=entry.name,
            status=error.status,
            code=error.code,
            message=error.message,
        )

    async def lease(
        self, admitted: Admission, *, protocol: str, client: str, on_abort: Callable[[str], None]
    ) -> Lease:
        """A place on an instance; may wait for a cold start. Raises FcError 412, 429 or 503."""
        if self._closing:
            raise FcError("ResourceThrottled", reason="the platform is shutting down")
        asked = self.clock.now()
        pool = self._pool(admitted.revision)
        instance, cold = await pool.seat()
        lease = Lease(self, pool, instance, admitted, on_abort)
        name, instance_id, request_id = instance.name, instance.instance_id, admitted.request_id
        self.journal.append(
            "request.begin",
            function=name,
            instance=instance_id,
            request=request_id,
            protocol=protocol,
            method=admitted.head.method,
            path=admitted.head.path,
            trigger=admitted.entry.name,
            qualifier=admitted.qualifier,
            version=admitted.revision.version_id,
            client=client,
            cold=cold,
            waited=round(lease.began - asked, 6),
        )
        self._platform_log(name, instance_id, request_id, f"FC Invoke Start RequestId: {request_id}")
        return lease

    def ended(
        self, lease: Lease, status: int, close_code: int | None, why: str, bytes_in: int, bytes_out: int
    ) -> None:
        """Write down the end of a lease (called by it)."""
        name, instance_id = lease.admission.revision.config.function_name, lease.instance_id
        milliseconds = (self.clock.now() - lease.began) * 1000
        text = f"FC Invoke End RequestId: {lease.request_id}"
        if reason := _END_TEXTS.get(why):
            text += f", Error: {reason.format(timeout=lease.admission.timeout)} (duration: {milliseconds:.0f}ms)"
        self._platform_log(name, instance_id, lease.request_id, text)
        self.journal.append(
            "request.end",
            function=name,
            instance=instance_id,
            request=lease.request_id,
            status=status,
            closeCode=close_code,
            why=why,
            bytesIn=bytes_in,
            bytesOut=bytes_out,
        )

    def abort(self, function: str, why: str) -> int:
        """Cut every request of a function; how many there were."""
        aborts = [abort for instance in self.instances(function) for abort in tuple(instance.aborts)]
        for abort in aborts:
            abort(why)
        return len(aborts)

    # Instances

    def instances(self, function: str | None = None) -> list[Instance]:
        """The instances that exist, oldest first; of one function, or all."""
        found = (i for pool in self._pools.values() for i in pool.instances.values())
        return sorted((i for i in found if function in (None, i.name)), key=lambda i: i.created)

    def kill(self, instance: Instance, why: str) -> None:
        """Kill an instance as a crash would (`why`: memory or fault); its clients see 1006."""
        if instance.process is not None:
            instance.process.kill()
            self._pools[instance.revision.key].exited(instance, 137, why)

    def changed(self, name: str) -> None:
        """A function was created, changed or deleted: bring its instances in line. Watches the registry."""
        function = self.catalogue.functions.get(name)
        reachable = {} if function is None else {r.key: r for r in (function.latest, *function.versions.values())}
        keep: dict[tuple[str, str, int], int] = {}
        if function is not None and function.disabled is None:
            for qualifier, count in function.min_instances.items():
                if (revision := snapshot(function, qualifier, 1.0)) is not None and count:
                    keep[revision.key] = keep.get(revision.key, 0) + count
        for key, pool in list(self._pools.items()):
            if key[0] == name and key not in reachable:
                pool.retire()
                if function is None:
                    for instance in list(pool.instances.values()):
                        pool.stop(instance, "deleted")
        for key, revision in reachable.items():
            if key in keep or key in self._pools:
                pool = self._pool(revision)
                pool.keep = keep.get(key, 0)
                pool.reclaim(self.options.idle_release)
        self._drop_empty()

    async def close(self) -> None:
        """Stop everything; no process survives."""
        self._closing = True
        if self._sweeper is not None:
            self._sweeper.cancel()
        await asyncio.gather(*(pool.close() for pool in self._pools.values()))

    def _pool(self, revision: Revision) -> Pool:
        if (pool := self._pools.get(revision.key)) is None:
            name = revision.config.function_name
            pool = self._pools[revision.key] = Pool(
                revision,
                journal=self.journal,
                clock=self.clock,
                launch=self._launch,
                census=lambda: self._census(name),
                new_id=lambda: identifiers.instance_id(self.clock.now(), os.urandom(12)),
                freezes=self.options.freeze,
                before_stop=self._pre_stop,
            )
            if self._sweeper is None:
                self._sweeper = asyncio.get_running_loop().call_later(self.options.memory_sweep, self._sweep)
        return pool

    def _census(self, name: str) -> Census:
        function = self.catalogue.functions.get(name)
        return Census(
            of_function=len(self.instances(name)),
            of_region=len(self.instances()),
            reserved=None if function is None else function.reserved_concurrency,
            quota=self.options.instance_quota,
        )

    async def _launch(self, instance: Instance) -> Process:
        revision, name, instance_id = instance.revision, instance.name, instance.instance_id

        def on_line(stream: str, text: str) -> None:
            self.journal.append("log", function=name, instance=instance_id, stream=stream, text=text)

        def on_dropped(lines: int) -> None:
            self.journal.append("log.dropped", function=name, instance=instance_id, lines=lines)

        def on_exit(code: int) -> None:
            if (pool := self._pools.get(revision.key)) is not None:
                pool.exited(instance, code)

        process = await self._launcher.start(
            instance_id=instance_id,
            revision=revision,
            code_zip=self.catalogue.code_path(revision.code.checksum),
            qualifier=revision.version_id or "LATEST",
            on_line=on_line,
            on_dropped=on_dropped,
            on_exit=on_exit,
        )
        if (hook := revision.config.instance_lifecycle_config.initializer) is not None:
            try:
                await self._hook("Initialize", hooks.INITIALIZE, instance, process, hook.timeout)
            except BaseException:
                process.kill()
                raise
        return process

    async def _pre_stop(self, instance: Instance) -> None:
        hook = instance.revision.config.instance_lifecycle_config.pre_stop
        if hook is not None and instance.process is not None:
            await self._hook("PreStop", hooks.PRE_STOP, instance, instance.process, hook.timeout)

    async def _hook(self, title: str, call: hooks.Call, instance: Instance, process: Process, timeout: float) -> None:
        request_id = identifiers.hook_id(os.urandom(16))
        name, instance_id = instance.name, instance.instance_id
        self._platform_log(name, instance_id, request_id, f"FC {title} Start RequestId: {request_id}")
        error = ""
        try:
            await hooks.call(call, process.port, instance.revision, request_id=request_id, timeout=timeout)
        except FcError as failure:
            error = f", Error: {failure.message}"
            raise
        finally:
            self._platform_log(name, instance_id, request_id, f"FC {title} End RequestId: {request_id}{error}")

    # Time

    def _sweep(self) -> None:
        """Now and then: memory limits, idle instances, minimum instances, pools that are empty."""
        for instance in self.instances():
            if instance.process is not None and instance.load:
                limit = instance.revision.config.memory_size * 1024 * 1024
                with contextlib.suppress(ProcessLookupError):
                    if instance.process.memory() > limit:
                        self._platform_log(
                            instance.name,
                            instance.instance_id,
                            "",
                            f"Function instance used more than its {limit >> 20} MB and was killed (exit code 137)",
                        )
                        self.kill(instance, "memory")
        for pool in list(self._pools.values()):
            pool.reclaim(self.options.idle_release)
        self._drop_empty()
        self._sweeper = None
        if self._pools and not self._closing:
            self._sweeper = asyncio.get_running_loop().call_later(self.options.memory_sweep, self._sweep)

    def _drop_empty(self) -> None:
        for key, pool in list(self._pools.items()):
            if pool.retired and not pool.instances:
                del self._pools[key]

    def _platform_log(self, name: str, instance_id: str, request_id: str, text: str) -> None:
        data: dict[str, Any] = {"stream": "platform", "text": text}
        self.journal.append("log", function=name, instance=instance_id, request=request_id, **data)


# What the documented line "FC Invoke End RequestId: ..., Error: ..." says, by the reason of the end.
_END_TEXTS = {
    "timeout": "Function time out after {timeout:g} seconds",
    "client": "Invocation canceled by client",
    "instance": "Process exited unexpectedly before completing request",
    "fault": "Connection cut by an injected fault",
    "function": "",
}
