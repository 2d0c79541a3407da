"""A function folder is a starter: copied alone, with nothing but its own requirements, it starts and serves."""

import importlib.metadata
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from awaited import until
from free_port import free_port
from packaging.requirements import Requirement
from ruamel.yaml import YAML
from websockets.sync.client import connect

ROOT = Path(__file__).parents[2]
FOLDERS = sorted(path.parent for path in (ROOT / "functions").glob("*/s.yaml"))
PYTHON = [folder for folder in FOLDERS if (folder / "requirements.txt").exists()]
PATIENCE = 30.0
HANDSHAKE = (
    "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


def named(folder: Path) -> str:
    return folder.name


def props(folder: Path) -> dict[str, object]:
    """The props of the folder's first resource, as they are written."""
    document = YAML(typ="safe").load(folder / "s.yaml")
    props: dict[str, object] = next(iter(document["resources"].values()))["props"]
    return props


@pytest.mark.parametrize("folder", FOLDERS, ids=named)
def test_it_has_what_a_starter_needs(folder: Path) -> None:
    assert (folder / "requirements.txt").exists() or (folder / "package-lock.json").exists()
    readme = (folder / "README.md").read_text("utf-8").splitlines()
    assert sum(1 + len(line) // 100 for line in readme) <= 50, "at most one screen"
    runtime = props(folder)["customRuntimeConfig"]
    assert isinstance(runtime, dict) and runtime["command"]


@pytest.mark.parametrize("folder", FOLDERS, ids=named)
def test_it_names_nothing_outside_itself(folder: Path) -> None:
    for path in folder.rglob("*"):
        if path.suffix in (".py", ".js", ".cjs", ".mjs", ".yaml") and "node_modules" not in path.parts:
            assert not re.search(r"(?:require\(|from |import )['\"]?\.\./", path.read_text("utf-8")), path


def closure(requirements: Path) -> set[str]:
    """The names of the distributions that a requirements.txt brings, with all that those need."""
    lines = [line for line in requirements.read_text("utf-8").splitlines() if line and not line.startswith("#")]
    wanted, names = [Requirement(line) for line in lines], set[str]()
    while wanted:
        requirement = wanted.pop()
        if requirement.name not in names and (requirement.marker is None or requirement.marker.evaluate({"extra": ""})):
            names.add(requirement.name)
            needs = importlib.metadata.distribution(requirement.name).requires or []
            wanted += [Requirement(need) for need in needs]
    return names


def site(where: Path, names: set[str]) -> Path:
    """A folder of packages that holds these distributions and no other."""
    where.mkdir()
    for name in names:
        distribution = importlib.metadata.distribution(name)
        for top in {file.parts[0] for file in distribution.files or () if ".." not in file.parts}:
            if top != "__pycache__" and not (where / top).exists():
                (where / top).symlink_to(Path(str(distribution.locate_file(top))))
    return where


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[Path], int]]:
    """Start a Python folder as a process that sees its own requirements only; returns its port."""
    running: list[subprocess.Popen[bytes]] = []

    def started(folder: Path) -> int:
        copy = tmp_path / folder.name
        shutil.copytree(folder, copy, ignore=shutil.ignore_patterns("__pycache__"))
        packages = site(tmp_path / "packages", closure(folder / "requirements.txt"))
        port = free_port()
        env = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(packages), "FC_CUSTOM_LISTEN_PORT": str(port),
               "FC_SERVER_PORT": str(port), "PYTHONDONTWRITEBYTECODE": "1"}
        own = props(folder).get("environmentVariables", {})
        runtime = props(folder)["customRuntimeConfig"]
        assert isinstance(runtime, dict) and isinstance(own, dict)
        if "REDIS_URL" in own:
            own["REDIS_URL"] = "redis://127.0.0.1:1/0"  # no Redis answers there, and the function must still start
        own = {name: re.sub(r"\$\{env\('\w+', '(.*)'\)\}", r"\1", value) for name, value in own.items()}
        words = [*runtime["command"], *runtime.get("args", [])]
        # -S: without the packages of this machine
        command = [sys.executable, "-S", *words[1:]] if words[0] == "python3" else words
        running.append(subprocess.Popen(command, cwd=copy, env=own | env, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT))
        return int(port)

    started.running = running  # type: ignore[attr-defined]
    yield started
    for process in running:
        process.kill()
        process.wait()
        if process.stdout:
            process.stdout.close()


def output(process: subprocess.Popen[bytes]) -> str:
    return process.stdout.read().decode() if process.stdout else ""


@pytest.mark.parametrize("folder", PYTHON, ids=named)
def test_a_python_folder_serves_with_its_own_requirements_only(folder: Path, start: Callable[[Path], int]) -> None:
    port = start(folder)
    process: subprocess.Popen[bytes] = start.running[0]  # type: ignore[attr-defined]

    def ask() -> bytes:
        if process.poll() is not None:
            pytest.fail(f"it ended with {process.returncode}: {output(process)[-2000:]}")
        with suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port), PATIENCE) as client:
            client.sendall(HANDSHAKE.encode())
            return client.recv(4096)
        return b""

    answer = until(ask, PATIENCE)
    status = int(answer.split(b" ", 2)[1])
    # 4xx: it serves, but wants a name, a token or a path that this plain request has not.
    assert status == 101 or 400 <= status < 500, answer.decode(errors="replace")


@pytest.mark.parametrize("name", ["03-wss", "04-keepalive", "09-live"])
def test_a_client_that_leaves_before_its_answers_is_no_error(name: str, start: Callable[[Path], int]) -> None:
    port = start(ROOT / "functions" / name)
    process: subprocess.Popen[bytes] = start.running[0]  # type: ignore[attr-defined]

    def leave() -> bool:
        assert process.poll() is None
        with suppress(ConnectionRefusedError), connect(f"ws://127.0.0.1:{port}/talk", proxy=None) as ws:
            for _ in range(5):
                ws.send("x" * 100)
            return True
        return False

    for _ in range(10):
        until(leave, PATIENCE)
    process.terminate()
    assert "Traceback" not in output(process)
