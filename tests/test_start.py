"""`start.py`: what it installs, what it refuses in one line, and that a failure costs nothing."""

import ast
import json
import os
import runpy
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from workshop import pack

ROOT = Path(__file__).parents[1]
LOCKS = ("requirements.lock", "requirements-test.lock")


def run_start(*args: str, prelude: str = "") -> subprocess.CompletedProcess[str]:
    code = f"import sys, runpy\n{prelude}\nsys.argv[:] = {['start.py', *args]!r}\n"
    code += f"runpy.run_path({str(ROOT / 'start.py')!r}, run_name='__main__')"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30)


def test_start_can_be_read_by_an_old_python() -> None:
    ast.parse((ROOT / "start.py").read_text("utf-8"), feature_version=(3, 7))


def test_start_refuses_an_old_python_in_one_line() -> None:
    done = run_start(prelude="sys.version_info = (3, 9, 18)")
    assert done.returncode == 1
    assert done.stderr.startswith("Python 3.11 or newer is needed, this is 3.9: ")
    assert done.stderr.count("\n") == 1


def test_start_names_wsl_on_windows_in_one_line() -> None:
    # The library's modules first: shutil would import a module that only a Python for Windows has.
    done = run_start(prelude="import shutil, subprocess\nsys.platform = 'win32'")
    assert done.returncode == 1
    assert "wsl --install" in done.stderr and done.stderr.count("\n") == 1


def test_start_explains_itself_and_refuses_what_it_does_not_know() -> None:
    assert run_start("--help").returncode == 0
    unknown = run_start("frobnicate")
    assert unknown.returncode == 2 and "start.py tour" in unknown.stdout
    # Without the folder it must not install from the network.
    assert run_start("--from").stderr == "--from needs the packed folder: python3 start.py --from FOLDER\n"


