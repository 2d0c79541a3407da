"""functions/05-reconnect-socketio on fclocal: resumed over WebSocket, lost over long polling."""

import json
import signal
import ssl
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from functions.standalone import FUNCTIONS
from functions.test_service import Process
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from fclocal import Platform
from fclocal.testing import wait_for

FOLDER = FUNCTIONS / "05-reconnect-socketio"


def client(url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, str(FOLDER / "client.py"), url, *arguments], capture_output=True, text=True,
                          timeout=60)


def test_over_websocket_the_timeout_loses_nothing(fc: Platform) -> None:
    app = fc.deploy(FOLDER, timeout=1, environmentVariables={"SECONDS_PER_MESSAGE": "0.05"})
    done = client(app.url, "--until", "40")
    assert done.returncode == 0, done.stderr
    messages, _, _, connections, _ = done.stdout.split()
    assert int(messages) == 40 and int(connections) >= 2


def test_over_long_polling_the_second_instance_does_not_know_the_session(fc: Platform) -> None:
    app = fc.deploy(FOLDER, instanceConcurrency=1, timeout=5, environmentVariables={"TRANSPORTS": "polling,websocket"})
    polling = f"{app.url}/socket.io/?EIO=4&transport=polling"
    with httpx.Client(verify=ssl.create_default_context(), timeout=20) as http, ThreadPoolExecutor() as pool:
        session = f"{polling}&sid={json.loads(http.get(polling).text[1:])['sid']}"
        opened = fc.status()["journal"]
        pool.submit(http.get, session)  # waits for a message, and keeps the only place of its instance
        wait_for(fc, "request.begin", after=opened, function=app.name)
        answer = http.post(session, content="40")
    assert answer.status_code == 400 and answer.json().startswith("Invalid session")
    assert len({record.instance for record in fc.events(function=app.name, kinds="request.end")}) == 2


class Spoken:
    """A Socket.IO conversation written by hand, to say what no client library would."""

    def __init__(self, process: Process, **headers: str) -> None:
        self.process, self.headers = process, headers

    def answer(self, connect_packet: str) -> str:
        """Send one CONNECT packet, and return the answer of the server."""
        with connect(f"ws://127.0.0.1:{self.process.port}/socket.io/?EIO=4&transport=websocket", proxy=None,
                     additional_headers=self.headers) as ws:
            ws.recv(timeout=10)
            ws.send(connect_packet)
            return str(ws.recv(timeout=10))


@pytest.fixture
def process(request: pytest.FixtureRequest) -> Iterator[Process]:
    process = Process(FOLDER.name, **getattr(request, "param", {}))
    try:
        process.wait_until_ready()
        yield process
    finally:
        process.kill()


def test_a_malformed_auth_is_rejected_without_a_traceback(process: Process) -> None:
    for auth in ('{"after":"soon"}', '{"after":-1}', '{"after":true}', "[1]", '"text"'):
        assert Spoken(process).answer(f"40{auth}").startswith("44"), auth
    assert Spoken(process).answer('40{"after":7}').startswith("40")
    process.send_signal(signal.SIGTERM)
    _, output = process.finish()
    assert "Traceback" not in output, output


@pytest.mark.parametrize(("process", "origin", "accepted"), [
    ({}, "https://evil.example.com", False),
    ({"ALLOWED_ORIGINS": "https://shop.example.com,https://b.example.com"}, "https://evil.example.com", False),
    ({"ALLOWED_ORIGINS": "https://shop.example.com,https://b.example.com"}, "https://b.example.com", True),
], indirect=["process"])
def test_only_allowed_pages_may_connect(process: Process, origin: str, accepted: bool) -> None:
    assert Spoken(process).answer("40").startswith("40"), "a program sends no Origin"
    if accepted:
        assert Spoken(process, Origin=origin).answer("40").startswith("40")
    else:
        with pytest.raises(InvalidStatus):
            Spoken(process, Origin=origin).answer("40")
