"""Starting an instance and ending it, with everything the service does around it.

The process, the kit's Redis for functions that want one, the Initializer and PreStop hooks, and what the platform
writes into the function's log about them.
"""

import os
from collections.abc import Callable
from pathlib import Path

from fclocal.core import identifiers, startup
from fclocal.core.clock import Clock
from fclocal.core.errors import FcError
from fclocal.core.model import Revision
from fclocal.runtime.instances import hooks
from fclocal.runtime.instances.instance import Instance
from fclocal.runtime.instances.launcher import Launcher
from fclocal.runtime.instances.process import Process
from fclocal.runtime.instances.redis_server import RedisServer
from fclocal.runtime.state.journal import Journal


class Starter:
    """Starts and ends instances. `code_path` finds the zip of a checksum."""

    def __init__(
        self, launcher: Launcher, redis: RedisServer, journal: Journal, clock: Clock, code_path: Callable[[str], Path]
    ) -> None:
        self._launcher = launcher
        self._redis = redis
        self._journal = journal
        self._clock = clock
        self._code_path = code_path

    async def start(self, instance: Instance, on_exit: Callable[[int], None]) -> Process:
        """Start the instance's process, call its Initializer and check its health; it serves when this returns.

        Raises FcError and leaves no process behind if that fails.
        """
        revision, name, instance_id = instance.revision, instance.name, instance.instance_id

        def on_line(stream: str, text: str) -> None:
            self._journal.append("log", function=name, instance=instance_id, stream=stream, text=text)

        def on_dropped(lines: int) -> None:
            self._journal.append("log.dropped", function=name, instance=instance_id, lines=lines)

        process = await self._launcher.start(
            instance_id=instance_id,
            revision=await self._with_redis(revision),
            code_zip=self._code_path(revision.code.checksum),
            qualifier=revision.version_id or "LATEST",
            on_line=on_line,
            on_dropped=on_dropped,
            on_exit=on_exit,
        )
        try:
            if (hook := revision.config.instance_lifecycle_config.initializer) is not None:
                await self._call(hooks.INITIALIZE, instance, process, hook.timeout)
            await process.check_health()
        except BaseException:
            await process.stop(0)
            raise
        return process

    async def before_stop(self, instance: Instance) -> None:
        """Call the PreStop hook, if there is one. Raises FcError if it fails, which changes nothing."""
        hook = instance.revision.config.instance_lifecycle_config.pre_stop
        if hook is not None and instance.process is not None:
            await self._call(hooks.PRE_STOP, instance, instance.process, hook.timeout)

    async def _call(self, hook: hooks.HookCall, instance: Instance, process: Process, limit: float) -> None:
        request_id = identifiers.hook_id(os.urandom(16))
        platform_log(self._journal, instance, request_id, f"FC {hook.title} Start RequestId: {request_id}")
        error, began = "", self._clock.now()
        try:
            await hooks.call(
                hook, process.port, instance.revision, request_id=request_id, limit=limit, time=self._clock
            )
        except FcError as failure:
            error = failure.message
            raise
        finally:
            text = f"FC {hook.title} End RequestId: {request_id}" + (f", Error: {error}" if error else "")
            platform_log(self._journal, instance, request_id, text)
            self._journal.append(
                "instance.hook", function=instance.name, instance=instance.instance_id, request=request_id,
                hook=hook.title, seconds=round(self._clock.now() - began, 6), error=error,
            )

    async def _with_redis(self, revision: Revision) -> Revision:
        """A function that declares REDIS_URL gets the URL of the kit's own Redis: its VPC is not reachable here.

        A URL that names this machine stays.
        """
        config = revision.config
        declared = config.environment_variables.get("REDIS_URL")
        if declared is None or startup.on_this_machine(declared):
            return revision
        variables = {**config.environment_variables, "REDIS_URL": await self._redis.start()}
        return revision.model_copy(update={"config": config.model_copy(update={"environment_variables": variables})})


def platform_log(journal: Journal, instance: Instance, request_id: str, text: str) -> None:
    """Write a line of the platform into a function's log."""
    journal.append(
        "log",
        function=instance.name,
        instance=instance.instance_id,
        request=request_id,
        stream="platform",
        text=text,
    )
