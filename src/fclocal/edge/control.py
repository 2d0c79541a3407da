"""The management API 2023-03-30 over HTTP: who may call, which operation is meant, and errors the SDKs can read.

`management` has the operations. Order of the checks: Host, path and method, signature, size. Every
answer is JSON or empty: the official SDK loses status and code of anything else.
"""

import asyncio
import contextlib
import hashlib
import re
import secrets
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fclocal.core import acs3, identifiers, wire
from fclocal.core.bounded import parse_json
from fclocal.core.clock import Clock
from fclocal.core.errors import FcError
from fclocal.edge.management.call import Call, Operation
from fclocal.edge.management.deployment import DeploymentOperations
from fclocal.edge.management.runtime import Invoke, RuntimeOperations
from fclocal.edge.management.sessions import SessionOperations
from fclocal.runtime.requests.engine import Engine
from fclocal.runtime.state.registry import Registry
from fclocal.runtime.state.store import Store

PREFIX = "/2023-03-30"
MAX_BODY = 140 * 2**20
"""Bytes of one call: a package of 100 MB in Base64 and its configuration."""
MAX_BODIES = 2 * MAX_BODY
"""Bytes of all bodies that are in memory at the same time."""

_SMALL = 2**18  # bytes that are hashed and decoded on the event loop; more goes to a thread
_DRAIN_SECONDS = 10.0  # for the rest of a refused body
_LOCAL_HOST = re.compile(r"(?:http://)?(?:127\.0\.0\.1|localhost|\[::1\])(?::\d{1,5})?/?", re.IGNORECASE)


class Guard:
    """Admits a call only from this machine's own names, with a valid signature and of bounded size."""

    def __init__(self, keys: Mapping[str, str], clock: Clock) -> None:
        self._keys = keys
        self._clock = clock
        self._in_memory = 0  # bytes of the bodies being received

    def host(self, scope: Scope) -> None:
        """Raise FcError AccessDenied unless the client called this machine by one of its own names.

        A web page of another name that resolves to this machine (DNS rebinding) must not reach the API.
        """
        hosts = [value.decode("latin-1") for name, value in scope["headers"] if name == b"host"]
        # The SDK with endpoint "http://127.0.0.1:PORT" sends just that as Host.
        if len(hosts) != 1 or not _LOCAL_HOST.fullmatch(hosts[0]):
            raise FcError("AccessDenied", reason="the management API accepts the Host 127.0.0.1 or localhost only")

    async def admit(self, scope: Scope, receive: Receive) -> bytes:
        """Return the body of the call. Raises FcError: what `acs3.verify_request` raises, RequestTooLarge,
        ResourceThrottled while other bodies fill the memory, SignatureNotMatch if the body is not the signed one.

        Host and signature are checked on the head, before any of the body is kept.
        """
        parts = _parts(receive)
        try:
            self.host(scope)
            digest = acs3.verify_request(scope["method"], scope["raw_path"].decode("latin-1"),
                                         scope["query_string"].decode("latin-1"), scope["headers"],
                                         keys=self._keys, now=self._clock.wall())
        except FcError:
            await _drain(scope, parts)
            raise
        hashed = hashlib.sha256()
        body: list[bytes] = []
        size = 0
        try:
            async for part in parts:
                size += len(part)
                self._in_memory += len(part)
                if size > MAX_BODY:
                    raise FcError("RequestTooLarge", limit=MAX_BODY)
                if self._in_memory > MAX_BODIES:
                    raise FcError("ResourceThrottled", reason="other uploads fill the memory of the management API")
                hashed.update(part)
                body.append(part)
        except FcError:
            body.clear()
            self._in_memory, size = self._in_memory - size, 0
            await _drain(scope, parts)
            raise
        finally:
            self._in_memory -= size
        if hashed.hexdigest() != digest:
            raise FcError("SignatureNotMatch")
        return b"".join(body)


class Guarded:
    """ASGI middleware that passes on only the calls that `guard` has admitted."""

    def __init__(self, app: ASGIApp, guard: Guard) -> None:
        self._app = app
        self._guard = guard

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body: list[Message] = [{"type": "http.request", "body": await self._guard.admit(scope, receive)}]

        async def again() -> Message:
            return body.pop() if body else await receive()

        await self._app(scope, again, send)


