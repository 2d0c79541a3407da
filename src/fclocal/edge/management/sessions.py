"""The operations on sessions of functions with session affinity, and DescribeRegions."""

import uuid
from collections.abc import Sequence
from typing import Any

from fclocal.core import affinity, rules, wire
from fclocal.core.affinity import Session
from fclocal.core.errors import FcError
from fclocal.core.identifiers import REGION
from fclocal.core.model import FunctionConfig
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
        now = self._engine.clock.now()
        session = Session(wanted.session_id or str(uuid.uuid4()), "", now, now, qualifier=call.qualifier,
                          ttl=wanted.session_ttl_in_seconds, idle_timeout=wanted.session_idle_timeout_in_seconds)
        self._engine.sessions.create(config, session)
        return wire.session_view(config, session)

    async def _list(self, call: Call) -> dict[str, Any]:
        status, wanted = call.query.get("sessionStatus", "Active"), call.query.get("sessionId")
        if status not in ("Active", "Expired"):
            raise FcError("InvalidArgument", reason="sessionStatus: Active or Expired")
        config, sessions = self._sessions(call)
        rows = [(session.session_id, session) for session in sessions
                if status == "Active" and wanted in (None, "", session.session_id)
                and ("qualifier" not in call.query or session.qualifier == call.qualifier)]
        page, token = wire.paginate(rows, limit=call.query.get("limit"), token=call.query.get("nextToken"))
        return {"sessions": [wire.session_view(config, session) for session in page], "nextToken": token}

    async def _get(self, call: Call) -> dict[str, Any]:
        return wire.session_view(*self._session(call))

    async def _update(self, call: Call) -> dict[str, Any]:
        wanted = wire.parse(wire.SessionUpdate, call.content)
        config, session = self._session(call)
        self._engine.sessions.update(config, session.session_id, wanted.session_ttl_in_seconds,
                                     wanted.session_idle_timeout_in_seconds, self._engine.clock.now())
        return wire.session_view(*self._session(call))

    async def _delete(self, call: Call) -> None:
        config, session = self._session(call)
        self._engine.sessions.delete(config, session.session_id)

    async def _describe_regions(self, call: Call) -> dict[str, Any]:
        return {"Regions": {"Region": [{"RegionId": REGION, "LocalName": "this machine"}]}}

    def _sessions(self, call: Call) -> tuple[FunctionConfig, Sequence[Session]]:
        """Return the configuration that the qualifier names, and the sessions of the function that are alive."""
        config = rules.revision(self._registry.function(call.function), call.qualifier).config
        instances = [instance.instance_id for instance in self._engine.instances(call.function)]
        return config, self._engine.sessions.list(config, instances, self._engine.clock.now())

    def _session(self, call: Call) -> tuple[FunctionConfig, Session]:
        config, sessions = self._sessions(call)
        for session in sessions:
            if session.session_id == call.path["session"]:
                return config, session
        raise FcError("SessionNotFound", name=wire.printable(call.path["session"]), function=call.function)
