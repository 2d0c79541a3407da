"""Which instance each session of each function is bound to (session affinity), kept over core.affinity's decisions."""

import uuid
from collections.abc import Container, Iterable

from fclocal.core import affinity
from fclocal.core.affinity import Session, Table
from fclocal.core.model import FunctionConfig
from fclocal.core.request import RequestHead

ENDED = 1000  # sessions of one function that are over and still listed; disableSessionIdReuse looks there too


class Sessions:
    """The bindings of all functions. A session ends with its instance, its lifetime or its idle time."""

    def __init__(self) -> None:
        self._tables: dict[str, Table] = {}
        self._ended: dict[str, dict[str, Session]] = {}  # of each function, by id, oldest first

    def choose(
        self, head: RequestHead, config: FunctionConfig, instances: Iterable[str], elsewhere: Iterable[str], now: float
    ) -> affinity.Choice:
        """Return the session of a request to a function with affinity. Raises FcError for an id that breaks the rules.

        `instances` can serve the request; those of `elsewhere` run other revisions of the function.
        """
        here, name = frozenset(instances), config.function_name
        table = tuple(session for session in self._current(name, here.union(elsewhere), now)
                      if not session.instance_id or session.instance_id in here)
        return affinity.choose(head, config, table, now, str(uuid.uuid4()), self._ended.get(name, {}))

    def full(self, config: FunctionConfig, now: float) -> frozenset[str]:
        """Instances that take no further session."""
        return affinity.full(self._table(config.function_name), config, now)

    def until(self, function: str, instance_id: str) -> float:
        """Return the time until which sessions hold an instance, 0 if none does."""
        return affinity.until(self._table(function), instance_id)

    def bind(self, config: FunctionConfig, session_id: str, instance_id: str, now: float, qualifier: str) -> None:
        """Record that a request of the session has its place on the instance."""
        name = config.function_name
        self._tables[name] = affinity.bind(self._table(name), config, session_id, instance_id, now, qualifier)

    def release(self, function: str, session_id: str, now: float) -> None:
        """A request of the session has ended."""
        self._tables[function] = affinity.release(self._table(function), session_id, now)

    def forget(self, function: str) -> None:
        """Drop the sessions of a function that was deleted."""
        self._tables.pop(function, None)
        self._ended.pop(function, None)

    # The session API

    def list(self, function: str, instances: Container[str], now: float) -> tuple[Table, Table]:
        """Return the sessions of a function that are alive, and those that are over, the oldest first."""
        alive = sorted(self._current(function, instances, now), key=lambda session: session.created)
        return tuple(alive), tuple(self._ended.get(function, {}).values())

    def create(self, function: str, session: Session) -> None:
        """Add a session that no request has bound yet. Raises FcError."""
        self._tables[function] = affinity.create(self._table(function), session)

    def update(self, function: str, session_id: str, ttl: int | None, idle_timeout: int | None, now: float) -> None:
        """Change the limits of a session; None keeps one."""
        self._tables[function] = affinity.change(self._table(function), session_id, ttl, idle_timeout, now)

    def delete(self, function: str, session_id: str) -> None:
        """End a session; its running requests go on."""
        self._tables[function] = affinity.delete(self._table(function), session_id)

    def _current(self, function: str, instances: Container[str], now: float) -> Table:
        """Return the sessions that are alive, and keep the newest `ENDED` of those that are over."""
        before = self._table(function)
        current = affinity.prune(before, instances, now)
        if len(current) < len(before):
            self._tables[function] = current
            ended = self._ended.setdefault(function, {})
            alive = {session.session_id for session in current}
            ended.update({session.session_id: session for session in before if session.session_id not in alive})
            for oldest in list(ended)[:-ENDED]:
                del ended[oldest]
        return current

    def _table(self, function: str) -> Table:
        return self._tables.get(function, ())
