"""Plain HTTP through the gateway: framing, keep-alive, streaming, headers, errors."""

import asyncio
import errno
import json
import socket
import struct
import threading
from types import SimpleNamespace

import pytest
from gateway_kit import Answer, FcError, Platform, answering, flood_until_blocked, instance, platform, read_head

from fclocal.core.request import Entry
from fclocal.edge import exchange

__all__ = ["platform"]

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
GET = b"GET /a?b=1 HTTP/1.1\r\nHost: localhost\r\n"
CLOSE = b"Connection: close\r\n\r\n"


def swallow(sock: socket.socket) -> None:
    """A function that reads to the end and never answers."""
    while sock.recv(1 << 20):
        pass


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parity("gateway.one-port")
def test_plain_and_tls_on_the_same_port(platform: Platform, tls: bool) -> None:
    seen: list[bytes] = []
    with instance(answering(OK, seen)) as platform.engine.port:
        answer = platform.ask(GET + CLOSE, tls=tls)
    assert (answer.status, answer.body) == (200, b"hello")
    assert seen[0].startswith(b"GET /a?b=1 HTTP/1.1\r\n")
    assert platform.engine.end() == {"status": 200, "close_code": None, "why": "done", "bytes_in": 0, "bytes_out": 5}


def test_both_loopback_addresses(platform: Platform) -> None:
    with instance(answering(OK)) as platform.engine.port, platform.connect(host="::1") as sock:
        sock.sendall(GET + CLOSE)
        assert Answer.read(sock).body == b"hello"


def test_a_taken_port_moves_to_the_next(platform: Platform) -> None:
    other = Entry("trigger", "other", "http")
    assert platform.run(platform.gateway.open(other, platform.port)) > platform.port
    platform.run(platform.gateway.close(other))


def test_a_closed_port_is_free_at_once(platform: Platform) -> None:
    other = Entry("trigger", "other", "http")
    port = platform.run(platform.gateway.open(other, platform.port + 1))
    with socket.create_connection(("127.0.0.1", port)) as sock:
        platform.run(platform.gateway.close(other))
        assert platform.run(platform.gateway.open(other, port)) == port
        sock.settimeout(5)
    platform.run(platform.gateway.close(other))


def test_a_request_under_way_on_a_closed_port_gets_its_answer(platform: Platform) -> None:
    """Removing a trigger ends no request: not one that runs, not one that waits for a cold start."""
    other = Entry("trigger", "other", "http")
    port = platform.run(platform.gateway.open(other, platform.port + 1))
    platform.engine.hold = asyncio.Event()
    with (
        instance(answering(OK)) as platform.engine.port,
        socket.create_connection(("127.0.0.1", port), timeout=10) as sock,
    ):
        sock.sendall(GET + b"\r\n")
        platform.engine.wait(lambda: bool(platform.engine.admitted))
        platform.run(platform.gateway.close(other))
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port))
        platform.call(platform.engine.hold.set)
        answer = Answer.read(sock)  # to the end of the connection: no further request is read
    assert (answer.status, answer.body) == (200, b"hello")


def test_keep_alive_carries_one_request_after_another(platform: Platform) -> None:
    with instance(answering(OK)) as platform.engine.port, platform.connect() as sock:
        for _ in range(3):
            sock.sendall(GET + b"\r\n")
            answer = Answer.parse(read_head(sock))
            assert answer["connection"] == "keep-alive"
            assert answer.body == b"hello"
        sock.sendall(GET + CLOSE)
        assert Answer.read(sock)["connection"] == "close"
    assert len(platform.engine.leases) == 4


@pytest.mark.parity("gateway.keep-alive-reuse")
def test_requests_share_a_connection_to_the_function(platform: Platform) -> None:
    accepted: list[socket.socket] = []

    def serve(sock: socket.socket) -> None:
        accepted.append(sock)
        while sock.recv(65536):
            sock.sendall(OK)

    with instance(serve) as platform.engine.port:
        for method in (b"GET", b"POST", b"GET"):
            assert platform.ask(method + b" / HTTP/1.1\r\nHost: a\r\n" + CLOSE).body == b"hello"
        for _, connection in platform.engine.idle_connections:
            platform.call(connection.transport.close)
    assert len(accepted) == 1