@pytest.fixture
def kit(tmp_path: Path) -> dict[str, Any]:
    """start.py's functions over a folder of its own with the files they look at."""
    for name in (*LOCKS, "pyproject.toml", "requirements.txt"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    (tmp_path / "start.py").write_bytes((ROOT / "start.py").read_bytes())
    return runpy.run_path(str(tmp_path / "start.py"))


def test_start_installs_again_only_when_something_changed(kit: dict[str, Any], tmp_path: Path) -> None:
    wanted_stamp, in_place, stamp, python = (kit[n] for n in ("wanted_stamp", "in_place", "STAMP", "PYTHON"))
    assert not in_place(wanted_stamp(LOCKS))
    python.parent.mkdir(parents=True)
    python.touch()
    stamp.write_text(json.dumps(wanted_stamp(LOCKS)))
    assert in_place(wanted_stamp(LOCKS)) and in_place(wanted_stamp(LOCKS[:1]))
    (tmp_path / LOCKS[0]).write_text("websockets==1.0\n")
    assert not in_place(wanted_stamp(LOCKS[:1]))


def test_start_knows_the_lock_of_a_folder_from_that_of_the_kit(kit: dict[str, Any], tmp_path: Path) -> None:
    """`start.py install DIR` adds packages; both locks have the same file name."""
    (tmp_path / "dir").mkdir()
    (tmp_path / "dir" / LOCKS[0]).write_text("jupyterhub==1.0\n")
    locks = (LOCKS[0], f"dir/{LOCKS[0]}")
    before = kit["wanted_stamp"](locks)
    (tmp_path / locks[1]).write_text("jupyterhub==2.0\n")
    changed = {name for name, digest in kit["wanted_stamp"](locks)["packages"].items()
               if digest != before["packages"][name]}
    assert changed == {locks[1]}


def test_start_says_what_to_install_when_venv_is_missing(kit: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ensurepip", None)
    with pytest.raises(Exception, match="sudo apt install python3-venv"):
        kit["make_venv"]()


def test_start_drops_what_bends_python_and_pip(kit: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    names = {"PYTHONHOME", "PYTHONPATH", "PYTHONDONTWRITEBYTECODE", "PIP_TARGET", "PIP_PREFIX"}
    for name in names:
        monkeypatch.setenv(name, "/nowhere")
    env = kit["clean_environment"]()
    assert not names & set(env)
    assert env["PATH"].startswith(str(kit["VENV"]))


@pytest.fixture
def bare_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A PATH on which there is nothing but an apt-get that notes its calls and brings every program."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "env").symlink_to("/usr/bin/env")
    programs = "redis-server chromium nginx curl node npm"
    apt = f'#!/bin/sh\necho "$@" >> {folder}/calls\ncase "$*" in *install*)\n'
    apt += f'for name in {programs}; do echo > {folder}/$name; /bin/chmod +x {folder}/$name; done;; esac\n'
    (folder / "apt-get").write_text(apt)
    (folder / "apt-get").chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setattr(sys, "platform", "linux")
    return folder


def test_start_installs_programs_with_apt_after_an_update(
    kit: dict[str, Any], bare_system: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    kit["install_programs"]()
    update, install = (bare_system / "calls").read_text("utf-8").splitlines()
    assert update == "-qq update"
    assert install.startswith("-qq install -y") and "redis-server" in install and "chromium" in install
    kit["install_programs"]()
    assert len((bare_system / "calls").read_text("utf-8").splitlines()) == 2


def test_start_names_the_packages_where_it_may_not_install_them(
    kit: dict[str, Any], bare_system: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    with pytest.raises(Exception, match="sudo apt install redis-server chromium"):
        kit["install_programs"]()
    (bare_system / "apt-get").unlink()
    with pytest.raises(Exception, match="Install: redis-server, chromium"):
        kit["install_programs"]()
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(Exception, match="brew install redis && brew install --cask chromium"):
        kit["install_programs"]()


def test_start_brings_the_venv_module_of_a_bare_debian(
    kit: dict[str, Any], bare_system: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setitem(sys.modules, "ensurepip", None)
    with pytest.raises(Exception, match="apt-get did not install: python3-venv"):  # this apt-get only pretends
        kit["install_programs"]()
    assert "python3-venv" in (bare_system / "calls").read_text("utf-8")


def test_start_goes_on_when_only_the_update_of_apt_fails(
    kit: dict[str, Any], bare_system: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    script = (bare_system / "apt-get").read_text("utf-8")
    (bare_system / "apt-get").write_text(script + 'case "$*" in *update*) echo no network >&2; exit 100;; esac\n')
    kit["install_programs"]()


def test_start_says_why_apt_failed(kit: dict[str, Any], bare_system: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    (bare_system / "apt-get").write_text("#!/bin/sh\necho no network >&2\nexit 100\n")
    with pytest.raises(Exception, match=r"apt-get did not install: redis-server.* apt-get said: no network"):
        kit["install_programs"]()


# A failure costs nothing


@pytest.fixture
def working(kit: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The kit with a complete .venv of another Python, so that `install` makes a new one."""
    stamp = {**kit["wanted_stamp"](LOCKS), "python": "3.10.0"}
    kit["PYTHON"].parent.mkdir(parents=True)
    kit["PYTHON"].write_text("the previous one")
    kit["STAMP"].write_text(json.dumps(stamp))
    return kit


def replace(kit: dict[str, Any], monkeypatch: pytest.MonkeyPatch, name: str, value: Callable[..., Any]) -> None:
    monkeypatch.setitem(kit["install"].__globals__, name, value)


def test_a_failed_rebuild_keeps_the_environment_that_works(
    working: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def make_venv() -> None:
        working["PYTHON"].parent.mkdir(parents=True)
        working["PYTHON"].write_text("half a new one")

    def pip_install(locks: tuple[str, ...]) -> None:
        raise working["Stop"]("no network")

    replace(working, monkeypatch, "make_venv", make_venv)
    replace(working, monkeypatch, "pip_install", pip_install)
    with pytest.raises(Exception, match="no network"):
        working["install"](*LOCKS)
    assert working["PYTHON"].read_text() == "the previous one"
    assert not working["PREVIOUS"].exists()


def test_a_killed_rebuild_is_undone_by_the_next_start(working: dict[str, Any]) -> None:
    working["VENV"].rename(working["PREVIOUS"])
    working["VENV"].mkdir()
    working["recover"]()
    assert working["PYTHON"].read_text() == "the previous one"


def test_a_complete_rebuild_removes_the_previous_environment(
    working: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    replace(working, monkeypatch, "make_venv", lambda: working["VENV"].mkdir())
    replace(working, monkeypatch, "pip_install", lambda locks: None)
    working["install"](*LOCKS)
    assert working["read_stamp"]()["python"] != "3.10.0" and not working["PREVIOUS"].exists()


@pytest.mark.parametrize(("output", "reason"), [
    (["ERROR: Could not find a version that satisfies x==1", "ERROR: No matching distribution found for x==1"],
     "Could not find a version that satisfies x==1. The likely cause: this Python or system has no such package"),
    (["WARNING: Retrying ... SSLError(SSLCertVerificationError(1, '[SSL: CERTIFICATE_VERIFY_FAILED]'))",
      "ERROR: Could not find a version that satisfies x"], "Set PIP_CERT"),
    (["  error: subprocess-exited-with-error", "      UnicodeEncodeError: 'ascii' codec", "ERROR: Failed building x"],
     "UnicodeEncodeError: 'ascii' codec"),
    (["      WARNING: Retrying ... NewConnectionError('Temporary failure in name resolution')",
      "      ERROR: Could not find a version that satisfies setuptools", "      ERROR: No matching distribution found",
      "note: This error originates from a subprocess, and is likely not a problem with pip."],
     "Could not find a version that satisfies setuptools. The likely cause: there is no network"),
])
def test_start_shows_the_reason_that_pip_gives(kit: dict[str, Any], output: list[str], reason: str) -> None:
    text = kit["pip_failure"](output)
    assert reason in text and "\n" not in text


def test_the_test_command_runs_npm_beside_pip_and_stops_if_npm_fails(
    kit: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    npm_runs = threading.Event()

    def install(*locks: str) -> None:
        assert npm_runs.wait(10)

    def install_npm_packages(patterns: tuple[str, ...], required: bool) -> None:
        npm_runs.set()
        raise kit["Stop"]("npm ci failed in functions/01-echo-node")

    replace(kit, monkeypatch, "install_programs", lambda: None)
    replace(kit, monkeypatch, "install", install)
    replace(kit, monkeypatch, "install_npm_packages", install_npm_packages)
    with pytest.raises(Exception, match="npm ci failed"):
        kit["test"]([])


# Machines on which it cannot work


def test_python_finds_the_kit_without_reading_its_path(kit: dict[str, Any], tmp_path: Path) -> None:
    packages = tmp_path / ".venv/lib/python3.12/site-packages"
    packages.mkdir(parents=True)
    (packages / "__editable__.kit.pth").write_text(f"{tmp_path}/src", "utf-8")
    kit["shorten_paths"]()
    # With LC_ALL=C, Python 3.12 cannot start if a letter outside ASCII is in this file.
    assert (packages / "__editable__.kit.pth").read_text("utf-8") == "../../../../src\n"


def test_start_refuses_a_folder_that_cannot_be_written(kit: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    replace(kit, monkeypatch, "can_write", lambda folder: folder != kit["ROOT"])
    with pytest.raises(Exception, match=r"cannot be written\. Copy it"):
        kit["check_machine"]()
    replace(kit, monkeypatch, "can_write", lambda folder: folder == kit["ROOT"])
    with pytest.raises(Exception, match=r"The home folder .* cannot be written"):
        kit["check_machine"]()


def test_a_folder_that_is_not_there_cannot_be_written(kit: dict[str, Any], tmp_path: Path) -> None:
    assert kit["can_write"](tmp_path) and not kit["can_write"](tmp_path / "nowhere")
    assert not list(tmp_path.glob(".start-*"))


def test_start_refuses_a_drive_without_reliable_locks(kit: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    replace(kit, monkeypatch, "file_system", lambda folder: "9p")
    monkeypatch.delenv("FCLOCAL_STATE", raising=False)
    with pytest.raises(Exception, match="export FCLOCAL_STATE="):
        kit["check_machine"]()
    monkeypatch.setenv("FCLOCAL_STATE", "somewhere")
    kit["check_machine"]()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lists its file systems in /proc/mounts")
def test_the_file_system_of_a_folder_is_that_of_its_nearest_mount(kit: dict[str, Any]) -> None:
    assert kit["file_system"](Path("/proc/self")) == "proc"


# A room without a network


@pytest.fixture
def packed(tmp_path: Path) -> Path:
    """A packed folder with one small wheel for this Python."""
    folder = tmp_path / "packed folder"
    (folder / "wheels").mkdir(parents=True)
    (folder / "npm").mkdir()
    minor = f"cp3{sys.version_info.minor}"
    (folder / "wheels" / f"uvloop-1-{minor}-{minor}-any.whl").write_bytes(b"wheel")
    pack.write_checksums(folder)
    return folder


def test_from_makes_pip_and_npm_use_the_packed_folder(
    kit: dict[str, Any], packed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("PIP_NO_INDEX", "PIP_FIND_LINKS", "npm_config_cache", "npm_config_offline"):
        monkeypatch.setenv(name, "")
    kit["install_from"](packed)
    assert os.environ["PIP_NO_INDEX"] == "1" and os.environ["PIP_FIND_LINKS"].endswith("packed%20folder/wheels")


def test_from_finds_a_damaged_file(kit: dict[str, Any], packed: Path) -> None:
    next((packed / "wheels").iterdir()).write_bytes(b"whe")
    with pytest.raises(Exception, match=r"uvloop-1-.*whl is missing or damaged\. Copy"):
        kit["install_from"](packed)


def test_from_refuses_another_folder_and_another_python(kit: dict[str, Any], packed: Path) -> None:
    with pytest.raises(Exception, match="is not a packed folder"):
        kit["install_from"](packed / "wheels")
    wheel = next((packed / "wheels").iterdir())
    wheel.rename(wheel.with_name("uvloop-1-cp27-cp27-any.whl"))
    pack.write_checksums(packed)
    with pytest.raises(Exception, match="has no packages for Python 3"):
        kit["install_from"](packed)


def test_a_pack_has_what_each_release_of_a_python_needs(tmp_path: Path) -> None:
    first, last = pack.pins(11, 0), pack.pins(11, 99)
    assert any(pin.startswith("async-timeout==") for pin in first) and "setuptools" in first
    assert not any(pin.startswith("async-timeout==") for pin in last)
    for name in ("pure-1.0-py3-none-any.whl", "old-1.0-py3-none-any.whl", "c-1.0-cp39-cp39-any.whl", "notes.whl"):
        (tmp_path / name).touch()
    asked = ["pure==1.0", "old==2.0", "c==1.0", "absent==1.0"]
    assert pack.missing(tmp_path, asked, 12) == ["old==2.0", "c==1.0", "absent==1.0"]


FAKE_PIP = """import pathlib, sys
folder = pathlib.Path(sys.argv[sys.argv.index("--wheel-dir") + 1])
pins = [word for word in sys.argv if "==" in word]
broken = folder.parent / "broken-network"
if broken.exists() and "x30==1" in pins:
    broken.unlink()
    sys.exit("ERROR: the network is gone")
for pin in pins:
    (folder / f"{pin.replace('==', '-')}-py3-none-any.whl").touch(exist_ok=False)
"""


def test_a_pack_that_was_stopped_goes_on_from_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """pip moves packages to the folder when it has all that one command asks for, so the pack asks for a few."""
    (tmp_path / "pip").mkdir()
    (tmp_path / "pip/__init__.py").touch()
    (tmp_path / "pip/__main__.py").write_text(FAKE_PIP)
    (tmp_path / "broken-network").touch()
    (wheels := tmp_path / "wheels").mkdir()
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(pack, "pins", lambda minor, patch: [f"x{number}==1" for number in range(60)])
    with pytest.raises(pack.PackError, match="the network is gone"):
        pack.fetch_wheels(wheels, sys.version_info.minor)
    assert len(list(wheels.iterdir())) == 25
    pack.fetch_wheels(wheels, sys.version_info.minor)
    assert len(list(wheels.iterdir())) == 60
    assert [line.strip() for line in capsys.readouterr().out.splitlines()] == [
        "25 of 60 packages", "25 of 35 packages", "35 of 35 packages"]


@pytest.mark.parametrize("text", ["2.7", "3.9", "3.10", "3.99", "three"])
def test_pack_refuses_a_python_that_the_kit_does_not_run_on(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert pack.main(["anywhere", "--python", text]) == 1
    assert f"--python {text} is not a Python of the kit: use 3.11 to 3.14" in capsys.readouterr().err


def test_the_packed_kit_is_what_is_under_version_control(tmp_path: Path) -> None:
    pack.copy_kit(tmp_path / "kit")
    assert (tmp_path / "kit" / "start.py").is_file() and not (tmp_path / "kit" / ".venv").exists()
    for lock in LOCKS:
        assert (tmp_path / "kit" / lock).is_file()


@pytest.mark.nightly  # it downloads 110 MB
@pytest.mark.timeout(900)
@pytest.mark.skipif(shutil.which("unshare") is None or os.geteuid() != 0, reason="needs a network namespace")
def test_a_packed_folder_runs_the_tour_and_installs_node_packages_without_a_network(tmp_path: Path) -> None:
    folder = tmp_path / "room"
    assert pack.main([str(folder)]) == 0
    assert pack.main([str(folder)]) == 0  # again: nothing is missing
    shutil.copytree(folder / "kit", tmp_path / "käse")
    start = f"{sys.executable} start.py --from {folder}"
    npm = "runpy.run_path('start.py')['install_npm_packages'](('functions/*',), required=True)"
    script = f"ip link set lo up && {start} tour && npm_config_offline=true npm_config_cache=$PWD/.npm-cache "
    script += f'{sys.executable} -c "import runpy; {npm}"'
    done = subprocess.run(["unshare", "-n", "sh", "-c", script], cwd=tmp_path / "käse", text=True,
                          capture_output=True, env={**os.environ, "LC_ALL": "C"})
    assert done.returncode == 0, done.stdout + done.stderr
    assert "[5/5] Stop" in done.stdout
    assert (tmp_path / "käse" / "functions" / "01-echo-node" / "node_modules" / "ws").is_dir()


def test_a_kernel_starts_without_a_warning_that_frightens(tmp_path: Path) -> None:
    start = runpy.run_path(str(ROOT / "start.py"), run_name="start")
    start["quiet_jupyter"].__globals__["VENV"] = tmp_path
    start["quiet_jupyter"]()
    program = (f"import sys; sys.prefix = {str(tmp_path)!r}; from IPython.core.application import ENV_CONFIG_DIRS;"
               "from traitlets.config import PyFileConfigLoader as Loader;"
               "print(Loader('ipython_kernel_config.py', ENV_CONFIG_DIRS[0]).load_config())")
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert "'log_level': 40" in done.stdout, done.stderr
