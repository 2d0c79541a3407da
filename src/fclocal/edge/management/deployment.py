"""The operations on what is deployed: functions, triggers, versions, aliases and custom domains."""

import asyncio
from typing import Any

from starlette.responses import JSONResponse, Response

from fclocal.core import rules, wire
from fclocal.core.errors import FcError
from fclocal.core.model import CustomDomain, Function, FunctionConfig
from fclocal.edge.management.call import FUNCTION, PAGE, Call, Operation, as_object, op, page
from fclocal.runtime.state.registry import Registry


class DeploymentOperations:
    """The operations that change or show what is deployed."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def table(self) -> tuple[Operation, ...]:
        """Return the operations with their methods and paths."""
        trigger, version = FUNCTION + "/triggers/{name}", FUNCTION + "/versions/{name}"
        alias, domain = FUNCTION + "/aliases/{name}", "/custom-domains/{name}"
        return (
            op("POST", "/functions", self._create_function),
            op("GET", "/functions", self._list_functions, *PAGE, "prefix", "runtime", "description", "functionName",
               "fcVersion"),
            op("GET", FUNCTION, self._get_function, "qualifier"),
            op("PUT", FUNCTION, self._update_function),
            op("DELETE", FUNCTION, self._delete_function),
            op("POST", FUNCTION + "/triggers", self._create_trigger),
            op("GET", FUNCTION + "/triggers", self._list_triggers, *PAGE, "prefix"),
            op("GET", trigger, self._get_trigger),
            op("PUT", trigger, self._update_trigger),
            op("DELETE", trigger, self._delete_trigger),
            op("POST", FUNCTION + "/versions", self._publish),
            op("GET", FUNCTION + "/versions", self._list_versions, *PAGE, "direction"),
            op("DELETE", version, self._delete_version),
            op("POST", FUNCTION + "/aliases", self._create_alias),
            op("GET", FUNCTION + "/aliases", self._list_aliases, *PAGE, "prefix"),
            op("GET", alias, self._get_alias),
            op("PUT", alias, self._update_alias),
            op("DELETE", alias, self._delete_alias),
            op("POST", "/custom-domains", self._create_domain),
            op("GET", "/custom-domains", self._list_domains, *PAGE, "prefix"),
            op("GET", domain, self._get_domain),
            op("PUT", domain, self._update_domain),
            op("DELETE", domain, self._delete_domain),
        )

    # Functions

    async def _create_function(self, call: Call) -> dict[str, Any]:
        fields = as_object(call)
        package = await asyncio.to_thread(wire.package, fields.pop("code", None))
        config = wire.parse(FunctionConfig, fields)
        if package is None:
            raise FcError("InvalidArgument", reason="code: field required")
        return wire.function_view(await self._registry.create_function(config, package))

    async def _list_functions(self, call: Call) -> dict[str, Any]:
        query = call.query
        if (generation := query.get("fcVersion", "v3")) not in ("v2", "v3"):
            raise FcError("InvalidArgument", reason=f"fcVersion: v2 or v3, not '{wire.printable(generation)}'")

        def wanted(function: Function) -> bool:
            config = function.latest.config
            return (generation == "v3" and query.get("functionName", "") in function.name
                    and query.get("description", "") in config.description
                    and query.get("runtime", config.runtime) == config.runtime)

        selected = {name: function for name, function in self._registry.functions.items() if wanted(function)}
        return page(call, "functions", selected, wire.function_view)

    async def _get_function(self, call: Call) -> dict[str, Any]:
        function = self._registry.function(call.function)
        return wire.function_view(function, rules.revision(function, call.qualifier))

    async def _update_function(self, call: Call) -> dict[str, Any]:
        fields = as_object(call)
        package = await asyncio.to_thread(wire.package, fields.pop("code", None))
        return wire.function_view(await self._registry.update_function(call.function, fields, package))

    async def _delete_function(self, call: Call) -> None:
        await self._registry.delete_function(call.function)

    # Triggers

    async def _create_trigger(self, call: Call) -> dict[str, Any]:
        fields = wire.parse(wire.TriggerInput, call.content)
        return wire.trigger_view(call.function, await self._registry.create_trigger(call.function, fields))

    async def _list_triggers(self, call: Call) -> dict[str, Any]:
        triggers = self._registry.function(call.function).triggers
        return page(call, "triggers", triggers, lambda trigger: wire.trigger_view(call.function, trigger))

    async def _get_trigger(self, call: Call) -> dict[str, Any]:
        return wire.trigger_view(call.function, self._registry.trigger(call.function, call.path["name"]))

    async def _update_trigger(self, call: Call) -> dict[str, Any]:
        fields = wire.parse(wire.TriggerUpdate, call.content)
        trigger = await self._registry.update_trigger(call.function, call.path["name"], fields)
        return wire.trigger_view(call.function, trigger)

    async def _delete_trigger(self, call: Call) -> None:
        await self._registry.delete_trigger(call.function, call.path["name"])

    # Versions and aliases

    async def _publish(self, call: Call) -> dict[str, Any]:
        fields = wire.parse(wire.VersionInput, call.content)
        return wire.version_view(await self._registry.publish(call.function, fields.description))

    async def _list_versions(self, call: Call) -> dict[str, Any]:
        direction = call.query.get("direction", "BACKWARD")
        if direction not in ("BACKWARD", "FORWARD"):
            raise FcError("InvalidArgument",
                          reason=f"direction: BACKWARD or FORWARD, not '{wire.printable(direction)}'")
        versions = sorted(self._registry.function(call.function).versions.items(), key=lambda item: int(item[0]),
                          reverse=direction == "BACKWARD")
        page, token = wire.paginate(versions, limit=call.query.get("limit"), token=call.query.get("nextToken"))
        return {"versions": [wire.version_view(version) for version in page], "direction": direction,
                "nextToken": token}

    async def _delete_version(self, call: Call) -> None:
        await self._registry.delete_version(call.function, call.path["name"])

    async def _create_alias(self, call: Call) -> dict[str, Any]:
        fields = wire.parse(wire.AliasInput, call.content)
        return wire.alias_view(await self._registry.create_alias(call.function, fields))

    async def _list_aliases(self, call: Call) -> dict[str, Any]:
        return page(call, "aliases", self._registry.function(call.function).aliases, wire.alias_view)

    async def _get_alias(self, call: Call) -> dict[str, Any]:
        return wire.alias_view(self._registry.alias(call.function, call.path["name"]))

    async def _update_alias(self, call: Call) -> dict[str, Any]:
        fields = wire.parse(wire.AliasUpdate, call.content)
        return wire.alias_view(await self._registry.update_alias(call.function, call.path["name"], fields))

    async def _delete_alias(self, call: Call) -> None:
        await self._registry.delete_alias(call.function, call.path["name"])

    # Custom domains. The API lacks a field for the URL, so a response header carries it.

    async def _create_domain(self, call: Call) -> Response:
        return _domain(await self._registry.create_domain(wire.parse(wire.DomainInput, call.content)))

    async def _list_domains(self, call: Call) -> dict[str, Any]:
        return page(call, "customDomains", self._registry.domains, wire.domain_view)

    async def _get_domain(self, call: Call) -> Response:
        return _domain(self._registry.domain(call.path["name"]))

    async def _update_domain(self, call: Call) -> Response:
        fields = wire.parse(wire.DomainUpdate, call.content)
        return _domain(await self._registry.update_domain(call.path["name"], fields))

    async def _delete_domain(self, call: Call) -> None:
        await self._registry.delete_domain(call.path["name"])


def _domain(domain: CustomDomain) -> Response:
    return JSONResponse(wire.domain_view(domain), headers={"x-fclocal-url": domain.url})
