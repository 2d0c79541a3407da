"""The platform as a process: start, attach, stop, survive; and the Python face over it."""

import fcntl
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import psutil
import pytest
from websockets.exceptions import ConnectionClosedError

import fclocal
from fclocal.client.state import running
from fclocal.testing import connect, wait_for

ROOT = Path(__file__).parents[2]
ECHO = ROOT / "functions" / "01-echo"
GOODBYE = """
import os
from http.server import BaseHTTPRequestHandler, HTTPServer

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/pre-stop":
            open({gate!r}).read()
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.command.encode())
    do_POST = do_GET

HTTPServer(("0.0.0.0", 9000), Handler).serve_forever()
"""


def wss(url):
    return url.replace("https", "wss", 1)


@pytest.mark.parity("kit.loopback")
def test_deploy_echo_and_stop_clean(fc):
    app = fc.deploy(ECHO)
    assert app.url.startswith("https://localhost:")
    port = int(app.url.rpartition(":")[2])
    addresses = {a.address for card in psutil.net_if_addrs().values() for a in card if a.family == socket.AF_INET}
    for address in {"127.0.0.2", *addresses} - {"127.0.0.1"}:
        with pytest.raises(OSError):
            socket.create_connection((address, port), timeout=1)
    with connect(wss(app.url)) as ws:
        ws.send("hello")
        assert ws.recv(timeout=5) == "hello"
        ws.send(b"\x00\xff")
        assert ws.recv(timeout=5) == b"\x00\xff"
    instance = wait_for(fc, "instance.frozen", function="echo").instance
    assert [i["instanceId"] for i in fc.instances("echo")] == [instance]
    pid = fc.instances("echo")[0]["pid"]
    assert "FC Invoke Start RequestId: 1-" in fc.logs("echo")
    assert fc.bill("echo").data["requests"] == 1
    platform = fc.at.pid
    fc.stop()
    assert not psutil.pid_exists(pid) and not psutil.pid_exists(platform)


def test_start_attaches_to_the_platform_that_runs(fc, platform_factory):
    again = platform_factory()
    assert again.at.pid == fc.at.pid
    with pytest.raises(fclocal.FcError, match="runs already with freeze=True"):
        platform_factory(freeze=False)


def test_a_start_waits_until_the_stopping_platform_has_ended(platform_factory, tmp_path, monkeypatch):
    gate, folder = tmp_path / "gate", tmp_path / "slow"
    os.mkfifo(gate)
    folder.mkdir()
    (folder / "s.yaml").write_text((ECHO / "s.yaml").read_text().replace("echo", "slow"))
    (folder / "main.py").write_text(GOODBYE.format(gate=str(gate)))
    first = platform_factory()
    slow = first.deploy(folder, instanceLifecycleConfig={"preStop": {"handler": "index.preStop", "timeout": 60}})
    assert httpx.get(slow.url, verify=ssl.create_default_context()).text == "GET"
    os.kill(first.at.pid, signal.SIGTERM)
    writer = gate.open("w")  # returns when the hook of the stopping platform reads
    pause, waited = time.sleep, threading.Event()

    def sleep(seconds):
        if not waited.is_set():  # the start has found that the directory is held
            waited.set()
            writer.close()
        pause(seconds)

    monkeypatch.setattr("fclocal.client.daemon.time.sleep", sleep)
    second = platform_factory()
    assert waited.is_set() and second.at.pid != first.at.pid
    assert [f["functionName"] for f in second.status()["functions"]] == ["slow"]


def test_a_start_does_not_attach_to_a_platform_that_dies_at_this_moment(platform_factory):
    first = platform_factory()
    about = (first.at.state / "platform.json").read_text()
    first.stop()
    # A process in its last moment: it holds the lock, its port still accepts connections, and nobody answers.
    # The port is a new one: another platform of this machine may have taken the first one's.
    with (first.at.state / "lock").open("a") as lock, socket.create_server(("127.0.0.1", 0)) as dying:
        (first.at.state / "platform.json").write_text(
            about.replace(first.at.endpoint, f"127.0.0.1:{dying.getsockname()[1]}"))
        fcntl.flock(lock, fcntl.LOCK_EX)

        def die():
            dying.accept()[0].close()
            dying.close()
            lock.close()

        end = threading.Thread(target=die)
        end.start()
        second = platform_factory()
        end.join()
    assert second.status()["pid"] != first.at.pid


