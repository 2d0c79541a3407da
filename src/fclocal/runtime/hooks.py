"""Calls that the platform itself makes to an instance: lifecycle hooks and InvokeFunction.

Initializer is `POST /initialize`, PreStop is `GET /pre-stop`, an event call is `POST /invoke`, each with the common
x-fc-* headers (lifecycle hooks of custom runtimes; "Web functions"). aiohttp comes with the official SDK; it is
imported on first use because most functions have no hook.
"""

from dataclasses import dataclass
from typing import Literal

from fclocal.core import headers
from fclocal.core.errors import FcError
from fclocal.core.model import Revision


@dataclass(frozen=True, slots=True)
class Call:
    """Method, path and the x-fc-control-path that goes with them."""

    method: Literal["GET", "POST"]
    path: str


INITIALIZE = Call("POST", "/initialize")
PRE_STOP = Call("GET", "/pre-stop")
INVOKE = Call("POST", "/invoke")


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


async def call(
    what: Call, port: int, revision: Revision, *, request_id: str, limit: float, body: bytes = b"", qualifier: str = ""
) -> Answer:
    """Make the call, within `limit` seconds. Raises FcError InitializationError for a hook that fails,
    BadResponse when the instance does not answer in HTTP, FunctionTimeout when it takes too long."""
    import aiohttp

    given = headers.for_instance(
        revision, request_id=request_id, qualifier=qualifier or revision.version_id or "LATEST", control_path=what.path
    )
    named = {name.decode(): value.decode("latin-1") for name, value in given}
    if what is INVOKE:
        named["content-type"] = "application/octet-stream"
    url = f"http://127.0.0.1:{port}{what.path}"
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=limit)) as session,
            session.request(what.method, url, headers=named, data=body or None) as got,
        ):
            answer = Answer(got.status, tuple(got.headers.items()), await got.read())
    except TimeoutError:
        if what is INVOKE:
            raise FcError("FunctionTimeout", seconds=f"{limit:g}") from None
        raise FcError("InitializationError", reason=f"{what.path} did not answer in {limit:g} seconds") from None
    except aiohttp.ClientError as error:
        if what is INVOKE:
            raise FcError("BadResponse", reason=str(error)) from None
        raise FcError("InitializationError", reason=f"{what.path} failed: {error}") from None
    if what is not INVOKE and not 200 <= answer.status < 300:
        raise FcError("InitializationError", reason=f"{what.path} answered with status {answer.status}")
    return answer
