"""Heads that must not pass: smuggling, garbage, limits, slow heads, forged x-fc-* headers."""

import socket
from concurrent.futures import ThreadPoolExecutor

import pytest
from gateway_kit import Answer, Platform, answering, instance, platform, read_head

from fclocal.core import limits
from fclocal.core.identifiers import ACCOUNT_ID, REGION
from fclocal.core.request import Entry

__all__ = ["platform"]

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
HOST = b"Host: a\r\n"
POST = b"POST / HTTP/1.1\r\n" + HOST
SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"

# Requests that two programs could read differently, or that no program should read at all.
AMBIGUOUS = {
    "two hosts": b"GET / HTTP/1.1\r\n" + HOST + HOST + b"\r\n",
    "no host": b"GET / HTTP/1.1\r\n\r\n",
    "bad host": b"GET / HTTP/1.1\r\nHost: a/b@c\r\n\r\n",
    "length with chunked": POST + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunked with length": POST + b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n",
    "chunked twice": POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunked, identity": POST + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "identity": POST + b"Transfer-Encoding: identity\r\n\r\n",
    "xchunked": POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "gzip, chunked": POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "chunked by vertical tab": POST + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
    "space before colon": POST + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    "two lengths": POST + b"Content-Length: 4\r\nContent-Length: 5\r\n\r\nabcde",
    "same length twice": POST + b"Content-Length: 4\r\nContent-Length: 4\r\n\r\nabcd",
    "length list": POST + b"Content-Length: 4, 4\r\n\r\nabcd",
    "signed length": POST + b"Content-Length: +4\r\n\r\nabcd",
    "hex length": POST + b"Content-Length: 0x4\r\n\r\nabcd",
    "empty length": POST + b"Content-Length: \r\n\r\n",
    "huge length": POST + b"Content-Length: 99999999999999999999999\r\n\r\n",
    "folded header": b"GET / HTTP/1.1\r\n" + HOST + b"X: a\r\n b\r\n\r\n",
    "folded first header": b"GET / HTTP/1.1\r\n X: a\r\n" + HOST + b"\r\n",
    "bare CR in a value": b"GET / HTTP/1.1\r\n" + HOST + b"X: a\rb\r\n\r\n",
    "bare CR before a header": b"GET / HTTP/1.1\r\n" + HOST + b"X: a\rContent-Length: 9\r\n\r\n",
    "bare LF": b"GET / HTTP/1.1\nHost: a\n\r\n\r\n",
    "LF after a value": b"GET / HTTP/1.1\r\nHost: a\n\r\n\r\n",
    "NUL": b"GET / HTTP/1.1\r\n" + HOST + b"X: a\0b\r\n\r\n",
    "DEL": b"GET / HTTP/1.1\r\n" + HOST + b"X: a\x7fb\r\n\r\n",
    "empty name": b"GET / HTTP/1.1\r\n" + HOST + b": a\r\n\r\n",
    "no colon": b"GET / HTTP/1.1\r\n" + HOST + b"abc\r\n\r\n",
    "name with a space": b"GET / HTTP/1.1\r\n" + HOST + b"X Y: a\r\n\r\n",
    "name in UTF-8": b"GET / HTTP/1.1\r\n" + HOST + "\u00e9: a\r\n\r\n".encode(),
    "garbage": b"\x00\x01\x02\xff\xfe\r\n\r\n",
    "garbage before the head": b"xyz\r\nGET / HTTP/1.1\r\n" + HOST + b"\r\n",
    "lower-case method": b"get / HTTP/1.1\r\n" + HOST + b"\r\n",
    "unknown method": b"FOO / HTTP/1.1\r\n" + HOST + b"\r\n",
    "no version": b"GET /\r\n\r\n",
    "HTTP/1.2": b"GET / HTTP/1.2\r\n" + HOST + b"\r\n",
    "HTTP/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "absolute target": b"GET http://a/ HTTP/1.1\r\n" + HOST + b"\r\n",
    "target without slash": b"GET a HTTP/1.1\r\n" + HOST + b"\r\n",
    "star": b"OPTIONS * HTTP/1.1\r\n" + HOST + b"\r\n",
    "CONNECT": b"CONNECT a:1 HTTP/1.1\r\n" + HOST + b"\r\n",
    "fragment": b"GET /a#b HTTP/1.1\r\n" + HOST + b"\r\n",
    "control in target": b"GET /\x01 HTTP/1.1\r\n" + HOST + b"\r\n",
    "target in UTF-8": "GET /\u00e9 HTTP/1.1\r\n".encode() + HOST + b"\r\n",
    "tab in the request line": b"GET\t/ HTTP/1.1\r\n" + HOST + b"\r\n",
    "chunked in HTTP/1.0": b"POST / HTTP/1.0\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "handshake with a body": b"GET / HTTP/1.1\r\n"
    + HOST
    + b"Connection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 4\r\n\r\nabcd",
}  # fmt: skip


