"""The go-live checklist of lesson 9 finds nothing to fix in a folder after the commands of its README."""

import importlib.metadata
import shutil
from pathlib import Path

import pytest
from functions.standalone import FUNCTIONS
from functions.test_alone import named
from functions.test_service import SOCKETIO
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from websockets.exceptions import InvalidStatus

from fclocal import Platform
from fclocal.testing import connect
from workshop.labs.go_live import go_live_checklist

FOLDERS = sorted(path.parent for path in FUNCTIONS.glob("*/s.yaml"))
SERVICE = {"python_version": "3.11", "python_full_version": "3.11.2", "sys_platform": "linux", "os_name": "posix",
           "platform_system": "Linux", "platform_machine": "x86_64", "platform_python_implementation": "CPython",
           "implementation_name": "cpython", "extra": ""}


def install(folder: Path) -> None:
    """Put the metadata of the packages into the folder, as `uv pip install --target . --python-version 3.11.2` would.

    Without a network: the names and their needs come from this environment, the tag is that of the service.
    """
    file = folder / "requirements.txt"
    lines = [line.partition("#")[0].strip() for line in file.read_text("utf-8").splitlines()] if file.exists() else []
    wanted, seen = [Requirement(line) for line in lines if line], set[str]()
    while wanted:
        requirement = wanted.pop()
        name = canonicalize_name(requirement.name)
        if name in seen or (requirement.marker and not requirement.marker.evaluate(SERVICE)):
            continue
        seen.add(name)
        info = folder / f"{name.replace('-', '_')}-1.dist-info"
        info.mkdir()
        try:
            needs = importlib.metadata.requires(requirement.name) or []
        except importlib.metadata.PackageNotFoundError:  # only an older Python needs it
            needs = []
        wanted += [Requirement(need) for need in needs]
        needed = "".join(f"Requires-Dist: {need}\n" for need in needs)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {requirement.name}\nVersion: 1\n{needed}")
        (info / "WHEEL").write_text("Wheel-Version: 1.0\nTag: cp311-cp311-manylinux_2_28_x86_64\n")


@pytest.mark.parametrize("folder", FOLDERS, ids=named)
def test_the_checklist_has_nothing_to_fix(folder: Path, fc: Platform, tmp_path: Path,
                                          monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PUBLISH_TOKEN", "secret")
    monkeypatch.setenv("CLASS_WORD", "otter-42")
    copy = tmp_path / folder.name
    shutil.copytree(folder, copy, ignore=shutil.ignore_patterns("__pycache__"))
    (copy / ".venv").mkdir()
    (copy / ".venv" / "secret.pem").write_text("")
    (copy / ".env").write_text("TOKEN=1")
    install(copy)
    app = fc.deploy(copy)
    path = {SOCKETIO: "/socket.io/?EIO=4&transport=websocket", "07-push": "/subscribe/orders",
            "07-class-board": "/otter-42/watch"}.get(folder.name, "/")
    try:
        with connect(app.url.replace("https", "wss") + path):
            pass
    except InvalidStatus as refused:
        pytest.fail(refused.response.body.decode() if refused.response.body else str(refused))
    checklist = go_live_checklist(copy, fc)
    assert [(point.topic, point.text) for point in checklist.points if point.word == "FIX"] == []
