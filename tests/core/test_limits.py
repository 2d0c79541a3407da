"""Limits of the public side, to the byte."""

import pytest

from fclocal.core import limits
from fclocal.core.errors import FcError


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


def test_a_head_without_an_end_is_told_by_what_is_too_long() -> None:
    assert "path and query" in limits.unfinished_head(b"GET /" + b"x" * 20_000).message
    assert "headers" in limits.unfinished_head(b"GET / HTTP/1.1\r\nX: " + b"x" * 20_000).message
