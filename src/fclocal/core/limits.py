"""Limits of the public side.

Sizes are those of "HTTP triggers overview": too large a request is 400 InvalidArgument, too large response headers
502 BadResponse. The size of headers is that of all names and values ("Web functions"). Times are fclocal's own; the
service documents none besides the execution timeout.
"""

from fclocal.core.errors import FcError

KIB, MIB = 1024, 1024 * 1024

REQUEST_HEADERS = 8 * KIB
TARGET = 4 * KIB  # path and query
REQUEST_LINE_REST = 32  # method, version and line end, beyond the target
HEADER_LINES = 512  # ": " and the line ends of 128 headers, which the size of headers does not count
REQUEST_HEAD = REQUEST_HEADERS + HEADER_LINES + TARGET + REQUEST_LINE_REST
BODY = 32 * MIB
RESPONSE_HEADERS = 8 * KIB
STATUS_LINE = 512
RESPONSE_HEAD = RESPONSE_HEADERS + HEADER_LINES + STATUS_LINE

HEAD_SECONDS = 10.0  # from a request's first byte to the end of its head; also the TLS handshake
KEEP_ALIVE_SECONDS = 60.0  # between two requests of a connection
INSTANCE_IDLE_SECONDS = 15 * 60.0  # a connection to a function's server; the server must wait longer
STALL_SECONDS = 60.0  # a client that takes nothing although something waits for it
LINGER_SECONDS = 10.0  # a tunnel of which one side is gone


def check_request_head(target: int, headers: int) -> None:
    """Raise FcError InvalidArgument when path and query, or all headers, are too long (in bytes)."""
    if target > TARGET:
        raise FcError("InvalidArgument", reason=f"path and query exceed {TARGET} bytes")
    if headers > REQUEST_HEADERS:
        raise FcError("InvalidArgument", reason=f"the request headers exceed {REQUEST_HEADERS} bytes")


def unfinished_head(start: bytes) -> FcError:
    """The error for a head that is too long and whose end has not been seen."""
    _, end, _ = start.partition(b"\r\n")
    what = "the request headers exceed" if end else "path and query exceed"
    return FcError("InvalidArgument", reason=f"{what} {REQUEST_HEADERS if end else TARGET} bytes")


def check_body(size: int) -> None:
    """Raise FcError InvalidArgument when a body of `size` bytes is too large."""
    if size > BODY:
        raise body_too_large()


def body_too_large() -> FcError:
    """Return the error for a request body of more than `BODY` bytes."""
    return FcError("InvalidArgument", reason=f"the request body exceeds {BODY} bytes")
