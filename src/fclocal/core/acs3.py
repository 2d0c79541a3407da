"""ACS3-HMAC-SHA256: the signature of the management API and of HTTP triggers with authType "function".

    CanonicalRequest = METHOD \\n path \\n query \\n name:value\\n... \\n SignedHeaders \\n payload
    StringToSign     = "ACS3-HMAC-SHA256" \\n hex(sha256(CanonicalRequest))
    Signature        = hex(hmac_sha256(secret, StringToSign))
    Authorization    = ACS3-HMAC-SHA256 Credential=KEY,SignedHeaders=a;b,Signature=...

The two uses differ in one line: the management API puts the hash of the body into `payload`, an HTTP trigger
leaves it empty, so there the body is not protected. Sources: the service's pages "Configure signature
authentication for HTTP triggers" and "Signature mechanism"; the official signer `alibabacloud_tea_openapi.utils`.
"""

import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime
from typing import NamedTuple
from urllib.parse import parse_qsl, quote, unquote

from fclocal.core.errors import FcError
from fclocal.core.request import RequestHead

ALGORITHM = "ACS3-HMAC-SHA256"
WINDOW = 15 * 60
"""Seconds that the date of a request may differ from the platform's clock, either way."""

_AUTHORIZATION = re.compile(
    r"ACS3-HMAC-SHA256 +Credential=([^,\s]+), *SignedHeaders=([a-z0-9;_-]+), *Signature=([0-9a-f]{64})")
_AMBIGUOUS = re.compile(r"[&=\x00-\x1f]")
_NEEDLESS = re.compile(r"%(2[DEF]|3\d|4[1-9A-F]|5[0-9AF]|6[1-9A-F]|7[0-9AE])", re.IGNORECASE)
"""Escapes that clients do not write: of "/" and of the characters that need none (RFC 3986, 2.3)."""

EMPTY = hashlib.sha256(b"").hexdigest()
"""The payload hash of a management API call without a body."""

Pairs = Sequence[tuple[str, str]]
"""Query parameters, decoded, in the order of the URL."""


def sign(method: str, path: str, query: Mapping[str, str], headers: Mapping[str, str], *, access_key_id: str,
         access_key_secret: str, payload: str = "") -> str:
    """Return the value of the Authorization header for a request; all of `headers` are signed.

    `query` holds decoded values. `payload` is "" for an HTTP trigger, hex(sha256(body)) for the management API.
    """
    names = {name.lower(): value.strip() for name, value in headers.items()}
    signature = _signature(method, path, _query(tuple(query.items())), names, payload, access_key_secret)
    return f"{ALGORITHM} Credential={access_key_id},SignedHeaders={';'.join(sorted(names))},Signature={signature}"


def verify_request(method: str, path: str, query_string: str, headers: Iterable[tuple[bytes, bytes]], *,
                   keys: Mapping[str, str], now: float) -> str:
    """Verify the head of a management API call and return the SHA-256 (hex) that its body must have.

    The head alone proves the signature, because it states the hash of the body in x-acs-content-sha256 (without that
    header the body must be empty). So an unsigned upload is refused before it is read.
    host, every x-acs-* header and (with a body) content-type must be signed. (aiohttp adds a content-type to an empty
    body after the SDK has signed.)
    `path` and `query_string` are as received (not decoded), `headers` lower-cased as ASGI gives them, `keys` maps
    access key ids to secrets, `now` is wall-clock seconds since 1970.
    Raises FcError as `verify_trigger` does.
    """
    head = RequestHead(method, f"{path}?{query_string}", tuple(headers))
    claim = _claim(head, keys, now)
    stated = head.get_all(b"x-acs-content-sha256")
    digest = stated[0].decode("latin-1") if stated else EMPTY
    required = {name.decode("latin-1") for name, _ in head.headers
                if name.startswith(b"x-acs-") or name == b"host" or (name == b"content-type" and digest != EMPTY)}
    if len(stated) > 1 or not required <= set(claim.signed):
        raise FcError("SignatureNotMatch")
    # Some HTTP clients rewrite escapes after signing (aiohttp: %2A to *), so each segment gets one spelling.
    normal = "/".join(_quoted(unquote(part, errors="surrogateescape")) for part in path.split("/"))
    claim.check(head, [normal], [_pairs(head.query)], digest, keys)
    return digest


def verify_trigger(head: RequestHead, *, keys: Mapping[str, str], now: float) -> str:
    """Verify a request to an HTTP trigger or custom domain. Return the access key id that signed it.

    Only the headers named in SignedHeaders are signed, and never the body. `keys` maps access key ids to secrets,
    `now` is wall-clock seconds since 1970.
    Raises FcError: MissingRequiredHeader (neither x-acs-date nor Date), InvalidArgument (Authorization missing or
    unreadable), InvalidAccessKeyID, AccessDenied (more than 15 minutes off), SignatureNotMatch.
    """
    claim = _claim(head, keys, now)
    # The official samples sign the path as typed, which the HTTP client may escape on its way out; and the first
    # value of each parameter, some of them without the blank ones. Both spellings of each are taken.
    decoded = unquote(head.path, errors="surrogateescape")
    # Else a request signed for /a/b could be sent as /a%2Fb.
    changed = "\n" in decoded or _NEEDLESS.search(head.path)
    paths = [head.path] if changed else [head.path, decoded]
    first = tuple(dict(reversed(_pairs(head.query))).items())
    queries = [first, tuple((key, value) for key, value in first if value)]
    claim.check(head, [path.replace("$", "%24") for path in paths], queries, "", keys)
    return claim.key_id