@pytest.mark.parity("gateway.strict-heads")
def test_ambiguous_heads_are_refused_and_end_the_connection(platform: Platform) -> None:
    """400, nothing reaches the function, and what follows on the connection is not read as a request."""
    seen: list[bytes] = []
    with instance(answering(OK, seen)) as platform.engine.port:
        for name, request in AMBIGUOUS.items():
            answer = platform.ask(request + SMUGGLED)
            assert (answer.status, answer.error) == (400, "InvalidArgument"), name
            assert answer["connection"] == "close"
            assert answer.raw.count(b"HTTP/1.1 ") == 1, name
    assert seen == []
    assert len(platform.engine.rejected) == len(AMBIGUOUS)


def test_empty_lines_before_the_head_are_skipped(platform: Platform) -> None:
    with instance(answering(OK)) as platform.engine.port:
        assert platform.ask(b"\r\n\r\nGET / HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n").status == 200


def test_a_head_in_single_bytes(platform: Platform) -> None:
    with instance(answering(OK)) as platform.engine.port, platform.connect() as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in b"GET / HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n":
            sock.send(bytes([byte]))
        assert Answer.read(sock).body == b"hello"


# Limits


@pytest.mark.parity("gateway.headers-8k", "gateway.target-4k")
def test_limits_of_the_head(platform: Platform) -> None:
    def ask(target: int = 1, header: int = 0, count: int = 1) -> Answer:
        fields = b"".join(b"X-%d: %b\r\n" % (n, b"v" * header) for n in range(count))
        return platform.ask(
            b"GET /" + b"t" * (target - 1) + b" HTTP/1.1\r\n" + HOST + fields + b"Connection: close\r\n\r\n"
        )

    with instance(answering(OK)) as platform.engine.port:
        assert ask(target=4096).status == 200
        assert ask(header=8100).status == 200
        too_long = ask(target=4097), ask(target=100_000), ask(header=8200), ask(header=65_536)
        too_many = ask(header=40, count=200)
    for answer in (*too_long, too_many):
        assert (answer.status, answer.error) == (400, "InvalidArgument")
    assert len(platform.engine.leases) == 2


