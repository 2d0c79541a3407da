"""Signed headers for calls to an HTTP trigger whose authType is "function"."""

from datetime import UTC, datetime
from urllib.parse import parse_qsl, urlsplit

from fclocal.core import acs3


def sign(url: str, *, access_key_id: str, access_key_secret: str, method: str = "GET") -> dict[str, str]:
    """The headers to send with a request to `url` (http, https, ws or wss); they are good for 15 minutes.

    Path and query are signed, the body is not: so says the service's page "Configure signature authentication for
    HTTP triggers". A browser cannot send headers with a WebSocket: use JWT with a query parameter there.
    """
    parts = urlsplit(url)
    query = dict(reversed(parse_qsl(parts.query, keep_blank_values=True, errors="surrogateescape")))
    headers = {"x-acs-date": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")}
    headers["authorization"] = acs3.sign(method, parts.path.replace("$", "%24"), query, headers,
                                         access_key_id=access_key_id, access_key_secret=access_key_secret)
    return headers
