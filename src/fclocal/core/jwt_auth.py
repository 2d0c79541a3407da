"""JWT authentication of HTTP triggers and custom domains: the configuration read, a token found and verified.

Source of the rules: the service's page "Configure JWT authentication for an HTTP trigger" and the types of the
Serverless Devs component fc3. What neither says is decided the safe way; `auth.jwt-*` in parity.toml lists it.
PyJWT is imported on first use because few triggers have JWT authentication, and it takes a tenth of a platform's start.
"""

import posixpath
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast
from urllib.parse import parse_qsl, unquote

from fclocal.core.errors import FcError, invalid
from fclocal.core.request import RequestHead

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

T = TypeVar("T")
Position = Literal["header", "query", "cookie"]
POSITIONS: tuple[Position, ...] = ("header", "query", "cookie")
MAX_TOKEN = 8192
"""Longest token in bytes that is looked at: what fits into the headers of a request."""

_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}")
_RSA = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
_CURVES = {"P-256": ("ES256",), "P-384": ("ES384",), "P-521": ("ES512",)}
_HMAC = {"HS256": 32, "HS384": 48, "HS512": 64}
# What the platform and the connection itself say must not come from a claim.
_RESERVED = ("connection", "content-length", "cookie", "host", "keep-alive", "transfer-encoding", "upgrade", "te",
             "trailer", "sec-websocket-", "x-fc-")


@dataclass(frozen=True, slots=True)
class Lookup:
    """A place where a token may be; `prefix` is stripped, blanks after it too."""

    position: Position
    name: str
    prefix: str = ""


@dataclass(frozen=True, slots=True)
class Pass:
    """A claim that is handed to the function, and where."""

    position: Position
    claim: str
    name: str


@dataclass(frozen=True, slots=True)
class Key:
    """A key of the JWKS with the algorithms it may verify: those of its type, or the one its `alg` names."""

    kid: str
    algorithms: tuple[str, ...]
    material: Any


@dataclass(frozen=True, slots=True)
class JwtConfig:
    """An authConfig that has been read. At most one of `whitelist` and `blacklist` is not None."""

    keys: tuple[Key, ...]
    lookups: tuple[Lookup, ...]
    passes: tuple[Pass, ...]
    whitelist: tuple[str, ...] | None
    blacklist: tuple[str, ...] | None

    def skips(self, path: str) -> bool:
        """Whether a request for `path` (not decoded) needs no token.

        A path is held against the list as sent, decoded, and with "//", "." and ".." resolved; in doubt the token
        is needed, so that /health/../admin does not pass as /health*.
        """
        decoded = unquote(path)
        readings = {path, decoded, posixpath.normpath("/" + decoded.lstrip("/"))}
        if self.whitelist is not None:
            return all(_listed(self.whitelist, reading) for reading in readings)
        return self.blacklist is not None and not any(_listed(self.blacklist, reading) for reading in readings)


def parse(config: Mapping[str, Any]) -> JwtConfig:
    """Parse authConfig. The case of field names does not matter: documents and tools spell them differently.

    Raises FcError InvalidArgument that names the field.
    """
    fields = _lower(config, "authConfig", ("jwks", "tokenLookup", "claimPassBy", "whitelist", "blacklist"))
    if fields.get("whitelist") and fields.get("blacklist"):
        raise invalid("authConfig.whitelist", "give a whitelist or a blacklist, not both")
    lookups = _places(fields.get("tokenLookup") or "header:Authorization:Bearer", "authConfig.tokenLookup",
                      ("readPosition", "parameterName", "prefix"), 2, _lookup)
    passes = _places(fields.get("claimPassBy") or [], "authConfig.claimPassBy",
                     ("mappingParameterPosition", "claimName", "mappingParameterName"), 3, _pass)
    return JwtConfig(_keys(fields.get("jwks")), tuple(lookups), tuple(passes),
                     _paths(fields, "whitelist"), _paths(fields, "blacklist"))


def find_token(config: JwtConfig, head: RequestHead) -> str:
    """Return the token from the first place of tokenLookup that has one. Raises FcError AccessDenied if none has."""
    for lookup in config.lookups:
        values = _values(head, lookup)
        if len(values) > 1:
            raise denied(f"{lookup.position} '{lookup.name}' is given more than once")
        token = values[0] if values else ""
        if token and token.startswith(lookup.prefix):
            token = token[len(lookup.prefix):].strip()
            if len(token) > MAX_TOKEN:
                raise denied(f"the token is longer than {MAX_TOKEN} bytes")
            if token:
                return token
    places = " or ".join(f"{lookup.position} '{lookup.name}'" for lookup in config.lookups)
    raise denied(f"no token in {places}")


