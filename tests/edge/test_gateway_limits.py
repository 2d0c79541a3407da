"""The ends of the machine: no descriptors left, no ports left (F20, F21)."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

# Runs in a process of its own, where descriptors can be few without harm to the tests.
SCRIPT = Path(__file__).with_name("few_descriptors.py")


@pytest.mark.parity("gateway.descriptors-503")
def test_out_of_descriptors(tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, str(SCRIPT), str(tmp_path)], capture_output=True, text=True, timeout=60, check=False
    )
    assert run.returncode == 0, run.stderr
    told = json.loads(run.stdout)
    assert told["refused"] > 0, told
    assert set(told["statuses"]) <= {"101", "503", "closed"}, told
    assert told["cpu"] < 0.2, f"it spins: {told}"
    assert told["others_alive"], told
    assert told["after"] == 101, told
