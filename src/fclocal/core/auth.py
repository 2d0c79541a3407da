"""Who may come in: the verdict on one request, before any instance is asked to start.

    anonymous   anyone
    function    requests signed with ACS3-HMAC-SHA256 (the API's default)
    jwt         requests that carry a JSON Web Token signed by a key of the trigger's JWKS
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any
from urllib.parse import quote, urlencode

from fclocal.core import acs3, jwt_auth
from fclocal.core.errors import FcError
from fclocal.core.request import RequestHead

Pairs = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Grant:
    """A request may pass. What `claimPassBy` hands over replaces whatever the client sent under the same names.

    `who` is the access key id or the claim `sub`, "" if anyone may come in. `owned` holds, for each position, the
    names that only the platform may set; `given` the values it sets.
    """

    who: str = ""
    claims: Mapping[str, Any] | None = None
    owned: tuple[tuple[jwt_auth.Position, str], ...] = ()
    given: tuple[tuple[jwt_auth.Position, str, str], ...] = ()

    def apply(self, head: RequestHead) -> RequestHead:
        """The head as the function gets it: headers, query and cookies of the client replaced by the claims."""
        if not self.owned:
            return head
        # Servers read x_user and x-user as one name (CGI), so neither spelling may come from the client.
        mine = {name.lower().replace("_", "-").encode() for name in self._names("header")}
        headers = [pair for pair in head.headers if pair[0].replace(b"_", b"-") not in mine]
        headers += [(name.lower().encode(), value.encode()) for name, value in self._values("header")]
        if self._names("cookie"):
            kept = [pair for pair in jwt_auth.cookies(head) if pair[0] not in self._names("cookie")]
            kept += [(name, quote(value)) for name, value in self._values("cookie")]
            line = "; ".join(f"{name}={value}" for name, value in kept).encode("latin-1")
            headers = [pair for pair in headers if pair[0] != b"cookie"] + ([(b"cookie", line)] if line else [])
        target = head.target
        if self._names("query"):
            target = f"{head.path}?{self._merged(head.query, 'query')}".rstrip("?")
        return replace(head, target=target, headers=tuple(headers))

    def apply_body(self, head: RequestHead, body: bytes) -> bytes:
        """The body as the function gets it: fields of a form replaced by the claims; any other body unchanged."""
        if not self._names("form") or not jwt_auth.is_form(head):
            return body
        return self._merged(body.decode("latin-1"), "form").encode()

    def _merged(self, text: str, position: jwt_auth.Position) -> str:
        """A query or form without the owned names and with the given values; the rest keeps its spelling."""
        owned = self._names(position)
        parts = [part for part in text.split("&") if part and not any(
            name in owned for name, _ in jwt_auth.parameters(part))]
        return "&".join([*parts, *([urlencode(values)] if (values := self._values(position)) else [])])

    def _names(self, position: jwt_auth.Position) -> set[str]:
        return {name for place, name in self.owned if place == position}

    def _values(self, position: jwt_auth.Position) -> Pairs:
        return tuple((name, value) for place, name, value in self.given if place == position)


def authenticate(auth_type: str, auth_config: Mapping[str, Any] | None, head: RequestHead, *, now: float,
                 keys: Mapping[str, str], body: bytes = b"") -> Grant:
    """Let the request in, or raise FcError with the documented status, code and sentence.

    `now` is the wall clock (signatures and tokens carry wall-clock dates), `keys` maps access key ids to secrets,
    `body` is looked at only where `needs_body` says so.
    """
    if auth_type == "anonymous":
        return Grant()
    if auth_type == "function":
        return Grant(who=acs3.verify_trigger(head, keys=keys, now=now))
    config = _jwt_config(auth_config)
    owned = tuple((place.position, place.name) for place in config.passes)
    if config.skips(head.path):
        return Grant(owned=owned)
    claims = jwt_auth.verify(config, jwt_auth.find_token(config, head, body), now)
    given = tuple((place.position, place.name, _text(place, claims[place.claim]))
                  for place in config.passes if claims.get(place.claim) is not None)
    return Grant(str(claims.get("sub", "")), claims, owned, given)


def check_config(auth_type: str, auth_config: Mapping[str, Any] | None) -> None:
    """Raise FcError InvalidArgument, naming the field, if a trigger or domain cannot work with this authConfig."""
    if auth_type == "jwt":
        _jwt_config(auth_config)
    elif auth_config:
        raise FcError("InvalidArgument", reason=f"authConfig: authType '{auth_type}' takes none")


def needs_body(auth_type: str, auth_config: Mapping[str, Any] | None) -> bool:
    """Whether the body must be read before the request can be judged or handed over (positions "form")."""
    return auth_type == "jwt" and _jwt_config(auth_config).uses("form")


def _jwt_config(auth_config: Mapping[str, Any] | None) -> jwt_auth.JwtConfig:
    if not isinstance(auth_config, Mapping) or not auth_config:
        raise FcError("InvalidArgument", reason="authConfig: authType 'jwt' needs jwks")
    return _parsed(json.dumps(auth_config))


@lru_cache(maxsize=64)
def _parsed(text: str) -> jwt_auth.JwtConfig:
    """Keys are costly to read, so each configuration is read once."""
    return jwt_auth.parse(json.loads(text))


def _text(place: jwt_auth.Pass, value: Any) -> str:
    """A claim as text: strings as they are, everything else as compact JSON."""
    text = value if isinstance(value, str) else json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    # A line end in a header would end the header: such a claim is refused, not repaired.
    if place.position == "header" and any(ord(c) < 32 or ord(c) == 127 for c in text):
        raise jwt_auth.denied(f"claim '{place.claim}' holds a control character and cannot become a header")
    return text.encode("utf-8", "replace").decode()
