"""The operations on sessions of functions with session affinity, and DescribeRegions."""

import uuid
from typing import Any

from fclocal.core import affinity, rules, wire
from fclocal.core.affinity import Session, Table
from fclocal.core.errors import FcError
from fclocal.core.identifiers import REGION
from fclocal.edge.management.call import FUNCTION, PAGE, Call, Operation, op
from fclocal.runtime.requests.engine import Engine
from fclocal.runtime.state.registry import Registry

SESSION = FUNCTION + "/sessions/{session}"


class SessionOperations:
    """Create, get, list, update and delete the sessions of a function."""

    def __init__(self, registry: Registry, engine: Engine) -> None:
        self._registry = registry
        self._engine = engine

    def table(self) -> tuple[Operation, ...]:
        """Return the operations with their methods and paths."""
        return (
            op("POST", FUNCTION + "/sessions", self._create, "qualifier"),
            op("GET", FUNCTION + "/sessions", self._list, *PAGE, "qualifier", "sessionId", "sessionStatus"),
            op("GET", SESSION, self._get, "qualifier"),
            op("PUT", SESSION, self._update, "qualifier"),
            op("DELETE", SESSION, self._delete, "qualifier"),
            op("GET", "/regions", self._describe_regions, "AcceptLanguage"),
        )

    async def _create(self, call: Call) -> dict[str, Any]:
        wanted = wire.parse(wire.SessionInput, call.content)
        config = self._registry.revision(call.function, call.qualifier).config
        affinity.check_created(config, wanted.session_id)
        session = affinity.begin(
            config, wanted.session_id or str(uuid.uuid4()), self._engine.clock.now(), qualifier=call.qualifier,
            ttl=wanted.session_ttl_in_seconds, idle_timeout=wanted.session_idle_timeout_in_seconds)
        self._engine.sessions.create(call.function, session)
        return wire.session_view(call.function, session)

    async def _list(self, call: Call) -> dict[str, Any]:
        status, wanted = call.query.get("sessionStatus"), call.query.get("sessionId")
        if status not in (None, "Active", "Expired"):
            raise FcError("InvalidArgument", reason="sessionStatus: Active or Expired")
        alive, over = self._sessions(call)
        views = [wire.session_view(call.function, session) for session in alive if status != "Expired"]
        views += [wire.session_view(call.function, session, "Expired") for session in over if status != "Active"]
        rows = [(f"{view['sessionStatus']} {view['sessionId']}", view) for view in views
                if wanted in (None, "", view["sessionId"])
                and ("qualifier" not in call.query or view["qualifier"] == call.qualifier)]
        page, token = wire.paginate(rows, limit=call.query.get("limit"), token=call.query.get("nextToken"))
        return {"sessions": page, "nextToken": token}

    async def _get(self, call: Call) -> dict[str, Any]:
        return wire.session_view(call.function, self._session(call))

    async def _update(self, call: Call) -> dict[str, Any]:
        wanted = wire.parse(wire.SessionUpdate, call.content)
        self._engine.sessions.update(call.function, self._session(call).session_id, wanted.session_ttl_in_seconds,
                                     wanted.session_idle_timeout_in_seconds, self._engine.clock.now())
        return await self._get(call)

    async def _delete(self, call: Call) -> None:
        self._engine.sessions.delete(call.function, self._session(call).session_id)

    async def _describe_regions(self, call: Call) -> dict[str, Any]:
        return {"Regions": {"Region": [{"RegionId": REGION, "LocalName": "this machine"}]}}

    def _sessions(self, call: Call) -> tuple[Table, Table]:
        """Return the sessions of the function that are alive, and those that are over."""
        rules.revision(self._registry.function(call.function), call.qualifier)
        instances = {instance.instance_id for instance in self._engine.instances(call.function)}
        return self._engine.sessions.list(call.function, instances, self._engine.clock.now())

    def _session(self, call: Call) -> Session:
        for session in self._sessions(call)[0]:
            if session.session_id == call.path["session"]:
                return session
        raise FcError("SessionNotFound", name=wire.printable(call.path["session"]), function=call.function)
