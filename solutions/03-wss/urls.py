"""URLs: from the form that the console shows to the form that a WebSocket client needs."""

from urllib.parse import urlsplit

SCHEMES = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}


def to_wss(url: str) -> str:
    """Return the WebSocket URL of a function.

    http becomes ws, https becomes wss, ws and wss stay. Host, port, path and query stay unchanged. A fragment (#...) is
    removed, because a WebSocket URL must not have one. Any other text raises ValueError.
    """
    # 3.1: urlsplit(url) returns the parts: .scheme .netloc .path .query .fragment
    # Their _replace(scheme=..., fragment="") returns a changed copy, and .geturl() joins the parts again.
    parts = urlsplit(url)
    if parts.scheme not in SCHEMES or not parts.netloc:
        raise ValueError(f"not the URL of a function: {url!r}")
    return parts._replace(scheme=SCHEMES[parts.scheme], fragment="").geturl()
