"""Which headers are forwarded, in both directions, and which the platform adds.

Sources: "HTTP triggers overview" (headers that cannot be customised), "Context and log format" (the common
x-fc-* headers), "Web functions" (X-Fc-Request-Id), RFC 9110 7.6.1 (hop-by-hop headers). Names are lower case.
"""

from collections.abc import Mapping
from email.utils import formatdate
from functools import lru_cache

from fclocal.core.errors import FcError
from fclocal.core.identifiers import ACCOUNT_ID, REGION
from fclocal.core.model import Revision
from fclocal.core.request import Headers, RequestHead

# The documented headers of a caller: the value that changes nothing, and the one that fclocal does not emulate.
_INVOCATION = {"x-fc-invocation-type": ("Sync", "Async"), "x-fc-log-type": ("None", "Tail")}
OF_CALLER = frozenset(name.encode() for name in (*_INVOCATION, "x-fc-async-task-id"))

_HOP_BY_HOP = frozenset(
    (b"connection", b"keep-alive", b"proxy-connection", b"proxy-authorization", b"proxy-authenticate", b"te",
     b"trailer", b"transfer-encoding", b"upgrade")
)  # fmt: skip
# The platform frames the message itself and answers Expect: 100-continue itself.
_FROM_CLIENT = _HOP_BY_HOP | {b"content-length", b"expect", b"x-forwarded-for"}
_FROM_FUNCTION = _HOP_BY_HOP | {b"content-length", b"date", b"server"}
_WEBSOCKET = ((b"connection", b"Upgrade"), (b"upgrade", b"websocket"))
_KEEP_ALIVE = ((b"connection", b"keep-alive"),)
# These are forwarded even if the client names them in Connection.
_END_TO_END = frozenset((b"host", b"cookie", b"authorization", b"content-type", b"origin", b"x-forwarded-for"))


def for_instance(revision: Revision, *, request_id: str, qualifier: str, control_path: str) -> Headers:
    """Return the common x-fc-* headers of every call that reaches an instance.

    `control_path`: /http-invoke, /invoke, /initialize or /pre-stop. fclocal does not emulate roles, so the credentials
    are empty, as they are on the service for a function without a role.
    """
    config = revision.config
    facts = (config.function_name, config.handler, config.memory_size, config.timeout, qualifier, revision.version_id)
    own = ((b"x-fc-request-id", request_id.encode()), (b"x-fc-control-path", control_path.encode()))
    return own + _of_revision(*facts)


@lru_cache(maxsize=256)
def _of_revision(name: str, handler: str, memory: int, timeout: int, qualifier: str, version: str) -> Headers:
    values = {
        "function-name": name,
        "function-handler": handler,
        "function-memory": memory,
        "function-timeout": timeout,
        "account-id": ACCOUNT_ID,
        "region": REGION,
        "qualifier": qualifier,
        "version-id": version,
        "access-key-id": "",
        "access-key-secret": "",
        "security-token": "",
        "service-logproject": "",
        "service-logstore": "",
    }
    return tuple((f"x-fc-{key}".encode(), str(value).encode()) for key, value in values.items())


def check_invocation(fields: Mapping[str, str]) -> None:
    """Raise FcError for headers that ask for another invocation than a synchronous one without its log.

    `fields`: the headers of a request to a trigger or of InvokeFunction, by lower-case name.
    """
    for name, (default, other) in _INVOCATION.items():
        if (value := fields.get(name, default)) == other:
            raise FcError("NotEmulated", field=f"{name}: {other}")
        if value != default:
            raise FcError("InvalidArgument", reason=f"{name} must be {default} or {other}")
    if "x-fc-async-task-id" in fields:
        raise FcError("NotEmulated", field="x-fc-async-task-id")


def to_instance(
    head: RequestHead, added: Headers, *, options: frozenset[bytes], client: str, websocket: bool
) -> Headers:
    """Return the headers that the function sees: the client's own as far as they may pass, then `added`.

    The headers that Connection names (`options`) are removed before the platform's are added, so a client cannot
    remove those. A WebSocket handshake keeps Connection and Upgrade.
    """
    removed = _FROM_CLIENT | (options - _END_TO_END)
    passed = [field for field in head.headers if field[0] not in removed and field[0][:5] != b"x-fc-"]
    forwarded_for = b", ".join((*head.get_all(b"x-forwarded-for"), client.encode()))
    hop = _WEBSOCKET if websocket else _KEEP_ALIVE
    return (*passed, (b"x-forwarded-for", forwarded_for), *added, *hop)


def to_client(
    head: RequestHead,
    received: Headers,
    added: Headers,
    *,
    request_id: str,
    default_domain: bool,
    wall: float,
    options: frozenset[bytes] = frozenset(),
    websocket: bool = False,
) -> Headers:
    """Return the headers that the client sees: the function's own (`received`) if they may pass, and the platform's.

    The default domain forces a download; a request with an Origin gets the default CORS headers, of which the
    function may set the allowing ones itself. `options`: what the function's Connection names. `websocket`: the answer
    is a 101.
    """
    removed = _FROM_FUNCTION | options
    if default_domain:
        removed |= {b"content-disposition"}
    passed = [field for field in received if field[0] not in removed and field[0][:5] != b"x-fc-"]
    if websocket:
        passed += [field for field in received if field[0] in (b"connection", b"upgrade")]
    else:
        passed.append((b"date", formatdate(wall, usegmt=True).encode()))
        if default_domain:
            passed.append((b"content-disposition", b"attachment"))
        if (origin := head.get(b"origin")) is not None:
            seen = {name for name, _ in passed}
            cors = ((b"access-control-allow-origin", origin), (b"access-control-allow-credentials", b"true"))
            passed += [(name, value) for name, value in cors if name not in seen]
            passed = [(name, value) for name, value in passed if name != b"access-control-expose-headers"]
            passed.append((b"access-control-expose-headers", b"Date,x-fc-request-id"))
    return (*passed, *added, (b"x-fc-request-id", request_id.encode()))