def test_attach_needs_a_platform(tmp_path):
    with pytest.raises(fclocal.FcError) as caught:
        fclocal.attach(tmp_path / "nothing")
    assert (caught.value.code, caught.value.cure) == ("PlatformNotRunning", "Run: fclocal start")


@pytest.mark.parity("state.survives-kill")
def test_functions_and_ports_survive_a_kill_and_no_process_does(platform_factory):
    first = platform_factory()
    app = first.deploy(ECHO)
    with connect(wss(app.url)) as ws:
        ws.send("before")
        ws.recv(timeout=5)
        pid = first.instances("echo")[0]["pid"]
        os.kill(first.at.pid, signal.SIGKILL)
        with pytest.raises(ConnectionClosedError):
            ws.recv(timeout=5)
    psutil.wait_procs([psutil.Process(pid)] if psutil.pid_exists(pid) else [], timeout=5)
    assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    second = platform_factory()
    # Another platform on this machine may have taken the port since; then the new port is printed.
    url = second.status()["functions"][0]["triggers"][0]["url"]
    with connect(wss(url)) as ws:
        ws.send("after")
        assert ws.recv(timeout=5) == "after"
    kinds = [r.kind for r in second.events()]
    assert kinds.count("platform.started") == 2 and kinds.count("function.created") == 1


@pytest.mark.parity("kit.two-platforms")
def test_two_platforms_side_by_side(platform_factory):
    one, two = platform_factory("one"), platform_factory("two")
    urls = [one.deploy(ECHO).url, two.deploy(ECHO).url]
    assert one.at.endpoint != two.at.endpoint and urls[0] != urls[1]
    for url, state in zip(urls, (one, two), strict=True):
        os.environ["SSL_CERT_FILE"] = str(state.at.state / "ca" / "bundle.pem")
        with connect(wss(url)) as ws:
            ws.send("hi")
            assert ws.recv(timeout=5) == "hi"
    assert len(one.instances()) == len(two.instances()) == 1


def test_a_platform_without_clients_ends_by_itself(tmp_path):
    program = (
        "import fclocal, os, sys\n"
        "fc = fclocal.start(sys.argv[1])\n"
        "app = fc.deploy(sys.argv[2])\n"
        "from fclocal.testing import connect\n"
        "ws = connect(app.url.replace('https', 'wss'))\n"
        "print(fc.at.pid, fc.instances()[0]['pid'], flush=True)\n"
        "os.kill(os.getpid(), 9)\n"  # as a kernel that is killed
    )
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path / "s"), str(ECHO)], stdout=subprocess.PIPE,
                          timeout=60, check=False)
    pids = [int(pid) for pid in done.stdout.splitlines()[-1].split()]
    assert done.returncode == -signal.SIGKILL and len(pids) == 2
    _, left = psutil.wait_procs([psutil.Process(p) for p in pids if psutil.pid_exists(p)], timeout=20)
    assert not left
    assert running(tmp_path / "s") is None


def test_a_step_of_the_system_clock_leaves_the_platform_running(fc, monkeypatch):
    started = psutil.Process.create_time
    monkeypatch.setattr(psutil.Process, "create_time", lambda process: started(process) + 3600)
    assert running(fc.at.state) == fc.at
    assert "management API" in cli(fc.at.state, "status")


def test_a_killed_platform_is_not_running_though_its_files_remain(platform_factory):
    fc = platform_factory()
    left = (fc.at.state / "platform.json").read_text()
    os.kill(fc.at.pid, signal.SIGKILL)
    psutil.wait_procs([psutil.Process(fc.at.pid)], timeout=5)
    (fc.at.state / "platform.json").write_text(left)
    assert running(fc.at.state) is None


