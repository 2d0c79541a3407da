"""ask() tells any answer in two values: JSON, text, and refusals."""

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from workshop.asking import ask

ANSWERS = {"/json": (200, b'{"a": 1}'), "/text": (200, b"plain"), "/refused": (403, b'{"Message": "no"}'),
           "/other": (502, b'{"why": 1}'), "/html": (500, b"<h1>")}


class Server(BaseHTTPRequestHandler):
    def do_PUT(self) -> None:
        status, body = ANSWERS[self.path]
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def url() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Server) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_ask(url: str) -> None:
    assert [ask(url + path, "PUT", a="b") for path in ANSWERS] == [
        (200, {"a": 1}), (200, "plain"), (403, "no"), (502, {"why": 1}), (500, "<h1>")]
