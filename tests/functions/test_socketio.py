"""functions/05-reconnect-socketio on fclocal: resumed over WebSocket, lost over long polling."""

import subprocess
import sys

from functions.standalone import FUNCTIONS

from fclocal import Platform

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
    app = fc.deploy(FOLDER, instanceConcurrency=1, timeout=2, environmentVariables={"TRANSPORTS": "polling,websocket"})
    done = client(app.url, "--until", "2", "--transports", "polling")
    assert done.returncode == 1
    assert done.stderr.startswith("no connection by polling")
    assert "Invalid session" in fc.logs(app.name)
