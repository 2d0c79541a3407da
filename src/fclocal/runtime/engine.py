"""The only place that turns events into decisions and decisions into effects.

A request goes through it twice: `admit` says whether it may come in and to which revision, `lease` gives it a
place on an instance until `Lease.end`. Around that the engine keeps the time limits, watches memory, releases
idle instances, follows changes of functions, and carries out injected faults.
"""

import asyncio
import math
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from fclocal.core import admission, dispatch, faults, identifiers
from fclocal.core.admission import Admission
from fclocal.core.clock import Clock
from fclocal.core.errors import FcError
from fclocal.core.model import CustomDomain, Function, Revision, snapshot
from fclocal.core.options import Options
from fclocal.core.request import Entry, RequestHead
from fclocal.runtime.injection import Injection
from fclocal.runtime.journal import Journal
from fclocal.runtime.lease import Lease
from fclocal.runtime.pool import Census, Instance, Pool, Process
from fclocal.runtime.sessions import Sessions
from fclocal.runtime.starter import Starter, platform_log
from fclocal.runtime.taps import Taps

# Seconds from an instance's last request to its freeze: a program that has just closed a connection still writes the
# traceback or the log line that belongs to it. How long the service waits is not documented.
LINGER = 0.05


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


class Engine:
    """Instances and requests of one platform. Call from one event loop only."""

    def __init__(
        self,
        *,
        catalogue: Catalogue,
        journal: Journal,
        starter: Starter,
        injection: Injection,
        clock: Clock,
        options: Options,
    ) -> None:
        self.catalogue = catalogue
        self.journal = journal
        self.injection = injection
        self.taps = Taps(journal)
        self.clock = clock
        self.options = options
        self._starter = starter
        self._sessions = Sessions()
        self._leases: dict[str, Lease] = {}
        self._pools: dict[tuple[str, str, int], Pool] = {}
        self._starts_left = float(options.scale_burst), clock.now()
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
        self,
        admitted: Admission,
        *,
        protocol: str,
        client: str,
        on_abort: Callable[[str], None],
        on_silence: Callable[[], None],
    ) -> Lease:
        """A place on an instance; may wait for a cold start. Raises FcError 412, 429 or 503.

        `on_abort(why)` is called when the request must be cut, `on_silence()` when nothing may be carried any more
        while the connections stay open (an injected fault).
        """
        if self._closing:
            raise FcError("ResourceThrottled", reason="the platform is shutting down")
        asked = self.clock.now()
        config, request_id = admitted.revision.config, admitted.request_id
        name = config.function_name
        for rule in self.injection.hit("request", name, request=request_id):
            if rule.what == "reject":
                raise rule.error()
            await asyncio.sleep(rule.delay)
        pool = self._pool(admitted.revision)
        choice = self._sessions.choose(admitted.head, config, pool.instances, asked)
        if choice is None:
            instance, cold = await pool.seat()
        else:
            instance, cold = await pool.seat(choice.instance_id, self._sessions.full(config, asked))
            self._sessions.bind(config, choice.session_id, instance.instance_id, self.clock.now())
        lease = Lease(self, pool, instance, admitted, choice, on_abort, on_silence)
        self._leases[request_id] = lease
        self.journal.append(
            "request.begin",
            function=name,
            instance=instance.instance_id,
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
        platform_log(self.journal, instance, request_id, f"FC Invoke Start RequestId: {request_id}")
        self._connected(lease)
        return lease

    def ended(
        self, lease: Lease, status: int, close_code: int | None, why: str, bytes_in: int, bytes_out: int
    ) -> None:
        """Write down the end of a lease and give its place back (called by it)."""
        del self._leases[lease.request_id]
        instance, now = lease.instance, self.clock.now()
        if lease.session_id is not None:
            self._sessions.release(lease.revision.config, lease.session_id, now)
        text = f"FC Invoke End RequestId: {lease.request_id}"
        if why in _END_TEXTS:
            reason = _END_TEXTS[why].format(timeout=lease.timeout)
            text += f", Error: {reason} (duration: {(now - lease.began) * 1000:.0f}ms)"
        platform_log(self.journal, instance, lease.request_id, text)
        self.journal.append(
            "request.end",
            function=instance.name,
            instance=instance.instance_id,
            request=lease.request_id,
            status=status,
            closeCode=close_code,
            why=why,
            bytesIn=bytes_in,
            bytesOut=bytes_out,
        )
        lease.pool.release(instance)

    # Faults

    async def arm(self, what: str, given: Mapping[str, Any]) -> faults.FaultRule:
        """Arm a fault; it meets the requests that run already, too. Raises FcError InvalidArgument."""

        def running() -> None:
            for lease in list(self._leases.values()):
                self._connected(lease)

        return await self.injection.arm(what, given, running)

    def _connected(self, lease: Lease) -> None:
        name, instance = lease.instance.name, lease.instance
        for rule in self.injection.hit(
            "connected", name, instance=instance.instance_id, request=lease.request_id
        ):
            if rule.what == "kill":
                lease.later(rule.after, lambda: self.kill(instance, "fault"))
            elif rule.what == "cut":
                lease.later(rule.after, lambda: lease.abort("fault"))
            else:
                lease.later(rule.after, lease.on_silence)

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
                if (revision := snapshot(function, qualifier, math.inf)) is not None and count:
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
        self.injection.close()
        await asyncio.gather(*(pool.close() for pool in self._pools.values()))

    def _pool(self, revision: Revision) -> Pool:
        if (pool := self._pools.get(revision.key)) is None:
            name = revision.config.function_name
            pool = self._pools[revision.key] = Pool(
                revision,
                journal=self.journal,
                clock=self.clock,
                launch=self._start,
                census=lambda: self._census(name),
                new_id=self._new_instance,
                freeze_after=LINGER if self.options.freeze else None,
                before_stop=self._starter.before_stop,
            )
            if self._sweeper is None:
                self._sweeper = asyncio.get_running_loop().call_later(self.options.memory_sweep, self._sweep)
        return pool

    def _census(self, name: str) -> Census:
        function = self.catalogue.functions.get(name)
        return Census(
            of_function=sum(len(pool.instances) for key, pool in self._pools.items() if key[0] == name),
            of_region=sum(len(pool.instances) for pool in self._pools.values()),
            reserved=None if function is None else function.reserved_concurrency,
            quota=self.options.instance_quota,
            startable=int(self._startable(self.clock.now())),
        )

    def _startable(self, now: float) -> float:
        left, since = self._starts_left
        options = self.options
        return dispatch.startable(left, now - since, burst=options.scale_burst, per_minute=options.scale_per_minute)

    def _new_instance(self) -> str:
        """The id of an instance that starts now; it counts against the scale-out speed."""
        now = self.clock.now()
        self._starts_left = self._startable(now) - 1, now
        return identifiers.instance_id(now, os.urandom(12))

    async def _start(self, instance: Instance) -> Process:
        key = instance.revision.key
        for rule in self.injection.hit("start", instance.name, instance=instance.instance_id):
            await asyncio.sleep(rule.delay)

        def on_exit(code: int) -> None:
            if (pool := self._pools.get(key)) is not None:
                pool.exited(instance, code)

        return await self._starter.start(instance, on_exit)

    # Time

    def _sweep(self) -> None:
        """Now and then: memory limits, idle instances, minimum instances, pools that are empty."""
        for instance in self.instances():
            if instance.process is not None and instance.load:
                limit = instance.revision.config.memory_size
                if instance.process.memory() > limit << 20:
                    text = f"Function instance used more than its {limit} MB and was killed (exit code 137)"
                    platform_log(self.journal, instance, "", text)
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


# What the documented line "FC Invoke End RequestId: ..., Error: ..." says, by the reason of the end.
_END_TEXTS = {
    "timeout": "Function time out after {timeout:g} seconds",
    "client": "Invocation canceled by client",
    "instance": "Process exited unexpectedly before completing request",
    "fault": "Connection cut by an injected fault",
}
