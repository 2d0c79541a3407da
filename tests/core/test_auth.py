"""JWT and the verdict on a request: what passes, what must not, what reaches the function."""

import base64
import json
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from fclocal.core import auth
from fclocal.core.errors import FcError
from fclocal.core.request import RequestHead

NOW = 1_767_323_045.0
RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
OTHER_RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC = {"ES256": ec.generate_private_key(ec.SECP256R1()), "ES384": ec.generate_private_key(ec.SECP384R1()),
      "ES512": ec.generate_private_key(ec.SECP521R1())}
ED = ed25519.Ed25519PrivateKey.generate()
SHARED = b"k" * 64
OCT = {"kty": "oct", "k": base64.urlsafe_b64encode(SHARED).rstrip(b"=").decode()}


def rsa_jwk(key: rsa.RSAPrivateKey = RSA, **more: str) -> dict[str, Any]:
    return {**RSAAlgorithm.to_jwk(key.public_key(), as_dict=True), **more}


def ec_jwk(name: str, **more: str) -> dict[str, Any]:
    return {**ECAlgorithm.to_jwk(EC[name].public_key(), as_dict=True), **more}


KEYS = [rsa_jwk(kid="rsa"), {**OCT, "kid": "oct"}, {**OKPAlgorithm.to_jwk(ED.public_key(), as_dict=True), "kid": "ed"},
        *(ec_jwk(name, kid=name) for name in EC)]
CONFIG: dict[str, Any] = {"jwks": {"keys": KEYS}, "tokenLookup": "header:Authorization:Bearer,query:token,cookie:auth",
                          "claimPassBy": "header:sub:x-user,query:role:role,cookie:team:team"}


def token(claims: dict[str, Any] | None = None, key: Any = RSA, alg: str = "RS256", kid: str | None = "rsa",
          **header: Any) -> str:
    headers = {**({"kid": kid} if kid is not None else {}), **header}
    return jwt.encode(claims or {"sub": "ana"}, key, algorithm=alg, headers=headers)


def head_of(target: str = "/ws", *headers: tuple[str, str], method: str = "GET") -> RequestHead:
    return RequestHead(method, target, tuple((name.encode(), value.encode()) for name, value in headers))


def bearer(text: str) -> RequestHead:
    return head_of("/ws", ("authorization", f"Bearer {text}"))


def accepted(head: RequestHead, config: dict[str, Any] | None = None, now: float = NOW) -> RequestHead:
    """The head that the function gets."""
    return auth.authenticate(auth.parse("jwt", config or CONFIG), head, keys={}, wall=now)


def user(head: RequestHead) -> bytes | None:
    return head.get(b"x-user")


def refused(head: RequestHead, config: dict[str, Any] | None = None, now: float = NOW) -> str:
    with pytest.raises(FcError) as caught:
        accepted(head, config, now)
    assert (caught.value.status, caught.value.code) == (403, "AccessDenied")
    assert caught.value.message.startswith("access denied due to invalid jwt token: ")
    assert caught.value.message.isprintable() and len(caught.value.message) < 200
    return caught.value.message.partition(": ")[2]


