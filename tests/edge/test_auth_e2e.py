"""Signatures and tokens against the real gateway, from real clients; nothing refused ever reaches the function."""

import base64
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jwt
import pytest
from alibabacloud_tea_openapi.utils import Utils
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from darabonba.request import DaraRequest
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm
from service_kit import ROOT, Answer, beside_ws, call, kinds_since, last, records_since, set_trigger
from websockets.exceptions import InvalidStatus

import fclocal
from fclocal import Platform
from fclocal.core import acs3
from fclocal.testing import connect, running_platform

FOLDER = ROOT / "functions" / "02-trigger"
RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
OTHER = rsa.generate_private_key(public_exponent=65537, key_size=2048)
JWK = {**RSAAlgorithm.to_jwk(RSA.public_key(), as_dict=True), "kid": "k1"}


@pytest.fixture(scope="module")
def fc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    with running_platform(tmp_path_factory.mktemp("auth")) as running:
        yield running


@pytest.fixture(scope="module")
def url(fc: Platform) -> str:
    return str(fc.deploy(FOLDER).url)


@pytest.fixture
def signed_url(fc: Platform, url: str) -> str:
    set_trigger(fc, "trigger", authType="function")
    return url


def sign(fc: Platform, url: str, when: float | None = None) -> list[tuple[str, str]]:
    return list(fclocal.sign(url, access_key_id=fc.at.access_key_id, access_key_secret=fc.at.access_key_secret,
                             when=when).items())


def requests_since(fc: Platform, seq: int) -> list[str]:
    return [kind for kind in kinds_since(fc, seq) if kind.startswith("request.")]


@pytest.mark.parity("auth.function-unsigned", "auth.function-refused")
def test_unsigned_and_wrongly_signed_requests_start_nothing(fc: Platform, signed_url: str) -> None:
    before = last(fc)
    assert call(signed_url).error == (400, "MissingRequiredHeader")
    dated = call(signed_url, headers=[("Date", "Fri, 02 Jan 2026 03:04:05 GMT")])
    assert dated.error == (400, "InvalidArgument") and dated.json["Message"] == "invalid authorization ''"
    wrong = fclocal.sign(signed_url + "/", access_key_id=fc.at.access_key_id, access_key_secret="wrong")
    assert call(signed_url, headers=wrong.items()).error == (403, "SignatureNotMatch")
    nobody = fclocal.sign(signed_url + "/", access_key_id="nobody", access_key_secret="wrong")
    assert call(signed_url, headers=nobody.items()).error == (403, "InvalidAccessKeyID")
    with pytest.raises(InvalidStatus) as refused:
        connect(signed_url.replace("https", "wss"))
    assert refused.value.response.status_code == 400
    assert requests_since(fc, before) == ["request.rejected"] * 5
    codes = [record.data["code"] for record in records_since(fc, before, "request.rejected")]
    assert codes == ["MissingRequiredHeader", "InvalidArgument", "SignatureNotMatch", "InvalidAccessKeyID",
                     "MissingRequiredHeader"]


@pytest.mark.parity("auth.acs3")
def test_requests_signed_by_fclocal_and_by_the_official_signer_pass(fc: Platform, signed_url: str) -> None:
    path = "/chat/$LATEST?room=tea%20time&empty="
    seen = call(signed_url, path, headers=sign(fc, signed_url + path)).json
    assert seen["query"] == {"room": "tea time", "empty": ""} and seen["headers"]["authorization"] == "(hidden)"
    request = DaraRequest()
    request.method, request.pathname, request.query = "POST", "/chat", {"room": "tea"}
    date = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    request.headers = {"x-acs-date": date, "x-acs-security-token": ""}
    value = Utils.get_authorization(request, acs3.ALGORITHM, "", fc.at.access_key_id, fc.at.access_key_secret)
    answer = call(signed_url, "/chat?room=tea", method="POST", body=b"not signed",
                  headers=[*request.headers.items(), ("authorization", value)])
    assert answer.status == 200 and answer.json["method"] == "POST"


@pytest.mark.parity("auth.function-replay")
def test_replays_pass_and_tampered_requests_do_not(fc: Platform, signed_url: str) -> None:
    headers = sign(fc, signed_url + "/chat?room=tea")
    assert [call(signed_url, "/chat?room=tea", headers=headers).status for _ in range(2)] == [200, 200]
    for method, path in (("GET", "/chat?room=bar"), ("GET", "/chat"), ("GET", "/chat?room=tea&x=1"),
                         ("POST", "/chat?room=tea"), ("GET", "/chat/?room=tea")):
        assert call(signed_url, path, method=method, headers=headers).error == (403, "SignatureNotMatch")
    date = [(name, "2026-01-02T03:04:05Z" if name == "x-acs-date" else value) for name, value in headers]
    assert call(signed_url, "/chat?room=tea", headers=date).status == 403
    assert call(signed_url, "/chat?room=tea", headers=[*headers, headers[1]]).error == (400, "InvalidArgument")


