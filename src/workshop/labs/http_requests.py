"""http_request() and try_echo(): one request or one connection, and its result."""

import asyncio
import json
import textwrap
import urllib.error
import urllib.request
from typing import Any

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

LIMIT = 10.0  # seconds that anything may take
WIDTH = 100


def http_request(url: str, method: str = "GET", **headers: str) -> tuple[int, Any]:
    """Send a request; return its status and its answer: parsed JSON, or the sentence of a refusal.

    Names of headers are written as keywords; `**{"x-acs-date": ...}` where they are not Python names.
    """
    request = urllib.request.Request(url, method=method, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, _parsed(answer.read())
    except urllib.error.HTTPError as refusal:
        with refusal:
            said = _parsed(refusal.read())
        return refusal.code, said.get("Message", said) if isinstance(said, dict) else said


async def try_echo(url: str, message: str | bytes = "hello", **options: Any) -> None:
    """Connect, send one message, and print one line: the reply, the rejection, or the close code.

    `url` may begin with https. `options` are those of websockets' connect.
    """
    url = url.replace("http", "ws", 1) if url.startswith("http") else url
    try:
        async with connect(url, open_timeout=LIMIT, **options) as socket:
            try:
                await socket.send(message)
                told = f"101  answered {await asyncio.wait_for(socket.recv(), LIMIT)!r}"
            except ConnectionClosed:
                told = f"101  then closed with code {socket.close_code} {socket.close_reason}"
            except TimeoutError:
                told = "101  and no answer"
    except InvalidStatus as refusal:
        said = _parsed(refusal.response.body)
        words = f"{said['Code']}: {said['Message']}" if isinstance(said, dict) else str(said)
        told = f"{refusal.response.status_code}  {words}"
    except OSError as error:
        told = f"no connection: {error}"
    first, *rest = told.rstrip().splitlines()
    print(textwrap.fill(first, WIDTH, subsequent_indent=" " * 5), *rest, sep="\n     ")


def _parsed(body: bytes | bytearray) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return body.decode("utf-8", "replace")
