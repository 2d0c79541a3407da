"""Limits of the public side, to the byte."""

import pytest

from fclocal.core import limits
from fclocal.core.errors import FcError


def test_the_sizes_are_those_of_the_service() -> None:
    assert (limits.REQUEST_HEADERS, limits.TARGET, limits.BODY, limits.RESPONSE_HEADERS) == (8192, 4096, 33554432, 8192)
    assert limits.REQUEST_HEAD == 8192 + 512 + 4096 + 32 and limits.RESPONSE_HEAD == 8192 + 512 + 512


def test_each_message_names_the_limit() -> None:
    line = b"GET / HTTP/1.1\r\n"
    assert [limits.unfinished_head(b"GET /" + b"x" * 20_000).message,
            limits.unfinished_head(line + b"X: " + b"x" * 20_000).message,
            limits.unfinished_head(line + b"X: y\r\n" + b"x" * 20_000).message,
            limits.body_too_large().message] == [
        "path and query exceed 4096 bytes", "the request headers exceed 8192 bytes",
        "the request headers exceed 8192 bytes", "the request body exceeds 33554432 bytes"]
    for sizes, message in (((4097, 0), "path and query exceed 4096 bytes"),
                           ((0, 8193), "the request headers exceed 8192 bytes")):
        with pytest.raises(FcError, match=message):
            limits.check_request_head(*sizes)


def test_each_limit_is_inclusive() -> None:
    limits.check_request_head(4096, 8192)
    limits.check_body(32 * 1024 * 1024)
    for check, sizes in (
        (limits.check_request_head, (4097, 0)),
        (limits.check_request_head, (0, 8193)),
        (limits.check_body, (32 * 1024 * 1024 + 1,)),
    ):
        with pytest.raises(FcError) as caught:
            check(*sizes)  # type: ignore[operator]
        assert (caught.value.code, caught.value.status) == ("InvalidArgument", 400)


def test_a_head_without_an_end_is_rejected_by_what_is_too_long() -> None:
    assert "path and query" in limits.unfinished_head(b"GET /" + b"x" * 20_000).message
    assert "headers" in limits.unfinished_head(b"GET / HTTP/1.1\r\nX: " + b"x" * 20_000).message