class _Claim(NamedTuple):
    """The content of an Authorization header: access key id, signed headers, signature."""

    key_id: str
    signed: tuple[str, ...]
    signature: str

    def check(self, head: RequestHead, paths: Sequence[str], queries: Sequence[Pairs], payload: str,
              keys: Mapping[str, str]) -> None:
        """Raise SignatureNotMatch unless one reading of path and query gives the claimed signature."""
        have = {name: [_text(value) for value in head.get_all(name.encode())] for name in self.signed}
        # A bare key is not escaped by the algorithm: one holding "&", "=" or a line end could stand for another query.
        clear = not any(_AMBIGUOUS.search(key) for query in queries for key, _ in query)
        if clear and all(have.values()):
            headers = {name: ",".join(sorted(values)) for name, values in have.items()}
            for path in dict.fromkeys(paths):
                for query in dict.fromkeys(map(_query, queries)):
                    real = _signature(head.method, path, query, headers, payload, keys[self.key_id])
                    if hmac.compare_digest(real, self.signature):
                        return
        raise FcError("SignatureNotMatch")


def _claim(head: RequestHead, keys: Mapping[str, str], now: float) -> _Claim:
    """Parse Authorization and check key and date, in the order in which the service's errors are documented."""
    dates = {name: _text(head.get(name.encode()) or b"") for name in ("x-acs-date", "date")}
    if not any(dates.values()):
        raise FcError("MissingRequiredHeader", header="Date")
    value = b", ".join(head.get_all(b"authorization")).decode("latin-1")
    match = _AUTHORIZATION.fullmatch(value)
    if match is None:
        raise FcError("InvalidArgument", reason=f"invalid authorization '{_printable(value)}'")
    key_id, signed, signature = match.groups()
    if key_id not in keys:
        raise FcError("InvalidAccessKeyID", key=_printable(key_id))
    names = tuple(dict.fromkeys(signed.split(";")))
    # A date that is not signed proves nothing: an attacker who replays the request could change it.
    date = next((dates[name] for name in dates if name in names and len(head.get_all(name.encode())) == 1), None)
    if date is None:
        raise FcError("SignatureNotMatch")
    when = _moment(date)
    if abs(when.timestamp() - now) > WINDOW:
        current = datetime.fromtimestamp(now, UTC)
        raise FcError("AccessDenied", reason=f"the difference between the request time '{_rfc1123(when)}' and the"
                                             f" current time '{_rfc1123(current)}' is too large")
    return _Claim(key_id, names, signature)


def _moment(date: str) -> datetime:
    """Parse an ISO 8601 date with zone or an RFC 1123 date. Raises FcError InvalidArgument."""
    for read in (datetime.fromisoformat, parsedate_to_datetime):
        try:
            when = read(date)
            if when.tzinfo is not None:
                return when.astimezone(UTC)
        except (ValueError, OverflowError):
            continue
    raise FcError("InvalidArgument", reason=f"invalid date '{_printable(date)}'")


def _signature(method: str, path: str, query: str, headers: Mapping[str, str], payload: str, secret: str) -> str:
    lines = "".join(f"{name}:{headers[name]}\n" for name in sorted(headers))
    canonical = f"{method}\n{path or '/'}\n{query}\n{lines}\n{';'.join(sorted(headers))}\n{payload}"
    digest = hashlib.sha256(canonical.encode("utf-8", "surrogateescape")).hexdigest()
    return hmac.new(secret.encode(), f"{ALGORITHM}\n{digest}".encode(), hashlib.sha256).hexdigest()


def _query(pairs: Pairs) -> str:
    """Return the canonical query: sorted, values escaped, keys unchanged, as the official signer does."""
    return "&".join(f"{key}={_quoted(value)}" for key, value in sorted(pairs))


def _pairs(query_string: str) -> Pairs:
    return parse_qsl(query_string, keep_blank_values=True, errors="surrogateescape")


def _quoted(text: str) -> str:
    return quote(text, safe="~", errors="surrogateescape")


def _text(value: bytes) -> str:
    """Return header bytes as text that encodes to the same bytes again."""
    return value.decode("utf-8", "surrogateescape").strip()


def _printable(text: str) -> str:
    """Return at most 200 characters of `text` for an error message, "?" for those that could break a terminal."""
    return "".join(c if c.isascii() and c.isprintable() else "?" for c in text[:200])


def _rfc1123(when: datetime) -> str:
    return format_datetime(when, usegmt=True)
