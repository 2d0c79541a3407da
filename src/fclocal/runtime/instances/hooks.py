"""Calls that the platform itself makes to an instance: lifecycle hooks and InvokeFunction.

Initializer is `POST /initialize`, PreStop is `GET /pre-stop`, an event call is `POST /invoke`, each with the common
x-fc-* headers (lifecycle hooks of custom runtimes; "Web functions"). httpx is imported on first use because few
functions have hooks.
"""

from dataclasses import dataclass
from typing import Literal

from fclocal.core import clock, headers
from fclocal.core.admission import Admission
from fclocal.core.clock import Clock
from fclocal.core.errors import FcError
from fclocal.core.model import Revision
from fclocal.core.request import Headers


@dataclass(frozen=True, slots=True)
class HookCall:
    """A lifecycle hook: its name in the log, its method and its path, which is also its x-fc-control-path."""

    title: str
    method: Literal["GET", "POST"]
    path: str


INITIALIZE = HookCall("Initialize", "POST", "/initialize")
PRE_STOP = HookCall("PreStop", "GET", "/pre-stop")


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer of an instance to a call of the platform."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


async def call(hook: HookCall, port: int, revision: Revision, *, request_id: str, limit: float, time: Clock) -> None:
    """Call a lifecycle hook, within `limit` seconds. Raises FcError InitializationError."""
    request_headers = headers.for_instance(
        revision, request_id=request_id, qualifier=revision.version_id or "LATEST", control_path=hook.path
    )
    try:
        async with clock.timeout(time, limit):
            answer = await send(hook.method, hook.path, port, request_headers)
    except TimeoutError:
        raise FcError("InitializationError", reason=f"{hook.path} did not answer in {limit:g} seconds") from None
    except FcError as error:
        raise FcError("InitializationError", reason=f"{hook.path} failed: {error.facts['reason']}") from None
    if not 200 <= answer.status < 300:
        raise FcError("InitializationError", reason=f"{hook.path} answered with status {answer.status}")


async def invoke(port: int, admission: Admission, event: bytes) -> Answer:
    """Send an event to an instance. Raises FcError BadResponse when it does not answer in HTTP."""
    request_headers = headers.for_instance(
        admission.revision,
        request_id=admission.request.request_id,
        qualifier=admission.qualifier,
        control_path="/invoke",
    )
    content_type = (b"content-type", b"application/octet-stream")
    return await send("POST", "/invoke", port, (*request_headers, content_type), event)


async def send(method: str, path: str, port: int, request_headers: Headers = (), body: bytes = b"") -> Answer:
    """Send one request to the server on `port` of this machine. Raises FcError BadResponse without an HTTP answer."""
    import httpx

    # Each call has its own limit outside; nothing is read from the environment (proxies).
    try:
        async with httpx.AsyncClient(timeout=None, trust_env=False, verify=False) as client:
            response = await client.request(method, f"http://127.0.0.1:{port}{path}", headers=list(request_headers),
                                            content=body or None)
            return Answer(response.status_code, tuple(response.headers.multi_items()), response.content)
    except httpx.HTTPError as error:
        raise FcError("BadResponse", reason=str(error) or type(error).__name__) from None