@pytest.mark.parity("auth.function-window")
@pytest.mark.parametrize(("seconds", "status"), [(-895, 200), (895, 200), (-905, 403), (905, 403)])
def test_the_window_of_15_minutes(fc: Platform, signed_url: str, seconds: int, status: int) -> None:
    answer = call(signed_url, "/x", headers=sign(fc, signed_url + "/x", time.time() + seconds))
    assert answer.status == status
    if status == 403:
        assert answer.error == (403, "AccessDenied")
        assert answer.json["Message"].startswith("the difference between the request time '")


@pytest.mark.parametrize("client", ["sign.py", "sign.mjs"])
@pytest.mark.parametrize("scheme", ["https", "wss"])
def test_the_documented_clients(fc: Platform, signed_url: str, client: str, scheme: str, tmp_path: Path) -> None:
    target = signed_url.replace("https", scheme) + "/a%20b/$x?room=tea%20time%21&a=1"
    program = sys.executable if client.endswith("py") else "node"
    script = beside_ws(FOLDER / "clients" / client, tmp_path)
    env = {**os.environ, "FC_KEY_ID": fc.at.access_key_id, "FC_KEY_SECRET": fc.at.access_key_secret}
    done = subprocess.run([program, str(script), target], env=env, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["query"] == {"room": "tea time!", "a": "1"}


# JWT

CONFIG: dict[str, Any] = {"jwks": {"keys": [JWK]}, "tokenLookup": "header:Authorization:Bearer,query:token",
                          "claimPassBy": "header:sub:x-user,query:role:role", "whitelist": ["/open", "/free/*"]}


@pytest.fixture
def jwt_url(fc: Platform, url: str) -> str:
    set_trigger(fc, "trigger", authType="jwt", authConfig=json.dumps(CONFIG))
    return url


def token(claims: dict[str, Any] | None = None, key: Any = RSA, alg: str = "RS256", **header: Any) -> str:
    return jwt.encode(claims or {"sub": "ana"}, key, algorithm=alg, headers={"kid": "k1", **header})


def part(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def confused() -> str:
    """HS256 with the public key as secret."""
    pem = RSA.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    text = f"{part({'alg': 'HS256', 'kid': 'k1'})}.{part({'sub': 'root'})}"
    algorithm = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256)
    return f"{text}.{base64.urlsafe_b64encode(algorithm.sign(text.encode(), pem)).rstrip(b'=').decode()}"


NOW = datetime.now(UTC).timestamp()
ATTACKS = {
    **{alg: f"{part({'alg': alg, 'kid': 'k1'})}.{part({'sub': 'root'})}." for alg in ("none", "None", "nOnE")},
    "confusion": confused(), "unknown-kid": token(kid="../../x"), "other-key": token(key=OTHER),
    "jku": token(key=OTHER, jku="https://evil.example/"), "x5u": token(key=OTHER, x5u="https://evil.example/"),
    "jwk": token(key=OTHER, jwk=RSAAlgorithm.to_jwk(OTHER.public_key(), as_dict=True)),
    "expired": token({"exp": NOW - 1}), "future": token({"nbf": NOW + 600}), "garbage": "a.b.c", "nothing": "",
    "crlf-claim": token({"sub": "a\r\nx-admin: 1"}), "long": "x" * 6000}


def bearer(text: str) -> list[tuple[str, str]]:
    return [("Authorization", f"Bearer {text}")]


@pytest.mark.parity("auth.jwt-attacks", "auth.jwt-failure")
@pytest.mark.parametrize("attack", ATTACKS)
def test_attacks_with_tokens_never_reach_the_function(fc: Platform, jwt_url: str, attack: str) -> None:
    before = last(fc)
    answer = call(jwt_url, "/chat", headers=bearer(ATTACKS[attack]))
    assert answer.error == (403, "AccessDenied")
    with pytest.raises(InvalidStatus) as refused:
        connect(jwt_url.replace("https", "wss") + f"/chat?token={ATTACKS[attack][:3000]}")
    assert refused.value.response.status_code == 403
    assert requests_since(fc, before) == ["request.rejected"] * 2


@pytest.mark.parity("auth.jwt-attacks")
def test_doubled_headers_and_a_token_of_a_megabyte(fc: Platform, jwt_url: str) -> None:
    before = last(fc)
    assert call(jwt_url, headers=[*bearer(token()), *bearer(token(key=OTHER))]).error == (403, "AccessDenied")
    assert call(jwt_url, headers=bearer("x" * 1_000_000)).status == 400  # headers over 8 KB are refused before
    assert set(requests_since(fc, before)) == {"request.rejected"}


@pytest.mark.parity("auth.jwt-claims", "auth.jwt-claim-text")
def test_claims_reach_the_function_and_cannot_be_forged(fc: Platform, jwt_url: str) -> None:
    forged = [("X-User", "root"), ("x_user", "root"), ("X-Fc-Function-Name", "evil"), ("X-Fc-Qualifier", "evil")]
    mine = bearer(token({"sub": "ana", "role": "guest"}))
    seen = call(jwt_url, "/chat?role=admin&a=1", headers=[*mine, *forged]).json
    assert seen["headers"]["x-user"] == "ana" and "root" not in json.dumps(seen["headers"])
    assert seen["query"] == {"a": "1", "role": "guest"}
    assert seen["headers"]["x-fc-function-name"] == "trigger" and seen["qualifier"] == "LATEST"
    unicode = call(jwt_url, headers=bearer(token({"sub": "张三"}))).json["headers"]["x-user"]
    assert unicode.encode("utf-8", "surrogateescape").decode() == "张三"


@pytest.mark.parity("auth.jwt-lists")
def test_listed_paths_need_no_token_and_carry_no_claims(jwt_url: str) -> None:
    for path in ("/open", "/free/a"):
        answer = call(jwt_url, path, headers=[("x-user", "root")])
        assert answer.status == 200 and "x-user" not in answer.json["headers"]
    for path in ("/open/", "/free/../chat", "/free/%2e%2e/chat"):
        assert call(jwt_url, path).error == (403, "AccessDenied")


@pytest.mark.parity("auth.jwt-lookup")
def test_a_token_in_the_query_opens_a_websocket(fc: Platform, jwt_url: str) -> None:
    with connect(jwt_url.replace("https", "wss") + f"/chat?token={token()}") as socket:
        assert json.loads(socket.recv(timeout=10))["headers"]["x-user"] == "ana"
        socket.send("hi")
        assert socket.recv(timeout=10) == "hi"


@pytest.mark.parity("auth.jwt-config", "auth.jwt-form")
def test_the_api_refuses_a_configuration_that_cannot_work(fc: Platform, url: str) -> None:
    before = last(fc)
    for config, field in (({}, "jwks"), ({**CONFIG, "blacklist": ["/x"]}, "whitelist"),
                          ({**CONFIG, "tokenLookup": "body:x"}, "tokenLookup"),
                          ({**CONFIG, "tokenLookup": "form:token"}, "does not emulate position 'form'")):
        with pytest.raises(Exception, match=field) as refused:
            set_trigger(fc, "trigger", authType="jwt", authConfig=json.dumps(config))
        assert refused.value.code == "InvalidArgument"
    assert "trigger.changed" not in kinds_since(fc, before)


EC_256 = ec.generate_private_key(ec.SECP256R1())
ED = ed25519.Ed25519PrivateKey.generate()
SECRET = b"k" * 64
TYPES: dict[str, tuple[dict[str, Any], Any]] = {  # the key as the trigger has it, and what signs
    "RS256": (JWK, RSA), "PS512": (JWK, RSA),
    "ES256": (ECAlgorithm.to_jwk(EC_256.public_key(), as_dict=True), EC_256),
    "EdDSA": (OKPAlgorithm.to_jwk(ED.public_key(), as_dict=True), ED),
    "HS512": ({"kty": "oct", "k": base64.urlsafe_b64encode(SECRET).rstrip(b"=").decode()}, SECRET)}


@pytest.mark.parity("auth.jwt-config", "auth.jwt-algorithms")
@pytest.mark.parametrize("alg", TYPES)
def test_a_trigger_takes_keys_of_each_type(fc: Platform, url: str, alg: str) -> None:
    key, signer = TYPES[alg]
    config = {**CONFIG, "jwks": {"keys": [{**key, "kid": "k1", "alg": alg}]}}
    set_trigger(fc, "trigger", authType="jwt", authConfig=json.dumps(config))
    assert call(url, "/chat", headers=bearer(token(key=signer, alg=alg))).json["headers"]["x-user"] == "ana"
    assert call(url, "/chat", headers=bearer(token(key=OTHER))).error == (403, "AccessDenied")
    wrong = {**CONFIG, "jwks": {"keys": [{**key, "alg": "none"}]}}
    with pytest.raises(Exception, match=r"jwks\.keys\[0\]\.alg"):
        set_trigger(fc, "trigger", authType="jwt", authConfig=json.dumps(wrong))


def test_nothing_that_is_sent_breaks_a_line_of_the_journal(fc: Platform, jwt_url: str) -> None:
    before = last(fc)
    answer: Answer = call(jwt_url, "/x%0a%1b[2Jforged?token=%0d%0aforged", headers=bearer("\x1b[31m\x85forged"))
    assert answer.status in (400, 403)
    for record in records_since(fc, before, "request.rejected"):
        text = record.data["path"] + record.data["message"]
        assert re.fullmatch(r"[ -~]*", text), text


def test_a_host_that_lies_changes_nothing(fc: Platform, url: str) -> None:
    set_trigger(fc, "trigger")
    for host in ("evil.example", "127.0.0.1.nip.io", "other.cn-hangzhou.fcapp.run"):
        seen = call(url, headers=[("Host", host), ("X-Forwarded-Host", host)]).json
        assert seen["headers"]["x-fc-function-name"] == "trigger"


@pytest.mark.parity("auth.origin")
@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://localhost.evil.example", None])
def test_origin_is_the_functions_affair(fc: Platform, url: str, origin: str | None) -> None:
    set_trigger(fc, "trigger")
    with connect(url.replace("https", "wss"), origin=origin) as socket:
        assert json.loads(socket.recv(timeout=10))["headers"].get("origin") == origin
