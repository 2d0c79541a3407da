"""The doctor: it finds what is missing or damaged, names the fix, and its report can be pasted anywhere."""

import contextlib
import getpass
import io
import os
import resource
import shutil
import socket
import sqlite3
import stat
import sys
from pathlib import Path
from typing import Any

import pytest
from fake_clock import FakeClock
from rich.console import Console

from fclocal.client import doctor, terminal
from fclocal.client.platform import Platform
from fclocal.runtime.state.journal import Journal


def printed(checks: list[doctor.Check], width: int = 76, **options: Any) -> str:
    console = Console(file=io.StringIO(), width=width, highlight=False, **options)
    doctor.report(checks, console)
    return console.file.getvalue()


def by_name(env: dict[str, str]) -> dict[str, doctor.Check]:
    return {check.name: check for check in doctor.checks(env)}


def test_a_machine_that_runs_these_tests_is_ready() -> None:
    checks = doctor.checks()
    assert [check.name for check in checks if check.word == "FIX"] == []
    assert "Ready: nothing has to be fixed." in printed(checks)


def test_what_only_a_part_of_the_kit_needs_is_optional_and_has_a_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fclocal.runtime.instances.redis_server.WHEELS", {})  # the tests' own Valkey
    checks = by_name({"PATH": ""})
    for name in ("Redis", "Node.js", "Browser"):
        if name == "Browser" and any(Path(path).exists() for path in doctor.MAC_BROWSERS):
            continue
        assert (checks[name].word, checks[name].found[:9]) == ("OPTIONAL", "not found")
        assert checks[name].fix


def test_the_report_is_narrow_plain_and_names_no_person(tmp_path: Path) -> None:
    env = {"PATH": str(tmp_path), "HTTP_PROXY": "http://me:secret@proxy.example:3128", "HOME": str(Path.home())}
    report = printed(doctor.checks(env, tmp_path / "state"))
    assert report.isascii()
    assert max(map(len, report.splitlines())) <= 76
    for private in (str(tmp_path), str(Path.home()), "secret", "proxy.example", socket.gethostname()):
        assert private not in report
    if (user := getpass.getuser()) != "root":
        assert user not in report


@pytest.mark.parametrize(("env", "word"), [
    ({}, "PASS"),
    ({"HTTP_PROXY": "http://proxy:1"}, "OPTIONAL"),
    ({"https_proxy": "http://proxy:1", "no_proxy": "example.com"}, "OPTIONAL"),
    ({"HTTP_PROXY": "http://proxy:1", "NO_PROXY": "localhost, 127.0.0.1,::1"}, "PASS"),
    ({"HTTP_PROXY": "http://proxy:1", "no_proxy": "*"}, "PASS"),
])
def test_a_proxy_is_harmless_only_if_localhost_is_exempt(env: dict[str, str], word: str) -> None:
    check = doctor.proxies(env)
    assert check.word == word
    assert check.ok or "NO_PROXY=localhost" in check.fix


def test_a_redis_url_must_answer() -> None:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        url = f"redis://127.0.0.1:{listening.getsockname()[1]}/0"
        assert doctor.redis({"REDIS_URL": url}, apt=True).word == "OPTIONAL"
        listening.listen()
        assert doctor.redis({"REDIS_URL": url}, apt=True).word == "PASS"


