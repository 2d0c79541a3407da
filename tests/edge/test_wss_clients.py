"""The clients of functions/03-wss hold the same conversation, and a tap sees the same of each."""

import subprocess
import sys
from pathlib import Path

import pytest
from awaited import until
from service_kit import ROOT, beside_ws

from fclocal import Platform

CLIENTS = ROOT / "functions" / "03-wss" / "clients"


@pytest.mark.parity("fault.tap")
def test_python_and_node_say_the_same(fc: Platform, tmp_path: Path) -> None:
    app = fc.deploy(ROOT / "functions" / "03-wss")
    url = app.url.replace("https", "wss") + "/talk"
    node = beside_ws(CLIENTS / "talk.mjs", tmp_path)
    for command in ([sys.executable, str(CLIENTS / "talk.py")], ["node", str(node)]):
        with fc.tap(app) as tap:
            done = subprocess.run([*command, url, "good day"], capture_output=True, text=True, timeout=30)
            frames = until(lambda: recorded if len(recorded := tap.frames) >= 4 else None)
        assert (done.returncode, done.stdout.strip()) == (0, "you said: good day"), done.stderr
        seen = [(frame.data["direction"], frame.data["opcode"], frame.data["preview"]) for frame in frames[:2]]
        assert seen == [("in", "text", "good day"), ("out", "text", "you said: good day")]


def test_node_without_websocket_says_what_to_do(tmp_path: Path) -> None:
    alone = tmp_path / "talk.mjs"
    alone.write_bytes((CLIENTS / "talk.mjs").read_bytes())
    node = ["node", "--no-experimental-websocket", str(alone), "wss://localhost"]
    done = subprocess.run(node, capture_output=True, text=True, timeout=30)
    if "bad option" in done.stderr:  # this Node.js never had one
        done = subprocess.run(["node", str(alone), "wss://localhost"], capture_output=True, text=True, timeout=30)
    assert "npm install ws" in done.stderr and done.returncode == 1