def test_many_clients_that_ask_do_not_keep_a_platform_from_starting(tmp_path):
    state = tmp_path / "s"
    state.mkdir()
    (state / "lock").touch()
    asking = threading.Event()

    def ask() -> None:
        while not asking.is_set():
            running(state)

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        with fclocal.start(state) as fc:
            assert running(state) == fc.at
    finally:
        asking.set()
        for thread in threads:
            thread.join()


@pytest.mark.parametrize("name", ["journal.sqlite", "state.sqlite", "credentials.json", "ca/ca.pem", "ca/ca.key"])
def test_a_start_on_a_damaged_file_names_it_and_its_fix(platform_factory, name):
    fc = platform_factory()
    state = fc.at.state
    fc.stop()
    (state / name).write_bytes(b"damaged" * 2000)
    with pytest.raises(fclocal.FcError) as caught:
        platform_factory()
    assert caught.value.code == "PlatformStartFailed" and caught.value.cure == "Run: fclocal doctor"
    assert f"{state / name} is damaged" in caught.value.message and "Delete the file" in caught.value.message
    (state / name).unlink()
    platform_factory().stop()


def test_a_start_that_cannot_write_names_the_file_and_its_fix(platform_factory, tmp_path):
    fc = platform_factory()
    state = fc.at.state
    fc.stop()
    (state / "journal.sqlite").unlink()
    (state / "journal.sqlite").mkdir()  # stands for a disk that refuses, also for root
    with pytest.raises(fclocal.FcError, match=r"journal\.sqlite cannot be written .* Free space on that disk"):
        platform_factory()


@pytest.mark.parametrize("name", ["platform.json", "credentials.json"])
def test_a_damaged_file_of_a_running_platform_is_named_with_its_fix(fc, name):
    kept = (fc.at.state / name).read_bytes()
    (fc.at.state / name).write_bytes(kept[:20])
    try:
        assert f"{name} is damaged" in cli(fc.at.state, "status", expect=1)
    finally:
        (fc.at.state / name).write_bytes(kept)


def cli(state, *arguments, expect=0):
    done = subprocess.run([sys.executable, "-m", "fclocal.client.cli", "--state", str(state), *arguments],
                          capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == expect, done.stdout + done.stderr
    return done.stdout if expect == 0 else done.stderr


def test_the_command_line_from_start_to_stop(tmp_path):
    state = tmp_path / "s"
    assert "fclocal is not running" in cli(state, "status", expect=1)
    try:
        assert "fclocal runs (pid" in cli(state, "start")
        assert "fclocal runs already" in cli(state, "start")
        assert "No function is deployed" in cli(state, "list")
        deployed = json.loads(cli(state, "deploy", str(ECHO), "--json", "--set", "timeout=7"))
        assert deployed["functionName"] == "echo" and deployed["triggers"][0]["url"].startswith("https://localhost:")
        assert json.loads(cli(state, "list", "--json"))["functions"][0]["triggers"] == deployed["triggers"]
        assert deployed["triggers"][0]["url"] in cli(state, "status")
        os.environ["SSL_CERT_FILE"] = str(state / "ca" / "bundle.pem")
        with connect(wss(deployed["triggers"][0]["url"])) as ws:
            ws.send("x")
            ws.recv(timeout=5)
        kinds = [json.loads(line)["kind"] for line in cli(state, "events", "echo").splitlines()]
        assert kinds[0] == "function.created" and "request.begin" in kinds
        assert "FC Invoke Start RequestId:" in cli(state, "logs", "echo")
        assert json.loads(cli(state, "bill", "echo", "--json"))["requests"] == 1
        assert "heck the current price" in cli(state, "bill", "echo")
        assert "is removed" in cli(state, "remove", "echo")
        assert "FunctionNotFound" in cli(state, "remove", "echo", expect=1)
    finally:
        os.environ.pop("SSL_CERT_FILE", None)
        cli(state, "stop")
    assert running(state) is None
    assert "documented" in cli(state, "parity").lower()
