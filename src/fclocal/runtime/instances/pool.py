"""The instances of one revision: places for requests, starts that are shared, freeze and release.

`core.dispatch` decides, this module acts. A request that waits for an instance has a future that the pool resolves when
there is capacity: waiting costs nothing, and a client that leaves removes its request from the queue.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from fclocal.core import dispatch, health, lifecycle, retention, startup
from fclocal.core.clock import Clock
from fclocal.core.ending import Ending
from fclocal.core.errors import FcError
from fclocal.core.health import Verdict
from fclocal.core.lifecycle import Effect, Event, State
from fclocal.core.model import HealthCheck, Revision
from fclocal.core.options import Options
from fclocal.core.retention import Rest
from fclocal.runtime.instances.instance import Instance, Lease
from fclocal.runtime.instances.process import Process
from fclocal.runtime.state.journal import Journal


class Pool:
    """Instances of one revision.

    `launch` starts the process of an instance and returns when it serves, initializer included; it raises FcError
    and leaves no process behind if it fails. `census` counts the instances of all pools. `sessions_until` returns the
    time until which sessions hold an instance, 0 if none does.
    """

    def __init__(
        self,
        revision: Revision,
        *,
        journal: Journal,
        clock: Clock,
        launch: Callable[[Instance], Awaitable[Process]],
        census: Callable[[], dispatch.Census],
        new_id: Callable[[], str],
        options: Options,
        sessions_until: Callable[[str], float],
        before_stop: Callable[[Instance], Awaitable[None]],
    ) -> None:
        self.revision = revision
        self.instances: dict[str, Instance] = {}
        self.keep = 0  # minimum instances
        self.retired = False  # replaced by a newer revision: drains and takes no new request
        self._journal = journal
        self._clock = clock
        self._launch = launch
        self._census = census
        self._new_id = new_id
        self._options = options
        self._sessions_until = sessions_until
        self._before_stop = before_stop
        self._release = self.release  # one object for all leases, of which there may be thousands
        self._waiting: dict[Lease, asyncio.Future[None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._failures = 0
        self._last_failure: tuple[float, FcError] | None = None

    # Requests

    async def place(
        self, lease: Lease, *, bound_to: str | None = None, avoid: frozenset[str] = frozenset()
    ) -> bool:
        """Grant `lease` a place on an instance, and return whether it waited for a cold start.

        `bound_to` is the instance of a session: it is used as long as it exists. `avoid` are instances that accept no
        further session. Raises FcError: ResourceExhausted (429), or what kept the instance from starting.
        """
        if bound_to in self.instances:
            bound = self.instances[bound_to]
            if bound.state in (State.ACTIVE, State.IDLE, State.FROZEN):
                if bound.load >= self.revision.config.concurrency:
                    raise FcError("ResourceExhausted", reason=f"instance {bound_to} of the session is full")
                self._grant(bound, lease)
                return False
        concurrency = self.revision.config.concurrency
        seats = [i.seat() for i in self.instances.values() if i.instance_id not in avoid]
        if (instance_id := dispatch.take(seats, concurrency)) is not None:
            self._grant(self.instances[instance_id], lease)
            return False
        match dispatch.extend(seats, self._census(), concurrency=concurrency, waiting=len(self._waiting)):
            case dispatch.Reject(reason):
                for instance in self.instances.values():
                    if instance.state is State.UNHEALTHY:
                        raise startup.unhealthy(self.revision.config.custom_runtime_config, instance.problem)
                raise FcError("ResourceExhausted", reason=reason)
            case dispatch.Start():
                self._refuse_in_backoff()
                self.start("request")
        granted = self._waiting[lease] = asyncio.get_running_loop().create_future()
        try:
            await granted
        except asyncio.CancelledError:
            if granted.done() and not granted.cancelled() and granted.exception() is None:
                self.release(lease)
            raise
        finally:
            self._waiting.pop(lease, None)
        return True

    def release(self, lease: Lease) -> None:
        """Give a place back; the last one freezes the instance."""
        instance = lease.instance
        instance.leases.remove(lease)
        if instance.state is State.UNHEALTHY and not instance.leases:
            self.stop(instance, "unhealthy")
        elif instance.state is State.ACTIVE:
            self._serve_waiting(instance)
            if not instance.leases:
                self._apply(instance, Event.DRAIN)
                self._rest(instance)

    def _grant(self, instance: Instance, lease: Lease) -> None:
        frozen = instance.state is State.FROZEN
        self._apply(instance, Event.LEASE)
        instance.leases.add(lease)
        lease.instance = instance
        lease.release = self._release
        if frozen:
            self._log(instance, "instance.thawed")

    def _serve_waiting(self, instance: Instance) -> None:
        while self._waiting and instance.load < self.revision.config.concurrency:
            lease = next(iter(self._waiting))
            granted = self._waiting.pop(lease)
            if not granted.done():
                self._grant(instance, lease)
                granted.set_result(None)

    def _rest(self, instance: Instance) -> None:
        """Let an instance without requests rest, or stop it if a newer revision has replaced it."""
        instance.idle_since = self._clock.now()
        if self.retired:
            self.stop(instance, "update")
            return
        self._keep(instance)
        if not self._options.freeze or instance.process is None:
            return
        if instance.rest is Rest.BY_CPU:
            instance.cpu_sample = (instance.idle_since, instance.process.cpu_seconds())
        elif instance.rest is Rest.HIBERNATING and self._options.freeze_after == 0:
            self._freeze(instance, instance.idle_since)
        elif instance.rest is Rest.HIBERNATING:
            self._clock.call_later(self._options.freeze_after, self._freeze, instance, instance.idle_since)

    def _keep(self, instance: Instance) -> None:
        """Find out until when the function keeps an instance that rests, and record each change."""
        sessions = self._sessions_until(instance.instance_id)
        kept = retention.kept_until(instance.idle_since, self.revision.config.idle_timeout, sessions)
        kept = max(kept, min(instance.kept_until, self._clock.now()))  # what has passed is not taken back
        if instance.kept_until != kept:
            instance.kept_until = kept
            self._log(instance, "instance.kept", until=kept)

    def _freeze_if_quiet(self, instance: Instance, now: float) -> None:
        """Freeze an instance that has done no work since the last look."""
        at, used = instance.cpu_sample
        if now - at >= retention.QUIET_SECONDS and instance.process is not None:
            instance.cpu_sample = (now, instance.process.cpu_seconds())
            if retention.is_quiet(instance.cpu_sample[1] - used, now - at, self.revision.config.cpu):
                self._freeze(instance, instance.idle_since)

    def _freeze(self, instance: Instance, idle_since: float) -> None:
        """Freeze an instance unless it has had a request since."""
        if instance.state is State.IDLE and instance.idle_since == idle_since:
            self._apply(instance, Event.FREEZE)
            instance.freezes += 1
            self._log(instance, "instance.frozen")

    # Instances

    def start(self, why: str) -> None:
        """Start one more instance in the background."""
        config = self.revision.config
        rest = retention.rest(config, why, minimum_active=self._options.minimum_active)
        instance = Instance(self._new_id(), self.revision, why, rest, self._clock.now(), self.exited)
        self.instances[instance.instance_id] = instance
        self._log(
            instance,
            "instance.starting",
            version=self.revision.version_id,
            generation=self.revision.generation,
            concurrency=config.concurrency,
            cpu=config.cpu,
            memorySize=config.memory_size,
            diskSize=config.disk_size,
            why=why,
            rest=rest,
        )
        instance.starting = self._background(self._run_start(instance))

    async def _run_start(self, instance: Instance) -> None:
        try:
            process = await self._launch(instance)
        except FcError as error:
            self._failed(instance, error)
            return
        except Exception:
            self._failed(instance, FcError("InternalServerError"))
            raise
        instance.process = process
        if instance.state is State.STOPPING:
            return  # stopped while it started: the stop waits for this, and ends the process
        if instance.exit_code is not None:  # it listened, and exited before it served a request
            reason = f"Function instance exited unexpectedly(code {instance.exit_code})"
            self._failed(instance, FcError("CAExited", reason=reason))
            return
        self._failures, self._last_failure = 0, None
        self._apply(instance, Event.READY)
        seconds = round(self._clock.now() - instance.created, 6)
        self._log(instance, "instance.ready", seconds=seconds, pid=process.pid, port=process.port)
        if (check := self.revision.config.custom_runtime_config.health_check_config) is not None and check.http_get_url:
            instance.health = asyncio.create_task(self._watch(instance, process, check))
        self._serve_waiting(instance)
        if not instance.leases:
            self._rest(instance)

    async def _watch(self, instance: Instance, process: Process, check: HealthCheck) -> None:
        """Check the instance's health in every period until it stops; a frozen one cannot answer and is not asked."""
        streak = 0
        while True:
            await self._clock.sleep(check.period_seconds)
            if instance.state is State.FROZEN:
                streak = 0
                continue
            freezes = instance.freezes
            problem = await process.probe(check)
            if instance.freezes != freezes:  # frozen during the check
                continue
            streak = health.count(streak, problem)
            verdict = health.verdict(check, streak)
            if verdict is Verdict.HEALTHY and instance.state is State.UNHEALTHY:
                self._apply(instance, Event.RECOVER)
                self._log(instance, "instance.healthy")
                self._serve_waiting(instance)
            elif verdict is Verdict.UNHEALTHY and instance.state in (State.ACTIVE, State.IDLE):
                instance.problem = problem
                reason = f"GET {check.http_get_url} {problem}"
                self._log(instance, "instance.unhealthy", reason=reason)
                text = f"Function instance health check failed: {reason}"
                self._log(instance, "log", stream="platform", text=text)
                if instance.state is State.IDLE:
                    self.stop(instance, "unhealthy")
                else:
                    self._apply(instance, Event.FAIL)

    def _failed(self, instance: Instance, error: FcError) -> None:
        self._failures += 1
        self._last_failure = (self._clock.now(), error)
        self._log(instance, "instance.failed", code=error.code, message=error.message)
        self._ended(instance, "failed", -1 if instance.exit_code is None else instance.exit_code)
        self._lose_waiting(error)

    def _lose_waiting(self, error: FcError) -> None:
        """After a failed start reject the requests that waited for it: all of them if no other start is under way."""
        starting = any(i.state is State.STARTING for i in self.instances.values())
        share = self.revision.config.concurrency if starting else len(self._waiting)
        for lease in list(self._waiting)[:share]:
            granted = self._waiting.pop(lease)
            if not granted.done():
                granted.set_exception(error)

    def _refuse_in_backoff(self) -> None:
        if self._last_failure is None:
            return
        at, error = self._last_failure
        if self._clock.now() - at < dispatch.backoff(self._failures):
            raise error

    def stop(self, instance: Instance, why: str) -> None:
        """End an instance in the background; requests on it are aborted first."""
        if instance.state in (State.STOPPING, State.STOPPED):
            return
        if instance.health is not None:
            instance.health.cancel()
        # The state first: an abort releases its place at once, and must not find an instance that still serves.
        self._apply(instance, Event.STOP)
        instance.abort(Ending.SHUTDOWN if why == "shutdown" else Ending.INSTANCE)
        self._log(instance, "instance.stopping", why=why)
        self._background(self._run_stop(instance, why))

    async def _run_stop(self, instance: Instance, why: str) -> None:
        if instance.starting is not None and instance.process is None:
            instance.starting.cancel()  # the launcher leaves no process behind
            await asyncio.wait([instance.starting])
            self._lose_waiting(FcError("ResourceThrottled", reason="the instance was stopped while it started"))
        code = -1
        if instance.process is not None:
            with contextlib.suppress(FcError, OSError, TimeoutError):
                await self._before_stop(instance)
            code = await instance.process.stop(1.0)
        self._ended(instance, why, code)

    def replace(self, instance: Instance) -> None:
        """Stop an instance on which a request was canceled, and start another in its place."""
        if instance.state is State.ACTIVE:
            self.stop(instance, "canceled")
            if not self.retired:
                self.start(instance.why)

    def exited(self, instance: Instance, code: int, why: str = "exit") -> None:
        """Handle the end of an instance's process, which exited or was killed (`why`: exit, memory, fault)."""
        instance.exit_code = code
        if instance.state in (State.STARTING, State.STOPPING, State.STOPPED):
            return  # the start that fails by it, or the stop that asked for it, records the end
        instance.abort(Ending.INSTANCE)
        self._ended(instance, why, code)

    def _ended(self, instance: Instance, why: str, code: int) -> None:
        self._apply(instance, Event.EXIT)
        if instance.health is not None:
            instance.health.cancel()
        self.instances.pop(instance.instance_id, None)
        self._log(instance, "instance.stopped", why=why, exitCode=code)

    def retire(self) -> None:
        """Let a newer revision take over: stop instances without requests now, the others when they drain."""
        self.retired, self.keep = True, 0
        for instance in list(self.instances.values()):
            if not instance.leases and not (instance.state is State.STARTING and self._waiting):
                self.stop(instance, "update")

    def stop_resting(self, why: str) -> None:
        """Stop the instances without requests."""
        for instance in list(self.instances.values()):
            if instance.state in (State.IDLE, State.FROZEN):
                self.stop(instance, why)

    def reclaim(self) -> None:
        """Freeze and release instances whose time has come, beyond the minimum; start those missing from it."""
        now = self._clock.now()
        for instance in self.instances.values():
            if instance.state in (State.IDLE, State.FROZEN):
                self._keep(instance)
            if instance.state is State.IDLE and instance.rest is Rest.BY_CPU and self._options.freeze:
                self._freeze_if_quiet(instance, now)
        due = {i.instance_id: retention.release_at(i.idle_since, self._options.idle_release, i.kept_until)
               for i in self.instances.values()}
        seats = [i.seat() for i in self.instances.values()]
        for instance_id in dispatch.surplus(seats, now=now, release_at=due, keep=self.keep):
            self.stop(self.instances[instance_id], "idle")
        alive = sum(i.state not in (State.STOPPING, State.UNHEALTHY) for i in self.instances.values())
        if alive < self.keep and (not self._last_failure or now - self._last_failure[0] >= 10):
            for _ in range(self.keep - alive):
                self.start("minimum")

    async def close(self) -> None:
        """Stop every instance and wait until all are gone."""
        for instance in list(self.instances.values()):
            self.stop(instance, "shutdown")
        while self._tasks:
            await asyncio.wait(self._tasks)

    # Helpers

    def _apply(self, instance: Instance, event: Event) -> None:
        instance.state, effects = lifecycle.step(instance.state, event)
        if instance.process is not None:
            for effect in effects:
                if effect is Effect.THAW:
                    instance.process.thaw()
                elif effect is Effect.FREEZE:
                    instance.process.freeze()

    def _log(self, instance: Instance, kind: str, **data: Any) -> None:
        self._journal.append(kind, function=instance.name, instance=instance.instance_id, **data)

    def _background(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task
