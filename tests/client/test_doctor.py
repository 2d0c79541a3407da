"""The doctor: it finds what is missing, names the cure, and its report can be pasted anywhere."""

import getpass
import os
import resource
import socket
import stat
from pathlib import Path

import pytest

from fclocal.client import doctor


def by_name(env: dict[str, str]) -> dict[str, doctor.Check]:
    return {check.name: check for check in doctor.checks(env)}


def test_a_machine_that_runs_these_tests_is_ready() -> None:
    found = doctor.checks()
    assert [check.name for check in found if check.word == "FIX"] == []
    assert "Ready: nothing has to be fixed." in doctor.text(found)


def test_what_only_a_part_of_the_kit_needs_is_optional_and_has_a_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fclocal.runtime.redis_server.WHEELS", {})  # the tests' own Valkey
    found = by_name({"PATH": ""})
    for name in ("Redis", "Node.js", "Browser"):
        if name == "Browser" and any(Path(path).exists() for path in doctor.MAC_BROWSERS):
            continue
        assert (found[name].word, found[name].found[:9]) == ("OPTIONAL", "not found")
        assert found[name].fix


def test_the_report_is_narrow_plain_and_names_nobody(tmp_path: Path) -> None:
    env = {"PATH": str(tmp_path), "HTTP_PROXY": "http://me:secret@proxy.example:3128", "HOME": str(Path.home())}
    report = doctor.text(doctor.checks(env))
    assert report.isascii()
    assert max(map(len, report.splitlines())) <= doctor.WIDTH
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
    report = doctor.text([doctor.python((3, 10, 4)), doctor.descriptors(20000, 20000)])
    assert "FIX       Python       3.10.4" in report
    assert "to fix it:   install Python 3.11 or newer" in report
    assert "Fix before you begin: Python." in report
