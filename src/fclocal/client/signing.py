"""Signed headers for calls to an HTTP trigger whose authType is "function"."""

from datetime import UTC, datetime
from urllib.parse import parse_qsl, urlsplit

from fclocal.core import acs3


def sign(url: str, *, access_key_id: str, access_key_secret: str, method: str = "GET",
         when: float | None = None) -> dict[str, str]:
    """Return the headers of a signed request to `url` (http, https, ws or wss); they are valid for 15 minutes.

    `when` is the moment of the signature in seconds since 1970, default now. Path and query are signed, the body
    is not (the service's page "Configure signature authentication for HTTP triggers"). A browser cannot send
    headers with a WebSocket: use JWT with a query parameter there.
    """
    parts = urlsplit(url)
    moment = datetime.now(UTC) if when is None else datetime.fromtimestamp(when, UTC)
    query = dict(reversed(parse_qsl(parts.query, keep_blank_values=True, errors="surrogateescape")))
    headers = {"x-acs-date": moment.strftime("%Y-%m-%dT%H:%M:%SZ")}
    headers["authorization"] = acs3.sign(method, parts.path.replace("$", "%24"), query, headers,
                                         access_key_id=access_key_id, access_key_secret=access_key_secret)
    return headers