@pytest.mark.parity("gateway.slow-head-408")
@pytest.mark.parametrize("tls", [False, True])
def test_slow_heads_are_closed_and_others_served(platform: Platform, tls: bool) -> None:
    """200 clients that never finish their head get 408 after ten seconds; another client is served during that time."""
    with instance(answering(OK)) as platform.engine.port:
        slow = [platform.connect(tls) for _ in range(20 if tls else 200)]
        for sock in slow:
            sock.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n")
        platform.wait_for_timers(len(slow))
        platform.advance(9.9)
        assert platform.ask(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", tls).status == 200
        assert len(platform.engine.rejected) == 0
        platform.advance(0.1)
        for sock in slow:
            with sock:
                assert Answer.read(sock).error == "RequestTimeout"


def test_a_connection_that_sends_nothing_is_closed(platform: Platform) -> None:
    with platform.connect() as silent:
        platform.wait_for_timers(1)
        platform.advance(limits.HEAD_SECONDS)
        assert silent.recv(1) == b""


def test_a_tls_handshake_that_is_not_completed_is_closed(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its time is measured by the TLS library, on the real clock."""
    monkeypatch.setattr(limits, "HEAD_SECONDS", 0.3)
    with platform.connect() as half_hello:
        half_hello.sendall(b"\x16\x03\x01\x02\x00\x01")
        assert half_hello.recv(1) == b""


def test_an_idle_connection_is_closed_after_a_minute(platform: Platform) -> None:
    with instance(answering(OK)) as platform.engine.port, platform.connect() as sock:
        for _ in range(2):
            sock.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            assert Answer.parse(read_head(sock)).status == 200
            platform.wait_for_timers(1)
            platform.advance(59)
        platform.advance(1)
        assert sock.recv(1) == b""


# Headers


def ask_for_headers(platform: Platform, fields: bytes) -> list[tuple[str, str]]:
    seen: list[bytes] = []
    with instance(answering(OK, seen)) as platform.engine.port:
        platform.ask(b"GET / HTTP/1.1\r\n" + HOST + fields + b"Connection: close\r\n\r\n")
    return Answer.parse(b"HTTP/1.1 000 \r\n" + seen[0].partition(b"\r\n")[2]).headers


@pytest.mark.parity("gateway.fc-headers", "gateway.stripped-headers")
def test_fc_headers_cannot_be_forged(platform: Platform) -> None:
    forged = b"X-Fc-Account-Id: 666\r\nx-fc-request-id: mine\r\nX-FC-Anything: 1\r\nX-Forwarded-For: 9.9.9.9\r\n"
    got = ask_for_headers(platform, forged)
    names = [name for name, _ in got]
    fc = {name: value for name, value in got if name.startswith("x-fc-")}
    assert len(names) == len(set(names)), "no header twice"
    assert "666" not in fc.values() and "mine" not in fc.values() and "x-fc-anything" not in fc
    assert fc.pop("x-fc-request-id").startswith("1-")
    empty = ("access-key-id", "access-key-secret", "security-token", "service-logproject", "service-logstore",
             "version-id")
    values = {"account-id": ACCOUNT_ID, "region": REGION, "function-name": "echo", "function-handler": "index.handler",
              "function-memory": "512", "function-timeout": "3", "qualifier": "LATEST", "control-path": "/http-invoke",
              **dict.fromkeys(empty, "")}
    assert fc == {f"x-fc-{name}": value for name, value in values.items()}
    assert dict(got)["x-forwarded-for"] == "9.9.9.9, 127.0.0.1"


def test_connection_cannot_name_the_platforms_headers_away(platform: Platform) -> None:
    got = dict(
        ask_for_headers(
            platform,
            b"Connection: X-Fc-Account-Id, x-fc-request-id, host, X-Mine\r\nX-Mine: 1\r\nX-Other: 2\r\n"
            b"Keep-Alive: 9\r\nTE: trailers\r\nProxy-Authorization: x\r\nUpgrade: h2c\r\nHTTP2-Settings: a\r\n",
        )
    )
    assert got["x-fc-account-id"] and got["x-fc-request-id"]
    assert (got["host"], got["x-other"], got["connection"]) == ("a", "2", "keep-alive")
    assert not {"x-mine", "keep-alive", "te", "proxy-authorization", "upgrade"} & set(got)


@pytest.mark.parity("gateway.response-headers", "gateway.attachment")
def test_headers_that_a_function_may_not_set(platform: Platform) -> None:
    response = (
        b"HTTP/1.1 200 Fine\r\nContent-Length: 5\r\nX-Fc-Request-Id: forged\r\nServer: mine\r\nDate: never\r\n"
        b"Keep-Alive: 1\r\nConnection: X-Hop\r\nX-Hop: 1\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n"
        b"Content-Disposition: inline\r\nContent-Type: text/html\r\n\r\nhello"
    )
    with instance(answering(response)) as platform.engine.port:
        answer = platform.ask(b"GET / HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n")
        port = platform.run(platform.gateway.open(Entry("domain", "", "shop.example.com"), platform.port + 1))
        with socket.create_connection(("127.0.0.1", port), timeout=10) as sock:
            sock.sendall(b"GET / HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n")
            custom = Answer.read(sock)
    assert [v for k, v in answer.headers if k == "set-cookie"] == ["a=1", "b=2"]
    assert answer["x-fc-request-id"] != "forged" and answer["date"] != "never"
    assert answer["server"] is answer["x-hop"] is answer["keep-alive"] is None
    assert (answer["content-disposition"], custom["content-disposition"]) == ("attachment", "inline")


@pytest.mark.parity("gateway.default-cors")
def test_default_cors_headers(platform: Platform) -> None:
    ask = b"GET / HTTP/1.1\r\n" + HOST + b"Origin: https://example.com\r\nConnection: close\r\n\r\n"
    with instance(answering(OK)) as platform.engine.port:
        answer = platform.ask(ask)
        assert (
            platform.ask(b"GET / HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n")["access-control-allow-origin"]
            is None
        )
    assert answer["access-control-allow-origin"] == "https://example.com"
    assert answer["access-control-allow-credentials"] == "true"
    assert answer["access-control-expose-headers"] == "Date,x-fc-request-id"
    own = b"HTTP/1.1 200 OK\r\nAccess-Control-Allow-Origin: *\r\nContent-Length: 0\r\n\r\n"
    with instance(answering(own)) as platform.engine.port:
        assert platform.ask(ask)["access-control-allow-origin"] == "*"


def test_many_at_once(platform: Platform) -> None:
    with instance(answering(OK)) as platform.engine.port, ThreadPoolExecutor(50) as pool:
        ask = b"GET / HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n"
        answers = list(pool.map(lambda n: platform.ask(ask, tls=n % 4 == 0), range(200)))
    assert {(a.status, a.body) for a in answers} == {(200, b"hello")}
