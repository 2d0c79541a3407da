"""The chats as they are operated: signals, PreStop, health, authentication, origins, the terminal client."""

import asyncio
import json
import os
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from chat_support import FUNCTIONS, Client, Instance, instances, redis_server
from ruamel.yaml import YAML
from standalone import module
from test_chat import join, receive
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from fclocal import Platform

BOTH = pytest.mark.parametrize("folder", ["07-chat", "07-chat-durable"])


def get(url: str, **headers: str) -> int:
    request = urllib.request.Request(url.replace("ws:", "http:"), headers=headers)
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=10) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code


@BOTH
def test_pre_stop_sends_close_frames_and_only_the_service_can_call_it(folder: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with redis_server(tmp_path) as redis, instances(folder, redis.url, 1) as [one]:
            ana = await join(one.url)
            await receive(ana, "members")
            assert await asyncio.to_thread(get, f"{one.url}/healthz") == 200
            visitor = {"x-fc-control-path": "/http-invoke"}
            assert await asyncio.to_thread(get, f"{one.url}/pre-stop", **visitor) == 404
            await ana.ping()
            assert await asyncio.to_thread(get, f"{one.url}/pre-stop", **{"x-fc-control-path": "/pre-stop"}) == 200
            with pytest.raises(ConnectionClosed):
                await ana.recv()
            assert ana.close_code == 1001
            back = await join(one.url)  # an instance that goes on after all serves again
            await receive(back, "members")
            await back.close()
    asyncio.run(main())


@BOTH
def test_ctrl_c_ends_without_a_traceback(folder: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with redis_server(tmp_path) as redis, instances(folder, redis.url, 1) as [one]:
            ana = await join(one.url)
            await receive(ana, "members")
            one.process.send_signal(2)
            with pytest.raises(ConnectionClosed):
                await ana.recv()
            assert ana.close_code == 1001 and await asyncio.wait_for(one.process.wait(), 10) == 0
    asyncio.run(main())


def test_a_page_of_another_origin_is_refused(tmp_path: Path) -> None:
    async def main() -> None:
        async with (redis_server(tmp_path) as redis,
                    instances("07-chat", redis.url, 1, ORIGINS="https://chat.example.com") as [one]):
            for origin in ("https://evil.example.com", None):
                with pytest.raises(InvalidStatus) as refused:
                    await connect(one.url, origin=origin)
                assert refused.value.response.status_code == 403
            async with connect(one.url, origin="https://chat.example.com"):
                pass
    asyncio.run(main())


def tokens(*words: str, folder: Path) -> str:
    result = subprocess.run([sys.executable, "tokens.py", *words], cwd=folder, capture_output=True, text=True,
                            timeout=20, check=True)
    return result.stdout.strip()


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A copy of the chat whose s.yaml has what `tokens.py keys` prints, as the README says."""
    copy = tmp_path / "chat"
    shutil.copytree(FUNCTIONS / "07-chat", copy, ignore=shutil.ignore_patterns("__pycache__"))
    yaml = YAML()
    document = yaml.load(copy / "s.yaml")
    props = document["resources"]["chat"]["props"]
    props["triggers"][0]["triggerConfig"].update(yaml.load(tokens("keys", folder=copy)))
    props["environmentVariables"]["NAME_HEADER"] = "x-chat-name"
    yaml.dump(document, copy / "s.yaml")
    yield copy


@pytest.mark.parity("auth.jwt-lookup")
def test_the_name_comes_from_the_token(folder: Path, fc: Platform) -> None:
    app = fc.deploy(folder)
    url = app.url.replace("https:", "wss:")
    token = tokens("token", "Ana", folder=folder)
    assert tokens("keys", folder=folder) == tokens("keys", folder=folder)  # a second call keeps the keys

    async def main() -> None:
        for query in ("", "?token=wrong", f"?token={token[:-6]}AAAAAA"):
            with pytest.raises(InvalidStatus) as refused:
                await connect(f"{url}/room{query}")
            assert refused.value.response.status_code == 403
        ana = await join(f"{url}/room?token={token}", name="Somebody else")
        assert (await receive(ana, "welcome"))["name"] == "Ana"
        assert [member["name"] for member in (await receive(ana, "members"))["members"]] == ["Ana"]
        await ana.close()
        async with connect(url) as outsider:  # a path without a token: let in by the trigger, refused by the program
            with pytest.raises(ConnectionClosed):
                await outsider.recv()
            assert outsider.close_code == 1008
    asyncio.run(main())


async def refusing(status: int) -> tuple[str, asyncio.Server, list[int]]:
    """A server that refuses every handshake."""
    attempts: list[int] = []

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        attempts.append(status)
        writer.write(b"HTTP/1.1 %d No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n" % status)
        await writer.drain()
        writer.close()
    server = await asyncio.start_server(refuse, "127.0.0.1", 0)
    return f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}", server, attempts


@pytest.mark.parametrize("status", [403, 404])
def test_the_client_stops_after_a_permanent_error(status: int) -> None:
    async def main() -> None:
        url, server, attempts = await refusing(status)
        with pytest.raises(InvalidStatus):
            await asyncio.wait_for(Client(url, "tea", "Ana").run(), 5)
        assert attempts == [status]
        server.close()
    asyncio.run(main())


def test_the_client_stops_at_an_untrusted_certificate(fc: Platform) -> None:
    """In the terminal: one line, and not zero."""
    app = fc.deploy(FUNCTIONS / "07-chat-simple")
    result = subprocess.run([sys.executable, "client.py", app.url.replace("https:", "wss:"), "tea", "Ana"],
                            cwd=FUNCTIONS / "07-chat-durable", capture_output=True, text=True, timeout=20,
                            input="Hello?\n", env={"PATH": os.environ["PATH"]})
    assert result.returncode == 1 and "certificate" in result.stderr and "Traceback" not in result.stderr


def test_the_client_prints_no_escape_sequences() -> None:
    printable = sys.modules["chat_client"].printable
    assert printable("a\x1b[31mb\u202ec\nd\u4e2d\U0001f600") == "a\ufffd[31mb\ufffdc\nd\u4e2d\U0001f600"


def test_the_last_public_address_counts() -> None:
    from websockets.datastructures import Headers

    source = module("07-chat", "limits").source
    for value, expected in (("1.2.3.4", "1.2.3.4"), ("9.9.9.9, 1.2.3.4", "1.2.3.4"), ("1.2.3.4, 100.64.0.1", "1.2.3.4"),
                            ("1.2.3.4, 10.0.0.1, 192.168.1.1", "1.2.3.4"), ("127.0.0.1", "127.0.0.1"),
                            ("junk", "junk"), ("2001:4860:4860::8888", "2001:4860:4860::8888")):
        assert source(Headers([("X-Forwarded-For", value)])) == expected
    assert source(Headers()) == ""


def test_logs_are_json_with_the_request_id(tmp_path: Path) -> None:
    async def main() -> None:
        async with redis_server(tmp_path) as redis:
            one = Instance("07-chat", redis.url)
            await one.start()
            async with connect(one.url, additional_headers={"x-fc-request-id": "1-2-3"}) as ana:
                await ana.send("{}")
                with pytest.raises(ConnectionClosed):
                    await ana.recv()
            await one.kill(15)
            closed = [line for line in map(json.loads, one.lines) if line["event"] == "closed"]
            assert [(line["requestId"], line["code"]) for line in closed] == [("1-2-3", 1008)]
    asyncio.run(main())
