"""The kit's own Redis: found, started, killed, frozen, stopped, and never left behind."""

import asyncio
import os
import signal
import ssl
import subprocess
import sys
import urllib.request
from pathlib import Path

import psutil
import pytest
from awaited import awaited
from redis.asyncio import Redis
from redis.exceptions import AuthenticationError

from fclocal import App, Platform
from fclocal.client import platform
from fclocal.core.errors import FcError
from fclocal.runtime.instances.redis_server import RedisServer, find_program

ENV = {"PATH": os.environ["PATH"]}


@awaited
async def test_it_keeps_its_data_and_its_port_through_a_kill(tmp_path):
    server = RedisServer(tmp_path, ENV)
    url = await server.start()
    try:
        assert url.startswith("redis://:") and "@127.0.0.1:" in url and server.running
        assert await server.start() == url  # once is enough
        async with Redis.from_url(url) as client:
            await client.set("word", "kept")
            assert (await client.config_get("appendfsync")) == {"appendfsync": "always"}
        await server.kill()
        assert not server.running
        assert await server.start() == url
        async with Redis.from_url(url) as client:
            assert await client.get("word") == b"kept"
        with pytest.raises(AuthenticationError):
            async with Redis.from_url("redis://" + url.partition("@")[2]) as stranger:
                await stranger.get("word")
        assert (tmp_path / "redis" / "redis.conf").stat().st_mode & 0o077 == 0
    finally:
        await server.stop()
    assert not server.running


@awaited
async def test_it_does_not_answer_while_frozen(tmp_path):
    server = RedisServer(tmp_path, ENV)
    async with Redis.from_url(await server.start()) as client:
        await client.ping()
        await server.freeze()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(answer := asyncio.ensure_future(client.ping())), 0.3)
        server.thaw()
        assert await asyncio.wait_for(answer, 10)
    await server.stop()


@awaited
async def test_two_states_have_two(tmp_path):
    servers = [RedisServer(tmp_path / name, ENV) for name in "ab"]
    urls = await asyncio.gather(*(server.start() for server in servers))
    assert urls[0] != urls[1]
    await asyncio.gather(*(server.stop() for server in servers))


@awaited
async def test_redis_url_wins_and_is_left_alone(tmp_path):
    server = RedisServer(tmp_path, {"REDIS_URL": "redis://elsewhere:6379/3", **ENV})
    assert await server.start() == "redis://elsewhere:6379/3" and server.program == "REDIS_URL"
    await server.kill()
    await server.stop()
    assert not (tmp_path / "redis").exists()


@awaited
async def test_without_one_on_path_the_wheels_server_is_started(tmp_path):
    assert find_program({"PATH": str(tmp_path)}).name == "valkey-server"
    server = RedisServer(tmp_path, {"PATH": ""})
    async with Redis.from_url(await server.start()) as client:
        assert "valkey_version" in await client.info("server")
    await server.stop()


def test_a_missing_server_is_reported(tmp_path, monkeypatch):
    monkeypatch.setattr("fclocal.runtime.instances.redis_server.WHEELS", {})
    with pytest.raises(FcError) as missing:
        find_program({"PATH": str(tmp_path)})
    assert missing.value.code == "RedisNotAvailable" and "redis-server" in missing.value.cure


@awaited
async def test_a_server_that_cannot_start_is_reported_with_its_log(tmp_path):
    (tmp_path / "redis-server").write_text("#!/bin/sh\nexit 3\n")
    (tmp_path / "redis-server").chmod(0o755)
    with pytest.raises(FcError) as failed:
        await RedisServer(tmp_path, {"PATH": str(tmp_path)}).start()
    assert failed.value.code == "RedisStartFailed" and "redis.log" in failed.value.cure


def test_it_ends_when_its_starter_is_killed(tmp_path):
    program = ("import asyncio, os, sys, pathlib\nfrom fclocal.runtime.instances.redis_server import RedisServer\n"
               "async def main():\n    server = RedisServer(pathlib.Path(sys.argv[1]))\n    await server.start()\n"
               "    print(server._pid, flush=True)\n    await asyncio.sleep(60)\nasyncio.run(main())\n")
    with subprocess.Popen([sys.executable, "-c", program, tmp_path], stdout=subprocess.PIPE, env=ENV) as starter:
        assert starter.stdout
        redis = psutil.Process(int(starter.stdout.readline()))
        starter.send_signal(signal.SIGKILL)
    psutil.wait_procs([redis], timeout=2)
    assert not redis.is_running()


@pytest.mark.parity("instance.orphans")
def test_it_ends_when_the_platform_is_killed(fc: Platform) -> None:
    fc.redis()
    platform = psutil.Process(fc.status()["pid"])
    (redis,) = [child for child in platform.children(recursive=True) if "redis" in child.name()]
    platform.kill()
    psutil.wait_procs([redis], timeout=2)
    assert not redis.is_running()


@pytest.mark.parity("redis.url", "redis.kit")
def test_a_function_that_declares_redis_url_gets_the_kits_unless_it_names_this_machine(
        fc: Platform, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "_printed", set())
    folder = tmp_path / "env"
    folder.mkdir()
    (folder / "s.yaml").write_text("""
edition: 3.0.0
name: env
resources:
  env:
    component: fc3
    props:
      region: cn-hangzhou
      functionName: env
      runtime: custom.debian12
      code: .
      environmentVariables: {REDIS_URL: "redis://redis.internal:6379/0"}
      customRuntimeConfig: {command: [python3, main.py], port: 9000}
      triggers:
        - {triggerName: http, triggerType: http, triggerConfig: {methods: [GET], authType: anonymous}}
""")
    (folder / "main.py").write_text("""
import os
from http.server import BaseHTTPRequestHandler, HTTPServer
class Show(BaseHTTPRequestHandler):
    def do_GET(self):
        body = os.environ["REDIS_URL"].encode()
        self.send_response(200); self.send_header("Content-Length", str(len(body))); self.end_headers()
        self.wfile.write(body)
HTTPServer(("0.0.0.0", int(os.environ["FC_SERVER_PORT"])), Show).serve_forever()
""")
    def seen(app: App) -> str:
        context = ssl.create_default_context(cafile=os.environ["SSL_CERT_FILE"])
        with urllib.request.urlopen(app.url, timeout=10, context=context) as answer:
            return str(answer.read().decode())

    assert seen(fc.deploy(folder)) == fc.redis()
    assert "notice: environmentVariables.REDIS_URL" in capsys.readouterr().out
    assert fc.status()["redis"]
    own = "redis://:word@127.0.0.1:6399/2"
    assert seen(fc.deploy(folder, **{"environmentVariables.REDIS_URL": own})) == own
    assert "REDIS_URL" not in capsys.readouterr().out
