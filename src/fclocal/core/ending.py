"""Why a request ended: one enumeration, and one table of what follows from each reason.

HTTP, WebSocket, InvokeFunction, the function's log, the journal and the bill all read this table. The values of
`Ending` are the `why` of the record `request.end`.
"""

from dataclasses import dataclass
from enum import StrEnum

from fclocal.core.errors import FcError


class Ending(StrEnum):
    """Why a request ended."""

    DONE = "done"  # the function answered; a WebSocket ended with a Close frame
    CLIENT = "client"  # the client left, or took nothing for too long
    FUNCTION = "function"  # the function's answer was unusable, or it ended a WebSocket without a Close frame
    TIMEOUT = "timeout"  # the execution timeout of the function
    INSTANCE = "instance"  # the instance exited, was killed, or was stopped with its function
    FAULT = "fault"  # an injected fault cut the connection
    SHUTDOWN = "shutdown"  # the platform is shutting down
    DISABLED = "disabled"  # invocation of the function was disabled


@dataclass(frozen=True, slots=True)
class Row:
    """What follows from one reason.

    code, reason: the error for a caller that still waits for its answer; `reason` is the error's sentence where the
    code takes one. log: what the function's log says about the end, "" for nothing. close_code: what a
    WebSocket client sees, None where the last frame of the stream decides. answers: whether an HTTP client gets the
    error; otherwise its connection is cut. by_platform: the request is not billed when its status is a failure of the
    platform.
    """

    code: str
    reason: str = ""
    log: str = ""
    close_code: int | None = 1006
    answers: bool = True
    by_platform: bool = False


_EXITED = "Process exited unexpectedly before completing request"
_CUT = "Connection cut by an injected fault"
_DISABLED = "invocation of the function was disabled"
_SHUTDOWN = "the platform is shutting down"

TABLE: dict[Ending, Row] = {
    Ending.DONE: Row("InternalServerError", close_code=None),
    Ending.CLIENT: Row("ClientClosedRequest", log="Invocation canceled by client", close_code=None, answers=False),
    Ending.FUNCTION: Row("BadResponse", "the function's answer was unusable"),
    Ending.TIMEOUT: Row("FunctionTimeout", log="Function time out after {timeout:g} seconds"),
    Ending.INSTANCE: Row("BadResponse", _EXITED, log=_EXITED, by_platform=True),
    Ending.FAULT: Row("BadResponse", _CUT, log=_CUT, answers=False, by_platform=True),
    Ending.SHUTDOWN: Row("ResourceThrottled", _SHUTDOWN, log=_SHUTDOWN, close_code=1001, by_platform=True),
    Ending.DISABLED: Row("AccessDenied", _DISABLED, log=_DISABLED),
}
"""The reasons and what follows from them. A request that is done has its answer: no error belongs to it."""

_PLATFORM_FAILURES = frozenset({429, 500, 503})


def error(ending: Ending, timeout: float) -> FcError:
    """Return the error for a caller that still waits for its answer. `timeout`: the execution timeout in seconds."""
    row = TABLE[ending]
    return FcError(row.code, reason=row.reason, seconds=f"{timeout:g}")


def log_text(ending: Ending, timeout: float) -> str:
    """Return what the function's log says about the end, "" for nothing."""
    return TABLE[ending].log.format(timeout=timeout)


def is_billed(ending: Ending, status: int) -> bool:
    """Return whether a request that reached its function is billed. `status`: the HTTP status its client saw.

    The service does not charge for requests that it failed itself with 429, 500 or 503.
    """
    return not (TABLE[ending].by_platform and status in _PLATFORM_FAILURES)
