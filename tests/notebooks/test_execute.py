"""Every notebook runs: untouched, then its checks with the exercises solved; without a network where that is possible.

In the nightly run every cell is executed a second time.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import nbformat
import pytest

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
LIMIT = 20.0  # seconds for all cells of a notebook
# What a prediction's answer says must be seen in the output, too.
SEEN = {"00-start": ("received: good morning", "'frozen')", "You would pay 0.0"),  # 0.02 if it runs over the full hour
        "01-echo": ("412  FunctionNotStarted", "close code: 1000", "1 instance(s)", "hello from a script",
                    "101  then closed with code 1011", "the second client is OPEN", "TypeError: unsupported operand",
                    "101  then closed with code 1006", "101  answered 'hello'"),
        "02-trigger": ("200 DELETE /hello", "(403, 'request method DELETE", "custom domain: 200", "x-user: ana",
                       "unsigned: (400,", "signed:   200", "200 x-user: bo"),
        "03-wss": ("InvalidURI", "unable to get local", "101  answered 'you said: hello'", "Hostname mismatch"),
        "04-keepalive": ("the client counts the connection as OPEN", "the function counts 1 open connection",
                         "keepalive ping timeout", "closed with 1006 after 2.", "closed: no close frame received"),
        "08-errors": ("unhealthy: GET /healthz answered 404", "the first connection receives: break"),
        "07-chat": ("Bo received  ['Ana: Tea?']", "Bo received ['Ana: One or two?']",
                    "after the pause:  ['Ana: Hello?']")}
# What asyncio and Python say only on the side when something was lost.
LOST = ("was never retrieved", "was never awaited", "Traceback (most recent call last)")

EACH = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


@cache
def offline() -> tuple[str, ...]:
    """How to run a command with no network but loopback; nothing where this machine does not let us."""
    command = ("unshare", "--map-root-user", "--net")
    if shutil.which("unshare") and subprocess.run([*command, "true"], capture_output=True).returncode == 0:
        return command
    return ()


@pytest.fixture
def kit(tmp_path: Path) -> Path:
    """A copy of what a learner works in; the kit's own folders stay untouched."""
    copy = tmp_path / "kit"
    for folder in ("notebooks", "functions", "exercises", "solutions"):
        shutil.copytree(ROOT / folder, copy / folder,
                        ignore=shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints", ".fclocal"))
    return copy


def run(kit: Path, name: str, again: str = "check(,recap(") -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the executed notebook, and the cells executed again with the solutions. Nothing it started survives."""
    env = {k: v for k, v in os.environ.items() if not k.startswith(("FCLOCAL_", "JUPYTER_", "IPYTHON"))}
    env |= {f"{what}_DIR": str(kit.parent / what.lower()) for what in ("JUPYTER_CONFIG", "JUPYTER_DATA",
                                                                    "JUPYTER_RUNTIME")}
    env |= {"IPYTHONDIR": str(kit.parent / "ipython"), "PYTHONDONTWRITEBYTECODE": "1"}
    env["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{env['PATH']}"
    results = [kit.parent / "first.ipynb", kit.parent / "second.ipynb"]
    script = Path(__file__).with_name("execute.py")
    command = [*offline(), sys.executable, str(script), str(kit / "notebooks" / name), *map(str, results), again]
    done = subprocess.run(command, cwd=kit, env=env, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr[-4000:]
    first, second = (json.loads(result.read_text("utf-8")) for result in results)
    return first, second


def text_of(output: dict[str, Any]) -> str:
    if output["output_type"] == "stream":
        return "".join(output["text"])
    return "".join(output.get("data", {}).get("text/plain", ""))


def complaints(book: dict[str, Any]) -> list[str]:
    """Every red traceback, and what was lost in the background, with the cell it happened in."""
    problems = []
    for cell in book["cells"]:
        expected = "raises-exception" in cell["metadata"].get("tags", [])
        for output in cell.get("outputs", []):
            if output["output_type"] == "error" and not expected:
                problems.append("".join(cell["source"]) + f"\n--> {output['ename']}: {output['evalue']}")
            elif output.get("name") == "stderr" and any(words in text_of(output) for words in LOST):
                problems.append("".join(cell["source"]) + "\n" + text_of(output))
    return problems


def platform_log(kit: Path) -> str:
    """The last words of the platform, for the message of a test that failed."""
    log = kit / ".fclocal" / "platform.log"
    return "\nThe platform said:\n" + log.read_text("utf-8", errors="replace")[-3000:] if log.exists() else ""


def printed(book: dict[str, Any]) -> str:
    return "\n".join(text_of(output) for cell in book["cells"] for output in cell.get("outputs", []))


def passes(book: dict[str, Any], second: dict[str, Any], kit: Path, path: Path) -> None:
    """Assert that neither run complains and that each check prints PASS in the second run."""
    for executed in (book, second):
        assert not complaints(executed), "\n\n".join(complaints(executed)) + platform_log(kit)
    verdicts = re.findall(r"^(\d+\.\d+) (PASS|NOT YET|NOT STARTED|CRASHED|OUR FAULT)", printed(second), re.MULTILINE)
    asked = {name for cell in book["cells"] if cell["cell_type"] == "code"
             for name in re.findall(r'^check\("(\d+\.\d+)"\)', "".join(cell["source"]), re.MULTILINE)}
    assert asked or path.stem == "00-start"
    for name in asked:
        assert (name, "PASS") in verdicts, "\n".join(line for line in printed(second).splitlines() if name in line)


@EACH
def test_a_notebook_runs_untouched_and_its_checks_pass_with_the_solutions(path: Path, kit: Path) -> None:
    book, second = run(kit, path.name)
    passes(book, second, kit, path)
    for words in (f"Setup complete. Lesson {int(path.stem[:2])}", *SEEN.get(path.stem, ())):
        assert words in printed(book), f"{words!r} is not in the output:\n{printed(book)}"
    if book["metadata"]["seconds"] >= LIMIT:  # a machine with much else to do gets a second try, without the checks
        book, _ = run(kit, path.name, again="(no cell)")
    assert book["metadata"]["seconds"] < LIMIT


def test_a_line_that_the_kernel_sends_in_two_messages_stays_one_line(tmp_path: Path) -> None:
    """`print` writes each argument by itself, and the kernel's flush timer may fire between two of them."""
    cell = nbformat.v4.new_code_cell("""import sys

class Flushing:
    def __str__(self):
        sys.stdout.flush()
        return "good morning"

print("received:", Flushing())""")
    notebooks = tmp_path / "kit" / "notebooks"
    notebooks.mkdir(parents=True)
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), notebooks / "pieces.ipynb")
    book, _ = run(tmp_path / "kit", "pieces.ipynb")
    assert printed(book) == "received: good morning\n"


@pytest.mark.nightly
@EACH
def test_every_cell_of_a_notebook_runs_twice(path: Path, kit: Path) -> None:
    passes(*run(kit, path.name, again=""), kit, path)
