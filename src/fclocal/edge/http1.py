"""HTTP/1.1 messages (RFC 9112): heads parsed by llhttp (httptools) and checked further here, bodies cut out.

A request that two programs could read differently is refused, not repaired: such requests are used for smuggling.
Everything here is bytes in, values out.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

import httptools

from fclocal.core import limits
from fclocal.core.bounded import parse_integer
from fclocal.core.errors import FcError
from fclocal.core.request import RequestHead

END = b"\r\n\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
Parser = httptools.HttpRequestParser | httptools.HttpResponseParser
# Chunks are read by a parser of their own, behind this head: with the client's own `Upgrade` header llhttp would take
# the body for the bytes of another protocol.
_CHUNKED = b"POST / HTTP/1.1\r\nHost: -\r\nTransfer-Encoding: chunked\r\n\r\n"
_TARGET = re.compile(rb"/[!-\"$-~]*")  # origin form: visible ASCII, no fragment
_HOST = re.compile(rb"[A-Za-z0-9._~!$&'()*+,;=%:\[\]-]*")


class _Events:
    """The callbacks of llhttp for one message."""

    __slots__ = ("complete", "headers", "in_body", "pieces", "reason", "surplus", "target")

    def __init__(self) -> None:
        self.target = b""
        self.reason = b""
        self.headers: list[tuple[bytes, bytes]] = []
        self.pieces: list[bytes] = []
        self.in_body = False
        self.complete = False
        self.surplus = False

    def on_message_begin(self) -> None:
        self.surplus = self.complete

    def on_url(self, url: bytes) -> None:
        self.target += url

    def on_status(self, reason: bytes) -> None:
        self.reason += reason

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self.in_body:  # trailers are dropped
            self.headers.append((name.lower(), value.rstrip(b" \t")))

    def on_headers_complete(self) -> None:
        self.in_body = True

    def on_body(self, data: bytes) -> None:
        if not self.surplus:
            self.pieces.append(data)

    def on_message_complete(self) -> None:
        self.complete = True


class Body:
    """Cuts one message's body out of a stream.

    `length` in bytes, 0 when there is none, None when not known beforehand. `rest` are the bytes behind the body.
    `surplus` says that there were bytes behind a chunked body, whose beginning is not known: the connection cannot be
    used again.
    """

    __slots__ = ("_events", "_left", "_parser", "done", "length", "rest")

    def __init__(self, length: int | None, parser: Parser | None = None, events: _Events | None = None) -> None:
        self.length = length
        self.done = length == 0
        self.rest = b""
        self._left = length or 0
        self._parser = parser
        self._events = events

    @classmethod
    def of_chunks(cls) -> "Body":
        """Return the body of a message with `Transfer-Encoding: chunked`."""
        events = _Events()
        parser = httptools.HttpRequestParser(events)
        parser.feed_data(_CHUNKED)
        return cls(None, parser, events)

    @property
    def chunked(self) -> bool:
        return self._parser is not None

    @property
    def surplus(self) -> bool:
        return self._events is not None and self._events.surplus

    def feed(self, data: bytes) -> bytes:
        """Return the part of `data` that is body. Raises FcError InvalidArgument for broken chunks."""
        if self._parser is not None and self._events is not None:
            try:
                self._parser.feed_data(data)
            except httptools.HttpParserError as error:
                if not self._events.complete:
                    raise FcError("InvalidArgument", reason=f"the body is not valid HTTP: {error}") from None
                self._events.surplus = True
            self.done = self._events.complete
            piece, self._events.pieces = b"".join(self._events.pieces), []
            return piece
        if self.length is None:
            return data
        piece, self.rest = data[: self._left], data[self._left :]
        self._left -= len(piece)
        self.done = not self._left
        return piece


@dataclass(frozen=True, slots=True)
class RequestMessage:
    """A request: its head, its body's framing, and the options of the connection."""

    head: RequestHead
    body: Body
    version: str
    keep_alive: bool
    websocket: bool

    @property
    def expects_continue(self) -> bool:
        return b"100-continue" in self.head.tokens(b"expect") and self.version == "1.1"


@dataclass(frozen=True, slots=True)
class ResponseMessage:
    """A response: its head and its body's framing."""

    status: int
    reason: bytes
    headers: tuple[tuple[bytes, bytes], ...]
    body: Body
    keep_alive: bool


