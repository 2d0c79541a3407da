"""Session affinity: which instance a client's session is bound to, as pure decisions over an immutable table.

    HEADER_FIELD       the client names its session in a header it chooses, or is given an id in the same header
    GENERATED_COOKIE   the platform plants `x-fc-cookie-session-id`

Source: the service's pages on session affinity and the struct SessionAffinityConfig. A session lives
`sessionTTLInSeconds` at most and `sessionIdleTimeoutInSeconds` after its last request; affinity forces an instance
concurrency of 200, and a session that finds its instance full gets 429 (the pool says so).
"""

import re
from collections import Counter
from collections.abc import Container
from dataclasses import dataclass, replace

from fclocal.core import jwt_auth
from fclocal.core.errors import FcError, invalid
from fclocal.core.model import LATEST, AffinityConfig, FunctionConfig
from fclocal.core.request import RequestHead

COOKIE = "x-fc-cookie-session-id"
_ID = re.compile(rb"[A-Za-z0-9_][A-Za-z0-9_-]{0,63}")
_ID_RULE = "a session id has 1 to 64 letters, digits, _ and -, and does not begin with -"


@dataclass(frozen=True, slots=True)
class Session:
    """A session of a function. Times in seconds since 1970; `open` counts its running requests.

    `instance_id` is "" until the first request of a session that CreateSession made. `kind`, `ttl` and `idle_timeout`
    (seconds) are those of the revision under which the session began, unless UpdateSession has changed them.
    """

    session_id: str
    instance_id: str
    created: float
    used: float
    kind: str
    ttl: int
    idle_timeout: int
    open: int = 0
    qualifier: str = LATEST
    modified: float | None = None

    @property
    def end(self) -> float:
        """The time at which the session ends unless it has another request."""
        end = self.created + self.ttl
        return end if self.open else min(end, self.used + self.idle_timeout)


Table = tuple[Session, ...]


@dataclass(frozen=True, slots=True)
class Choice:
    """The decision of session affinity about one request.

    `instance_id` None means: any instance that is not in `full`, or a new one, which is then bound with `bind`.
    `header` is added to the response.
    """

    session_id: str
    instance_id: str | None
    header: tuple[bytes, bytes] | None


def begin(config: FunctionConfig, session_id: str, now: float, *, qualifier: str = LATEST, ttl: int | None = None,
          idle_timeout: int | None = None) -> Session:
    """Return a new session, with limits of its own or (None) those of the function."""
    rules = config.session_affinity_config or AffinityConfig()
    return Session(session_id, "", now, now, config.session_affinity,
                   rules.session_ttl_in_seconds if ttl is None else ttl,
                   rules.session_idle_timeout_in_seconds if idle_timeout is None else idle_timeout, qualifier=qualifier)


def choose(
    head: RequestHead, config: FunctionConfig, table: Table, now: float, new_id: str, ended: Container[str] = ()
) -> Choice:
    """Return the session of a request to a function with affinity. `new_id` is the id of a new session.

    `ended`: ids of sessions that are over. A request with such an id begins a new session, under the same id or, with
    disableSessionIdReuse, under `new_id`. Raises FcError InvalidArgument for a session id that breaks the rules.
    """
    rules = config.session_affinity_config or AffinityConfig()
    if config.session_affinity == "GENERATED_COOKIE":
        ids = [value for name, value in jwt_auth.cookies(head) if name == COOKIE]
        bound = _find(table, ids[0], now) if len(ids) == 1 else None
        if bound is not None:
            return Choice(bound.session_id, bound.instance_id or None, None)
        if len(ids) == 1 and ids[0] in ended and not rules.disable_session_id_reuse:
            new_id = ids[0]
        age = rules.session_ttl_in_seconds
        return Choice(new_id, None, (b"set-cookie", f"{COOKIE}={new_id}; Max-Age={age}".encode()))
    name = (rules.affinity_header_field_name or "").lower().encode()
    values = head.get_all(name)
    if values and (len(values) > 1 or not _ID.fullmatch(values[0])):
        raise invalid(f"header {rules.affinity_header_field_name}", _ID_RULE)
    session_id = values[0].decode() if values else new_id
    if session_id in ended and rules.disable_session_id_reuse:
        session_id = new_id
    bound = _find(table, session_id, now)
    return Choice(session_id, (bound.instance_id or None) if bound else None, (name, session_id.encode()))


