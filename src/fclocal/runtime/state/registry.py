"""The changes that the management API makes: each one is checked, stored, journaled, and reported to the watchers.

Changes run one at a time, so that each works on the current state. A change that fails leaves the state unchanged.
"""

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Protocol

from fclocal.core import affinity, rules, wire
from fclocal.core.clock import Clock
from fclocal.core.errors import FcError, invalid
from fclocal.core.model import (
    Alias,
    Certificate,
    CustomDomain,
    Function,
    FunctionConfig,
    InvocationRestriction,
    Revision,
    Shape,
    Trigger,
    changed,
)
from fclocal.core.request import Entry
from fclocal.runtime.state.journal import Journal
from fclocal.runtime.state.store import Store


class EntryPorts(Protocol):
    """The ports of the entries, opened and closed by the gateway: a floor above, which this module cannot import."""

    async def open(self, entry: Entry, preferred: int | None) -> int: ...
    async def close(self, entry: Entry) -> None: ...
    def certify(self, entry: Entry, certificate: Certificate | None) -> None: ...


class Registry:
    """Everything that is deployed. Call it from one event loop only."""

    def __init__(self, store: Store, journal: Journal, clock: Clock, ports: EntryPorts) -> None:
        self._store = store
        self._journal = journal
        self._clock = clock
        self._ports = ports
        self._changing = asyncio.Lock()
        self._watchers: list[Callable[[str], None]] = []

    def watch(self, callback: Callable[[str], None]) -> None:
        """Call `callback(function name)` after every change of a function."""
        self._watchers.append(callback)

    async def restore(self) -> None:
        """Open the port of every trigger and custom domain again, the same one if it is free.

        An entry whose port is in use gets a new one after all others have theirs, so that no other has to move.
        """
        moved: list[Entry] = []
        stored = [(Entry("trigger", name, trigger), config.port)
                  for name, function in self._store.functions.items() for trigger, config in function.triggers.items()]
        stored += [(Entry("domain", "", name), domain.port) for name, domain in self._store.domains.items()]
        for entry, port in stored:
            if await self._ports.open(entry, port) != port:
                await self._ports.close(entry)
                moved.append(entry)
        for entry in moved:
            port = await self._ports.open(entry, None)
            if entry.kind == "domain":
                self._keep_domain(self._store.domains[entry.name].model_copy(update={"port": port}))
            else:
                function = self._store.functions[entry.function]
                self._keep_trigger(function, function.triggers[entry.name].model_copy(update={"port": port}))
        for name, domain in self._store.domains.items():
            self._ports.certify(Entry("domain", "", name), domain.cert_config)

    # Functions

    def function(self, name: str) -> Function:
        """Return the function `name`. Raises FcError FunctionNotFound."""
        if (function := self._store.functions.get(name)) is None:
            raise FcError("FunctionNotFound", name=name)
        return function

    @property
    def functions(self) -> Mapping[str, Function]:
        """The functions by name."""
        return self._store.functions

    def revision(self, name: str, qualifier: str) -> Revision:
        """Return the revision that `qualifier` (LATEST, a version, or an alias: its main version) stands for.

        Raises FcError FunctionNotFound, VersionNotFound or AliasNotFound.
        """
        return rules.revision(self.function(name), qualifier)

    async def create_function(self, config: FunctionConfig, package: bytes) -> Function:
        """Create a function from its configuration and its zip. Raises FcError."""
        name = config.function_name
        async with self._changing:
            if name in self._store.functions:
                raise FcError("FunctionAlreadyExists", name=name)
            affinity.check(config)
            code = await asyncio.to_thread(self._store.put_code, package)
            now = self._clock.now()
            latest = Revision(generation=1, config=config, code=code, created=now)
            function = Function(function_id=str(uuid.uuid4()), latest=latest, created=now, modified=now)
            return self._keep(function, "function.created", generation=1)

    async def update_function(self, name: str, fields: Mapping[str, Any], package: bytes | None) -> Function:
        """Replace the configuration's fields by those of `fields` (as on the wire), and the code by the zip."""
        async with self._changing:
            old = self.function(name)
            if fields.get("functionName", name) != name:
                raise invalid("functionName", "cannot be changed")
            config = wire.parse(FunctionConfig, changed(old.latest.config, fields))
            affinity.check(config)
            code = old.latest.code if package is None else await asyncio.to_thread(self._store.put_code, package)
            now = self._clock.now()
            latest = Revision(generation=old.latest.generation + 1, config=config, code=code, created=now)
            function = old.model_copy(update={"latest": latest, "modified": now})
            return self._keep(function, "function.updated", generation=latest.generation)

    async def delete_function(self, name: str) -> None:
        """Delete a function with its versions and aliases. Raises FcError FunctionNotEmpty while it has triggers."""
        async with self._changing:
            if self.function(name).triggers:
                raise FcError("FunctionNotEmpty", name=name)
            self._store.remove(name)
            self._report(name, "function.deleted")

    # Versions and aliases

    async def publish(self, name: str, description: str) -> Revision:
        """Publish LATEST as the next version. A number is never used twice."""
        async with self._edit(name) as function:
            number = function.last_version + 1
            version = function.latest.model_copy(update={
                "version_id": str(number), "description": description, "created": self._clock.now()})
            self._keep(function.model_copy(update={
                "versions": {**function.versions, version.version_id: version}, "last_version": number,
            }), "version.published", version=version.version_id)
            return version

    async def delete_version(self, name: str, version_id: str) -> None:
        """Delete a version that no alias and no trigger uses."""
        async with self._edit(name) as function:
            if version_id not in function.versions:
                raise FcError("VersionNotFound", name=version_id, function=name)
            rules.check_unused(function, version_id)
            self._keep(function.model_copy(update={"versions": _without(function.versions, version_id)}),
                       "version.deleted", version=version_id)

    async def create_alias(self, name: str, fields: wire.AliasInput) -> Alias:
        """Create an alias of one version, with an optional canary."""
        async with self._edit(name) as function:
            if fields.alias_name in function.aliases:
                raise FcError("AliasAlreadyExists", name=fields.alias_name)
            now = self._clock.now()
            return self._keep_alias(function, Alias(**dict(fields), created=now, modified=now))

    async def update_alias(self, name: str, alias: str, fields: wire.AliasUpdate) -> Alias:
        """Point an alias to another version, or change its canary."""
        async with self._edit(name) as function:
            old = self.alias(name, alias)
            return self._keep_alias(function, old.model_copy(update={**_set(fields), "modified": self._clock.now()}))

    def alias(self, name: str, alias: str) -> Alias:
        """Return the alias of that name. Raises FcError FunctionNotFound or AliasNotFound."""
        if (stored := self.function(name).aliases.get(alias)) is None:
            raise FcError("AliasNotFound", name=alias, function=name)
        return stored

    async def delete_alias(self, name: str, alias: str) -> None:
        """Delete an alias that no trigger uses, with its minimum of instances."""
        async with self._edit(name) as function:
            self.alias(name, alias)
            rules.check_unused(function, alias)
            self._keep(function.model_copy(update={
                "aliases": _without(function.aliases, alias),
                "min_instances": _without(function.min_instances, alias),
            }), "alias.deleted", alias=alias)

    # Triggers

    def trigger(self, name: str, trigger: str) -> Trigger:
        """Return the trigger of that name. Raises FcError FunctionNotFound or TriggerNotFound."""
        if (stored := self.function(name).triggers.get(trigger)) is None:
            raise FcError("TriggerNotFound", name=trigger)
        return stored

    async def create_trigger(self, name: str, fields: wire.TriggerInput) -> Trigger:
        """Create an HTTP trigger and open its port. One per version or alias."""
        async with self._edit(name) as function:
            if fields.trigger_name in function.triggers:
                raise FcError("TriggerAlreadyExists", reason=f"trigger '{fields.trigger_name}' already exists")
            now = self._clock.now()
            new = Trigger(trigger_name=fields.trigger_name, trigger_id=str(uuid.uuid4()), qualifier=fields.qualifier,
                          description=fields.description, config=fields.trigger_config, port=0, created=now,
                          modified=now)
            rules.check_trigger(function, new)
            async with self._opened(Entry("trigger", name, fields.trigger_name)) as port:
                return self._keep_trigger(function, new.model_copy(update={"port": port}))

    async def update_trigger(self, name: str, trigger: str, fields: wire.TriggerUpdate) -> Trigger:
        """Change qualifier, configuration or description; the URL stays."""
        async with self._edit(name) as function:
            update = _set(fields) | {"modified": self._clock.now()}
            if "trigger_config" in update:
                update["config"] = update.pop("trigger_config")
            new = self.trigger(name, trigger).model_copy(update=update)
            rules.check_trigger(function, new)
            return self._keep_trigger(function, new)

    async def delete_trigger(self, name: str, trigger: str) -> None:
        """Delete a trigger and close its port."""
        async with self._edit(name) as function:
            self.trigger(name, trigger)
            self._keep(function.model_copy(update={"triggers": _without(function.triggers, trigger)}),
                       "trigger.deleted", trigger=trigger)
            await self._ports.close(Entry("trigger", name, trigger))

    # Custom domains

    def domain(self, name: str) -> CustomDomain:
        """Return the custom domain of that name. Raises FcError DomainNameNotFound."""
        if (stored := self._store.domains.get(name)) is None:
            raise FcError("DomainNameNotFound", name=name)
        return stored

    @property
    def domains(self) -> Mapping[str, CustomDomain]:
        """The custom domains by name."""
        return self._store.domains

    async def create_domain(self, fields: wire.DomainInput) -> CustomDomain:
        """Create a custom domain and open its port."""
        now = self._clock.now()
        new = CustomDomain(**dict(fields), port=0, created=now, modified=now)
        async with self._changing:
            if new.domain_name in self._store.domains:
                raise FcError("DomainNameAlreadyExists", name=new.domain_name)
            rules.check_domain(new, self._store.functions)
            entry = Entry("domain", "", new.domain_name)
            async with self._opened(entry) as port:
                self._ports.certify(entry, new.cert_config)
                return self._keep_domain(new.model_copy(update={"port": port}))

    async def update_domain(self, name: str, fields: wire.DomainUpdate) -> CustomDomain:
        """Change protocol, routes, authentication or certificate; the URL stays."""
        async with self._changing:
            new = self.domain(name).model_copy(update={**_set(fields), "modified": self._clock.now()})
            rules.check_domain(new, self._store.functions)
            self._ports.certify(Entry("domain", "", name), new.cert_config)
            return self._keep_domain(new)

    async def delete_domain(self, name: str) -> None:
        """Delete a custom domain and close its port."""
        async with self._changing:
            self.domain(name)
            self._store.remove_domain(name)
            self._journal.append("domain.deleted", domain=name)
            await self._ports.close(Entry("domain", "", name))

    # Concurrency, scaling, on and off

    async def reserve(self, name: str, concurrency: int | None) -> Function:
        """Limit the instances of a function (0 blocks it), or remove the limit (None)."""
        async with self._edit(name) as function:
            return self._keep(function.model_copy(update={"reserved_concurrency": concurrency}))

    async def keep_instances(self, name: str, qualifier: str, count: int | None) -> Function:
        """Keep at least `count` instances for LATEST or an alias, or remove the setting (None).

        Raises FcError also for a version, which cannot have the setting.
        """
        async with self._edit(name) as function:
            self.revision(name, qualifier)
            if qualifier in function.versions:
                raise invalid("qualifier", "minimum instances are set for LATEST or an alias")
            least = _without(function.min_instances, qualifier)
            if count is not None:
                least = {**least, qualifier: count}
            return self._keep(function.model_copy(update={"min_instances": least}))

    async def disable(self, name: str, reason: str) -> Function:
        """Reject all invocations of a function from now on."""
        async with self._edit(name) as function:
            disabled = InvocationRestriction(reason=reason, since=self._clock.now())
            return self._keep(function.model_copy(update={"disabled": disabled}), "invocation.disabled", reason=reason)

    async def enable(self, name: str) -> Function:
        """Accept invocations of a function again."""
        async with self._edit(name) as function:
            return self._keep(function.model_copy(update={"disabled": None}), "invocation.enabled")

    # How a change is stored

    @asynccontextmanager
    async def _edit(self, name: str) -> AsyncIterator[Function]:
        async with self._changing:
            yield self.function(name)

    @asynccontextmanager
    async def _opened(self, entry: Entry) -> AsyncIterator[int]:
        """Open a port for a new `entry`; close it again if the block fails."""
        port = await self._ports.open(entry, None)
        try:
            yield port
        except BaseException:
            await self._ports.close(entry)
            raise

    def _keep(self, function: Function, kind: str | None = None, **facts: Any) -> Function:
        self._store.save(function)
        self._report(function.name, kind, **facts)
        return function

    def _report(self, name: str, kind: str | None, **facts: Any) -> None:
        if kind is not None:
            self._journal.append(kind, function=name, **facts)
        self._store.sweep(self._clock.now())
        for watcher in self._watchers:
            watcher(name)

    def _keep_alias(self, function: Function, alias: Alias) -> Alias:
        rules.check_alias(function, alias)
        self._keep(function.model_copy(update={"aliases": {**function.aliases, alias.alias_name: alias}}),
                   "alias.changed", alias=alias.alias_name, version=alias.version_id,
                   weights=alias.additional_version_weight)
        return alias

    def _keep_trigger(self, function: Function, trigger: Trigger) -> Trigger:
        self._keep(function.model_copy(update={"triggers": {**function.triggers, trigger.trigger_name: trigger}}),
                   "trigger.changed", trigger=trigger.trigger_name, url=trigger.url, qualifier=trigger.qualifier)
        return trigger

    def _keep_domain(self, domain: CustomDomain) -> CustomDomain:
        self._store.save_domain(domain)
        self._journal.append("domain.changed", domain=domain.domain_name, url=domain.url)
        return domain


def _set(fields: Shape) -> dict[str, Any]:
    """Return the fields of an update that the request sets."""
    return {name: value for name, value in fields if value is not None}


def _without(mapping: Mapping[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in mapping.items() if name != key}
