"""The operations on what runs: concurrency, minimum instances, instances and invocations."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from starlette.responses import Response

from fclocal.core import headers, rules, wire
from fclocal.core.ending import Ending
from fclocal.core.errors import FcError
from fclocal.core.model import LATEST, Function
from fclocal.edge.management.call import FUNCTION, PAGE, Call, Operation, array, milliseconds, op, page
from fclocal.runtime.instances.instance import Instance
from fclocal.runtime.requests.engine import Engine
from fclocal.runtime.state.registry import Registry

MAX_EVENT = 32 * 2**20  # bytes of an invocation


Invoke = Callable[[str, str, bytes], Awaitable[tuple[Mapping[str, str], bytes]]]
"""(function, qualifier, event) to (headers, body) of the function's answer."""


class RuntimeOperations:
    """The operations that change, show or use the instances of a function."""

    def __init__(self, registry: Registry, engine: Engine, invoke: Invoke) -> None:
        self._registry = registry
        self._engine = engine
        self._invoke = invoke

    def table(self) -> tuple[Operation, ...]:
        """Return the operations with their methods and paths."""
        return (
            op("PUT", FUNCTION + "/concurrency", self._put_concurrency),
            op("GET", FUNCTION + "/concurrency", self._get_concurrency),
            op("DELETE", FUNCTION + "/concurrency", self._delete_concurrency),
            op("GET", "/concurrency-configs", self._list_concurrency, *PAGE, "functionName"),
            op("PUT", FUNCTION + "/scaling-config", self._put_scaling, "qualifier"),
            op("GET", FUNCTION + "/scaling-config", self._get_scaling, "qualifier"),
            op("DELETE", FUNCTION + "/scaling-config", self._delete_scaling, "qualifier"),
            op("GET", "/scaling-configs", self._list_scaling, *PAGE, "functionName"),
            op("GET", FUNCTION + "/instances", self._list_instances, "qualifier", "limit", "startKey", "startTimeMs",
               "endTimeMs", "withAllActive", "instanceIds", "instanceStatus"),
            op("POST", FUNCTION + "/invocations", self._invoke_function, "qualifier", json=False),
            op("POST", FUNCTION + "/invoke/disable", self._disable),
            op("POST", FUNCTION + "/invoke/enable", self._enable),
        )

    # Concurrency and scaling

    async def _put_concurrency(self, call: Call) -> dict[str, Any]:
        fields = wire.parse(wire.ConcurrencyInput, call.content)
        return wire.concurrency_view(await self._registry.reserve(call.function, fields.reserved_concurrency))

    async def _get_concurrency(self, call: Call) -> dict[str, Any]:
        function = self._registry.function(call.function)
        if function.reserved_concurrency is None:
            raise FcError("ProvisionConfigNotFound", name=call.function, what="concurrency")
        return wire.concurrency_view(function)

    async def _delete_concurrency(self, call: Call) -> None:
        await self._registry.reserve(call.function, None)

    async def _list_concurrency(self, call: Call) -> dict[str, Any]:
        selected = {f.name: f for f in self._functions(call) if f.reserved_concurrency is not None}
        return page(call, "configs", selected, wire.concurrency_view)

    async def _put_scaling(self, call: Call) -> dict[str, Any]:
        fields = wire.parse(wire.ScalingInput, call.content)
        await self._registry.keep_instances(call.function, call.qualifier, fields.min_instances)
        return await self._get_scaling(call)

    async def _get_scaling(self, call: Call) -> dict[str, Any]:
        return wire.scaling_view(*self._minimum(call))

    async def _delete_scaling(self, call: Call) -> None:
        await self._registry.keep_instances(call.function, call.qualifier, None)

    async def _list_scaling(self, call: Call) -> dict[str, Any]:
        return page(call, "scalingConfigs", self._minimums(call), lambda selected: wire.scaling_view(*selected))

    def _functions(self, call: Call) -> list[Function]:
        """All functions, or the one that the query names."""
        wanted = call.query.get("functionName")
        return [function for name, function in self._registry.functions.items() if wanted in (None, "", name)]

    def _minimum(self, call: Call) -> tuple[Function, str, int]:
        function = self._registry.function(call.function)
        if call.qualifier not in function.min_instances:
            raise FcError("ProvisionConfigNotFound", name=call.function, what="scaling")
        return function, call.qualifier, self._running(function, call.qualifier)

    def _minimums(self, call: Call) -> dict[str, tuple[Function, str, int]]:
        return {f"{function.name}/{qualifier}": (function, qualifier, self._running(function, qualifier))
                for function in self._functions(call) for qualifier in function.min_instances}

    def _running(self, function: Function, qualifier: str) -> int:
        version = rules.revision(function, qualifier).version_id
        return sum(i.revision.version_id == version for i in self._engine.instances(function.name))

    # Instances and invocations

    async def _list_instances(self, call: Call) -> dict[str, Any]:
        query, function = call.query, self._registry.function(call.function)
        ids, states = array(query, "instanceIds"), array(query, "instanceStatus")
        selected = self._engine.instances(function.name)
        if "qualifier" in query:
            version = rules.revision(function, call.qualifier).version_id
            selected = [i for i in selected if i.revision.version_id == version]
        ends = milliseconds(query, "endTimeMs")
        milliseconds(query, "startTimeMs")  # an instance that is there has not ended before it
        rows = [(i.instance_id, _instance_view(i)) for i in selected if ends is None or i.created * 1000 <= ends]
        rows = [(key, row) for key, row in rows
                if (not ids or key in ids) and (not states or row["status"] in states)]
        if (start := query.get("startKey")) in (keys := [key for key, _ in rows]):
            rows = rows[keys.index(start) + 1:]
        page, _ = wire.paginate(rows, limit=query.get("limit"), token=None)
        return {"instances": page}

    async def _invoke_function(self, call: Call) -> Response:
        headers.check_invocation(call.headers)
        if len(call.content) > MAX_EVENT:
            raise FcError("EntityTooLarge", limit=MAX_EVENT)
        self._registry.revision(call.function, call.qualifier)
        received, body = await self._invoke(call.function, call.qualifier, call.content)
        # Status and headers of the function are lost, but for the one with which it reports failure.
        kept = {name: value for name, value in received.items() if name == "x-fc-request-id"}
        if received.get("x-fc-status") == "404":
            kept["x-fc-error-type"] = "UnhandledInvocationError"
        return Response(body, headers=kept, media_type="application/octet-stream")

    async def _disable(self, call: Call) -> dict[str, Any]:
        fields = wire.parse(wire.DisableInput, call.content)
        await self._registry.disable(call.function, fields.reason)
        if fields.abort_ongoing_request:
            self._engine.abort(call.function, Ending.DISABLED)
        return {"success": True}

    async def _enable(self, call: Call) -> dict[str, Any]:
        await self._registry.enable(call.function)
        return {"success": True}


def _instance_view(instance: Instance) -> dict[str, Any]:
    """An InstanceInfo of the API; version "0" is LATEST."""
    version = instance.revision.version_id
    return {"instanceId": instance.instance_id, "versionId": version or "0", "qualifier": version or LATEST,
            "status": instance.state.capitalize(), "createdTimeMs": int(instance.created * 1000),
            "destroyedTimeMs": 0, "resourceType": ""}
