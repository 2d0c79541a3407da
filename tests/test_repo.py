"""The repository itself: its few folders, its two commands, what may never be committed."""

import ast
import json
import re
import runpy
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
TOP = {
    ".ci", ".gitignore", "CHANGELOG.md", "LICENSE", "README.md", "benchmarks", "exercises", "functions", "notebooks",
    "pyproject.toml", "requirements-test.lock", "requirements-test.txt", "requirements.lock", "requirements.txt",
    "solutions", "src", "start.py", "tests",
}  # fmt: skip
LOCKS = ("requirements.lock", "requirements-test.lock")


def committed() -> list[Path]:
    """Every file under version control; without git (a downloaded zip) every file that .gitignore does not name."""
    if (ROOT / ".git").exists():
        names = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
        return [ROOT / name for name in names.split("\0") if name and (ROOT / name).is_file()]
    ignored = {line.strip("/") for line in (ROOT / ".gitignore").read_text("utf-8").splitlines()}
    found = (path for path in ROOT.rglob("*") if path.is_file())
    return [path for path in found if not any(Path(part).match(name) for part in path.relative_to(ROOT).parts
                                              for name in ignored)]


def words(path: Path) -> str | None:
    """The text of a file, None if it is not text."""
    try:
        return path.read_text("utf-8")
    except UnicodeDecodeError:
        return None


def test_the_top_level_stays_as_small_as_designed() -> None:
    assert {path.relative_to(ROOT).parts[0] for path in committed()} <= TOP


def test_installing_the_peers_of_a_benchmark_leaves_no_untracked_file() -> None:
    """The lock of the peers is not committed: `start.py test` runs npm ci in every folder that has one."""
    assert "benchmarks/package-lock.json" in (ROOT / ".gitignore").read_text("utf-8").splitlines()


def test_no_file_names_the_machine_it_was_made_on() -> None:
    # Spelled in parts so that this file does not hold what it looks for.
    traces = re.compile("|".join(("/" + "work/(main|shared)", "/" + "tmp/w/", "/" + "root/", "/" + "opt/pypi")))
    for path in committed():
        for number, line in enumerate((words(path) or "").splitlines(), 1):
            assert not traces.search(line), f"{path.relative_to(ROOT)}:{number}: {line.strip()[:100]}"


def test_names_work_on_every_system() -> None:
    names = [str(path.relative_to(ROOT)) for path in committed()]
    assert len({name.casefold() for name in names}) == len(names), "two names differ only in case"
    bad = [name for name in names if re.search(r'[<>:"\\|?*]|[ .]$', name) or len(name) > 140]
    assert not bad


def test_no_large_file() -> None:
    big = [path for path in committed() if path.stat().st_size > 1_000_000]
    assert not big


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_names_exact_versions_and_no_host(name: str) -> None:
    lines = [line for line in (ROOT / name).read_text("utf-8").splitlines() if not line.startswith("#")]
    for line in lines:
        assert re.fullmatch(r"[a-z0-9.-]+==[\w.+!-]+( ; .+)?", line), line


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_has_everything_its_requirements_ask_for(name: str) -> None:
    def names(path: Path) -> set[str]:
        lines = path.read_text("utf-8").splitlines()
        found = (re.split(r"[\[<>=; ]", line)[0].lower() for line in lines if line[:1].isalpha())
        return {re.sub("[._]", "-", name) for name in found}

    assert names((ROOT / name).with_suffix(".txt")) <= names(ROOT / name)


def test_both_locks_agree() -> None:
    def pins(name: str) -> dict[str, str]:
        lines = (ROOT / name).read_text("utf-8").splitlines()
        return dict(line.split(" ;")[0].split("==") for line in lines if "==" in line and line[0] != "#")

    first, second = map(pins, LOCKS)
    assert {k: v for k, v in second.items() if first.get(k, v) != v} == {}


def test_npm_locks_name_no_host() -> None:
    for path in committed():
        if path.name == "package-lock.json":
            assert '"resolved": "http' not in path.read_text("utf-8"), path


def test_ci_runs_the_command_of_the_readme() -> None:
    command = "python3 start.py test"
    assert command in (ROOT / "README.md").read_text("utf-8")
    lines = (ROOT / ".ci" / "run").read_text("utf-8").splitlines()
    assert [line for line in lines if "start.py" in line] == [f'exec {command} "$@"']


def test_local_links_of_every_page_lead_somewhere() -> None:
    for path in (path for path in committed() if path.suffix == ".md"):
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)|(?:src|href)=\"([^\"#]+)\"", words(path) or ""):
            link = next(filter(None, target))
            if "://" not in link and not link.startswith("mailto:"):
                assert (path.parent / link).exists(), f"{path.relative_to(ROOT)}: {link}"


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
    done = run_start(prelude="sys.platform = 'win32'")
    assert done.returncode == 1
    assert "wsl --install" in done.stderr and done.stderr.count("\n") == 1


def test_start_explains_itself_and_refuses_what_it_does_not_know() -> None:
    assert run_start("--help").returncode == 0
    unknown = run_start("frobnicate")
    assert unknown.returncode == 2 and "start.py tour" in unknown.stdout


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


def test_start_says_what_to_install_when_venv_is_missing(kit: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ensurepip", None)
    with pytest.raises(Exception, match="sudo apt install python3-venv"):
        kit["make_venv"]()


def test_start_drops_what_bends_python_and_pip(kit: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PYTHONHOME", "PYTHONPATH", "PIP_TARGET", "PIP_PREFIX"):
        monkeypatch.setenv(name, "/nowhere")
    env = kit["clean_environment"]()
    assert not {"PYTHONHOME", "PYTHONPATH", "PIP_TARGET", "PIP_PREFIX"} & set(env)
    assert env["PATH"].startswith(str(kit["VENV"]))


@pytest.fixture
def bare_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A PATH on which there is nothing but an apt-get that notes its calls and brings every program."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "env").symlink_to("/usr/bin/env")
    programs = "redis-server chromium nginx node npm"
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
    with pytest.raises(Exception, match="apt-get did not bring: python3-venv"):  # this apt-get only pretends
        kit["install_programs"]()
    assert "python3-venv" in (bare_system / "calls").read_text("utf-8")


def test_start_says_when_apt_fails(
    kit: dict[str, Any], bare_system: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    (bare_system / "apt-get").write_text("#!/bin/sh\necho no network >&2\nexit 100\n")
    with pytest.raises(Exception, match="apt-get update failed"):
        kit["install_programs"]()


def test_the_table_of_lessons_says_what_the_lessons_say() -> None:
    table = (ROOT / "README.md").read_text("utf-8")
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        facts = tomllib.loads((ROOT / "src" / "workshop" / "lessons" / f"{path.stem}.toml").read_text("utf-8"))
        row = f"| {int(path.stem[:2])} | [{facts['title']}](notebooks/{path.name}) "
        assert facts["teach"] <= 20 and facts["teach"] + facts["do"] <= 45, f"{path.name} is longer than a lesson"
        assert f"{row}| {facts['teach']} min | {facts['do']} min |" in table, f"README.md lacks: {row}"
