"""Parse HTTP/1.1: every input becomes an unambiguous request, or a 400 or 502."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fclocal.core.errors import FcError
from fclocal.edge import http1

PIECES = st.sampled_from(
    [b"GET", b"POST", b"HEAD", b" ", b"\t", b"/", b"/a?b", b"*", b"HTTP/1.1", b"HTTP/1.0", b"\r\n", b"\r", b"\n", b"\0",
     b"Host: a", b"host:b", b"Host : c", b"Content-Length: 3", b"Content-Length:0", b"Transfer-Encoding: chunked",
     b"Transfer-Encoding:\tgzip", b"Connection: Upgrade", b"Upgrade: websocket", b"Connection: close", b"X: y", b": z",
     b"Expect: 100-continue", b"200", b"101", b"OK", b"\xff", b"\x7f", b"#", b"http://x/", b"\x0b"]
)  # fmt: skip
LINES = st.lists(st.lists(PIECES, max_size=5).map(b"".join), max_size=8).map(b"\r\n".join)
HEADS = st.one_of(LINES, LINES.map(lambda rest: b"GET / HTTP/1.1\r\nHost: a\r\n" + rest))


@given(HEADS)
def test_any_request_head(raw: bytes) -> None:
    try:
        request = http1.read_request(raw.partition(http1.END)[0] + http1.END)
    except FcError as error:
        assert (error.code, error.status) == ("InvalidArgument", 400)
        return
    head = request.head
    assert head.target.startswith("/") and head.target.isascii() and head.target.isprintable()
    assert " " not in head.target
    assert head.method.isalpha()
    for name, value in head.headers:
        assert name == name.lower() and not set(name + value) & set(b"\r\n\0") and name.strip() == name
    assert len(head.get_all(b"host")) == 1 or request.version == "1.0"
    assert not (head.get(b"content-length") and head.get(b"transfer-encoding"))
    assert len(head.get_all(b"content-length")) <= 1
    assert not (request.websocket and (request.version == "1.0" or not request.body.done))


@given(HEADS.map(lambda raw: raw.replace(b"GET / HTTP/1.1", b"HTTP/1.1 200 OK")))
def test_any_response_head(raw: bytes) -> None:
    try:
        response = http1.read_response(raw.partition(http1.END)[0] + http1.END, "GET")
    except FcError as error:
        assert (error.code, error.status) == ("BadResponse", 502)
        return
    assert 100 <= response.status <= 999
    assert not set(response.reason) & set(b"\r\n\0")
    for name, value in response.headers:
        assert not set(name + value) & set(b"\r\n\0")


@given(st.lists(st.binary(min_size=1, max_size=50), max_size=5), st.binary(max_size=20), st.integers(1, 30))
def test_a_chunked_body_however_it_is_cut(pieces: list[bytes], behind: bytes, step: int) -> None:
    """The payload comes out whole, and that something came behind it is noticed."""
    request = http1.read_request(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
    sent = b"".join(map(http1.chunk, pieces)) + http1.chunk(b"")
    got = b""
    for at in range(0, len(sent), step):
        assert not request.body.done
        got += request.body.feed(sent[at : at + step])
    assert got == b"".join(pieces)
    assert request.body.done and not request.body.surplus
    if behind.strip(b"\r\n"):
        request.body.feed(behind)
        assert request.body.surplus


@given(st.binary(max_size=60), st.integers(0, 40), st.integers(1, 20))
def test_a_body_with_a_length_however_it_is_cut(sent: bytes, length: int, step: int) -> None:
    body = http1.read_request(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % length).body
    got = rest = b""
    for at in range(0, len(sent), step):
        if body.done:
            rest += sent[at : at + step]
        else:
            got += body.feed(sent[at : at + step])
            rest += body.rest
    assert (got, rest) == (sent[:length], sent[length:])
    assert body.done == (len(sent) >= length)


def test_a_response_with_two_lengths_is_refused() -> None:
    with pytest.raises(FcError) as caught:
        http1.read_response(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", "GET")
    assert caught.value.code == "BadResponse"


@pytest.mark.parametrize("upgrade", [b"h2c", b"websocket", b"anything"])
def test_a_chunked_body_with_an_upgrade_header_is_read(upgrade: bytes) -> None:
    """`curl --http2` sends one; the body belongs to this request, for every protocol that the client offers."""
    head = b"POST / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: " + upgrade + b"\r\n"
    body = http1.read_request(head + b"Transfer-Encoding: chunked\r\n\r\n").body
    assert body.feed(b"3\r\na=b\r\n0\r\n\r\n") == b"a=b"
    assert body.done and not body.surplus


def test_a_length_with_leading_zeros_is_read_however_many() -> None:
    zeros = b"0" * 5_000
    assert http1.read_request(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %b4\r\n\r\n" % zeros).body.length == 4
    assert http1.read_response(b"HTTP/1.1 200 OK\r\nContent-Length: %b4\r\n\r\n" % zeros, "GET").body.length == 4


@pytest.mark.parametrize("version", [b"RTSP/1.0", b"ICE/1.0", b"HTTP/1.10", b"HTTP/01.1", b"http/1.1"])
def test_another_protocol_is_refused(version: bytes) -> None:
    for method in (b"OPTIONS", b"GET", b"SOURCE"):
        with pytest.raises(FcError) as caught:
            http1.read_request(method + b" / " + version + b"\r\nHost: a\r\n\r\n")
        assert caught.value.code == "InvalidArgument"


@pytest.mark.parity("gateway.headers-8k", "gateway.response-headers-8k")
@pytest.mark.parametrize(("start", "read"), [
    (b"GET / HTTP/1.1\r\nHost: a\r\n", http1.read_request),
    (b"HTTP/1.1 200 OK\r\nHost: a\r\n", lambda raw: http1.read_response(raw, "GET")),
])
def test_the_size_of_headers_is_that_of_names_and_values(start: bytes, read: Callable[[bytes], object]) -> None:
    fields = b"".join(b"x-%02d: %b\r\n" % (number, b"v" * 76) for number in range(99))  # 80 bytes each counted, 84 sent
    rest = 8192 - len(b"Hosta") - 99 * 80 - len(b"x-last")
    read(start + fields + b"x-last: " + b"v" * rest + b"\r\n\r\n")
    with pytest.raises(FcError, match="headers exceed 8192 bytes"):
        read(start + fields + b"x-last: " + b"v" * (rest + 1) + b"\r\n\r\n")
