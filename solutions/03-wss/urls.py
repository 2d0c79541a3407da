"""Addresses: what the console shows, and what a WebSocket client wants."""

from urllib.parse import urlsplit

SCHEMES = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}


def to_wss(url: str) -> str:
    """The WebSocket address of a function.

    http becomes ws, https becomes wss, ws and wss stay. Host, port, path and query stay as they are, letter by
    letter; a fragment (#...) is left out, for WebSocket addresses have none. Anything else raises ValueError.
    """
    # 3.1: urlsplit(url) gives the parts: .scheme .netloc .path .query .fragment
    # Its _replace(scheme=..., fragment="") makes a changed copy, and .geturl() puts the parts together again.
    parts = urlsplit(url)
    if parts.scheme not in SCHEMES or not parts.netloc:
        raise ValueError(f"not the address of a function: {url!r}")
    return parts._replace(scheme=SCHEMES[parts.scheme], fragment="").geturl()
