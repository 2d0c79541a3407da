"""http_request() and try_echo(): one request or one connection, and its result."""

import asyncio
import json
import ssl
import textwrap
from typing import Any

import httpx
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from workshop.views.plain_text import WIDTH

LIMIT = 10.0  # seconds that anything may take


def http_request(url: str, method: str = "GET", **headers: str) -> tuple[int, Any]:
    """Send a request; return its status and its answer: parsed JSON, or the message of a rejection.

    Write names of headers as keywords, or `**{"x-acs-date": ...}` where they are not Python names.
    """
    # A context for each request: the platform that the environment names may have changed since the last one.
    context = ssl.create_default_context()
    response = httpx.request(method, url, headers=headers, timeout=30, verify=context, trust_env=False)
    answer = _parsed(response.content)
    if response.is_success:
        return response.status_code, answer
    return response.status_code, answer.get("Message", answer) if isinstance(answer, dict) else answer


async def try_echo(url: str, message: str | bytes = "hello", **options: Any) -> None:
    """Connect, send one message, and print one line: the reply, the rejection, or the close code.

    `url` may begin with https. `options` are those of websockets' connect.
    """
    url = url.replace("http", "ws", 1) if url.startswith("http") else url
    try:
        async with connect(url, open_timeout=LIMIT, **options) as socket:
            try:
                await socket.send(message)
                result = f"101  answered {await asyncio.wait_for(socket.recv(), LIMIT)!r}"
            except ConnectionClosed:
                result = f"101  then closed with code {socket.close_code} {socket.close_reason}"
            except TimeoutError:
                result = "101  and no answer"
    except InvalidStatus as rejection:
        answer = _parsed(rejection.response.body)
        message_text = f"{answer['Code']}: {answer['Message']}" if isinstance(answer, dict) else str(answer)
        result = f"{rejection.response.status_code}  {message_text}"
    except OSError as error:
        result = f"no connection: {error}"
    for number, line in enumerate(result.rstrip().splitlines()):
        print(textwrap.fill(line, WIDTH, initial_indent=" " * 5 * (number > 0), subsequent_indent=" " * 5,
                            break_long_words=False, break_on_hyphens=False))


def _parsed(body: bytes | bytearray) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return body.decode("utf-8", "replace")