def verify(config: JwtConfig, token: str, now: float) -> dict[str, Any]:
    """Return the claims of `token`. Raises FcError AccessDenied. `now`: wall-clock seconds since 1970.

    The key is chosen by `kid` alone and verifies only its own algorithms; jku, jwk, x5u and x5c in the token's
    header are never looked at.
    """
    import jwt

    try:
        header = jwt.get_unverified_header(token)
        kid, algorithm = header.get("kid") or "", header.get("alg")
        key = next((key for key in config.keys if key.kid == kid), None)
        if key is None:
            raise denied("no key of the JWKS has the token's kid" if kid else "the token names no kid")
        if algorithm not in key.algorithms:
            raise denied("the token's alg is not one of its key's")
        checks = ("exp", "nbf", "iat", "aud", "iss", "sub", "jti")
        claims = jwt.decode(token, key=key.material, algorithms=[cast(str, algorithm)],
                            options=cast(Any, {f"verify_{name}": False for name in checks}))
    except jwt.InvalidSignatureError:
        raise denied("wrong signature") from None
    except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
        raise denied("the token is malformed") from None
    times = {name: claims[name] for name in ("exp", "nbf") if name in claims}
    if any(isinstance(value, bool) or not isinstance(value, (int, float)) for value in times.values()):
        raise denied("exp and nbf must be numbers")
    if not now < times.get("exp", float("inf")):
        raise denied("the token has expired")
    if not now >= times.get("nbf", float("-inf")):
        raise denied("the token is not valid yet")
    return claims


def parameters(query_string: str) -> list[tuple[str, str]]:
    """Return the parameters of a query, decoded, blank ones kept; [] if there are more than 1,000."""
    try:
        return parse_qsl(query_string, keep_blank_values=True, max_num_fields=1000)
    except ValueError:
        return []


def cookies(head: RequestHead) -> list[tuple[str, str]]:
    """The cookies of a request, in order, not decoded."""
    parts = (part.decode("latin-1").partition("=") for line in head.get_all(b"cookie") for part in line.split(b";"))
    return [(name.strip(), value.strip()) for name, _, value in parts if name.strip()]


def denied(why: str) -> FcError:
    """A refusal, worded like the documented one for bearer tokens (the one for JWT is not documented)."""
    return FcError("AccessDenied", reason=f"access denied due to invalid jwt token: {why}")


def _values(head: RequestHead, lookup: Lookup) -> list[str]:
    if lookup.position == "header":
        return [value.decode("latin-1") for value in head.get_all(lookup.name.lower().encode())]
    pairs = parameters(head.query) if lookup.position == "query" else cookies(head)
    return [value for name, value in pairs if name == lookup.name]


def _listed(paths: Sequence[str], path: str) -> bool:
    """Whether a list has `path`: exactly, or by a prefix with a trailing *."""
    return any(path.startswith(rule[:-1]) if rule.endswith("*") else path == rule for rule in paths)


def _lower(value: Any, field: str, names: Sequence[str]) -> dict[str, Any]:
    """The members of an object under their proper names."""
    if not isinstance(value, Mapping):
        raise invalid(field, "must be an object")
    proper = {name.lower(): name for name in names}
    members: dict[str, Any] = {}
    for name, item in value.items():
        if (known := proper.get(str(name).lower())) is None or known in members:
            raise invalid(f"{field}.{name}", "is given twice" if known else f"is none of {', '.join(names)}")
        members[known] = item
    return members


def _paths(fields: Mapping[str, Any], name: str) -> tuple[str, ...] | None:
    paths = fields.get(name)
    if not paths:
        return None
    if not isinstance(paths, (list, tuple)) or any(not isinstance(p, str) or not p.startswith("/") for p in paths):
        raise invalid(f"authConfig.{name}", "must be a list of paths that begin with /")
    if bad := next((path for path in paths if "*" in path[:-1]), None):
        raise invalid(f"authConfig.{name}", f"'{bad}': * may stand at the end only")
    return tuple(paths)


