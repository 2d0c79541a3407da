"""The only place that turns events into decisions and decisions into effects.

A request passes it three times: `receive` gives it an id and its times, `admit` accepts or rejects it, `lease` grants
it a place on an instance. The engine also watches memory, releases idle instances, follows changes of functions, and
carries out injected faults.
"""

import asyncio
import math
import os
import random
from collections.abc import Mapping
from typing import Any

from fclocal.core import admission, dispatch, ending, faults, identifiers, retention, startup
from fclocal.core.admission import Admission
from fclocal.core.clock import Clock, Timer
from fclocal.core.ending import Ending
from fclocal.core.errors import FcError
from fclocal.core.model import Revision, snapshot
from fclocal.core.options import Options
from fclocal.core.request import Entry, Headers, IncomingRequest, RequestHead, RequestProtocol
from fclocal.runtime.instances.instance import Holder, Instance, Lease
from fclocal.runtime.instances.pool import Pool
from fclocal.runtime.instances.process import Process
from fclocal.runtime.instances.starter import Starter, platform_log
from fclocal.runtime.requests.injection import Injection
from fclocal.runtime.requests.sessions import Sessions
from fclocal.runtime.requests.taps import FrameTap, Taps
from fclocal.runtime.state.journal import Journal
from fclocal.runtime.state.store import Store