def read_request(raw: bytes) -> RequestMessage:
    """Parse `raw`, a whole head with its empty line. Raises FcError InvalidArgument."""
    events = _Events()
    parser = httptools.HttpRequestParser(events)
    try:
        parser.feed_data(raw)
    except httptools.HttpParserUpgrade:
        pass  # the client asks to switch protocols
    except httptools.HttpParserError as error:
        raise FcError("InvalidArgument", reason=f"the request is not valid HTTP: {error}") from None
    _require(events.in_body, "the request is not valid HTTP: its head is incomplete")
    limits.check_request_head(len(events.target), _headers_size(raw, events))
    # llhttp also reads RTSP/1.0 and ICE/1.0.
    version = raw[: raw.find(b"\r\n")].rpartition(b" HTTP/")[2].decode("latin-1")
    _require(version in ("1.0", "1.1"), "the protocol must be HTTP/1.0 or HTTP/1.1")
    _require(_TARGET.fullmatch(events.target) is not None, "the target must be a path")
    if version == "1.0":  # RFC 9110 7.8: no switching of protocols there
        events.headers = [(name, value) for name, value in events.headers if name != b"upgrade"]
    head = RequestHead(parser.get_method().decode("ascii"), events.target.decode("ascii"), tuple(events.headers))
    hosts = head.get_all(b"host")
    _require(len(hosts) == 1 or (version == "1.0" and not hosts), "exactly one Host header is required")
    _require(all(_HOST.fullmatch(host) for host in hosts), "the Host header is not a host")
    body = _request_body(head, version)
    options = head.tokens(b"connection")
    # RFC 6455, 4.1
    websocket = head.method == "GET" and b"upgrade" in options and b"websocket" in head.tokens(b"upgrade")
    _require(body.done or not websocket, "a WebSocket handshake has no body")
    keep_alive = b"close" not in options and (version == "1.1" or b"keep-alive" in options)
    return RequestMessage(head, body, version, keep_alive, websocket)


def _headers_size(raw: bytes, events: "_Events") -> int:
    """Return the bytes of all names and values; of a head that is short enough anyway, the bytes of its lines."""
    lines = len(raw) - raw.find(b"\r\n") - len(END)
    return lines if lines <= limits.REQUEST_HEADERS else sum(len(name) + len(value) for name, value in events.headers)


def _request_body(head: RequestHead, version: str) -> Body:
    coding, lengths = head.get_all(b"transfer-encoding"), head.get_all(b"content-length")
    if coding:
        _require(not lengths, "Content-Length and Transfer-Encoding exclude each other")
        _require(len(coding) == 1 and coding[0].lower() == b"chunked", "Transfer-Encoding must be chunked")
        _require(version == "1.1", "HTTP/1.0 has no Transfer-Encoding")
        return Body.of_chunks()
    if not lengths:
        return Body(0)
    _require(len(lengths) == 1 and lengths[0].isdigit(), "Content-Length must be one number")
    try:
        return Body(parse_integer(lengths[0], maximum=limits.BODY))
    except ValueError:
        raise limits.body_too_large() from None


def read_response(raw: bytes, method: str) -> ResponseMessage:
    """Parse the whole head `raw` of a response to a request of `method`. Raises FcError BadResponse."""
    events = _Events()
    parser = httptools.HttpResponseParser(events)
    try:
        parser.feed_data(raw)
    except httptools.HttpParserUpgrade:
        pass
    except httptools.HttpParserError as error:
        raise FcError("BadResponse", reason=f"the function's answer is not valid HTTP: {error}") from None
    if not events.in_body:
        raise FcError("BadResponse", reason="the function's answer is not valid HTTP: its head is incomplete")
    if _headers_size(raw, events) > limits.RESPONSE_HEADERS:
        raise FcError("BadResponse", reason=f"the response headers exceed {limits.RESPONSE_HEADERS} bytes")
    status = parser.get_status_code()
    lengths = [value for name, value in events.headers if name == b"content-length"]
    body = Body(None)
    if method == "HEAD" or status < 200 or status in (204, 304):
        body = Body(0)
    elif any(name == b"transfer-encoding" for name, _ in events.headers):
        body = Body(None, parser, events)
    elif lengths:
        body = Body(_response_length(lengths[0]))
    options = b",".join(value.lower() for name, value in events.headers if name == b"connection").split(b",")
    framed = body.chunked or body.length is not None
    keep_alive = framed and raw.startswith(b"HTTP/1.1") and b"close" not in [option.strip() for option in options]
    return ResponseMessage(status, events.reason, tuple(events.headers), body, keep_alive)


def _response_length(value: bytes) -> int:
    try:
        return parse_integer(value)
    except ValueError as error:
        reason = f"the function's answer is not valid HTTP: its Content-Length is {error}"
        raise FcError("BadResponse", reason=reason) from None


def encode_head(first: str | bytes, headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Return a head as bytes, from its first line and its headers."""
    line = first if isinstance(first, bytes) else first.encode("ascii")
    return b"".join([line, b"\r\n", *[b"%b: %b\r\n" % header for header in headers], b"\r\n"])


def chunk(data: bytes) -> bytes:
    """Return `data` as one chunk; b"" makes the last chunk and the end of the body."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def _require(condition: bool, reason: str) -> None:
    if not condition:
        raise FcError("InvalidArgument", reason=reason)
