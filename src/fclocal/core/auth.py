"""Authentication of requests to a trigger or a custom domain, before any instance is started.

    anonymous   every request is accepted
    function    requests signed with ACS3-HMAC-SHA256 (the API's default)
    jwt         requests that carry a JSON Web Token signed by a key of the trigger's JWKS
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal
from urllib.parse import quote, urlencode

from fclocal.core import acs3, jwt_auth
from fclocal.core.errors import invalid
from fclocal.core.request import RequestHead

AuthType = Literal["anonymous", "function", "jwt"]


@dataclass(frozen=True, slots=True)
class Authentication:
    """The parsed authentication of a trigger or custom domain. `jwt` is set for the type jwt only."""

    auth_type: AuthType
    jwt: jwt_auth.JwtConfig | None = None


def parse(auth_type: AuthType, auth_config: Mapping[str, Any] | None) -> Authentication:
    """Parse authType and authConfig. Raises FcError InvalidArgument, naming the field, if they cannot work."""
    if auth_type != "jwt":
        if auth_config:
            raise invalid("authConfig", f"authType '{auth_type}' takes none")
        return Authentication(auth_type)
    if not isinstance(auth_config, Mapping) or not auth_config:
        raise invalid("authConfig", "authType 'jwt' needs jwks")
    return Authentication(auth_type, jwt_auth.parse(auth_config))


def authenticate(
    authentication: Authentication, head: RequestHead, *, keys: Mapping[str, str], wall: float
) -> RequestHead:
    """Return the head as the function gets it, or raise FcError with the documented status, code and sentence.

    keys: access key id to secret. wall: the wall clock, since signatures and tokens carry its dates. The claims of
    `claimPassBy` replace all values that the client sent under the same names.
    """
    if authentication.auth_type == "anonymous":
        return head
    if authentication.jwt is None:
        acs3.verify_trigger(head, keys=keys, now=wall)
        return head
    config = authentication.jwt
    claims: Mapping[str, Any] = {}
    if not config.skips(head.path):
        claims = jwt_auth.verify(config, jwt_auth.find_token(config, head), wall)
    return _with_claims(head, config.passes, claims)


def _with_claims(head: RequestHead, passes: tuple[jwt_auth.Pass, ...], claims: Mapping[str, Any]) -> RequestHead:
    """Return the head in which the headers, cookies and query parameters of `passes` come from the claims only."""
    if names := _names(passes, "header"):
        # Servers read x_user and x-user as one name (CGI), so neither spelling may come from the client.
        owned = {name.lower().replace("_", "-").encode() for name in names}
        headers = [pair for pair in head.headers if pair[0].replace(b"_", b"-") not in owned]
        headers += [(name.lower().encode(), value.encode()) for name, value in _values(passes, "header", claims)]
        head = replace(head, headers=tuple(headers))
    if names := _names(passes, "cookie"):
        kept = [pair for pair in jwt_auth.cookies(head) if pair[0] not in names]
        kept += [(name, quote(value)) for name, value in _values(passes, "cookie", claims)]
        line = "; ".join(f"{name}={value}" for name, value in kept).encode("latin-1")
        rest = tuple(pair for pair in head.headers if pair[0] != b"cookie")
        head = replace(head, headers=(*rest, (b"cookie", line)) if line else rest)
    if names := _names(passes, "query"):
        parts = [
            part
            for part in head.query.split("&")
            if part and not any(name in names for name, _ in jwt_auth.parameters(part))
        ]
        if values := _values(passes, "query", claims):
            parts.append(urlencode(values))
        head = replace(head, target=f"{head.path}?{'&'.join(parts)}".rstrip("?"))
    return head


def _names(passes: tuple[jwt_auth.Pass, ...], position: jwt_auth.Position) -> set[str]:
    """Return the names that only the platform may set in `position`."""
    return {place.name for place in passes if place.position == position}


def _values(
    passes: tuple[jwt_auth.Pass, ...], position: jwt_auth.Position, claims: Mapping[str, Any]
) -> list[tuple[str, str]]:
    """Return the names and values that the claims give for `position`."""
    return [
        (place.name, _text(place, claims[place.claim]))
        for place in passes
        if place.position == position and claims.get(place.claim) is not None
    ]


def _text(place: jwt_auth.Pass, value: Any) -> str:
    """Return a claim as text: strings unchanged, everything else as compact JSON."""
    text = value if isinstance(value, str) else json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    # A line end would end the header and begin another one: such a claim is refused, not repaired.
    if place.position == "header" and any(ord(c) < 32 or ord(c) == 127 for c in text):
        raise jwt_auth.denied(f"claim '{place.claim}' holds a control character and cannot become a header")
    return text.encode("utf-8", "replace").decode()