class Engine:
    """Instances and requests of one platform. Call from one event loop only."""

    def __init__(
        self,
        *,
        catalogue: Store,
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
        self._keys = {catalogue.access_key_id: catalogue.access_key_secret}
        self.sessions = Sessions()
        self._pools: dict[tuple[str, str, int], Pool] = {}
        self._on_lease_end = self._ended  # one object for all leases, of which there may be thousands
        self._starts_left = float(options.scale_burst), clock.now()
        self._sweeper: Timer | None = None
        self._closing = False

    # Requests

    def receive(self, entry: Entry, head: RequestHead, protocol: RequestProtocol, client: str) -> IncomingRequest:
        """Give a request that has just arrived its id, its times and its canary roll."""
        wall = self.clock.wall()
        request_id = identifiers.request_id(wall, random.randbytes(10))  # not a secret: no system call
        return IncomingRequest(
            entry, head, protocol, client, request_id, at=self.clock.now(), wall=wall, canary_roll=random.random()
        )

    def admit(self, request: IncomingRequest) -> Admission:
        """Accept the request and choose its revision, or record the rejection and raise FcError."""
        catalogue, function = self.catalogue, request.entry.function
        try:
            trigger = admission.resolve(request, catalogue.functions, catalogue.domains, self.options.propagation)
            function = trigger.function
            self.taps.head(function, request)
            return admission.admit(request, trigger, catalogue.functions, self._keys)
        except FcError as error:
            self.reject(request, error, function)
            raise

    def reject(self, request: IncomingRequest, error: FcError, function: str) -> None:
        """Record a request that did not reach a function. `function`: "" if it is not known. Not billed."""
        self.journal.append(
            "request.rejected",
            function=function,
            request=request.request_id,
            method=request.head.method,
            path=request.head.path,
            trigger=request.entry.trigger,
            status=error.status,
            code=error.code,
            message=error.message,
        )

    async def lease(self, admitted: Admission, holder: Holder) -> Lease:
        """Grant a place on an instance, after a cold start if need be; or record the rejection and raise.

        Raises FcError 412, 429 or 503. The caller enters the lease at once, as a context manager.
        """
        request = admitted.request
        name = admitted.revision.config.function_name
        lease = Lease(admitted, holder, self.clock, self._on_lease_end)
        try:
            cold = await self._place(lease, admitted)
        except FcError as error:
            self.reject(request, error, name)
            raise
        except asyncio.CancelledError:
            self.reject(request, ending.error(Ending.CLIENT, lease.timeout), name)
            raise
        try:
            self._begin(lease, admitted, cold)
        except BaseException:
            lease.release(lease)
            raise
        return lease

    async def _place(self, lease: Lease, admitted: Admission) -> bool:
        """Have the lease's place granted by a pool, and return whether it waited for a cold start."""
        if self._closing:
            raise ending.error(Ending.SHUTDOWN, lease.timeout)
        config, request = admitted.revision.config, admitted.request
        for rule in self.injection.hit("request", config.function_name, request=request.request_id):
            if rule.what == "reject":
                raise rule.error()
            await self.clock.sleep(rule.delay)
        pool = self._pool(admitted.revision)
        if config.session_affinity == "NONE":
            return await pool.place(lease)
        elsewhere = (instance_id for key, other in self._pools.items()
                     if key[0] == config.function_name and other is not pool for instance_id in other.instances)
        choice = self.sessions.choose(admitted.head, config, pool.instances, elsewhere, request.at)
        lease.session_id = choice.session_id
        lease.response_headers = () if choice.header is None else (choice.header,)
        return await pool.place(lease, bound_to=choice.instance_id, avoid=self.sessions.full(config, request.at))

    def _begin(self, lease: Lease, admitted: Admission, cold: bool) -> None:
        """Start the limits of a request that has its place, and record it."""
        request, instance = admitted.request, lease.instance
        lease.begin()
        if lease.session_id is not None:
            config = admitted.revision.config
            self.sessions.bind(config, lease.session_id, instance.instance_id, lease.began, admitted.qualifier)
        self.journal.append(
            "request.begin",
            function=instance.name,
            instance=instance.instance_id,
            request=request.request_id,
            protocol=request.protocol,
            method=admitted.head.method,
            path=admitted.head.path,
            trigger=request.entry.trigger,
            qualifier=admitted.qualifier,
            version=admitted.revision.version_id,
            concurrency=instance.revision.config.concurrency,
            client=request.client,
            cold=cold,
            waited=round(lease.began - request.at, 6),
        )
        self._inject(lease)

    def _ended(
        self, lease: Lease, why: Ending, status: int, close_code: int | None, bytes_in: int, bytes_out: int
    ) -> None:
        """Give back the place of a lease that has ended, and record the end."""
        instance, now = lease.instance, self.clock.now()
        if lease.session_id is not None:
            self.sessions.release(instance.name, lease.session_id, now)
        if error := ending.log_text(why, lease.timeout):
            error += f" (duration: {(now - lease.began) * 1000:.0f}ms)"
        self.journal.append(
            "request.end",
            function=instance.name,
            instance=instance.instance_id,
            request=lease.request_id,
            status=status,
            closeCode=close_code,
            why=str(why),
            error=error,
            bytesIn=bytes_in,
            bytesOut=bytes_out,
        )
        config = instance.revision.config
        if retention.is_replaced(config, why, status, websocket_cancel=self.options.websocket_cancel):
            self._pool(instance.revision).replace(instance)  # before its place is given to a request that waits
        lease.release(lease)

    def reused_in_vain(self, lease: Lease) -> None:
        """Write into the function's log that it had closed an idle connection which a request then met."""
        platform_log(self.journal, lease.instance, lease.request_id, startup.CLOSED_IDLE)

    def tap(self, lease: Lease, headers: Headers) -> FrameTap | None:
        """Return a recorder of a WebSocket's frames, or None if no tap is on. `headers`: those of its 101."""
        return self.taps.open(lease.instance.name, lease.instance.instance_id, lease.request_id, headers)

    # Faults

    async def arm(self, what: str, settings: Mapping[str, Any]) -> faults.FaultRule:
        """Arm a fault, for requests that are open already too. Raises FcError InvalidArgument."""

        def open_requests() -> None:
            for instance in self.instances():
                for lease in tuple(instance.leases):
                    self._inject(lease)

        return await self.injection.arm(what, settings, open_requests)

    def _inject(self, lease: Lease) -> None:
        """Carry out the armed faults that hit a request on its instance."""
        instance = lease.instance
        for rule in self.injection.hit(
            "connected", instance.name, instance=instance.instance_id, request=lease.request_id
        ):
            if rule.what == "kill":
                lease.call_later(rule.after, self.kill, instance, "fault")
            elif rule.what == "cut":
                lease.call_later(rule.after, lease.abort, Ending.FAULT)
            else:
                lease.call_later(rule.after, lease.silence)

    def abort(self, function: str, why: Ending) -> None:
        """End every request of a function."""
        for instance in self.instances(function):
            instance.abort(why)

    # Instances

    def instances(self, function: str | None = None) -> list[Instance]:
        """Return the instances that exist, oldest first; of one function, or all."""
        existing = (i for pool in self._pools.values() for i in pool.instances.values())
        return sorted((i for i in existing if function in (None, i.name)), key=lambda i: i.created)

    def kill(self, instance: Instance, why: str) -> None:
        """Kill an instance as a crash would (`why`: memory or fault); its clients see 1006."""
        if instance.process is not None:
            instance.process.kill()
            instance.on_exit(instance, 137, why)

    def changed(self, name: str) -> None:
        """Adjust the instances of a function that was created, changed or deleted. Called by the registry."""
        function = self.catalogue.functions.get(name)
        if function is None:
            self.sessions.forget(name)
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
                pool.reclaim()
                if function is not None and function.disabled is not None:
                    pool.stop_resting("disabled")
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
                options=self.options,
                sessions_until=lambda instance_id: self.sessions.until(name, instance_id),
                before_stop=self._starter.before_stop,
            )
            if self._sweeper is None:
                self._sweeper = self.clock.call_later(self.options.memory_sweep, self._sweep)
        return pool

    def _census(self, name: str) -> dispatch.Census:
        function = self.catalogue.functions.get(name)
        return dispatch.Census(
            of_function=sum(len(pool.instances) for key, pool in self._pools.items() if key[0] == name),
            of_region=sum(len(pool.instances) for pool in self._pools.values()),
            reserved=None if function is None else function.reserved_concurrency,
            quota=self.options.instance_quota,
            startable=self._startable(self.clock.now()),
        )

    def _startable(self, now: float) -> float:
        left, since = self._starts_left
        options = self.options
        return dispatch.startable(left, now - since, burst=options.scale_burst, per_minute=options.scale_per_minute)

    def _new_instance(self) -> str:
        """Return the id of an instance that starts now; it counts against the scale-out speed."""
        now = self.clock.now()
        self._starts_left = self._startable(now) - 1, now
        return identifiers.instance_id(now, os.urandom(12))

    async def _start(self, instance: Instance) -> Process:
        for rule in self.injection.hit("start", instance.name, instance=instance.instance_id):
            await self.clock.sleep(rule.delay)
        return await self._starter.start(instance, lambda code: instance.on_exit(instance, code, "exit"))

    # Time

    def _sweep(self) -> None:
        """Check memory limits, idle instances, minimum instances and empty pools, every `memory_sweep` seconds."""
        for instance in self.instances():
            if instance.process is not None and instance.load:
                limit = instance.revision.config.memory_size
                if instance.process.memory() > limit << 20:
                    text = f"Function instance used more than its {limit} MB and was killed (exit code 137)"
                    platform_log(self.journal, instance, "", text)
                    self.kill(instance, "memory")
        for pool in list(self._pools.values()):
            pool.reclaim()
        self._drop_empty()
        self._sweeper = None
        if self._pools and not self._closing:
            self._sweeper = self.clock.call_later(self.options.memory_sweep, self._sweep)

    def _drop_empty(self) -> None:
        for key, pool in list(self._pools.items()):
            if pool.retired and not pool.instances:
                del self._pools[key]

