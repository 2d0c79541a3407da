"""Signed headers pass the trigger's verification, for every form of URL."""

import time
from urllib.parse import urlsplit

import pytest

import fclocal
from fclocal.core import acs3
from fclocal.core.errors import FcError
from fclocal.core.request import RequestHead


@pytest.mark.parity("auth.acs3")
@pytest.mark.parametrize("url", [
    "wss://localhost:9443", "https://localhost:9443/", "https://h/a%20b/$LATEST?x=1&y=a%20b&empty=&x=2", "ws://h/x?%E8=1"])
def test_signed_headers_pass(url: str) -> None:
    headers = fclocal.sign(url, access_key_id="testAK", access_key_secret="testSecret", method="POST")
    parts = urlsplit(url)
    head = RequestHead("POST", (parts.path or "/") + (f"?{parts.query}" if parts.query else ""),
                       tuple((name.encode(), value.encode()) for name, value in headers.items()))
    assert acs3.verify_trigger(head, keys={"testAK": "testSecret"}, now=time.time()) == "testAK"
    with pytest.raises(FcError, match="does not match"):
        acs3.verify_trigger(head, keys={"testAK": "other"}, now=time.time())
