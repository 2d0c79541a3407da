"""functions/07-push: an event that a backend posts to any instance reaches the subscribers of every instance."""

import contextlib
import json
import signal
import socket
import subprocess
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from free_port import free_port
from functions.test_service import REQUEST_ID, Process, close_code
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from fclocal.runtime.instances.redis_server import find_program

TOKEN = "a-secret-of-the-backend"


class Redis:
    """A Redis server as a process, which a test can stop and start again without its data."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        self._process = subprocess.Popen(
            [str(find_program()), "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self._folder),
             "--appendonly", "yes", "--save", ""], stdout=subprocess.DEVNULL)
        patience = redis.retry.Retry(redis.backoff.ConstantBackoff(0.05), 200)
        with redis.Redis.from_url(self.url, retry=patience) as client:
            client.ping()

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Redis]:
    server = Redis(tmp_path)
    server.start()
    yield server
    server.stop()


@contextlib.contextmanager
def instance(server: Redis, port: int = 0, **env: str) -> Iterator[Process]:
    process = Process("07-push", port, REDIS_URL=server.url, **{"PUBLISH_TOKEN": TOKEN} | env)
    try:
        process.wait_until_ready()
        yield process
    finally:
        process.kill()


def publish(process: Process, event: object, topic: str = "orders", token: str = TOKEN) -> tuple[int, str]:
    """POST an event, and return the status and the body of the answer."""
    body = event if isinstance(event, bytes) else json.dumps(event).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{process.port}/publish/{topic}", body,
                                     {"Authorization": f"Bearer {token}"})
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code, refused.read().decode()


@contextlib.contextmanager
def subscribed(process: Process, after: str | None = None, topic: str = "orders") -> Iterator[ClientConnection]:
    query = f"?after={after}" if after else ""
    with connect(f"ws://127.0.0.1:{process.port}/app/subscribe/{topic}{query}", proxy=None,
                 additional_headers={"x-fc-request-id": REQUEST_ID}) as ws:
        yield ws


def receive(ws: ClientConnection) -> dict[str, object]:
    message: dict[str, object] = json.loads(ws.recv(timeout=10))
    return message


def test_every_subscriber_of_every_instance_receives_the_event(server: Redis) -> None:
    with instance(server) as one, instance(server) as two, subscribed(one) as ana, subscribed(two) as bo, \
            subscribed(two) as cy, subscribed(two, topic="other") as other:
        for ws in (ana, bo, cy, other):
            assert receive(ws)["event"] is None
        assert publish(one, {"order": 17})[0] == 202
        assert [receive(ws)["event"] for ws in (ana, bo, cy)] == [{"order": 17}] * 3
        assert publish(two, "tea", topic="other")[0] == 202
        assert receive(other)["event"] == "tea"


def test_a_subscriber_that_returns_receives_what_it_missed(server: Redis) -> None:
    with instance(server) as one, instance(server) as two:
        with subscribed(one) as ws:
            receive(ws)
            publish(one, 1)
            last = receive(ws)
        for number in (2, 3):
            publish(one, number)
        with subscribed(two, after=str(last["id"])) as ws:
            publish(one, 4)
            assert [receive(ws)["event"] for _ in range(3)] == [2, 3, 4]


def test_a_subscriber_that_joins_during_a_burst_gets_each_event_once_and_in_order(server: Redis) -> None:
    with instance(server) as process:
        _, answer = publish(process, 0)
        burst = threading.Thread(target=lambda: [publish(process, number) for number in range(1, 151)])
        burst.start()
        for _ in range(5):
            with subscribed(process, after=json.loads(answer)["id"]) as ws:
                assert [receive(ws)["event"] for _ in range(150)] == list(range(1, 151))
        burst.join()


def test_only_a_backend_with_the_token_publishes_and_only_json(server: Redis) -> None:
    with instance(server) as process:
        assert publish(process, 1, token="another")[0] == 403
        assert publish(process, b"{not json")[0] == 400
        assert publish(process, "x" * 20_000)[0] == 413
        assert publish(process, 1, topic="no%20topic")[0] in (404, 405)
    with instance(server, PUBLISH_TOKEN="") as closed:
        assert publish(closed, 1, token="")[0] == 403


def test_a_malformed_position_is_refused_with_a_reason(server: Redis) -> None:
    with instance(server) as process, subscribed(process, after="soon") as ws:
        with pytest.raises(ConnectionClosed):
            ws.recv(timeout=10)
        assert (ws.close_code, ws.close_reason) == (1008, "after must be an event id")


def test_subscribers_outlive_a_redis_that_restarts(server: Redis) -> None:
    with instance(server) as process, subscribed(process) as ws:
        receive(ws)  # the position: an event that is published before it does not reach this subscriber
        publish(process, 0)
        assert receive(ws)["event"] == 0
        server.stop()
        assert publish(process, 1) == (503, "Redis does not answer\n")
        server.start()
        assert publish(process, 2)[0] == 202
        assert receive(ws)["event"] == 2
        ws.close()
        process.send_signal(signal.SIGTERM)
        _, output = process.finish()
        events = [json.loads(line)["event"] for line in output.splitlines()]
        assert events.count("redis-answers") == 1, output


def test_a_subscriber_that_does_not_read_is_disconnected(server: Redis) -> None:
    with instance(server) as process, subscribed(process) as other:
        receive(other)
        with socket.create_connection(("127.0.0.1", process.port), timeout=10) as deaf:
            deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            deaf.sendall(b"GET /subscribe/orders HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n"
                         b"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                         b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
            deaf.recv(4096)
            with redis.Redis.from_url(server.url) as client:  # faster than over HTTP
                for start in range(0, 3000, 100):
                    for number in range(start, start + 100):
                        client.xadd("push:orders", {"event": json.dumps([number, "x" * 8000])})
                    client.publish("push", "orders")
                    for _ in range(100):
                        receive(other)
        process.send_signal(signal.SIGTERM)
        _, output = process.finish()
        assert "Traceback" not in output, output[-2000:]


@pytest.mark.parametrize("how", ["SIGTERM", "/pre-stop"])
def test_subscribers_get_1001_when_the_instance_ends(server: Redis, how: str) -> None:
    with instance(server) as process:
        with subscribed(process) as ws:
            receive(ws)
            if how == "SIGTERM":
                process.send_signal(signal.SIGTERM)
            else:
                process.get(how)
            assert close_code(ws) == 1001
        process.send_signal(signal.SIGTERM)
        _, output = process.finish()
        records = [json.loads(line) for line in output.splitlines()]
        assert [one["event"] for one in records if one["requestId"] == REQUEST_ID] == ["open", "closed"]
