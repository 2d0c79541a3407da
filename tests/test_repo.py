"""The repository itself: its few folders, its two commands, what may never be committed."""

import re
import subprocess
import tomllib
from itertools import pairwise
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TOP = {
    ".binder", ".ci", ".devcontainer", ".github", ".gitignore", ".pre-commit-config.yaml", "CHANGELOG.md",
    "CONTRIBUTING.md", "LICENSE", "README.md", "benchmarks", "deploy", "exercises", "functions", "notebooks",
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
    files = (path for path in ROOT.rglob("*") if path.is_file())
    return [path for path in files if not any(Path(part).match(name) for part in path.relative_to(ROOT).parts
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


def test_each_test_file_has_a_name_of_its_own() -> None:
    """pytest imports test files by their base name and stops at the second file of one name."""
    names = sorted(path.name for path in committed() if path.is_relative_to(ROOT / "tests") and path.match("test_*.py"))
    assert [name for name, next_name in pairwise(names) if name == next_name] == []


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
        names = (re.split(r"[\[<>=; ]", line)[0].lower() for line in lines if line[:1].isalpha())
        return {re.sub("[._]", "-", name) for name in names}

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


def test_the_table_of_lessons_says_what_the_lessons_say() -> None:
    table = (ROOT / "README.md").read_text("utf-8")
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        facts = tomllib.loads((ROOT / "src" / "workshop" / "lessons" / f"{path.stem}.toml").read_text("utf-8"))
        row = f"| {int(path.stem[:2])} | [{facts['title']}](notebooks/{path.name}) "
        assert facts["teach"] <= 20 and facts["teach"] + facts["do"] <= 45, f"{path.name} is longer than a lesson"
        assert f"{row}| {facts['teach']} min | {facts['do']} min |" in table, f"README.md lacks: {row}"
