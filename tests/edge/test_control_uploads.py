"""Uploads to the management API: refused by their head, bounded in memory, and numbers and JSON that are too large."""

import asyncio
import hashlib
import threading
import tracemalloc
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

import pytest
from alibabacloud_fc20230330 import models as fc
from management import Management, function_input
from starlette.types import Message, Scope
from test_control_guard import FUNCTIONS, call, signed

from fclocal.core import acs3
from fclocal.core.clock import SystemClock
from fclocal.core.errors import FcError
from fclocal.edge import control
from fclocal.edge.control import Guard

KEYS = {"key": "secret"}
PART = b"x" * 2**20


def upload(body: bytes | None) -> Scope:
    """The ASGI scope of POST /functions, signed for `body`, or without a signature if it is None."""
    headers = {"host": "127.0.0.1"}
    if body is not None:
        digest = hashlib.sha256(body).hexdigest()
        headers |= {"x-acs-date": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"), "x-acs-content-sha256": digest}
        headers["authorization"] = acs3.sign("POST", FUNCTIONS, {}, headers, access_key_id="key",
                                             access_key_secret="secret", payload=digest)
    return {"type": "http", "method": "POST", "raw_path": FUNCTIONS.encode(), "query_string": b"",
            "headers": [(name.encode(), value.encode()) for name, value in headers.items()]}


def refusal(guard: Guard, scope: Scope, receive: Callable[[], Any]) -> FcError:
    with pytest.raises(FcError) as caught:
        asyncio.run(guard.admit(scope, receive))
    return caught.value


@pytest.mark.parity("api.unsigned-upload")
def test_an_unsigned_upload_is_refused_without_being_kept() -> None:
    left = 139

    async def receive() -> Message:
        nonlocal left
        left -= 1
        return {"type": "http.request", "body": bytes(2**20), "more_body": left > 0}

    tracemalloc.start()
    try:
        error = refusal(Guard(KEYS, SystemClock()), upload(None), receive)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert error.code == "MissingRequiredHeader" and peak < 8 * 2**20, peak
    assert left == 0, "the client can send all of it and then read the answer"


@pytest.mark.parity("api.unsigned-upload")
def test_a_client_that_waits_for_100_continue_is_refused_at_once() -> None:
    scope = upload(None)
    scope["headers"].append((b"expect", b"100-continue"))

    async def receive() -> Message:
        raise AssertionError("reading would invite the client to send")

    assert refusal(Guard(KEYS, SystemClock()), scope, receive).code == "MissingRequiredHeader"


@pytest.mark.parity("api.uploads-bounded")
def test_all_uploads_together_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "MAX_BODIES", 9 * len(PART))
    guard, body = Guard(KEYS, SystemClock()), PART * 6

    async def run() -> None:
        finish = asyncio.Event()

        def receive() -> Callable[[], Any]:
            sent = 0

            async def parts() -> Message:
                nonlocal sent
                sent += 1
                if sent == 6:
                    await finish.wait()
                return {"type": "http.request", "body": PART, "more_body": sent < 6}

            return parts

        first = asyncio.create_task(guard.admit(upload(body), receive()))
        await asyncio.sleep(0)
        finish_later = asyncio.get_running_loop().call_later(0.2, finish.set)
        with pytest.raises(FcError) as caught:
            await guard.admit(upload(body), receive())
        assert caught.value.code == "ResourceThrottled"
        assert await first == body
        finish_later.cancel()
        assert await guard.admit(upload(body), receive()) == body, "memory that is free again can be used again"

    asyncio.run(run())


@pytest.mark.parity("api.signature")
def test_a_body_that_is_not_the_signed_one_is_refused() -> None:
    async def receive() -> Message:
        return {"type": "http.request", "body": b"other", "more_body": False}

    assert refusal(Guard(KEYS, SystemClock()), upload(b"body"), receive).code == "SignatureNotMatch"


# Numbers and JSON

def get(api: Management, path: str, **query: str) -> tuple[int, Mapping[str, Any]]:
    headers = signed(api, "GET", path)
    del headers["authorization"]
    headers["authorization"] = acs3.sign(
        "GET", path, query, headers, access_key_id=api.store.access_key_id,
        access_key_secret=api.store.access_key_secret, payload=headers["x-acs-content-sha256"])
    return call(api, "GET", f"{path}?{urlencode(query)}", headers)[:2]


@pytest.mark.parity("api.bounded-input")
@pytest.mark.parametrize("query", [
    {"limit": "1" + "0" * 5000}, {"limit": "0" * 5000}, {"limit": "-1"}, {"limit": "1e2"}, {"limit": "\u0661"},
    {"startTimeMs": "9" * 5000}, {"endTimeMs": "9" * 30}, {"instanceIds": "[" * 5000},
    {"instanceStatus": "[" + "9" * 5000 + "]"},
])
def test_numbers_and_json_in_a_query_are_bounded(api: Management, query: dict[str, str]) -> None:
    api.sdk().create_function(function_input())
    status, answer = get(api, f"{FUNCTIONS}/echo/instances", **query)
    assert (status, answer["Code"]) == (400, "InvalidArgument"), answer


@pytest.mark.parity("api.bounded-input")
@pytest.mark.parametrize("field", [
    '"environmentVariables": ' + '{"a":' * 900 + "1" + "}" * 900,
    '"timeout": ' + "9" * 5000,
    '"sessionAffinityConfig": "' + "[" * 5000 + '"',
    '"sessionAffinityConfig": "{\\"sessionTTLInSeconds\\": ' + "9" * 5000 + '}"',
])
def test_json_in_a_body_is_bounded(api: Management, field: str) -> None:
    body = b'{"functionName": "echo", "runtime": "custom.debian12", ' + field.encode() + b"}"
    status, answer, _ = call(api, "POST", FUNCTIONS, signed(api, "POST", FUNCTIONS, body), body)
    assert (status, answer["Code"]) == (400, "InvalidArgument"), answer


def test_three_large_calls_at_once_are_answered(api: Management) -> None:
    """Signed uploads below the bound are not refused."""
    body = b'{"functionName": "' + b"x" * 20 * 2**20 + b'"}'
    headers = signed(api, "POST", FUNCTIONS, body)
    codes: list[str] = []
    threads = [threading.Thread(target=lambda: codes.append(call(api, "POST", FUNCTIONS, headers, body)[1]["Code"]))
               for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert codes == ["InvalidArgument"] * 3
    assert api.sdk().list_functions(fc.ListFunctionsRequest()).body.functions == []