def test_a_program_too_old_is_named_with_its_version(tmp_path: Path) -> None:
    node = tmp_path / "node"
    node.write_text("#!/bin/sh\necho v14.21.3\n")
    node.chmod(node.stat().st_mode | stat.S_IXUSR)
    env = {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    check = doctor.program("Node.js", ("node",), env, "a lesson", fix="get a newer one", minimum=18)
    assert (check.word, check.fix) == ("OPTIONAL", "get a newer one")
    assert "14.21.3" in check.found


def test_old_python_foreign_system_and_few_descriptors_are_to_be_fixed() -> None:
    assert doctor.python((3, 10, 4)).word == "FIX"
    assert doctor.system("win32", "10").word == "FIX"
    assert doctor.system("linux", "5.15.90.1-microsoft-standard-WSL2").found == "Linux in WSL"
    assert doctor.descriptors(256, 1024).fix == "ulimit -n 1024"
    assert doctor.descriptors(256, resource.RLIM_INFINITY).fix == "ulimit -n 4096"
    assert doctor.descriptors(resource.RLIM_INFINITY, resource.RLIM_INFINITY).ok


def test_what_must_be_fixed_ends_the_report() -> None:
    checks = [doctor.python((3, 10, 4)), doctor.descriptors(20000, 20000)]
    assert [line.rstrip() for line in printed(checks).splitlines()[1:-1]] == [
        "FIX   Python       3.10.4",
        "      to fix it    install Python 3.11 or newer",
        "PASS  Descriptors  20000: about 9970 WebSockets at a time",
        "Fix before you begin: Python.",
    ]


def test_long_sentences_hang_and_use_the_width_up_to_120_columns() -> None:
    [check] = [doctor.Check("Proxy", False, "word " * 60, "export " * 30, needed=False)]
    for width in (60, terminal.MAX_WIDTH):
        lines = [line.rstrip() for line in printed([check], width).splitlines()[1:-2]]
        assert width - 10 < max(map(len, lines)) <= width
        indent = lines[0].index("word")
        assert {line[:indent].strip() for line in lines[1:]} == {"", "to fix it"}


def test_colour_repeats_the_words_and_no_color_turns_it_off(monkeypatch: pytest.MonkeyPatch) -> None:
    checks = [doctor.python((3, 10, 4))]
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    plain, coloured = printed(checks), printed(checks, force_terminal=True)
    assert "\x1b[1;31mFIX" in coloured and "\x1b[" not in plain
    monkeypatch.setenv("NO_COLOR", "1")
    assert "31m" not in printed(checks, force_terminal=True)


@pytest.mark.parametrize("name", list(doctor.FILES))
def test_a_damaged_file_of_the_state_is_found_while_the_platform_runs_and_after(fc: Platform, name: str) -> None:
    state = fc.at.state
    assert doctor.files(state).word == "PASS"
    kept = (state / name).read_bytes()
    if not name.endswith("sqlite"):
        (state / name).write_bytes(kept[:30])
        check = doctor.files(state)
        assert check.word == "FIX" and f"{name} is damaged" in check.found and check.fix.endswith(name)
        (state / name).write_bytes(kept)
    fc.stop()
    if name != "platform.json":
        (state / name).write_bytes(b"damaged " * 1000)
        check = doctor.files(state)
        assert check.word == "FIX" and f"{name} is damaged" in check.found and check.fix.endswith(name)


def test_unreadable_rows_of_a_sound_database_are_found(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.sqlite", FakeClock())
    journal.append("function.created", function="echo", generation=1)
    journal.close()
    assert doctor.files(tmp_path).ok
    with contextlib.closing(sqlite3.connect(tmp_path / "journal.sqlite")) as db, db:
        db.execute("UPDATE facts SET records = '[['")
    assert "journal.sqlite is damaged" in doctor.files(tmp_path).found


def test_folders_that_cannot_be_written_and_paths_too_long_have_a_fix(tmp_path: Path) -> None:
    missing = tmp_path / "missing"  # a file cannot be created in it, not even by root
    home = doctor.folders(missing, tmp_path)
    assert (home.word, home.fix) == ("FIX", "export HOME=$(mktemp -d)") and "home folder" in home.found
    (tmp_path / "file").touch()
    kit = doctor.folders(tmp_path, tmp_path / "file")
    assert kit.word == "FIX" and "read-only" in kit.found and "FCLOCAL_STATE" in kit.fix
    long = doctor.folders(tmp_path, tmp_path / ("d" * 200) / ("d" * 200) / ("d" * 100))
    assert long.word == "FIX" and "SQLite accepts" in long.found and "FCLOCAL_STATE" in long.fix
    assert doctor.folders(tmp_path, tmp_path / "not" / "yet").ok


@pytest.mark.parametrize("kind", ["nfs4", "9p", "drvfs", "cifs"])
def test_state_on_a_network_or_windows_drive_is_to_be_moved(tmp_path: Path, kind: str) -> None:
    check = doctor.disk(tmp_path, kind)
    assert check.word == "FIX" and f"on a {kind} drive" in check.found and "FCLOCAL_STATE" in check.fix
    assert doctor.disk(tmp_path, "ext4").ok
    assert doctor.file_system(Path("/proc/self")) == "proc" or sys.platform != "linux"


def test_a_full_disk_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=3 * 2**20)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    check = doctor.disk(tmp_path / "not" / "yet", "ext4")
    assert (check.word, check.found) == ("FIX", "3 MB free") and "free 200 MB" in check.fix
