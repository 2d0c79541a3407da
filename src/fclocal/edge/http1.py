"""HTTP/1.1 messages (RFC 9112): heads that llhttp (httptools) and the rules here accept, and bodies cut out.

A request that two programs could read differently is refused, not repaired: such requests are used for smuggling.
Everything here is bytes in, values out.
"""

import re
from collections.abc import Iterable
from typing import NamedTuple

import httptools

from fclocal.core import limits
from fclocal.core.bounded import parse_integer
from fclocal.core.errors import FcError
from fclocal.core.request import Headers, RequestHead, list_members

END = b"\r\n\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
# Chunks are read by a parser of their own, behind this head: with the client's own `Upgrade` header llhttp would take
# the body for the bytes of another protocol.
_CHUNKED = b"POST / HTTP/1.1\r\nHost: -\r\nTransfer-Encoding: chunked\r\n\r\n"
_TARGET = re.compile(rb"/[!-\"$-~]*")  # origin form: visible ASCII, no fragment
_HOST = re.compile(rb"[A-Za-z0-9._~!$&'()*+,;=%:\[\]-]*")


class _Chunks:
    """The callbacks of llhttp for one chunked body. Trailers are dropped."""

    __slots__ = ("complete", "pieces", "surplus")

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.complete = False
        self.surplus = False

    def on_message_begin(self) -> None:
        self.surplus = self.complete

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

    __slots__ = ("_chunks", "_left", "_parser", "chunked", "done", "length", "rest")

    def __init__(self, length: int | None, *, chunked: bool = False) -> None:
        self.length = length
        self.chunked = chunked
        self.done = length == 0
        self.rest = b""
        self._left = length or 0
        if chunked:
            self._chunks = _Chunks()
            self._parser = httptools.HttpRequestParser(self._chunks)
            self._parser.feed_data(_CHUNKED)

    @property
    def surplus(self) -> bool:
        return self.chunked and self._chunks.surplus

    def feed(self, data: bytes) -> bytes:
        """Return the part of `data` that is body. Raises FcError InvalidArgument for broken chunks."""
        if self.chunked:
            chunks = self._chunks
            try:
                self._parser.feed_data(data)
            except httptools.HttpParserError as error:
                if not chunks.complete:
                    raise FcError("InvalidArgument", reason=f"the body is not valid HTTP: {error}") from None
                chunks.surplus = True
            self.done = chunks.complete
            piece, chunks.pieces = b"".join(chunks.pieces), []
            return piece
        if self.length is None:
            return data
        piece, self.rest = data[: self._left], data[self._left :]
        self._left -= len(piece)
        self.done = not self._left
        return piece


_FRAMING = frozenset((b"transfer-encoding", b"content-length"))
_NO_BODY = Body(0)


class _Fields:
    """The callback of llhttp for the headers of one head. Values keep the blanks behind them."""

    __slots__ = ("found",)

    def __init__(self) -> None:
        self.found: list[tuple[bytes, bytes]] = []

    def on_header(self, name: bytes, value: bytes) -> None:
        self.found.append((name.lower(), value.strip(b" \t")))


class RequestMessage(NamedTuple):
    """A request: its head, its body's framing, and the options of the connection. `options`: those in Connection."""

    head: RequestHead
    body: Body
    version: str
    options: frozenset[bytes]
    keep_alive: bool
    websocket: bool

    @property
    def expects_continue(self) -> bool:
        return b"100-continue" in self.head.members(b"expect") and self.version == "1.1"


class ResponseMessage(NamedTuple):
    """A response: its head and its body's framing. `options`: those in Connection."""

    status: int
    reason: bytes
    headers: Headers
    body: Body
    options: frozenset[bytes]
    keep_alive: bool


