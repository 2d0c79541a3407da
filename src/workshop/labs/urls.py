"""From the URL of a trigger to the URL of its WebSocket, and to the address for the learner's browser."""

import os
from urllib.parse import urlsplit, urlunsplit

_SCHEMES = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}


def to_wss(url: str) -> str:
    """Return the WebSocket URL of `url`: http becomes ws, https becomes wss; ws and wss stay.

    Host, port, path, query and percent-encoding stay as they are. A fragment (#...) is dropped, because a
    WebSocket URL may not have one (RFC 6455, section 3).
    Raises ValueError, in words for a learner, for anything that is not a URL of a web server.
    """
    if url != url.strip() or any(c.isspace() for c in url):
        raise ValueError(f"{url!r} has a blank in it; copy the URL without blanks")
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise ValueError(f"{url!r} is not a URL: {error}") from None
    scheme = _SCHEMES.get(parts.scheme.lower()) if "://" in url else None
    if scheme is None:
        raise ValueError(f"{url!r} must begin with http://, https://, ws:// or wss://")
    if not host:
        raise ValueError(f"{url!r} names no host; a URL looks like https://localhost:9443/chat")
    return urlunsplit((scheme, parts.netloc, parts.path, parts.query, ""))


def browser_url(url: str) -> str:
    """Return the address of `url` for the learner's browser; `url` itself where the browser runs on this machine.

    On a JupyterHub the browser runs elsewhere. There, jupyter-server-proxy serves each port of localhost below the path
    of the learner's server, which the hub names in JUPYTERHUB_SERVICE_PREFIX. It sends plain HTTP to the port, which
    fclocal accepts on every port, and the connection to the browser is the hub's.
    """
    prefix = os.environ.get("JUPYTERHUB_SERVICE_PREFIX")
    parts = urlsplit(url)
    if not prefix or parts.hostname not in ("localhost", "127.0.0.1"):
        return url
    # The slash after the port: relative links of the page must stay below it.
    return urlunsplit(("", "", f"{prefix}proxy/{parts.port}{parts.path or '/'}", parts.query, parts.fragment))
