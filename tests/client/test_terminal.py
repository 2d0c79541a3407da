"""The output of the command line: wrapped with a hanging indent, coloured on a terminal only."""

import io
import os
import pty
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from rich.console import Console

from fclocal import Platform
from fclocal.client import terminal
from fclocal.core.records import Record
from fclocal.testing import connect, wait_for

ROOT = Path(__file__).parents[2]
RECORD = Record(1, 0.0, "request.rejected", "echo", "", "1-abc", {
    "method": "GET", "path": "/a/" + "x" * 90, "trigger": "http", "status": 403, "code": "AccessDenied",
    "message": "request method GET is not configured here (only POST)"})


def printed(renderable: object, width: int = 80, *, colour: bool = False) -> list[str]:
    out = io.StringIO()
    Console(file=out, width=width, highlight=False, force_terminal=colour, color_system="standard" if colour else None,
            no_color=not colour).print(renderable, soft_wrap=True)
    return [line.rstrip() for line in out.getvalue().splitlines()]


def fits(line: str, width: int) -> bool:
    """Whether a line is not too wide, or is one word that cannot be broken."""
    return len(line) <= width or " " not in line.strip()


@pytest.mark.parametrize("width", [60, 80, 120])
def test_a_record_is_wrapped_between_words_with_a_hanging_indent(width: int) -> None:
    lines = printed(terminal.record_row(RECORD, width))
    assert lines[0][12:].startswith(" request.rejected    echo") and len(lines) > 1
    assert all(line.startswith(" " * 33) and fits(line, width) for line in lines[1:])
    joined = " ".join(line[33:] for line in lines)
    assert "message=request method GET is not configured here (only POST)" in joined


@pytest.mark.parametrize("width", [60, 80])
def test_a_row_of_the_parity_table_is_wrapped(width: int) -> None:
    row = {"id": "a.b", "status": "different", "behaviour": "A sentence of many words. " * 6,
           "source": "https://example.com/" + "long" * 30, "note": "Another sentence. " * 8}
    (entry,) = terminal.parity_rows([row], width)
    lines = printed(entry)
    assert lines[0] == "DIFFERENT   a.b"
    assert all(line.startswith(" " * 12) and fits(line, width) for line in lines[1:])
    assert f" {row['source']}" in "\n".join(lines), "a URL stays one word"


def test_colour_repeats_a_word_and_is_left_out_elsewhere() -> None:
    (entry,) = terminal.parity_rows([{"id": "a.b", "status": "guessed", "behaviour": "It does.", "source": "s"}], 80)
    assert "\x1b[33mGUESSED" in "".join(printed(entry, colour=True))
    assert "\x1b" not in "".join(printed(entry))


def on_a_terminal(*command: str, columns: int = 80, **env: str) -> str:
    """What a command prints on a terminal of this width."""
    leader, follower = pty.openpty()
    out: list[bytes] = []

    def read() -> None:
        try:
            while data := os.read(leader, 65536):
                out.append(data)
        except OSError:  # the other side is closed
            return

    reader = threading.Thread(target=read)
    reader.start()
    try:
        subprocess.run([sys.executable, "-m", "fclocal.client.cli", *command], stdout=follower, stdin=follower,
                       timeout=60, env={"PATH": os.environ["PATH"], "TERM": "xterm", "COLUMNS": str(columns), **env})
    finally:
        os.close(follower)
        reader.join(10)
        os.close(leader)
    return b"".join(out).decode()


@pytest.mark.parametrize(("columns", "widest"), [(80, 80), (200, 120)])
def test_parity_fits_the_terminal(columns: int, widest: int) -> None:
    text = on_a_terminal("parity", columns=columns)
    assert "\x1b[" in text
    plain = re.sub(r"\x1b\[[0-9;]*m", "", text)
    lines = [line.rstrip() for line in plain.splitlines()]
    assert all(fits(line, widest) for line in lines) and any(widest - 8 < len(line) <= widest for line in lines)


def test_no_color_is_respected() -> None:
    assert "\x1b[3" not in on_a_terminal("parity", NO_COLOR="1")


@pytest.mark.parity("metrics.names")
def test_metrics_and_watch_of_one_function(fc: Platform) -> None:
    state = str(fc.at.state)
    app = fc.deploy(ROOT / "functions" / "01-echo")

    def run(*command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, "-m", "fclocal.client.cli", "--state", state, *command],
                              capture_output=True, text=True, timeout=60, env={"PATH": os.environ["PATH"]})

    with subprocess.Popen([sys.executable, "-m", "fclocal.client.cli", "--state", state, "watch", app.name],
                          stdout=subprocess.PIPE, text=True, env={"PATH": os.environ["PATH"]}) as watch:
        assert watch.stdout and watch.stdout.readline().startswith("Watching")
        with connect(app.url.replace("https", "wss", 1)) as websocket:
            websocket.send("hello")
            assert websocket.recv(timeout=10) == "hello"
        wait_for(fc, "request.end", function=app.name)
        seen = watch.stdout.readline()
        assert "echo" in seen and "\x1b" not in seen
        watch.terminate()
    values = {row["metricName"]: row["value"] for row in fc.metrics(app.name)["metrics"]}
    assert values["FunctionTotalInvocations"] == 1 and values["FunctionOndemandActiveInstance"] == 1
    assert 0 < values["FunctionAvgDuration"] <= values["FunctionLatencyAvg"] and values["FunctionFunctionErrors"] == 0
    text = run("metrics", app.name)
    assert text.returncode == 0 and "FunctionTotalInvocations" in text.stdout and "acs_fc" in text.stdout
    assert '"metricName": "FunctionTotalInvocations"' in run("metrics", app.name, "--json").stdout
    missing = run("metrics", "nothing")
    assert missing.returncode == 1 and "function 'nothing' does not exist" in missing.stderr