@pytest.mark.parity("auth.jwt-algorithms")
@pytest.mark.parametrize("alg", ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"])
def test_rsa_algorithms(alg: str) -> None:
    assert user(accepted(bearer(token(alg=alg)))) == b"ana"


@pytest.mark.parity("auth.jwt-algorithms")
@pytest.mark.parametrize(("alg", "key", "kid"), [
    *(((name, key, name)) for name, key in EC.items()), ("EdDSA", ED, "ed"),
    ("HS256", SHARED, "oct"), ("HS384", SHARED, "oct"), ("HS512", SHARED, "oct")])
def test_other_algorithms(alg: str, key: Any, kid: str) -> None:
    assert user(accepted(bearer(token(key=key, alg=alg, kid=kid)))) == b"ana"


def test_a_token_without_kid_is_for_the_key_without_kid() -> None:
    config = {**CONFIG, "jwks": {"keys": [rsa_jwk(OTHER_RSA, kid="other"), rsa_jwk()]}}
    assert user(accepted(bearer(token(kid=None)), config)) == b"ana"
    assert refused(bearer(token(kid=None))) == "the token names no kid"


def unsigned(alg: str) -> str:
    def part(value: dict[str, str]) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()
    return f"{part({'alg': alg, 'kid': 'rsa'})}.{part({'sub': 'ana'})}."


PUBLIC_PEM = RSA.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
PUBLIC_DER = RSA.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def hmac_with_public_key(secret: bytes) -> str:
    class Blunt(jwt.algorithms.HMACAlgorithm):
        def prepare_key(self, key: str | bytes) -> bytes:
            return key if isinstance(key, bytes) else key.encode()
    signer = jwt.PyJWS(algorithms=[])
    signer.register_algorithm("HS256", Blunt(Blunt.SHA256))
    return signer.encode(json.dumps({"sub": "ana"}).encode(), secret, algorithm="HS256", headers={"kid": "rsa"})


ATTACKS = {
    "none": unsigned("none"), "None": unsigned("None"), "nOnE": unsigned("nOnE"), "no alg": unsigned(""),
    "HS256 with the public key as secret (PEM)": hmac_with_public_key(PUBLIC_PEM),
    "HS256 with the public key as secret (DER)": hmac_with_public_key(PUBLIC_DER),
    "another key": token(key=OTHER_RSA), "unknown kid": token(kid="nobody"), "kid is a path": token(kid="../../x"),
    "kid of a key of another type": token(kid="ES256"), "jku": token(key=OTHER_RSA, jku="https://evil.example/jwks"),
    "jwk": token(key=OTHER_RSA, jwk=rsa_jwk(OTHER_RSA)), "x5u": token(key=OTHER_RSA, x5u="https://evil.example/x"),
    "crit": token(crit=["exp"]), "expired": token({"exp": int(NOW)}), "not yet valid": token({"nbf": int(NOW) + 1}),
    "three letters": "a.b.c",
    "payload changed": token().replace(token().split(".")[1], base64.urlsafe_b64encode(b'{"sub":"root"}').decode()),
    "no signature": token().rpartition(".")[0] + ".", "two parts": "a.b", "empty": "", "1 MB": "x" * 1_000_000,
    "deep JSON": base64.urlsafe_b64encode(b"[" * 5000).decode() + ".e30.x",
}


@pytest.mark.parity("auth.jwt-attacks", "auth.jwt-failure")
@pytest.mark.parametrize("attack", ATTACKS)
def test_attacks_are_refused(attack: str) -> None:
    refused(bearer(ATTACKS[attack]))


@pytest.mark.parity("auth.jwt-times")
def test_exp_and_nbf_count_to_the_second_and_must_be_numbers() -> None:
    good = token({"sub": "ana", "exp": 1_767_323_100, "nbf": 1_767_323_000})
    assert accepted(bearer(good), now=1_767_323_000.0) and accepted(bearer(good), now=1_767_323_099.9)
    assert refused(bearer(good), now=1_767_323_100.0) == "the token has expired"
    assert refused(bearer(good), now=1_767_322_999.9) == "the token is not valid yet"
    for bad in ("soon", True, [1], {}):
        raw = jwt.PyJWS().encode(json.dumps({"exp": bad}).encode(), RSA, algorithm="RS256", headers={"kid": "rsa"})
        assert refused(bearer(raw)) == "exp and nbf must be numbers"
    raw = jwt.PyJWS().encode(b'{"exp": NaN}', RSA, algorithm="RS256", headers={"kid": "rsa"})
    refused(bearer(raw))
    assert user(accepted(bearer(token({"sub": "ana"})), now=9e11)) == b"ana"


@pytest.mark.parity("auth.jwt-lookup")
def test_the_token_is_found_where_token_lookup_says() -> None:
    text = token()
    assert accepted(bearer(text)) and accepted(head_of(f"/ws?token={text}"))
    assert accepted(head_of("/ws", ("cookie", f"a=1; auth={text}")))
    assert refused(head_of()) == "no token in header 'Authorization' or query 'token' or cookie 'auth'"
    refused(head_of("/ws", ("authorization", text)))
    refused(head_of(f"/ws?Token={text}"))


@pytest.mark.parametrize("prefix", ["Bearer", "Bearer "])
def test_a_prefix_may_carry_its_blank(prefix: str) -> None:
    assert accepted(bearer(token()), {**CONFIG, "tokenLookup": f"header:Authorization:{prefix}"})
    refused(bearer(""), {**CONFIG, "tokenLookup": f"header:Authorization:{prefix}"})


def test_two_tokens_in_one_place_are_refused() -> None:
    good, evil = token(), token(key=OTHER_RSA)
    for first, second in ((good, evil), (evil, good), (good, good)):
        assert "more than once" in refused(head_of("/ws", ("authorization", f"Bearer {first}"),
                                                   ("authorization", f"Bearer {second}")))
        assert "more than once" in refused(head_of(f"/ws?token={first}&token={second}"))
        assert "more than once" in refused(head_of("/ws", ("cookie", f"auth={first}"), ("cookie", f"auth={second}")))


@pytest.mark.parity("auth.jwt-claims")
def test_claims_replace_what_the_client_sent_under_the_same_names() -> None:
    text = token({"sub": "ana", "role": "user & co", "team": "red;blue"})
    head = head_of("/ws?a=%41&role=admin&%72ole=root", ("authorization", f"Bearer {text}"), ("x-user", "root"),
                   ("x_user", "root"), ("cookie", "team=root; other=1"))
    seen = accepted(head)
    assert seen.target == "/ws?a=%41&role=user+%26+co"
    assert seen.get_all(b"x-user") == [b"ana"] and seen.get(b"x_user") is None
    assert seen.get_all(b"cookie") == [b"other=1; team=red%3Bblue"]
    assert seen.get(b"authorization") is not None


def test_a_client_cannot_forge_a_claim_that_its_token_has_not() -> None:
    text = token({"iss": "x"})
    head = head_of(f"/ws?token={text}&role=admin", ("x-user", "root"), ("cookie", "team=root"))
    seen = accepted(head)
    assert seen.get(b"x-user") is None and seen.get(b"cookie") is None and seen.target == f"/ws?token={text}"
    free = head_of("/health?role=admin", ("x-user", "root"))
    seen = accepted(free, {**CONFIG, "whitelist": ["/health"]})
    assert seen.get(b"x-user") is None and seen.target == "/health"


@pytest.mark.parity("auth.jwt-claim-text")
def test_claims_cannot_inject_headers() -> None:
    for evil in ("a\r\nx-admin: 1", "a\nb", "a\0b", "a\x1bb"):
        assert "control character" in refused(bearer(token({"sub": evil})))
    config = {**CONFIG, "claimPassBy": "header:v:x-value"}
    for value, text in (("张三", "张三"), (7, "7"), (True, "true"), (["a", "\n"], '["a","\\n"]'), (1.5, "1.5")):
        head = bearer(token({"v": value}))
        assert accepted(head, config).get(b"x-value") == text.encode()


@pytest.mark.parity("auth.jwt-lists")
def test_whitelist_and_blacklist() -> None:
    open_paths = {**CONFIG, "whitelist": ["/health", "/public/*"]}
    for path in ("/health", "/health?x=1", "/public/a/b"):
        assert user(accepted(head_of(path), open_paths)) is None
    for path in ("/", "/health/", "/healthy", "/HEALTH", "/public", "/public/../ws", "/public/%2e%2e/ws"):
        refused(head_of(path), open_paths)
    closed = {**CONFIG, "blacklist": ["/admin*"]}
    assert user(accepted(head_of("/ws"), closed)) is None
    for path in ("/admin", "/admin/x", "/%61dmin", "//admin", "/./admin", "/x/../admin"):
        refused(head_of(path), closed)


@pytest.mark.parity("auth.jwt-config")
@pytest.mark.parametrize(("change", "field"), [
    ({"jwks": None}, "jwks.keys"), ({"jwks": {"keys": []}}, "jwks.keys"), ({"jwks": {"keys": [{}]}}, "jwks.keys[0]"),
    ({"jwks": {"keys": [rsa_jwk(), rsa_jwk()]}}, "jwks.keys: only one"),
    ({"jwks": {"keys": [rsa_jwk(kid="a"), rsa_jwk(kid="a")]}}, "kid 'a' is given twice"),
    ({"jwks": {"keys": [rsa_jwk(alg="HS256")]}}, "jwks.keys[0].alg"),
    ({"jwks": {"keys": [rsa_jwk(alg="none")]}}, "jwks.keys[0].alg"),
    ({"jwks": {"keys": [rsa_jwk(use="enc")]}}, "jwks.keys[0].use"),
    ({"jwks": {"keys": [RSAAlgorithm.to_jwk(RSA, as_dict=True)]}}, "jwks.keys[0].d"),
    ({"jwks": {"keys": [{"kty": "oct", "k": "c2hvcnQ"}]}}, "jwks.keys[0]"),
    ({"jwks": {"keys": [{"kty": "RSA", "n": "!", "e": "AQAB"}]}}, "jwks.keys[0]"),
    ({"tokenLookup": "body:token"}, "tokenLookup"), ({"tokenLookup": "header"}, "tokenLookup"),
    ({"tokenLookup": "header:a b"}, "tokenLookup"), ({"tokenLookup": 7}, "tokenLookup"),
    ({"tokenLookup": [{"position": "query"}]}, "tokenLookup[0].position"),
    ({"claimPassBy": "header:sub:x-fc-user"}, "claimPassBy"), ({"claimPassBy": "header:sub:Host"}, "claimPassBy"),
    ({"claimPassBy": "header:sub"}, "claimPassBy"), ({"claimPassBy": "header:sub:a\r\nb"}, "claimPassBy"),
    ({"whitelist": ["/a"], "blacklist": ["/b"]}, "whitelist"), ({"whitelist": "/a"}, "whitelist"),
    ({"blacklist": ["/a*b"]}, "blacklist"), ({"audience": "me"}, "authConfig.audience"),
    ({"tokenLookup": "form:token"}, "does not emulate position 'form'"),
    ({"claimPassBy": "form:sub:user"}, "does not emulate position 'form'"),
])
def test_errors_of_a_configuration_name_the_field(change: dict[str, Any], field: str) -> None:
    with pytest.raises(FcError) as caught:
        auth.parse("jwt", {**CONFIG, **change})
    assert caught.value.code == "InvalidArgument" and field in caught.value.message


def okp_jwk(key: Any, **more: str) -> dict[str, Any]:
    return {**OKPAlgorithm.to_jwk(key, as_dict=True), **more}


SHORT_RSA = RSAAlgorithm.to_jwk(rsa.generate_private_key(public_exponent=65537, key_size=1024).public_key(),
                                as_dict=True)
UNSUPPORTED = "its type, curve or size is not supported"
EC_256 = ec_jwk("ES256")


@pytest.mark.parity("auth.jwt-config")
@pytest.mark.parametrize(("key", "why"), [
    (SHORT_RSA, f": {UNSUPPORTED}"), ({"kty": "RSA", "n": EC_256["x"]}, ": is not a key"),
    (ECAlgorithm.to_jwk(ec.generate_private_key(ec.SECP256K1()).public_key(), as_dict=True), f": {UNSUPPORTED}"),
    ({**EC_256, "crv": "P-384"}, ": is not a key"), ({**EC_256, "y": EC_256["x"]}, ": is not a key"),
    (ECAlgorithm.to_jwk(EC["ES256"], as_dict=True), ".d: this is a private key"),
    (ec_jwk("ES384", alg="ES256"), ".alg: 'ES256' is none of ES384"),
    (okp_jwk(ed448.Ed448PrivateKey.generate().public_key()), ": i"),  # refused by PyJWT or by us
    ({"kty": "OKP", "crv": "X25519", "x": EC_256["x"]}, ": is not a key"),
    (okp_jwk(ED), ".d: this is a private key"),
    (okp_jwk(ED.public_key(), alg="RS256"), ".alg: 'RS256' is none of EdDSA"),
    ({"kty": "oct", "k": "c2hvcnQ"}, f": {UNSUPPORTED}"), ({"kty": "oct"}, ": is not a key"),
    ({"kty": "oct", "k": EC_256["x"], "alg": "HS512"}, ".alg: 'HS512' is none of HS256"),
    ({"kty": "oct", "k": EC_256["x"], "alg": "RS256"}, ".alg: 'RS256' is none of HS256"),
    ({"kty": "PQC", "k": "AA"}, ": is not a key"), ("key", ": must be a JSON Web Key"),
])
def test_a_key_of_each_type_that_cannot_verify_is_refused(key: Any, why: str) -> None:
    with pytest.raises(FcError) as caught:
        auth.parse("jwt", {"jwks": {"keys": [rsa_jwk(kid="good"), key]}})
    assert caught.value.code == "InvalidArgument"
    assert caught.value.message.startswith(f"authConfig.jwks.keys[1]{why}")


def test_fields_count_whatever_their_case_and_in_both_forms() -> None:
    config = {"JWKS": CONFIG["jwks"], "TokenLookup": [{"ReadPosition": "query", "parametername": "t"}],
              "ClaimPassBy": [{"claimName": "sub", "mappingParameterName": "x-u",
                               "mappingParameterPosition": "header"}]}
    auth.parse("jwt", config)
    head = head_of(f"/?t={token()}")
    assert accepted(head, config).get(b"x-u") == b"ana"
    assert accepted(bearer(token()), {"jwks": CONFIG["jwks"], "claimPassBy": "query::"}) == bearer(token())


def test_the_other_auth_types() -> None:
    assert auth.authenticate(auth.parse("anonymous", None), head_of(), keys={}, wall=NOW) == head_of()
    with pytest.raises(FcError, match="Date was not specified"):
        auth.authenticate(auth.parse("function", None), head_of(), keys={"a": "b"}, wall=NOW)
    with pytest.raises(FcError, match="authConfig"):
        auth.parse("anonymous", CONFIG)
    with pytest.raises(FcError, match="jwks"):
        auth.parse("jwt", None)


@given(st.text(max_size=100), st.text(max_size=20))
def test_nothing_in_a_token_makes_the_verdict_stumble(text: str, other: str) -> None:
    headers = ((b"authorization", b"Bearer " + text.encode()), (b"cookie", text.encode()))
    refused(RequestHead("GET", "/" + other, headers))


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=5),
                    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
                        st.sampled_from(["jwks", "keys", "kty", "tokenLookup", "claimPassBy", "whitelist", "n", "crv"])
                        , inner, max_size=3), max_leaves=8))
def test_nothing_in_a_configuration_makes_the_check_stumble(value: Any) -> None:
    config = value if isinstance(value, dict) else {"jwks": {"keys": [value]}}
    with pytest.raises(FcError):
        auth.parse("jwt", config)
