"""Signatures: the documented vectors, the official signer, and everything that must not pass."""

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from urllib.parse import quote, urlencode

import pytest
from alibabacloud_tea_openapi.utils import Utils
from darabonba.request import DaraRequest
from hypothesis import given
from hypothesis import strategies as st

from fclocal.core import acs3
from fclocal.core.errors import FcError
from fclocal.core.request import RequestHead

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC).timestamp()
DATE = "2026-01-02T03:04:05Z"
KEYS = {"testAK": "testSecret"}


def head_of(target: str = "/ws", method: str = "GET", **headers: str) -> RequestHead:
    return RequestHead(method, target, tuple((name.replace("_", "-").encode(), value.encode())
                                             for name, value in headers.items()))


def signed(target: str = "/ws", query: Mapping[str, str] | None = None, method: str = "GET",
           date: str = DATE, key: str = "testAK", secret: str = "testSecret") -> RequestHead:
    path = target.partition("?")[0]
    headers = {"x-acs-date": date}
    value = acs3.sign(method, path, query or {}, headers, access_key_id=key, access_key_secret=secret)
    return head_of(target, method, x_acs_date=date, authorization=value)


def refusal(head: RequestHead, now: float = NOW) -> FcError:
    with pytest.raises(FcError) as caught:
        acs3.verify_trigger(head, keys=KEYS, now=now)
    return caught.value


def official(method: str, path: str, query: dict[str, str], headers: dict[str, str], payload: str) -> str:
    request = DaraRequest()
    request.method, request.pathname, request.query, request.headers = method, path, query, headers
    return str(Utils.get_authorization(request, acs3.ALGORITHM, payload, "testAK", "testSecret"))


@pytest.mark.parity("auth.acs3")
def test_the_two_vectors_of_the_facts_sheet() -> None:
    one = acs3.sign("GET", "/ws", {}, {"x-acs-date": DATE}, access_key_id="testAK", access_key_secret="testSecret")
    assert one.endswith("Signature=e66abc77c9a65612795cd728a89731dfeb517f8b0179636180f9e5ac496c7b02")
    two = acs3.sign("GET", "/ws", {"foo": "bar", "a b": "c d"}, {"x-acs-date": DATE, "x-acs-security-token": ""},
                    access_key_id="testAK", access_key_secret="testSecret")
    assert two.endswith("Signature=c4c31298be16292d73774ea2907498bfc90a0f6ac8b6f7b4d7f9f1e9c3ba7bf8")
    head = head_of("/ws?foo=bar&a%20b=c+d", x_acs_date=DATE, x_acs_security_token="", authorization=two)
    assert acs3.verify_trigger(head, keys=KEYS, now=NOW) == "testAK"


@given(st.sampled_from(["GET", "POST", "DELETE"]), st.lists(st.text(min_size=1, max_size=8), max_size=4),
       st.dictionaries(st.text("abc XYZ._-", min_size=1, max_size=6), st.text(max_size=12), max_size=4),
       st.binary(max_size=64))
def test_the_management_api_takes_what_the_official_signer_signs(method: str, segments: list[str],
                                                                  query: dict[str, str], body: bytes) -> None:
    path = "/2023-03-30/" + "/".join(quote(part, safe="~") for part in segments if part.isprintable())
    digest = hashlib.sha256(body).hexdigest()
    headers = {"host": "127.0.0.1:1", "x-acs-date": DATE, "x-acs-content-sha256": digest, "Accept": "application/json"}
    value = official(method, path, query, headers, digest)
    raw = [(name.lower().encode(), text.encode()) for name, text in [*headers.items(), ("authorization", value)]]
    wire = path.replace("%2A", "*").replace("%24", "$")
    assert acs3.verify_request(method, wire, urlencode(query), raw, keys=KEYS, now=NOW) == digest
    other = [(name, b"0" * 64 if name == b"x-acs-content-sha256" else text) for name, text in raw]
    for bad in ((method + "X", wire, raw), (method, wire + "x", raw), (method, wire, other)):
        with pytest.raises(FcError) as caught:
            acs3.verify_request(bad[0], bad[1], urlencode(query), bad[2], keys=KEYS, now=NOW)
        assert caught.value.code == "SignatureNotMatch"


def test_a_management_call_without_a_payload_hash_has_no_body() -> None:
    headers = {"host": "h", "x-acs-date": DATE}
    value = official("GET", "/x", {}, headers, acs3.EMPTY)
    raw = [(name.encode(), text.encode()) for name, text in [*headers.items(), ("authorization", value)]]
    assert acs3.verify_request("GET", "/x", "", raw, keys=KEYS, now=NOW) == acs3.EMPTY


@pytest.mark.parametrize("drop", ["host", "x-acs-action"])
def test_the_management_api_wants_every_acs_header_and_host_signed(drop: str) -> None:
    digest = hashlib.sha256(b"").hexdigest()
    headers = {"host": "h", "x-acs-date": DATE, "x-acs-content-sha256": digest, "x-acs-action": "GetFunction"}
    value = official("GET", "/x", {}, {k: v for k, v in headers.items() if k != drop}, digest)
    raw = [(name.encode(), text.encode()) for name, text in [*headers.items(), ("authorization", value)]]
    with pytest.raises(FcError, match="does not match"):
        acs3.verify_request("GET", "/x", "", raw, keys=KEYS, now=NOW)


