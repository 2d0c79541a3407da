"""What Function Compute asks of every program: a port, a health check, log lines with the request id, a clean end."""

import contextlib
import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest
from awaited import until
from free_port import free_port
from functions.standalone import FUNCTIONS
from ruamel.yaml import YAML
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

REQUEST_ID = "1-6566f0a1-12d63510-fecf237c590c"
FOLDERS = ["01-echo", "01-echo-fastapi", "01-echo-node", "02-trigger", "03-wss", "04-keepalive", "05-reconnect",
           "05-reconnect-socketio", "06-billing", "07-sessions", "09-live"]
WITH_REDIS = ["07-push", "07-class-board"]  # their connections need a Redis: test_push.py, test_class_board.py
CHATS = ["07-chat", "07-chat-durable", "07-chat-memory", "07-chat-simple"]  # they have tests of their own
SOCKETIO = "05-reconnect-socketio"
GOODBYE = {SOCKETIO: 1012, "01-echo-fastapi": 1012}  # uvicorn's own code, "service restart"
SLOW = 30.0


class Process:
    """A folder's program, started by the command of its s.yaml on `port`, or on a free port."""

    def __init__(self, folder: str, port: int = 0, **env: str) -> None:
        self._folder = folder
        self.port = port or free_port()
        document = YAML(typ="safe").load(FUNCTIONS / folder / "s.yaml")
        runtime = next(iter(document["resources"].values()))["props"]["customRuntimeConfig"]
        program, *arguments = [*runtime["command"], *runtime.get("args", [])]
        self._process = subprocess.Popen(
            [sys.executable if program == "python3" else program, *arguments], cwd=FUNCTIONS / folder,
            env={"PATH": "/usr/local/bin:/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE": "1",
                 "FC_CUSTOM_LISTEN_PORT": str(self.port), "REDIS_URL": "redis://127.0.0.1:1/0"} | env,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    @property
    def pid(self) -> int:
        return self._process.pid

    def send_signal(self, number: int) -> None:
        self._process.send_signal(number)

    def finish(self) -> tuple[int, str]:
        """Wait for the end of the process. Return its exit code and everything it printed."""
        output, _ = self._process.communicate(timeout=SLOW)
        return self._process.returncode, output

    def wait_until_ready(self) -> None:
        """Wait until the program answers: it listens a moment before it can handle a signal."""
        def answers() -> bool:
            assert self._process.poll() is None, self.finish()
            with contextlib.suppress(ConnectionRefusedError):
                self.get("/healthz")
                return True
            return False

        until(answers, SLOW)

    def get(self, path: str) -> tuple[int, dict[str, str], bool]:
        """Send one GET. Return status, headers, and whether the server then closed the connection."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=3) as client:
            client.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            answer = b""
            while b"\r\n\r\n" not in answer:
                answer += client.recv(65536)
            head, _, body = answer.partition(b"\r\n\r\n")
            status, *lines = head.decode().split("\r\n")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
            missing = int(headers["content-length"]) - len(body)
            while missing > 0:
                missing -= len(client.recv(65536))
            client.settimeout(0.3)
            try:
                closed = client.recv(1) == b""
            except TimeoutError:
                closed = False
        return int(status.split()[1]), headers, closed

    @contextlib.contextmanager
    def open(self) -> Iterator[ClientConnection]:
        """A connection that the program already serves."""
        path = "/socket.io/?EIO=4&transport=websocket" if self._folder == SOCKETIO else "/"
        with connect(f"ws://127.0.0.1:{self.port}{path}", proxy=None,
                     additional_headers={"x-fc-request-id": REQUEST_ID}) as ws:
            if self._folder == SOCKETIO:
                ws.recv(timeout=SLOW)
                ws.send("40")  # Socket.IO's own CONNECT
                ws.recv(timeout=SLOW)
            ws.ping().wait(SLOW)
            yield ws

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        if self._process.stdout:
            self._process.stdout.close()


@pytest.fixture
def process(folder: str) -> Iterator[Process]:
    process = Process(folder)
    try:
        process.wait_until_ready()
        yield process
    finally:
        process.kill()


def close_code(ws: ClientConnection) -> int:
    """The code of the Close frame that ends the connection; messages that come before it are ignored."""
    try:
        while True:
            ws.recv(timeout=SLOW)
    except ConnectionClosed as closed:
        return closed.rcvd.code if closed.rcvd else 1006


@pytest.mark.parametrize("folder", FOLDERS + WITH_REDIS + CHATS)
@pytest.mark.parametrize("port", ["http", "0", "70000"])
def test_a_wrong_port_is_one_clear_line(folder: str, port: str) -> None:
    process = Process(folder, FC_CUSTOM_LISTEN_PORT="", FC_SERVER_PORT=port)
    try:
        code, output = process.finish()
    finally:
        process.kill()
    assert code == 1
    [line] = output.splitlines()
    assert "port must be a number from 1 to 65535" in line and port in line and "FC_SERVER_PORT" in line


@pytest.mark.parametrize("folder", FOLDERS)
def test_an_instance_that_ends_sends_close_frames(folder: str, process: Process) -> None:
    with process.open() as ws:
        process.send_signal(signal.SIGTERM)
        assert close_code(ws) == GOODBYE.get(folder, 1001)
    code, output = process.finish()
    assert code in (0, -signal.SIGTERM) and "Traceback" not in output, output


@pytest.mark.parametrize("folder", FOLDERS + WITH_REDIS)
def test_ctrl_c_prints_no_traceback(folder: str, process: Process) -> None:
    process.send_signal(signal.SIGINT)
    code, output = process.finish()
    assert code in (0, 130, -signal.SIGINT) and "Traceback" not in output, output


@pytest.mark.parametrize("folder", FOLDERS + WITH_REDIS)
def test_it_answers_the_health_check(folder: str, process: Process) -> None:
    status, headers, closed = process.get("/healthz")
    assert status == 200
    assert (headers.get("connection", "keep-alive").lower() == "close") is closed


@pytest.mark.parametrize("folder", FOLDERS + WITH_REDIS)
def test_every_http_answer_says_whether_the_connection_stays(folder: str, process: Process) -> None:
    for path in ("/", "/none"):
        _, headers, closed = process.get(path)
        assert (headers.get("connection", "keep-alive").lower() == "close") is closed, path


@pytest.mark.parametrize("folder", FOLDERS)
def test_log_lines_are_json_with_the_request_id(folder: str, process: Process) -> None:
    with process.open():
        pass
    process.send_signal(signal.SIGTERM)
    _, output = process.finish()
    records = [json.loads(line) for line in output.splitlines()]
    assert [record["requestId"] for record in records if record["event"] == "ready"] == [None]
    events = [record["event"] for record in records if record["requestId"] == REQUEST_ID]
    assert events[0] == "open" and len(events) >= 2, records
