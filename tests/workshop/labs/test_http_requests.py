"""http_request() and try_echo() print every kind of answer: JSON, text, rejections, close codes."""

import asyncio
import socket
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
from websockets.asyncio.server import Request, Response, ServerConnection, serve

from workshop.labs.http_requests import http_request, try_echo

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


def test_http_request(url: str) -> None:
    assert [http_request(url + path, "PUT", a="b") for path in ANSWERS] == [
        (200, {"a": 1}), (200, "plain"), (403, "no"), (502, {"why": 1}), (500, "<h1>")]


@pytest.mark.parametrize(("what", "printed"), [
    ("", "101  answered 'hello'\n"), ("close", "101  then closed with code 1011 oops\n"),
    ("refuse", "418  Teapot: short\n     and\n     stout\n"), ("plain", "418  no JSON\n")])
def test_try_echo(what: str, printed: str, capsys: pytest.CaptureFixture[str]) -> None:
    asyncio.run(one_try_echo(what))
    assert capsys.readouterr().out == printed


def test_attempt_without_a_server(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        asyncio.run(try_echo(f"http://127.0.0.1:{bound.getsockname()[1]}"))
    assert capsys.readouterr().out.startswith("no connection: ")


async def one_try_echo(what: str) -> None:
    async def serve_one(connection: ServerConnection) -> None:
        if what == "close":
            await connection.close(1011, "oops")
        async for message in connection:
            await connection.send(message)

    def before(connection: ServerConnection, _: Request) -> Response | None:
        text = {"refuse": '{"Code": "Teapot", "Message": "short\\nand\\nstout"}', "plain": "no JSON"}.get(what)
        return connection.respond(418, text) if text else None

    async with serve(serve_one, "127.0.0.1", 0, process_request=before) as server:
        await try_echo(f"http://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}")
