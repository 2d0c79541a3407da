"""InvokeFunction: an event call, which a custom runtime gets as POST /invoke on one of its instances."""

import asyncio
import os
import random
from collections.abc import Mapping

from fclocal.core import identifiers
from fclocal.core.admission import Admission, no_such_qualifier
from fclocal.core.errors import FcError
from fclocal.core.model import snapshot
from fclocal.core.request import Entry, RequestHead
from fclocal.runtime import hooks
from fclocal.runtime.engine import Engine

_HEAD = RequestHead("POST", "/invoke")


async def invoke(
    engine: Engine, name: str, qualifier: str, body: bytes, headers: Mapping[str, str]
) -> tuple[int, Mapping[str, str], bytes]:
    """Call function `name` with an event; the status, headers and body of its answer.

    Raises FcError: AccessDenied while invocation is disabled, what `Engine.lease` raises, FunctionTimeout,
    BadResponse.
    """
    request_id = identifiers.request_id(engine.clock.now(), os.urandom(10))
    entry = Entry("trigger", name, "")
    task = asyncio.current_task()
    aborted: list[str] = []

    def on_abort(why: str) -> None:
        aborted.append(why)
        if task is not None:
            task.cancel()

    try:
        admitted = _admit(engine, entry, qualifier, request_id)
        lease = await engine.lease(
            admitted, protocol="invoke", client="", on_abort=on_abort, on_silence=lambda: None
        )
    except FcError as error:
        engine.reject(entry, _HEAD, error, request_id=request_id)
        raise
    status, why, size = 502, "function", 0
    try:
        answer = await hooks.call(
            hooks.INVOKE,
            lease.port,
            admitted.revision,
            request_id=request_id,
            limit=admitted.timeout,
            body=body,
            qualifier=qualifier,
        )
        status, why, size = answer.status, "done", len(answer.body)
    except asyncio.CancelledError:
        if not aborted:
            why = "client"
            raise
        if task is not None:
            task.uncancel()
        why = aborted[0]
        raise _error(why, admitted.timeout) from None
    finally:
        lease.end(status=status, close_code=None, why=why, bytes_in=len(body), bytes_out=size)
    return answer.status, {**dict(answer.headers), "x-fc-request-id": request_id}, answer.body


def _admit(engine: Engine, entry: Entry, qualifier: str, request_id: str) -> Admission:
    if (function := engine.catalogue.functions.get(entry.function)) is None:
        raise FcError("FunctionNotFound", name=entry.function)
    if function.disabled is not None:
        raise FcError("AccessDenied", reason=f"invocation of function '{function.name}' is disabled")
    if (revision := snapshot(function, qualifier, random.random())) is None:
        raise no_such_qualifier(function, qualifier)
    return Admission(
        entry=entry,
        request_id=request_id,
        function=function,
        qualifier=qualifier,
        revision=revision,
        head=_HEAD,
        body=b"",
        default_domain=False,
    )


def _error(why: str, seconds: float) -> FcError:
    if why == "timeout":
        return FcError("FunctionTimeout", seconds=f"{seconds:g}")
    if why == "disabled":
        return FcError("AccessDenied", reason="invocation of the function was disabled")
    return FcError("BadResponse", reason="Process exited unexpectedly before completing request")
