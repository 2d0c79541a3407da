"""What the learner types: hints one at a time, progress that survives, reset that keeps, catching up."""

import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

import workshop
from fclocal.client.platform import Platform
from workshop.checking import commands, generation
from workshop.checking.catalog import exercises, find
from workshop.cli import main
from workshop.workspace import Progress


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with all exercises as generated, and the present folder in its notebooks."""
    for folder in ("functions", "notebooks"):
        (tmp_path / folder).mkdir()
    generation.write(tmp_path)
    monkeypatch.chdir(tmp_path / "notebooks")
    monkeypatch.delenv("FCLOCAL_STATE", raising=False)
    return tmp_path


def test_hints_come_one_at_a_time_and_then_the_solution(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    count = len(find("1.1")[0].hints["1.1"])
    for _ in range(count + 1):
        workshop.hint("1.1")
    lines = capsys.readouterr().out.splitlines()
    assert [line[:9] for line in lines if line.startswith("Hint")] == [f"Hint {n + 1} of" for n in range(count)]
    assert max(map(len, lines)) <= 76
    assert lines[-1] == f"Those were all {count} hints. A solution: solutions/01-echo/main.py"


def test_only_the_file_that_the_solution_changes_is_named(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for _ in find("8.5")[0].hints["8.5"]:
        workshop.hint("8.5")
    output = capsys.readouterr().out.splitlines()
    assert output[-1] == "That was the last one. A solution: solutions/08-errors/5-closes-with-1006/s.yaml"


def test_untouched_says_not_started_and_where_to_look(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    workshop.check("1.1")
    output = capsys.readouterr().out
    assert output.splitlines()[:2] == ["1.1 NOT STARTED  Send each text message back in capital letters",
                                     "  Open     : exercises/01-echo/main.py"]


def test_terminal_and_notebook_say_the_same(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    workshop.check(3.1)
    in_notebook = capsys.readouterr().out
    assert main(["check", "3.1"]) == 1
    assert capsys.readouterr().out == in_notebook


def test_reset_keeps_a_copy(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mine = project / "exercises" / "01-echo" / "main.py"
    stub = mine.read_text()
    mine.write_text("print('mine')\n")
    workshop.reset("1.1")
    assert mine.read_text() == stub
    [kept] = (project / "exercises" / "mine").iterdir()
    assert (kept / "main.py").read_text() == "print('mine')\n"
    assert kept.relative_to(project).as_posix() in capsys.readouterr().out


def test_reset_of_an_untouched_exercise_keeps_nothing(project: Path) -> None:
    workshop.reset("1.1")
    assert not (project / "exercises" / "mine").exists()


@pytest.mark.parametrize("again", [lambda: workshop.reset("1.1"), lambda: main(["build"])])
def test_a_file_of_the_learners_own_is_kept_too(project: Path, again: Callable[[], None]) -> None:
    (project / "exercises/01-echo/answers.py").write_text("mine = 1\n")
    again()
    assert not (project / "exercises/01-echo/answers.py").exists()
    [kept] = (project / "exercises" / "mine").iterdir()
    assert (kept / "answers.py").read_text() == "mine = 1\n"


def test_catch_up_solves_what_comes_before_and_nothing_else(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mine = project / "exercises" / "01-echo" / "main.py"
    mine.write_text("print('mine')\n")
    workshop.catch_up(2)
    every = exercises()
    assert mine.read_text() == every["01-echo"].solution["main.py"]
    assert (project / "exercises" / "02-trigger" / "s.yaml").read_text() == every["02-trigger"].stub["s.yaml"]
    assert "your files are in exercises/mine/01-echo-" in capsys.readouterr().out


def test_catching_up_twice_keeps_nothing_the_second_time(project: Path) -> None:
    workshop.catch_up(3)
    workshop.catch_up(4)
    assert not (project / "exercises" / "mine").exists()


def test_two_kernels_may_note_at_once(project: Path) -> None:
    folder = project / ".fclocal"

    def note(kernel: int) -> None:
        for number in range(25):
            Progress(folder).note(f"{kernel}.{number}", tries=1)

    threads = [threading.Thread(target=note, args=(kernel,)) for kernel in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(Progress(folder).read()["tasks"]) == 50


def test_progress_survives_and_a_pass_stays(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = Progress(project / ".fclocal")
    store.note("1.1", verdict="PASS", tries=2)
    workshop.check("1.1")  # the stub again
    assert store.task("1.1")["verdict"] == "PASS"
    capsys.readouterr()
    workshop.progress()
    rows = [line.split()[:2] for line in capsys.readouterr().out.splitlines()]
    assert not any(row[0] == "1.1" for row in rows) and any(row[0] == "1.2" for row in rows)
    assert ["1.2", "NOT"] in rows


def test_a_damaged_progress_file_is_kept_aside(project: Path) -> None:
    store = Progress(project / ".fclocal")
    store.note("1.1", tries=1)
    store.path.write_text("{half")
    assert store.task("1.1")["tries"] == 0
    assert (project / ".fclocal" / "progress.json.broken").read_text() == "{half"


def test_what_does_not_exist_is_said_in_words(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for act in (workshop.check, workshop.hint, workshop.details, workshop.reset):
        act("77.7")
        assert capsys.readouterr().out.startswith('There is no task "77.7".\nTasks: 1.1')
    workshop.catch_up(77)
    assert capsys.readouterr().out.startswith("There is no lesson 77.")


def test_a_missing_file_is_not_a_crash(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / "exercises" / "01-echo" / "main.py").unlink()
    workshop.check("1.1")
    assert capsys.readouterr().out.startswith("1.1 NOT YET  the file main.py is missing")
    shutil.rmtree(project / "exercises" / "01-echo")
    workshop.check("1.1")
    assert 'reset("1.1") restores it' in capsys.readouterr().out


@pytest.mark.parametrize(("task", "file"), [("1.1", "01-echo/main.py"), ("2.2", "02-trigger/s.yaml")])
def test_a_file_that_is_no_text_is_not_a_traceback(project: Path, platform_factory: Callable[..., Platform], task: str,
                                                   file: str, capsys: pytest.CaptureFixture[str]) -> None:
    with (project / "exercises" / file).open("ab") as learners:
        learners.write(b"# caf\xe9\n")
    exercise, entry = find(task)
    print(commands.verdict(exercise, entry, fc=platform_factory).text())
    assert capsys.readouterr().out.split()[:2] in (["1.1", "CRASHED"], ["2.2", "NOT"])
    workshop.reset(task)
    assert b"caf" not in (project / "exercises" / file).read_bytes()


def test_a_fault_of_ours_does_not_look_like_the_learners(project: Path, monkeypatch: pytest.MonkeyPatch,
                                                        capsys: pytest.CaptureFixture[str]) -> None:
    def broken() -> None:
        raise RuntimeError("the kit is broken")

    exercise, task = find("1.1")
    (project / "exercises/01-echo/main.py").write_text(exercise.solution["main.py"])
    result = commands.verdict(exercise, task, fc=broken)
    assert result.first_line() == "1.1 OUR FAULT  this is a fault in the kit, not in your code"
    workshop.details("1.1")
    assert "RuntimeError: the kit is broken" in capsys.readouterr().out


def test_after_three_failed_checks_more_help_is_offered(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / "exercises/03-wss/urls.py").write_text("def to_wss(url):\n    return url\n")
    for _ in range(3):
        capsys.readouterr()
        workshop.check("3.1")
    count = len(find("3.1")[0].hints["3.1"])
    assert f'Next     : hint("3.1"), {count} left; or details("3.1") for the' in capsys.readouterr().out
    for _ in range(count):
        workshop.hint("3.1")
    capsys.readouterr()
    workshop.check("3.1")
    assert "Next     : solutions/03-wss/urls.py; or details" in capsys.readouterr().out


def test_an_interrupt_is_not_a_traceback(project: Path, monkeypatch: pytest.MonkeyPatch,
                                         capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(commands, "verdict", interrupted)
    workshop.check("1.1")
    assert capsys.readouterr().out == "Stopped.\n"