@pytest.mark.parity("gateway.keep-alive-reuse")
@pytest.mark.parametrize(("seconds", "connections"), [(899, 1), (901, 2)])
def test_a_connection_that_was_idle_for_15_minutes_is_not_used_again(
    platform: Platform, seconds: int, connections: int
) -> None:
    accepted: list[socket.socket] = []

    def serve(sock: socket.socket) -> None:
        accepted.append(sock)
        while sock.recv(65536):
            sock.sendall(OK)

    post = b"POST / HTTP/1.1\r\nHost: a\r\n" + CLOSE
    with instance(serve) as platform.engine.port:
        assert platform.ask(post).status == 200
        platform.advance(seconds)
        assert platform.ask(post).status == 200
        for _, connection in platform.engine.idle_connections:
            platform.call(connection.transport.close)
    assert len(accepted) == connections


@pytest.mark.parity("gateway.keep-alive-reuse")
@pytest.mark.parametrize(("method", "status"), [(b"GET", 200), (b"OPTIONS", 200), (b"POST", 502), (b"PATCH", 502)])
@pytest.mark.parametrize("announced", [False, True])
def test_a_server_that_closes_after_its_answer(
    platform: Platform, method: bytes, status: int, announced: bool
) -> None:
    answer = OK.replace(b"\r\n", b"\r\nConnection: close\r\n", 1) if announced else OK
    with instance(answering(answer)) as platform.engine.port:
        assert platform.ask(GET + CLOSE).status == 200
        second = platform.ask(method + b" / HTTP/1.1\r\nHost: a\r\n" + CLOSE)
    assert second.status == (200 if announced else status)
    assert platform.engine.in_vain == (0 if announced else 1)


def test_pipelined_requests_are_answered_in_order(platform: Platform) -> None:
    def echo_path(sock: socket.socket) -> None:
        path = read_head(sock).split()[1]
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(path), path))

    with instance(echo_path) as platform.engine.port:
        one = b"POST /one HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"
        two = b"GET /two HTTP/1.1\r\nHost: a\r\n\r\n"
        three = b"GET /three HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
        raw = platform.ask(one + two + three).raw
    assert [raw.index(path) for path in (b"/one", b"/two", b"/three")] == sorted(
        raw.index(path) for path in (b"/one", b"/two", b"/three")
    )
    assert raw.count(b"HTTP/1.1 200 OK") == 3


def test_what_follows_a_chunked_body_is_not_taken_for_a_request(platform: Platform) -> None:
    body = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"

    def reads_all(sock: socket.socket) -> None:
        data = read_head(sock)
        while not data.endswith(b"0\r\n\r\n"):
            data += sock.recv(65536)
        sock.sendall(OK)

    with instance(reads_all) as platform.engine.port:
        raw = platform.ask(body + GET + b"\r\n").raw
    assert raw.count(b"HTTP/1.1 ") == 1
    assert len(platform.engine.leases) == 1


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_streams_to_the_function(platform: Platform, chunked: bool) -> None:
    """The function has the first part before the client has sent the last, and all arrives."""
    got: list[bytes] = []
    first = threading.Event()
    parts = [b"x" * 70_000, b"y" * 70_000]
    total = sum(map(len, parts))

    def handle(sock: socket.socket) -> None:
        head, _, data = read_head(sock).partition(b"\r\n\r\n")
        assert (b"transfer-encoding: chunked" in head) == chunked
        ended = (lambda: data.endswith(b"\r\n0\r\n\r\n")) if chunked else (lambda: len(data) == total)
        while not ended():
            data += sock.recv(65536)
            first.set()
        got.append(data)
        sock.sendall(OK)

    with instance(handle) as platform.engine.port, platform.connect() as sock:
        framing = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: %d" % total
        sock.sendall(b"POST / HTTP/1.1\r\nHost: a\r\n" + framing + b"\r\n" + CLOSE)
        for number, part in enumerate(parts):
            sock.sendall(b"%x\r\n%b\r\n" % (len(part), part) if chunked else part)
            if number == 0:
                assert first.wait(5)
        if chunked:
            sock.sendall(b"0\r\n\r\n")
        assert Answer.read(sock).status == 200
    payload = got[0] if not chunked else b"".join(p for p in _dechunk(got[0]))
    assert payload == b"".join(parts)
    assert platform.engine.end()["bytes_in"] == total


