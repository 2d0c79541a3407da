"""The answers to plain HTTP requests: the chat's page, in four files, and the health check."""

import http
from pathlib import Path

from websockets.asyncio.server import ServerConnection
from websockets.datastructures import Headers
from websockets.http11 import Request, Response

_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_POLICY = ("default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self';"
           " base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script';"
           " trusted-types 'none'")
_FILES = {f"/{file.name}": (file.read_bytes(), _TYPES[file.suffix])
          for file in (Path(__file__).parent / "static").iterdir()}
_FILES["/"] = _FILES["/index.html"]
_FILES["/healthz"] = (b"ok\n", "text/plain")


def page(connection: ServerConnection, request: Request) -> Response | None:
    """Answer a plain GET. Return None for a WebSocket handshake, which continues."""
    if "Upgrade" in request.headers:
        return None
    body, kind = _FILES.get(request.path.partition("?")[0], (None, ""))
    if body is None:
        return connection.respond(http.HTTPStatus.NOT_FOUND, "no such page\n")
    return Response(200, "OK", Headers([
        ("Content-Type", f"{kind}; charset=utf-8"), ("Content-Length", str(len(body))), ("Cache-Control", "no-cache"),
        ("Content-Security-Policy", _POLICY), ("X-Content-Type-Options", "nosniff"),
        ("Referrer-Policy", "no-referrer"), ("Connection", "close")]), body)
