"""InvokeFunction: an event call, which a custom runtime gets as POST /invoke on one of its instances."""

import asyncio
from collections.abc import Mapping

from fclocal.core import ending
from fclocal.core.ending import Ending
from fclocal.core.errors import FcError
from fclocal.core.request import Entry, RequestHead
from fclocal.runtime.instances import hooks
from fclocal.runtime.requests.engine import Engine

_HEAD = RequestHead("POST", "/invoke")


class PendingInvocation:
    """One call under way: the holder of its lease."""

    def __init__(self) -> None:
        self._task = asyncio.current_task()
        self.ending: Ending | None = None  # why it was aborted

    def abort(self, ending: Ending) -> None:
        """End the call now, for this reason."""
        if self.ending is None and self._task is not None:
            self.ending = ending
            self._task.cancel()

    def silence(self) -> None:
        """Do nothing: the management API holds the caller's connection; the execution timeout ends the call."""

    def failure(self, timeout: float) -> FcError | None:
        """Return the error of an aborted call, None for one that the caller cancelled."""
        if self.ending is None or self._task is None:
            return None
        self._task.uncancel()
        return ending.error(self.ending, timeout)


async def invoke(engine: Engine, name: str, qualifier: str, body: bytes) -> tuple[Mapping[str, str], bytes]:
    """Call function `name` with an event; return the headers and body of its answer.

    Raises FcError: what `Engine.admit` and `Engine.lease` raise, BadResponse, or the error of the call's ending.
    """
    request = engine.receive(Entry("invocation", name, qualifier), _HEAD, "invoke", "")
    admission = engine.admit(request)
    invocation = PendingInvocation()
    with await engine.lease(admission, invocation) as lease:
        try:
            answer = await hooks.invoke(lease.port, admission, body)
        except FcError as error:
            lease.end(Ending.FUNCTION, status=error.status, bytes_in=len(body))
            raise
        except asyncio.CancelledError:
            if (failure := invocation.failure(lease.timeout)) is None:
                lease.end(Ending.CLIENT, status=ending.error(Ending.CLIENT, 0).status, bytes_in=len(body))
                raise
            lease.end(invocation.ending or Ending.CLIENT, status=failure.status, bytes_in=len(body))
            raise failure from None
        lease.end(Ending.DONE, status=answer.status, bytes_in=len(body), bytes_out=len(answer.body))
    return {**dict(answer.headers), "x-fc-request-id": request.request_id}, answer.body
