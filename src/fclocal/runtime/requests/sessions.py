"""Which instance each session of each function is bound to (session affinity), kept over core.affinity's decisions."""

import uuid
from collections.abc import Iterable

from fclocal.core import affinity
from fclocal.core.model import FunctionConfig
from fclocal.core.request import RequestHead

ENDED_IDS = 1000  # of one function, kept for disableSessionIdReuse


class Sessions:
    """The bindings of all functions. A session ends with its instance, its lifetime or its idle time."""

    def __init__(self) -> None:
        self._tables: dict[str, affinity.Table] = {}
        self._ended: dict[str, dict[str, None]] = {}  # ids of each function's sessions that are over, oldest first

    def choose(
        self, head: RequestHead, config: FunctionConfig, instances: Iterable[str], elsewhere: Iterable[str], now: float
    ) -> affinity.Choice | None:
        """Return the session of a request; None without affinity. Raises FcError for an id that breaks the rules.

        `instances` can serve the request; those of `elsewhere` run other revisions of the function. Their sessions
        have limits of their own and stay in the table.
        """
        if config.session_affinity == "NONE":
            return None
        bound_elsewhere, before = frozenset(elsewhere), self._table(config)
        others = tuple(session for session in before if session.instance_id in bound_elsewhere)
        table = affinity.prune(before, config, instances, now)
        kept = self._tables[config.function_name] = (*others, *table)
        self._remember(config.function_name, {s.session_id for s in before} - {s.session_id for s in kept})
        return affinity.choose(head, config, table, now, str(uuid.uuid4()), self._ended.get(config.function_name, {}))

    def full(self, config: FunctionConfig, now: float) -> frozenset[str]:
        """Instances that take no further session."""
        return affinity.full(self._table(config), config, now)

    def until(self, config: FunctionConfig, instance_id: str) -> float:
        """Return the time until which sessions hold an instance, 0 if none does."""
        return affinity.until(self._table(config), config, instance_id)

    def bind(self, config: FunctionConfig, session_id: str, instance_id: str, now: float, qualifier: str) -> None:
        """Record that a request of the session has its place on the instance."""
        table = affinity.bind(self._table(config), session_id, instance_id, now, qualifier)
        self._tables[config.function_name] = table

    def release(self, config: FunctionConfig, session_id: str, now: float) -> None:
        """A request of the session has ended."""
        self._tables[config.function_name] = affinity.release(self._table(config), session_id, now)

    # The session API

    def list(self, config: FunctionConfig, instances: Iterable[str], now: float) -> affinity.Table:
        """Return the sessions of a function that are alive, the oldest first."""
        table = affinity.prune(self._table(config), config, instances, now)
        return tuple(sorted(table, key=lambda session: session.created))

    def create(self, config: FunctionConfig, session: affinity.Session) -> None:
        """Add a session that no request has bound yet. Raises FcError."""
        self._tables[config.function_name] = affinity.create(self._table(config), session, config)

    def update(self, config: FunctionConfig, session_id: str, ttl: int | None, idle_timeout: int | None,
               now: float) -> None:
        """Change the limits of a session; None keeps one."""
        self._tables[config.function_name] = affinity.change(self._table(config), session_id, ttl, idle_timeout, now)

    def delete(self, config: FunctionConfig, session_id: str) -> None:
        """End a session; its running requests go on."""
        self._tables[config.function_name] = affinity.delete(self._table(config), session_id)

    def _remember(self, function: str, over: set[str]) -> None:
        """Keep the ids of sessions that are over, the newest `ENDED_IDS` of a function."""
        ended = self._ended.setdefault(function, {})
        ended.update(dict.fromkeys(over))
        for oldest in list(ended)[:-ENDED_IDS]:
            del ended[oldest]

    def _table(self, config: FunctionConfig) -> affinity.Table:
        return self._tables.get(config.function_name, ())