def check(config: FunctionConfig) -> None:
    """Raise FcError, naming the field, for a sessionAffinityConfig that does not fit sessionAffinity."""
    rules = config.session_affinity_config
    if config.session_affinity == "NONE" and rules is not None:
        raise invalid("sessionAffinityConfig", "sessionAffinity NONE takes none")
    header = rules.affinity_header_field_name if rules else None
    if config.session_affinity == "HEADER_FIELD" and not header:
        raise invalid("sessionAffinityConfig.affinityHeaderFieldName", "HEADER_FIELD needs the name of the header")
    if header and header.lower().startswith("x-fc-"):
        raise invalid("sessionAffinityConfig.affinityHeaderFieldName", "must not begin with x-fc-")


def full(table: Table, config: FunctionConfig, now: float) -> frozenset[str]:
    """Ids of the instances that take no further session."""
    rules = config.session_affinity_config or AffinityConfig()
    count = Counter(session.instance_id for session in table if session.instance_id and now < session.end)
    return frozenset(name for name, sessions in count.items() if sessions >= rules.session_concurrency_per_instance)


def until(table: Table, instance_id: str) -> float:
    """Return the time at which the last session bound to an instance ends without further requests, 0 without one."""
    return max((session.end for session in table if session.instance_id == instance_id), default=0.0)


def bind(table: Table, config: FunctionConfig, session_id: str, instance_id: str, now: float,
         qualifier: str = LATEST) -> Table:
    """Return the table once a request of `session_id` has its place on `instance_id`."""
    known = next((session for session in table if session.session_id == session_id), None)
    if known is None or known.instance_id not in ("", instance_id):
        known = begin(config, session_id, now, qualifier=qualifier)
    bound = replace(known, instance_id=instance_id, used=now, open=known.open + 1)
    return (*delete(table, session_id), bound)


def create(table: Table, session: Session) -> Table:
    """Return the table with a session that CreateSession makes. Raises FcError SessionAlreadyExists."""
    if _find(table, session.session_id, session.created) is not None:
        raise FcError("SessionAlreadyExists", name=session.session_id)
    return (*delete(table, session.session_id), session)


def check_created(config: FunctionConfig, session_id: str | None) -> None:
    """Raise FcError InvalidArgument unless CreateSession can make a session with this id (None: a new id)."""
    if config.session_affinity == "NONE":
        raise invalid("sessionAffinity", "the function has none, so it has no sessions")
    if session_id and config.session_affinity != "HEADER_FIELD":
        raise invalid("sessionId", "can be chosen with HEADER_FIELD only")
    if session_id and not _ID.fullmatch(session_id.encode()):
        raise invalid("sessionId", _ID_RULE)


def change(table: Table, session_id: str, ttl: int | None, idle_timeout: int | None, now: float) -> Table:
    """Return the table after UpdateSession; None keeps a limit."""
    return tuple(replace(session, modified=now, ttl=session.ttl if ttl is None else ttl,
                         idle_timeout=session.idle_timeout if idle_timeout is None else idle_timeout)
                 if session.session_id == session_id else session for session in table)


def delete(table: Table, session_id: str) -> Table:
    """Return the table without a session; the next request with its id begins a new one."""
    return tuple(session for session in table if session.session_id != session_id)


def release(table: Table, session_id: str, now: float) -> Table:
    """Return the table once a request of `session_id` has ended."""
    return tuple(replace(session, used=now, open=max(0, session.open - 1)) if session.session_id == session_id
                 else session for session in table)


def prune(table: Table, instances: Container[str], now: float) -> Table:
    """Return the table without sessions that are over or whose instance is gone."""
    return tuple(session for session in table
                 if (not session.instance_id or session.instance_id in instances) and now < session.end)


def _find(table: Table, session_id: str, now: float) -> Session | None:
    return next((session for session in table if session.session_id == session_id and now < session.end), None)