def read_request(raw: bytes) -> RequestMessage:
    """Parse `raw`, a whole head with its empty line. Raises FcError InvalidArgument.

    llhttp checks each byte. What it accepts has one reading: lines that end with CRLF, and a colon after each name.
    """
    parsed = _Fields()
    try:
        httptools.HttpRequestParser(parsed).feed_data(raw)
    except httptools.HttpParserUpgrade:
        pass
    except httptools.HttpParserError as error:
        raise FcError("InvalidArgument", reason=f"the request is not valid HTTP: {error}") from None
    fields = tuple(parsed.found)
    line = raw[: raw.index(b"\r\n")]
    method, _, rest = line.partition(b" ")
    target, _, protocol = rest.rpartition(b" ")
    limits.check_request_head(len(target), _headers_size(raw, line, fields))
    # llhttp also reads RTSP/1.0 and ICE/1.0.
    _require(protocol in (b"HTTP/1.0", b"HTTP/1.1"), "the protocol must be HTTP/1.0 or HTTP/1.1")
    _require(_TARGET.fullmatch(target) is not None, "the target must be a path")
    version = protocol[5:].decode()
    if version == "1.0":  # RFC 9110 7.8: no switching of protocols there
        fields = tuple((name, value) for name, value in fields if name != b"upgrade")
    head = RequestHead(method.decode(), target.decode(), fields)
    hosts = head.get_all(b"host")
    _require(len(hosts) == 1 or (version == "1.0" and not hosts), "exactly one Host header is required")
    _require(not hosts or _HOST.fullmatch(hosts[0]) is not None, "the Host header is not a host")
    body = _request_body(head, version)
    options = head.members(b"connection")
    # RFC 6455, 4.1
    websocket = method == b"GET" and b"upgrade" in options and b"websocket" in head.members(b"upgrade")
    _require(body.done or not websocket, "a WebSocket handshake has no body")
    keep_alive = b"close" not in options and (version == "1.1" or b"keep-alive" in options)
    return RequestMessage(head, body, version, options, keep_alive, websocket)


def _headers_size(raw: bytes, line: bytes, fields: Headers) -> int:
    """Return the bytes of all names and values; of a head that is short enough anyway, the bytes of its lines."""
    lines = len(raw) - len(line) - len(END)
    return lines if lines <= limits.REQUEST_HEADERS else sum(len(name) + len(value) for name, value in fields)


def _request_body(head: RequestHead, version: str) -> Body:
    if not head.has_any(_FRAMING):
        return _NO_BODY
    coding, lengths = head.get_all(b"transfer-encoding"), head.get_all(b"content-length")
    if coding:
        _require(not lengths, "Content-Length and Transfer-Encoding exclude each other")
        _require(len(coding) == 1 and coding[0].lower() == b"chunked", "Transfer-Encoding must be chunked")
        _require(version == "1.1", "HTTP/1.0 has no Transfer-Encoding")
        return Body(None, chunked=True)
    _require(len(lengths) == 1 and lengths[0].isdigit(), "Content-Length must be one number")
    try:
        return Body(parse_integer(lengths[0], maximum=limits.BODY))
    except ValueError:
        raise limits.body_too_large() from None


def read_response(raw: bytes, method: str) -> ResponseMessage:
    """Parse the whole head `raw` of a response to a request of `method`. Raises FcError BadResponse."""
    parsed = _Fields()
    parser = httptools.HttpResponseParser(parsed)
    try:
        parser.feed_data(raw)
    except httptools.HttpParserUpgrade:
        pass
    except httptools.HttpParserError as error:
        raise FcError("BadResponse", reason=f"the function's answer is not valid HTTP: {error}") from None
    fields = tuple(parsed.found)
    line = raw[: raw.index(b"\r\n")]
    if _headers_size(raw, line, fields) > limits.RESPONSE_HEADERS:
        raise FcError("BadResponse", reason=f"the response headers exceed {limits.RESPONSE_HEADERS} bytes")
    protocol, _, rest = line.partition(b" ")
    status = parser.get_status_code()
    if not status:
        raise FcError("BadResponse", reason="the function's answer is not valid HTTP: its head is incomplete")
    values = dict(reversed(fields))  # the first of each name
    body = Body(None)
    if method == "HEAD" or status < 200 or status in (204, 304):
        body = _NO_BODY
    elif (coding := values.get(b"transfer-encoding")) is not None:
        body = Body(None, chunked=coding.lower().endswith(b"chunked"))
    elif (length := values.get(b"content-length")) is not None:
        body = Body(_response_length(length))
    options = list_members([value for name, value in fields if name == b"connection"])
    framed = body.chunked or body.length is not None
    keep_alive = framed and protocol == b"HTTP/1.1" and b"close" not in options
    return ResponseMessage(status, rest.partition(b" ")[2], fields, body, options, keep_alive)


def _response_length(value: bytes) -> int:
    try:
        return parse_integer(value)
    except ValueError as error:
        reason = f"the function's answer is not valid HTTP: its Content-Length is {error}"
        raise FcError("BadResponse", reason=reason) from None


def encode_head(line: bytes, fields: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Return a head as bytes, from its first line and its headers."""
    return b"\r\n".join([line, *map(b": ".join, fields), b"", b""])


def chunk(data: bytes) -> bytes:
    """Return `data` as one chunk; b"" makes the last chunk and the end of the body."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def _require(condition: bool, reason: str) -> None:
    if not condition:
        raise FcError("InvalidArgument", reason=reason)
