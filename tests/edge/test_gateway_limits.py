"""The ends of the machine: no descriptors left, no ports left (F20, F21)."""

import json
import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from awaited import until
from gateway_kit import Platform, platform

__all__ = ["platform"]

# Runs in a process of its own, where descriptors can be few without harm to the tests.
SCRIPT = Path(__file__).with_name("few_descriptors.py")


@pytest.mark.parity("gateway.descriptors-503")
def test_out_of_descriptors(tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, str(SCRIPT), str(tmp_path)], capture_output=True, text=True, timeout=60, check=False,
        env={**os.environ, "PYTHONPATH": str(SCRIPT.parent.parent)},
    )
    assert run.returncode == 0, run.stderr
    result = json.loads(run.stdout)
    assert result["refused"] > 0, result
    assert set(result["statuses"]) <= {"101", "503", "closed"}, result
    assert result["cpu"] < 0.2, f"it spins: {result}"
    assert result["others_alive"], result
    assert result["after"] == 101, result


def test_a_port_that_closes_in_the_middle_of_a_tls_handshake(platform: Platform) -> None:
    with platform.connect() as sock:
        sock.sendall(b"\x16\x03\x01\x02\x00\x01\x00")
        with platform.connect() as other:  # accepted after it, so the first has been seen
            other.sendall(b"GET /a b HTTP/1.1\r\n\r\n")
            assert other.recv(100).startswith(b"HTTP/1.1 400 ")
        platform.run(platform.gateway.close())
        assert sock.recv(1) == b""


def test_broken_tls_leaves_nothing_behind(platform: Platform) -> None:
    before = psutil.Process().num_fds()
    for hello in (b"\x16garbage", b"\x16\x03\x01\x00\x05hello", b"\x16" + bytes(500)):
        with platform.connect() as sock:
            sock.sendall(hello)
            sock.settimeout(5)
            while sock.recv(100):
                pass
    until(lambda: psutil.Process().num_fds() <= before)