def management_app(registry: Registry, engine: Engine, *, invoke: Invoke, local: Sequence[BaseRoute], clock: Clock,
                   store: Store) -> Starlette:
    """The application that serves the management API, and the routes of `local` under /local, signed alike."""
    guard = Guard({store.access_key_id: store.access_key_secret}, clock)
    by_path: dict[str, dict[str, Operation]] = {}
    tables = (DeploymentOperations(registry).table(), RuntimeOperations(registry, engine, invoke).table(),
              SessionOperations(registry, engine).table())
    for operation in (operation for table in tables for operation in table):
        by_path.setdefault(operation.path, {})[operation.method] = operation
    routes = [Route(PREFIX + path, _Endpoint(operations, guard)) for path, operations in by_path.items()]
    app = Starlette(
        routes=[
            *routes,
            Route(PREFIX + "/{rest:path}", _Endpoint({}, guard)),
            Mount("/local", routes=local, middleware=[Middleware(Guarded, guard=guard)]),
        ],
        exception_handlers={FcError: _fc_error, HTTPException: _http_error, Exception: _bug},
    )
    app.router.redirect_slashes = False
    app.state.clock = clock
    return app


class _Endpoint:
    """One path of the API with its operations by method."""

    def __init__(self, operations: Mapping[str, Operation], guard: Guard) -> None:
        self._operations = operations
        self._guard = guard

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        self._guard.host(scope)
        operation = self._operations.get(request.method)
        action = request.headers.get("x-acs-action")
        if operation is None and not action:
            code = "MethodNotAllowed" if self._operations else "PathNotSupported"
            raise FcError(code, path=wire.printable(scope["path"]), method=request.method)
        body = await self._guard.admit(scope, receive)
        if operation is None:
            raise FcError("NotImplemented", operation=wire.printable(action or ""))
        call = Call(path=request.path_params, query=_query(operation, scope["query_string"].decode("latin-1")),
                    headers=request.headers, content=await _decoded(body) if operation.json else body)
        answer = await operation.run(call)
        if not isinstance(answer, Response):
            answer = Response(status_code=204) if answer is None else JSONResponse(answer)
        answer.headers.setdefault("x-fc-request-id", _request_id(request))
        await answer(scope, receive, send)


async def _parts(receive: Receive) -> AsyncIterator[bytes]:
    """Yield the body as it arrives. Raises FcError ClientClosedRequest when the client leaves before its end."""
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise FcError("ClientClosedRequest")
        more = message.get("more_body", False)
        yield message.get("body", b"")


async def _drain(scope: Scope, parts: AsyncIterator[bytes]) -> None:
    """Read the rest of a refused body and drop it: a client that is cut off while it sends does not see the answer.

    A client that waits for "100 Continue" has sent nothing yet, and reading would invite it to send.
    """
    if any(name == b"expect" for name, _ in scope["headers"]):
        return
    with contextlib.suppress(FcError, TimeoutError):
        async with asyncio.timeout(_DRAIN_SECONDS):
            async for _ in parts:
                pass


async def _decoded(body: bytes) -> Any:
    """The JSON of a body; an empty one counts as {}."""
    if not body:
        return {}
    try:
        return parse_json(body) if len(body) <= _SMALL else await asyncio.to_thread(parse_json, body)
    except ValueError as error:
        raise FcError("InvalidArgument", reason=f"the body is not valid JSON: {error}") from None


def _query(operation: Operation, text: str) -> dict[str, str]:
    """The query's parameters. Raises FcError for one that the operation does not have."""
    query = dict(parse_qsl(text, keep_blank_values=True))
    for name in query.keys() - operation.query:
        if name in wire.NOT_EMULATED:
            raise FcError("NotEmulated", field=name)
        raise FcError("InvalidArgument", reason=f"unknown query parameter '{wire.printable(name)}'")
    return query


def _request_id(request: Request) -> str:
    return identifiers.request_id(request.app.state.clock.wall(), secrets.token_bytes(10))


def _error(request: Request, error: FcError) -> Response:
    request_id = _request_id(request)
    return JSONResponse(error.body(request_id), error.status, headers={"x-fc-request-id": request_id})


def _fc_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, FcError)
    return _error(request, error)


def _http_error(request: Request, error: Exception) -> Response:
    """Answer an error of the web framework, outside the paths of the API."""
    assert isinstance(error, HTTPException)
    code = "MethodNotAllowed" if error.status_code == 405 else "PathNotFound"
    return _error(request, FcError(code, path=wire.printable(request.scope["path"]), method=request.method))


def _bug(request: Request, error: Exception) -> Response:
    """An error of fclocal itself; the server logs it with its traceback."""
    return _error(request, FcError("InternalServerError"))