def _places(value: Any, field: str, names: Sequence[str], least: int,
            build: Callable[[str, list[str]], T | None]) -> list[T]:
    """Read "position:a:b,..." or a list of objects whose members are `names` in that order."""
    rows: list[list[str]] = []
    if isinstance(value, str):
        rows = [part.split(":", len(names) - 1) for part in value.split(",") if part.strip()]
    elif isinstance(value, (list, tuple)):
        for number, item in enumerate(value):
            members = _lower(item, f"{field}[{number}]", names)
            rows.append([str(members.get(name) or "") for name in names])
    else:
        raise invalid(field, "must be a string or a list")
    if any(len(row) < least for row in rows):
        raise invalid(field, f"each entry has the form {':'.join(names[:least])}")
    # The prefix keeps its trailing blank ("Bearer "): the parts are not stripped on their right.
    return [place for row in rows if (place := build(field, [part.lstrip() for part in row])) is not None]


def _lookup(field: str, row: list[str]) -> Lookup:
    return Lookup(_position(field, row[0]), _name(field, row[1]), row[2] if len(row) > 2 else "")


def _pass(field: str, row: list[str]) -> Pass | None:
    position, claim, name = (part.rstrip() for part in row)
    if not claim and not name:
        return None  # "query::" is what Serverless Devs sends for "none"
    place = Pass(_position(field, position), claim, _name(field, name))
    if place.position == "header" and name.lower().startswith(_RESERVED):
        raise invalid(field, f"header '{name}' belongs to the platform")
    if not claim:
        raise invalid(field, "the name of the claim is empty")
    return place


def _position(field: str, text: str) -> Position:
    for position in POSITIONS:
        if text.strip().lower() == position:
            return position
    if text.strip().lower() == "form":
        raise invalid(field, f"fclocal does not emulate position 'form', only {', '.join(POSITIONS)}")
    raise invalid(field, f"position '{text}' is none of {', '.join(POSITIONS)}")


def _name(field: str, text: str) -> str:
    if not _NAME.fullmatch(text.strip()):
        raise invalid(field, f"'{text}' is not a name")
    return text.strip()


def _keys(jwks: Any) -> tuple[Key, ...]:
    rows = jwks.get("keys") if isinstance(jwks, Mapping) else None
    if not isinstance(rows, list) or not rows:
        raise invalid("authConfig.jwks.keys", "must be a list with at least one key")
    keys = [_key(f"authConfig.jwks.keys[{number}]", row) for number, row in enumerate(rows)]
    kids = [key.kid for key in keys]
    if kids.count("") > 1:
        raise invalid("authConfig.jwks.keys", "only one key may be without kid")
    if twice := next((kid for kid in kids if kids.count(kid) > 1), None):
        raise invalid("authConfig.jwks.keys", f"kid '{twice}' is given twice")
    return tuple(keys)


def _key(field: str, row: Any) -> Key:
    import jwt

    if not isinstance(row, Mapping) or not isinstance(row.get("kid") or "", str):
        raise invalid(field, "must be a JSON Web Key")
    if row.get("kty") != "oct" and "d" in row:
        raise invalid(f"{field}.d", "this is a private key; give its public part only")
    if row.get("use", "sig") != "sig":
        raise invalid(f"{field}.use", "must be sig")
    try:
        material = jwt.PyJWK({name: value for name, value in row.items() if name != "alg"}).key
    except (jwt.PyJWTError, ValueError, TypeError, KeyError) as error:
        raise invalid(field, f"is not a key: {type(error).__name__}") from None
    able = _able(row, material)
    if not able:
        raise invalid(field, "its type, curve or size is not supported (RSA from 2048 bits, P-256, P-384, P-521,"
                            " Ed25519, oct from 256 bits)")
    if (named := row.get("alg")) is not None and named not in able:
        raise invalid(f"{field}.alg", f"'{named}' is none of {', '.join(able)}, which this key can do")
    return Key(row.get("kid") or "", able if named is None else (named,), material)


def _able(row: Mapping[str, Any], material: Any) -> tuple[str, ...]:
    """The algorithms a key can verify; a short key can none (RFC 7518, 3.2 and 3.3)."""
    if row["kty"] == "RSA":
        return _RSA if cast("RSAPublicKey", material).key_size >= 2048 else ()
    if row["kty"] == "EC":
        return _CURVES.get(row.get("crv", ""), ())
    if row["kty"] == "oct":
        return tuple(name for name, least in _HMAC.items() if len(material) >= least)
    return ("EdDSA",) if row.get("crv") == "Ed25519" else ()
