"""functions/01-echo-node: one client cannot exhaust the memory, block the others, or end the process."""

import contextlib
import os
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from functions.standalone import FUNCTIONS
from functions.test_service import Process, close_code

from fclocal import Platform
from fclocal.testing import connect

FOLDER = FUNCTIONS / "01-echo-node"
MEGABYTE = 2**20
HANDSHAKE = (b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
             b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")


@pytest.fixture
def process() -> Iterator[Process]:
    process = Process("01-echo-node")
    try:
        process.wait_until_ready()
        yield process
    finally:
        process.kill()


def flood(port: int, limit: int) -> int:
    """Send messages of 64 KiB and read no answer. Return the bytes sent when the server stops reading."""
    frame = b"\x82\xff" + (65536).to_bytes(8) + bytes(4) + bytes(65536)
    with socket.create_connection(("127.0.0.1", port), timeout=1) as client:
        client.sendall(HANDSHAKE)
        client.recv(4096)
        sent = 0
        with contextlib.suppress(TimeoutError):
            while sent < limit:
                sent += client.send(frame)
    return sent


def test_a_client_that_does_not_read_costs_little_memory(process: Process) -> None:
    before = psutil.Process(process.pid).memory_info().rss
    assert flood(process.port, 300 * MEGABYTE) < 30 * MEGABYTE, "the server must stop reading"
    assert psutil.Process(process.pid).memory_info().rss - before < 60 * MEGABYTE
    with process.open() as ws:
        ws.send("still served")
        assert ws.recv(timeout=10) == "still served"


def test_a_client_that_sends_faster_than_it_reads_gets_every_answer(process: Process) -> None:
    messages = [os.urandom(65536) for _ in range(100)]
    with process.open() as ws:
        for message in messages:
            ws.send(message)
        assert [ws.recv(timeout=10) for _ in messages] == messages


def test_a_message_that_is_too_large_closes_its_own_connection_only(process: Process) -> None:
    with process.open() as other, process.open() as ws:
        ws.send(bytes(MEGABYTE + 1))
        assert close_code(ws) == 1009
        other.send("still served")
        assert other.recv(timeout=10) == "still served"


@pytest.mark.parametrize("program", ["index.js", "first.js"])
def test_both_versions_echo_when_deployed_alone(program: str, tmp_path: Path, fc: Platform) -> None:
    """first.js has the port 9000 in its code; fclocal still gives each instance its own port."""
    copy = tmp_path / FOLDER.name
    shutil.copytree(FOLDER, copy)
    app = fc.deploy(copy, customRuntimeConfig={"command": ["node", program], "port": 9000})
    with connect(app.url.replace("https", "wss")) as ws:
        for message in ("good morning", bytes(range(256))):
            ws.send(message)
            assert ws.recv(timeout=10) == message