def _dechunk(data: bytes) -> list[bytes]:
    pieces = []
    while data:
        size, _, data = data.partition(b"\r\n")
        pieces.append(data[: int(size, 16)])
        data = data[int(size, 16) + 2 :]
    return pieces


def test_an_answer_streams_to_the_client(platform: Platform) -> None:
    """Server-sent events arrive one by one, not at the end."""
    go = threading.Event()

    def handle(sock: socket.socket) -> None:
        read_head(sock)
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        sock.sendall(b"7\r\ndata: 1\r\n")
        assert go.wait(5)
        sock.sendall(b"7\r\ndata: 2\r\n0\r\n\r\n")

    with instance(handle) as platform.engine.port, platform.connect() as sock:
        sock.sendall(GET + CLOSE)
        data = b""
        while b"data: 1" not in data:
            data += sock.recv(65536)
        go.set()
        while more := sock.recv(65536):
            data += more
    assert b"".join(_dechunk(data.partition(b"\r\n\r\n")[2])) == b"data: 1data: 2"


def test_an_answer_without_a_length_ends_with_the_connection(platform: Platform) -> None:
    with instance(answering(b"HTTP/1.1 200 OK\r\n\r\nuntil the end")) as platform.engine.port:
        modern = platform.ask(GET + CLOSE)
        old = platform.ask(b"GET / HTTP/1.0\r\n\r\n")
    assert b"".join(_dechunk(modern.body)) == b"until the end"
    assert (old.body, old["transfer-encoding"], old["connection"]) == (b"until the end", None, "close")


