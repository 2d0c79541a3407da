"""`workshop copy`: a learner's copy of the course, and how an update of the kit reaches it."""

from pathlib import Path

import pytest

from workshop import cli
from workshop.course.copying import copy_course

EXERCISE, NOTEBOOK, FUNCTION = "exercises/01-echo/main.py", "notebooks/01-echo.ipynb", "functions/01-echo/main.py"


@pytest.fixture
def kit(tmp_path: Path) -> Path:
    write(tmp_path / "kit", dict.fromkeys((EXERCISE, NOTEBOOK, FUNCTION), "1"))
    write(tmp_path / "kit", {"src/secret.py": "1", "functions/__pycache__/main.pyc": "1", "exercises/mine/old.py": "1"})
    return tmp_path / "kit"


def write(folder: Path, files: dict[str, str]) -> None:
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)


def read(folder: Path) -> dict[str, str]:
    """Return the files of a copy, without its own record."""
    return {path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*")
            if path.is_file() and path.name != ".copied.json"}


def test_the_first_copy_has_the_course_and_nothing_else(kit: Path, tmp_path: Path) -> None:
    assert copy_course(kit, tmp_path / "home", "t1") == []
    assert read(tmp_path / "home") == {EXERCISE: "1", NOTEBOOK: "1", FUNCTION: "1"}


def test_an_update_replaces_what_the_learner_has_not_changed(kit: Path, tmp_path: Path) -> None:
    copy_course(kit, tmp_path / "home", "t1")
    write(kit, {EXERCISE: "2", NOTEBOOK: "2", FUNCTION: "2", "functions/02-new/main.py": "2"})
    assert copy_course(kit, tmp_path / "home", "t2") == []
    assert set(read(tmp_path / "home").values()) == {"2"} and "functions/02-new/main.py" in read(tmp_path / "home")


def test_an_update_loses_no_work(kit: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    copy_course(kit, home, "t1")
    write(home, {EXERCISE: "my answer", NOTEBOOK: "with outputs", "exercises/01-echo/more.py": "mine"})
    write(kit, {EXERCISE: "2", NOTEBOOK: "2", FUNCTION: "2"})
    lines = copy_course(kit, home, "t2")
    assert read(home) == {EXERCISE: "my answer", "exercises/01-echo/more.py": "mine", NOTEBOOK: "2", FUNCTION: "2",
                          f"before-update/t2/{NOTEBOOK}": "with outputs"}
    assert sorted(line.split()[0] for line in lines) == [EXERCISE, NOTEBOOK]
    assert copy_course(kit, home, "t3") == []


def test_without_an_update_the_copy_is_left_alone(kit: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    copy_course(kit, home, "t1")
    write(home, {NOTEBOOK: "with outputs"})
    (home / FUNCTION).unlink()
    assert copy_course(kit, home, "t2") == []
    assert read(home) == {EXERCISE: "1", NOTEBOOK: "with outputs"}


def test_the_command_copies_this_course(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["copy", str(tmp_path / "workshop")]) == 0
    assert (tmp_path / "workshop/notebooks/00-start.ipynb").is_file()
    # The instructor's page stays with the instructor. The solutions come along: hints and lesson 7 lead there.
    assert not (tmp_path / "workshop/notebooks/teaching.md").exists()
    assert (tmp_path / "workshop/solutions/07-chat/log/main.py").is_file()
    assert capsys.readouterr().out == f"The course is in {tmp_path / 'workshop'}.\n"