@pytest.mark.parity("auth.acs3-trigger-reading")
@pytest.mark.parametrize(("path", "wire", "query"), [
    ("/ws/%24LATEST", "/ws/$LATEST", {}),
    ("/聊天", "/%E8%81%8A%E5%A4%A9", {}),
    ("/a=b&c", "/a%3Db%26c", {}),
    ("/ws", "/ws?room=a&room=b&empty=", {"room": "a"}),
    ("/ws", "/ws?room=a&empty=", {"room": "a", "empty": ""}),
    ("", "/", {}),
])
def test_a_trigger_takes_the_readings_of_the_official_samples(path: str, wire: str, query: dict[str, str]) -> None:
    value = official("GET", path, query, {"x-acs-date": DATE, "x-acs-security-token": ""}, "")
    head = head_of(wire, x_acs_date=DATE, x_acs_security_token="", authorization=value)
    assert acs3.verify_trigger(head, keys=KEYS, now=NOW) == "testAK"


@pytest.mark.parity("auth.function-unsigned", "auth.function-refused")
def test_errors_are_the_documented_ones() -> None:
    unsigned = refusal(head_of())
    assert (unsigned.status, unsigned.code, unsigned.message) == (
        400, "MissingRequiredHeader", "required HTTP header Date was not specified")
    dated = refusal(head_of(date="Fri, 02 Jan 2026 03:04:05 GMT"))
    assert (dated.status, dated.code, dated.message) == (400, "InvalidArgument", "invalid authorization ''")
    wrong = refusal(signed(secret="other"))
    assert (wrong.status, wrong.code, wrong.message) == (
        403, "SignatureNotMatch", "The request signature we calculated does not match the signature you provided. "
                                  "Check your access key and signing method")
    unknown = refusal(signed(key="nobody"))
    assert (unknown.status, unknown.code, unknown.message) == (
        403, "InvalidAccessKeyID", "invalid access key ID 'nobody'")


@pytest.mark.parity("auth.function-window")
@pytest.mark.parametrize("sign", [1, -1])
def test_a_date_is_good_for_15_minutes_either_way(sign: int) -> None:
    head = signed()
    assert acs3.verify_trigger(head, keys=KEYS, now=NOW + sign * (14 * 60 + 59))
    assert acs3.verify_trigger(head, keys=KEYS, now=NOW + sign * 15 * 60)
    stale = refusal(head, NOW + sign * (15 * 60 + 1))
    assert (stale.status, stale.code) == (403, "AccessDenied")
    assert stale.message.startswith("the difference between the request time 'Fri, 02 Jan 2026 03:04:05 GMT' and")
    assert stale.message.endswith("is too large")


def test_dates_may_be_iso_with_milliseconds_or_offset_or_rfc1123() -> None:
    for date in ("2026-01-02T03:04:05.678Z", "2026-01-02T11:04:05+08:00"):
        assert acs3.verify_trigger(signed(date=date), keys=KEYS, now=NOW)
    date = "Fri, 02 Jan 2026 03:04:05 GMT"
    value = official("GET", "/ws", {}, {"date": date}, "")
    assert acs3.verify_trigger(head_of(date=date, authorization=value), keys=KEYS, now=NOW)
    for date in ("yesterday", "2026-01-02", "9" * 400):
        assert refusal(signed(date=date)).code == "InvalidArgument"


@pytest.mark.parity("auth.function-replay")
def test_tampering_is_refused_and_a_pure_replay_within_the_window_is_not() -> None:
    head = signed("/ws?room=tea", {"room": "tea"})
    assert acs3.verify_trigger(head, keys=KEYS, now=NOW)
    assert acs3.verify_trigger(head, keys=KEYS, now=NOW + 60)
    changed = ["/wss?room=tea", "/ws?room=bar", "/%77s?room=tea", "%2Fws?room=tea", "/ws?room=tea&admin=1", "/ws",
               "/ws%0Aroom=tea?"]
    for method, target in [("POST", "/ws?room=tea"), *(("GET", target) for target in changed)]:
        assert refusal(RequestHead(method, target, head.headers)).code == "SignatureNotMatch"


def test_a_fresh_date_that_is_not_signed_does_not_help() -> None:
    date = "Fri, 02 Jan 2026 03:04:05 GMT"
    value = official("GET", "/ws", {}, {"x-note": "old"}, "")
    assert refusal(head_of(x_acs_date=DATE, x_note="old", authorization=value)).code == "SignatureNotMatch"
    old = signed(date="2026-01-01T00:00:00Z")
    later = RequestHead("GET", "/ws", (*old.headers, (b"date", date.encode())))
    assert refusal(later).code == "AccessDenied"


def test_a_key_of_the_query_cannot_stand_for_two_parameters() -> None:
    head = signed("/ws?a=1&b=2", {"a": "1", "b": "2"})
    assert refusal(RequestHead("GET", "/ws?a%3D1%26b=2", head.headers)).code == "SignatureNotMatch"


def test_doubled_headers_and_unreadable_ones_are_refused_and_quoted_safely() -> None:
    good = signed()
    twice = RequestHead("GET", "/ws", (*good.headers, good.headers[1]))
    assert refusal(twice).code == "InvalidArgument"
    dates = RequestHead("GET", "/ws", (*good.headers, (b"x-acs-date", DATE.encode())))
    assert refusal(dates).code == "SignatureNotMatch"
    for value in ("Basic eA==", "ACS3-HMAC-SHA256", "x\x1b[2J" * 1000, "ACS3-HMAC-SHA256 Credential=,SignedHeaders=,"):
        error = refusal(head_of(x_acs_date=DATE, authorization=value))
        assert error.code == "InvalidArgument"
        assert error.message.isprintable() and len(error.message) < 300


@given(st.binary(max_size=200), st.binary(max_size=60), st.text(max_size=60))
def test_no_header_makes_the_verifier_stumble(authorization: bytes, date: bytes, target: str) -> None:
    head = RequestHead("GET", "/" + target, ((b"x-acs-date", date), (b"authorization", authorization)))
    assert refusal(head).status in (400, 403)