def test_an_answer_that_breaks_off_is_not_passed_as_whole(platform: Platform) -> None:
    with instance(answering(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort")) as platform.engine.port:
        with platform.connect() as sock:
            sock.sendall(GET + CLOSE)
            answer = Answer.read(sock)
        assert (answer["content-length"], answer.body) == ("9", b"short")
    assert platform.engine.end()["why"] == "function"


@pytest.mark.parametrize(
    ("method", "response", "length"),
    [
        (b"HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n", "99"),
        (b"GET", b"HTTP/1.1 204 No Content\r\n\r\n", None),
        (b"GET", b"HTTP/1.1 304 Not Modified\r\nETag: x\r\n\r\n", None),
        (b"GET", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "0"),
    ],
)
def test_answers_without_a_body(platform: Platform, method: bytes, response: bytes, length: str | None) -> None:
    with instance(answering(response)) as platform.engine.port, platform.connect() as sock:
        sock.sendall(method + b" / HTTP/1.1\r\nHost: a\r\n\r\n")
        answer = Answer.parse(read_head(sock))
        assert (answer["content-length"], answer["transfer-encoding"], answer.body) == (length, None, b"")
        assert answer["connection"] == "keep-alive"


def test_expect_100_continue(platform: Platform) -> None:
    """The body is asked for only once the request was let in, and the function never sees Expect."""
    seen: list[bytes] = []

    def handle(sock: socket.socket) -> None:
        data = read_head(sock)
        seen.append(data)
        while not data.endswith(b"abc"):
            data += sock.recv(100)
        sock.sendall(OK)

    request = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n" + CLOSE
    with instance(handle) as platform.engine.port:
        with platform.connect() as sock:
            sock.sendall(request)
            assert read_head(sock) == b"HTTP/1.1 100 Continue\r\n\r\n"
            sock.sendall(b"abc")
            assert Answer.read(sock).body == b"hello"
        platform.engine.refuse = FcError("FunctionNotFound", name="echo")
        assert platform.ask(request).status == 404
    assert b"expect" not in seen[0].lower()


@pytest.mark.parity("gateway.error-shape")
def test_errors_have_the_documented_shape(platform: Platform) -> None:
    platform.engine.refuse = FcError("FunctionNotFound", name="echo")
    with platform.connect() as sock:
        sock.sendall(GET + b"\r\n")
        answer = Answer.parse(read_head(sock))
        answered = json.loads(answer.body)
        assert answer.status == 404
        assert answered == {
            "RequestId": answer["x-fc-request-id"],
            "Code": "FunctionNotFound",
            "Message": "function 'echo' does not exist",
        }
        assert answer["x-fc-error-type"] == "FcCommonError"
        assert answer["content-type"] == "application/json"
        sock.sendall(b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n")  # on the open connection; the answer has no body
        answer = Answer.parse(read_head(sock))
        assert (answer.status, answer.body) == (404, b"")
    assert [error.code for _, error in platform.engine.rejected] == ["FunctionNotFound"] * 2


def test_a_lease_that_is_refused(platform: Platform) -> None:
    platform.engine.no_lease = FcError("ResourceExhausted", reason="all full")
    answer = platform.ask(GET + CLOSE)
    assert (answer.status, answer.error) == (429, "ResourceExhausted")


def test_a_bug_is_a_500_without_a_traceback(platform: Platform, caplog: pytest.LogCaptureFixture) -> None:
    platform.engine.no_lease = ZeroDivisionError("secret")  # type: ignore[assignment]
    answer = platform.ask(GET + CLOSE)
    assert (answer.status, answer.error) == (500, "InternalServerError")
    assert b"secret" not in answer.raw
    assert "ZeroDivisionError" in caplog.text


def test_a_function_that_does_not_answer_in_http(platform: Platform) -> None:
    for response in (b"garbage\r\n\r\n", b"", b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\r\n", b"HTTP/1.1 200 OK\nX: a\n\n"):
        with instance(answering(response)) as platform.engine.port:
            answer = platform.ask(GET + CLOSE)
        assert (answer.status, answer.error) == (502, "BadResponse"), response


def test_a_function_that_does_not_listen(platform: Platform) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        platform.engine.port = unused.getsockname()[1]
        answer = platform.ask(GET + CLOSE)
    assert (answer.status, answer.error) == (502, "BadResponse")


@pytest.mark.parity("gateway.response-headers-8k")
def test_response_headers_over_8_kb(platform: Platform) -> None:
    for size in (8300, 70_000):
        big = b"HTTP/1.1 200 OK\r\nX-Big: " + b"x" * size + b"\r\nContent-Length: 0\r\n\r\n"
        with instance(answering(big)) as platform.engine.port:
            answer = platform.ask(GET + CLOSE)
        assert (answer.status, answer.error) == (502, "BadResponse")
    fits = b"HTTP/1.1 200 OK\r\nX-Big: " + b"x" * 8100 + b"\r\nContent-Length: 0\r\n\r\n"
    with instance(answering(fits)) as platform.engine.port:
        assert platform.ask(GET + CLOSE).status == 200


def test_informational_answers_are_not_the_answer(platform: Platform) -> None:
    early = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n"
    with instance(answering(early + OK)) as platform.engine.port:
        assert platform.ask(GET + CLOSE).body == b"hello"


# Who leaves when


@pytest.mark.parity("gateway.client-gone-499")
@pytest.mark.parametrize("reset", [False, True])
def test_the_engine_is_informed_when_a_client_leaves(platform: Platform, reset: bool) -> None:
    asked, gone = threading.Event(), threading.Event()

    def handle(sock: socket.socket) -> None:
        read_head(sock)
        asked.set()
        assert sock.recv(1) == b""  # the function sees its end close
        gone.set()

    with instance(handle) as platform.engine.port:
        sock = platform.connect()
        sock.sendall(GET + b"\r\n")
        assert asked.wait(5)
        if reset:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.close()
        assert gone.wait(5)
        end = platform.engine.end()
    assert (end["why"], end["status"]) == ("client", 499)


def test_a_client_that_leaves_while_it_waits_for_an_instance(platform: Platform) -> None:
    platform.engine.hold = asyncio.Event()
    sock = platform.connect()
    sock.sendall(GET + b"\r\n")
    platform.engine.wait(lambda: bool(platform.engine.admitted))
    sock.close()
    platform.engine.wait(lambda: bool(platform.engine.rejected))
    assert platform.engine.rejected[0][1].code == "ClientClosedRequest"
    assert not platform.engine.leases


@pytest.mark.parity("gateway.http-timeout", "gateway.error-type")
@pytest.mark.parametrize(
    ("why", "status", "code"),
    [
        ("timeout", 502, "FunctionTimeout"),
        ("instance", 502, "BadResponse"),
        ("shutdown", 503, "ResourceThrottled"),
        ("disabled", 403, "AccessDenied"),
    ],
)
def test_cut_before_the_answer(platform: Platform, why: str, status: int, code: str) -> None:
    with instance(swallow) as platform.engine.port, platform.connect() as sock:
        sock.sendall(GET + CLOSE)
        platform.engine.wait(lambda: bool(platform.engine.leases))
        platform.call(platform.engine.leases[0].on_abort, why)
        answer = Answer.read(sock)
    assert (answer.status, answer.error) == (status, code)
    assert answer["x-fc-error-type"] == ("UnhandledInvocationError" if status == 502 else "FcCommonError")
    assert (platform.engine.end()["why"], platform.engine.end()["status"]) == (why, status)


@pytest.mark.parametrize("why", ["timeout", "fault"])
def test_cut_in_the_middle_of_the_answer(platform: Platform, why: str) -> None:
    """The client must not take the part for the whole: the connection ends without the last chunk."""

    def handle(sock: socket.socket) -> None:
        read_head(sock)
        sock.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
        assert sock.recv(1) == b""

    with instance(handle) as platform.engine.port, platform.connect() as sock:
        sock.sendall(GET + CLOSE)
        data = b""
        while b"abc" not in data:
            data += sock.recv(65536)
        platform.call(platform.engine.leases[0].on_abort, why)
        assert sock.recv(65536) == b""
    assert (platform.engine.end()["why"], platform.engine.end()["status"]) == (why, 200)


def test_the_fault_cut_says_nothing(platform: Platform) -> None:
    with instance(swallow) as platform.engine.port, platform.connect() as sock:
        sock.sendall(GET + CLOSE)
        platform.engine.wait(lambda: bool(platform.engine.leases))
        platform.call(platform.engine.leases[0].on_abort, "fault")
        assert sock.recv(65536) == b""


# Bodies


@pytest.mark.parity("gateway.body-32m")
def test_a_body_over_32_mb_by_its_length(platform: Platform) -> None:
    answer = platform.ask(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 33554433\r\n" + CLOSE)
    assert (answer.status, answer.error) == (400, "InvalidArgument")


def test_a_body_over_32_mb_in_chunks(platform: Platform) -> None:
    with instance(swallow) as platform.engine.port, platform.connect() as sock:
        sock.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        chunk = b"100000\r\n" + b"x" * (1 << 20) + b"\r\n"
        for _ in range(33):
            sock.sendall(chunk)
        answer = Answer.read(sock)
    assert (answer.status, answer.error) == (400, "InvalidArgument")


def test_broken_chunks(platform: Platform) -> None:
    for chunks in (b"-1\r\nabc\r\n", b"0x3\r\nabc\r\n", b"3\nabc\r\n", b"3\r\nabcX", b"f" * 17 + b"\r\n"):
        with instance(swallow) as platform.engine.port:
            request = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n" + CLOSE
            answer = platform.ask(request + chunks)
        assert (answer.status, answer.error) == (400, "InvalidArgument"), chunks


def test_a_function_may_answer_before_it_has_read_the_body(platform: Platform) -> None:
    no = b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno"

    with instance(answering(no)) as platform.engine.port, platform.connect() as sock:
        sock.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 20000000\r\n\r\n" + b"x" * 100_000)
        answer = Answer.read(sock)
    assert (answer.status, answer.body) == (413, b"no")


def test_a_client_that_takes_nothing_of_an_answer_is_cut(platform: Platform) -> None:
    blocked = threading.Event()

    def flood(sock: socket.socket) -> None:
        read_head(sock)
        sock.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        flood_until_blocked(sock, blocked)

    with instance(flood) as platform.engine.port, platform.connect() as sock:
        sock.sendall(GET + CLOSE)
        read_head(sock)
        assert blocked.wait(10)
        platform.wait_for_timers(1)
        platform.advance(59)
        assert not platform.engine.ends
        platform.advance(1)
        assert platform.engine.end()["why"] == "client"


def test_out_of_local_ports(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    """The system has no address left for one more connection to the function (F20): 503, and later it goes on."""

    class NoPorts:
        async def create_connection(self, *_: object) -> None:
            raise OSError(errno.EADDRNOTAVAIL, "Cannot assign requested address")

    with instance(answering(OK)) as platform.engine.port:
        with monkeypatch.context() as patch:
            patch.setattr(exchange, "asyncio", SimpleNamespace(**{**vars(asyncio), "get_running_loop": NoPorts}))
            answer = platform.ask(GET + CLOSE)
        assert (answer.status, answer.error) == (503, "ResourceThrottled")
        assert platform.ask(GET + CLOSE).status == 200
