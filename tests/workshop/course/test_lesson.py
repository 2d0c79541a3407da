"""What frames a lesson: the first cell, predictions, the parity rows, the recap; and a wrong kernel."""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import workshop
from fclocal.client.platform import Platform
from fclocal.runtime.instances import redis_server
from workshop.course.catalog import Lesson, Prediction, lessons, tasks_of
from workshop.workspace import Progress

ROOT = Path(__file__).parents[3]


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Progress:
    monkeypatch.setenv("FCLOCAL_STATE", str(tmp_path / "fclocal"))
    monkeypatch.chdir(ROOT / "notebooks")
    return Progress(tmp_path / "fclocal")


def test_the_first_cell_says_setup_complete(store: Progress, platform_factory: Callable[..., Platform],
                                            capsys: pytest.CaptureFixture[str]) -> None:
    running = platform_factory()
    fc = workshop.lesson(1)
    assert fc.at.pid == running.at.pid  # attached, not started again
    output = capsys.readouterr().out
    assert output.startswith("Setup complete. Lesson 1: ")
    assert Path.cwd() == ROOT
    assert "1" in store.read()["lessons"]
    fc.close()


def test_the_first_cell_of_lesson_7_says_that_redis_is_missing(
        store: Progress, platform_factory: Callable[..., Platform], monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
        capsys: pytest.CaptureFixture[str]) -> None:
    platform_factory()

    def first_cell(number: int) -> list[str]:
        workshop.lesson(number).close()
        return [line for line in capsys.readouterr().out.splitlines() if line.startswith("Redis: ")]

    assert first_cell(7) == []
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(redis_server, "WHEELS", {})
    monkeypatch.delenv("REDIS_URL", raising=False)
    [line] = first_cell(7)
    assert re.fullmatch(r"Redis: not found; needed for lesson 7 \(chat\)\. To fix it: (brew|sudo apt) install .*", line)
    assert first_cell(6) == []


def test_a_lesson_that_is_not_there(store: Progress, capsys: pytest.CaptureFixture[str]) -> None:
    assert workshop.lesson(77) is None
    assert "There is no lesson 77." in capsys.readouterr().out


def test_a_prediction_shows_its_answer_only_after_a_choice(store: Progress, monkeypatch: pytest.MonkeyPatch,
                                                           capsys: pytest.CaptureFixture[str]) -> None:
    known = Lesson("05-x", "X", 1, 1, predictions={"5.a": Prediction("c", "It was cut.", {"b": "It is old."})})
    monkeypatch.setitem(lessons(), 5, known)
    workshop.predict("5.a", "?")
    workshop.predict("5.a", "d")
    workshop.predict("5.a")
    workshop.predict("5.a", "b")
    workshop.predict("5.a", "C ")
    workshop.predict("5.a")
    assert capsys.readouterr().out.splitlines() == [
        *['5.a  Choose before you run the next cell: predict("5.a", "a"), or "b", or "c".'] * 3,
        "5.a  You chose b. The answer is c. It was cut.",
        "     Why not b: It is old.",
        *["5.a  You chose c. That is right. It was cut.",
          "     Why not b: It is old."] * 2]
    workshop.predict("5.z", "a")
    assert "no question" in capsys.readouterr().out
    workshop.predict("first")
    assert capsys.readouterr().out.startswith('There is no question "first".')


def test_recap_ticks_what_the_tasks_prove_and_names_what_is_open(store: Progress, monkeypatch: pytest.MonkeyPatch,
                                                                  capsys: pytest.CaptureFixture[str]) -> None:
    known = Lesson("01-echo", "Echo", 1, 1, can=("echo", "crash", "explain"),
                   proof={"echo": ("1.1",), "crash": ("1.1", "1.2")})
    monkeypatch.setitem(lessons(), 1, known)
    store.note("1.1", verdict="PASS")
    workshop.recap(1)
    lines = capsys.readouterr().out.splitlines()
    assert lines[1:4] == ["  [x] echo", "  [ ] crash", "  [ ] explain"]
    assert [line.split()[0] for line in lines[4:-1]] == ["1.2", "1.3"]
    assert lines[-1].startswith("Next: notebooks/02-trigger.ipynb")
    store.note("1.2", verdict="PASS")  # 1.3 is a stretch task: it is not required
    workshop.recap(1)
    assert capsys.readouterr().out.count("[x]") == 3


def test_each_proof_names_tasks_of_its_lesson() -> None:
    for number, known in lessons().items():
        for objective, tasks in known.proof.items():
            assert objective in known.can and set(tasks) <= set(tasks_of(number)), (number, objective)


def test_parity_shows_three_rows_and_folds_the_rest(store: Progress, monkeypatch: pytest.MonkeyPatch,
                                                    capsys: pytest.CaptureFixture[str]) -> None:
    many = ("instance.freeze", "gateway.after-upgrade", "timeout.websocket-1006", "dispatch.fill-first")
    monkeypatch.setitem(lessons(), 4, Lesson("04-x", "X", 1, 1, parity=many))
    shown: list[str] = []
    monkeypatch.setattr("workshop.course.parity.present", lambda text, html: shown.extend((text, html)))
    workshop.parity(4)
    assert shown[0].endswith("1 more: parity(4, every=True)")
    before, _, folded = shown[1].partition("<details>")
    assert before.count("<dt>") == 3 and folded.count("<dt>") == 1
    workshop.parity(4, every=True)
    assert "more:" not in shown[2]


@pytest.mark.parametrize("number", lessons())
def test_every_lesson_is_described(number: int, capsys: pytest.CaptureFixture[str]) -> None:
    known = lessons()[number]
    assert (ROOT / "notebooks" / known.notebook).is_file()
    assert 3 <= len(known.can) <= 5
    assert known.teach + known.do <= 50
    workshop.parity(number)  # every row it names exists
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 76


def test_a_kernel_without_the_packages_says_which_to_choose() -> None:
    code = "from workshop import lesson, check; lesson(1); check('1.1')"
    done = subprocess.run([sys.executable, "-S", "-c", code], env={"PYTHONPATH": str(ROOT / "src")},
                          capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Choose the workshop's kernel") == 2


def test_no_module_is_named_like_a_public_function() -> None:
    """Importing such a module would put it in the function's place."""
    modules = {path.stem for path in (ROOT / "src" / "workshop").glob("*.py")}
    assert not modules & set(workshop.__all__)
