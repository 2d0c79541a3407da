"""What deploys the kit: files that can be read, and that call the one script which installs it."""

import json
import os
import re
import runpy
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[2]
HUB = ROOT / "deploy" / "jupyterhub"
SCRIPT = "deploy/jupyterhub/install.sh"


def test_every_image_is_installed_by_the_same_script() -> None:
    dockerfile = (HUB / "Dockerfile").read_text("utf-8")
    assert (ROOT / ".binder/Dockerfile").read_text("utf-8") == dockerfile
    container = json.loads((ROOT / ".devcontainer/devcontainer.json").read_text("utf-8"))
    assert f"/opt/workshop/{SCRIPT}" in dockerfile and SCRIPT in container["onCreateCommand"]
    # The upstream image, by name without a registry; the learner is not root.
    assert re.findall("^FROM (.+)$", dockerfile, re.M) == [container["image"]] == ["python:3.12-slim-bookworm"]
    assert re.findall("^USER (.+)$", dockerfile, re.M)[-1] == "1000"


@pytest.mark.parametrize("script", sorted(path.name for path in HUB.glob("*.sh")))
def test_the_scripts_are_programs_for_any_shell(script: str) -> None:
    path = HUB / script
    assert path.stat().st_mode & 0o111 == 0o111
    assert path.read_text("utf-8").startswith("#!/bin/sh\n")
    assert subprocess.run(["sh", "-n", path], capture_output=True).stderr == b""


def test_kubernetes_gets_limits_that_a_learner_fits_in() -> None:
    values = YAML(typ="safe").load((HUB / "values.yaml").read_text("utf-8"))["singleuser"]
    measured = max(map(int, re.findall(r"^\| peak .*\| \**(\d+) MB", (HUB / "README.md").read_text("utf-8"), re.M)))
    limit = {"512M": 512, "1G": 1000}[values["memory"]["limit"]]
    assert measured * 1.25 < limit  # a quarter in reserve
    assert values["cmd"] == "jupyterhub-singleuser"


def test_the_packages_of_the_server_agree_with_those_of_the_kit() -> None:
    def pins(path: Path) -> dict[str, str]:
        lines = path.read_text("utf-8").splitlines()
        return dict(line.split(" ;")[0].split("==") for line in lines if not line.startswith("#"))

    kit, server = pins(ROOT / "requirements.lock"), pins(HUB / "requirements.lock")
    assert {name: server[name] for name in kit.keys() & server.keys()} == {
        name: kit[name] for name in kit.keys() & server.keys()}
    wanted = re.findall(r"^([\w-]+)", (HUB / "requirements.txt").read_text("utf-8"), re.M)
    assert wanted and set(wanted) <= server.keys()


@pytest.mark.parametrize(("user", "path", "python", "sentence"), [
    (1000, os.environ["PATH"], "/usr", "Run it as root"),
    (0, "", "/usr", "needs these programs: ip, bridge, setpriv, useradd, pkill"),
    (0, "{programs}", "/usr", "The hub calls its proxy by the name of this machine, but room-7 has no address"),
    (0, "{programs}", "{private}/python", "Learners cannot read"),
])
def test_a_hub_that_could_start_no_server_says_so_in_one_line(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch, user: int, path: str, python: str, sentence: str) -> None:
    def no_address(name: str) -> str:
        raise socket.gaierror(name)

    places = {"private": tmp_path / "private", "programs": tmp_path}
    (places["private"] / "python").mkdir(parents=True)
    places["private"].chmod(0o700)
    for name in ("ip", "bridge", "setpriv", "useradd", "pkill"):
        (tmp_path / name).touch(0o755)
    if "room-7" in sentence:
        monkeypatch.delenv("WORKSHOP_HUB_URL", raising=False)
    else:
        monkeypatch.setenv("WORKSHOP_HUB_URL", "http://127.0.0.1:8000")
    monkeypatch.setattr(socket, "gethostname", lambda: "room-7")
    monkeypatch.setattr(socket, "gethostbyname", no_address)
    monkeypatch.setattr(os, "geteuid", lambda: user)
    monkeypatch.setenv("PATH", path.format(**places))
    monkeypatch.setattr(sys, "base_prefix", python.format(**places))
    with pytest.raises(SystemExit) as refused:
        runpy.run_path(str(HUB / "jupyterhub_config.py"))
    assert sentence in str(refused.value) and "\n" not in str(refused.value)
