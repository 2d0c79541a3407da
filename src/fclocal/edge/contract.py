"""What the gateway asks of the engine: a verdict, a place on an instance, and to be told when to cut."""

from collections.abc import Callable
from typing import Protocol

from fclocal.core.admission import Admission
from fclocal.core.errors import FcError
from fclocal.core.headers import Headers
from fclocal.core.request import Entry, RequestHead
from fclocal.runtime.tunnel import Tap

Abort = Callable[[str], None]  # why: timeout | instance | fault | shutdown | disabled
Silence = Callable[[], None]


class Lease(Protocol):
    """What the gateway needs of runtime.engine.Lease."""

    host: str
    response_headers: Headers  # the platform's own to the client: session affinity

    @property
    def port(self) -> int: ...
    def tap(self, extensions: bytes) -> Tap | None: ...
    def end(self, *, status: int, close_code: int | None, why: str, bytes_in: int, bytes_out: int) -> None: ...


class Engine(Protocol):
    """What the gateway needs of runtime.engine.Engine."""

    def needs_body(self, entry: Entry, head: RequestHead) -> bool: ...
    def admit(
        self, entry: Entry, head: RequestHead, *, body: bytes = b"", request_id: str, draw: float
    ) -> Admission: ...
    def reject(self, entry: Entry, head: RequestHead, error: FcError, *, request_id: str) -> None: ...
    async def lease(
        self, admitted: Admission, *, protocol: str, client: str, on_abort: Abort, on_silence: Silence
    ) -> Lease: ...
