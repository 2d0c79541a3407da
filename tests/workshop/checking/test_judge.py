"""The judge beyond right and wrong answers: functions deployed elsewhere, code that is older than its file."""

import asyncio
from collections.abc import Mapping
from pathlib import Path

import pytest

from fclocal.client.platform import Platform
from workshop.checking.catalog import exercises
from workshop.checking.judge import judge
from workshop.checking.verdict import Verdict
from workshop.labs.urls import to_wss

ECHO = exercises()["01-echo"]


def put(folder: Path, files: Mapping[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def judged(task: str, folder: Path, fc: Platform | None, url: str = "") -> Verdict:
    def platform() -> Platform:
        assert fc is not None
        return fc

    return asyncio.run(judge(ECHO, ECHO.tasks[task], folder, platform, url))


@pytest.mark.parametrize("scheme", ["https", "wss"])
def test_a_function_deployed_elsewhere(fc: Platform, tmp_path: Path, scheme: str) -> None:
    app = fc.deploy(put(tmp_path / "elsewhere", ECHO.solution))
    url = app.url if scheme == "https" else to_wss(app.url)
    assert judged("1.1", tmp_path / "nothing here", None, url).word == "PASS"
    verdict = judged("1.3", tmp_path / "nothing here", None, url)
    assert (verdict.word, verdict.headline[:10]) == ("PASS", "(1 of 1 st")  # the log is read on fclocal only


def test_an_answer_outside_its_region_is_judged(fc: Platform, tmp_path: Path) -> None:
    """Lesson 1 puts `try` around the loop, not around the call of the function that has it."""
    text = ECHO.stub["main.py"]
    loop = text[text.index("    async for"):text.index("async def main")].rstrip()
    inside = "\n".join(f"    {line}" if line.strip() else line for line in loop.splitlines())
    lost = "    except ConnectionClosedError:\n        print('connection lost without a Close frame', flush=True)"
    files = {**ECHO.stub, "main.py": text.replace(loop, f"    try:\n{inside}\n{lost}").replace(
        "...  # <- your code here", "await connection.send(message)")}
    assert judged("1.3", put(tmp_path / "01-echo", files), fc).word == "PASS"


def test_an_import_alone_is_not_an_answer(tmp_path: Path) -> None:
    files = {**ECHO.stub, "main.py": ECHO.stub["main.py"].replace("import os\n", "import os\nimport json\n")}
    assert judged("1.3", put(tmp_path / "01-echo", files), None).word == "NOT STARTED"


def test_the_exception_of_a_background_task_is_in_the_verdict(fc: Platform, tmp_path: Path) -> None:
    """The program keeps the task, so asyncio's own report of the exception never comes."""
    answer = """            async def later():
                await connection.send(message.uper())
            tasks.append(asyncio.create_task(later()))"""
    text = ECHO.solution["main.py"].replace("            await connection.send(message.upper())", answer)
    files = {**ECHO.solution, "main.py": text.replace("PORT =", "tasks = []\nPORT =", 1)}
    verdict = judged("1.1", put(tmp_path / "01-echo", files), fc)
    assert verdict.first_line().startswith("1.1 CRASHED  AttributeError: 'str' object has no attr"), verdict.text()


def test_a_collected_exception_is_not_reported(fc: Platform, tmp_path: Path) -> None:
    answer = """            async def later():
                raise ValueError("expected")
            try:
                await asyncio.create_task(later())
            except ValueError:
                await connection.send(message)"""
    text = ECHO.solution["main.py"].replace("            await connection.send(message.upper())", answer)
    verdict = judged("1.1", put(tmp_path / "01-echo", {**ECHO.solution, "main.py": text}), fc)
    assert verdict.first_line() == "1.1 NOT YET  the text comes back unchanged", verdict.text()


def test_a_wrong_function_deployed_elsewhere(fc: Platform, tmp_path: Path) -> None:
    wrong = next(wrong for wrong in ECHO.wrong if wrong.name == "1.1-unchanged")
    app = fc.deploy(put(tmp_path / "elsewhere", ECHO.with_answer(wrong)))
    verdict = judged("1.1", tmp_path / "nothing here", None, to_wss(app.url))
    assert verdict.first_line() == wrong.says
    assert "target: deployed function" in verdict.text()
    assert "Look at" not in verdict.text()


def test_an_unreachable_server_is_not_our_fault(tmp_path: Path) -> None:
    verdict = judged("1.1", tmp_path, None, "wss://localhost:9")
    assert verdict.word == "NOT YET"
    assert "could not connect" in verdict.text()


def test_older_code_is_reported_and_reloaded(fc: Platform, tmp_path: Path) -> None:
    folder = put(tmp_path / "01-echo", ECHO.solution)
    assert not judged("1.1", folder, fc).before
    assert not judged("1.1", folder, fc).before  # nothing saved in between
    put(folder, {"main.py": ECHO.solution["main.py"] + "# saved again\n"})
    verdict = judged("1.1", folder, fc)
    assert verdict.word == "PASS"
    [notice] = verdict.before
    assert notice.startswith("Your file was saved ") and notice.endswith("Reloading ... done.")


def test_details_show_the_frames(fc: Platform, tmp_path: Path) -> None:
    shown = judged("1.1", put(tmp_path / "01-echo", ECHO.solution), fc).details()
    assert [line.split()[1:6] for line in shown.splitlines() if "good" in line.lower()] == [
        ["ana", "->", "fn", "TEXT", '"good'], ["fn", "->", "ana", "TEXT", '"GOOD']]


def test_a_project_of_other_files_may_lie_beside(fc: Platform, tmp_path: Path) -> None:
    """Any right answer passes: here the answers come from a module of the learner's own."""
    files = dict(ECHO.solution)
    files["main.py"] = files["main.py"].replace("import os\n", "import os\n\nimport answers\n").replace(
        "message.upper()", "answers.loud(message)")
    files["answers.py"] = "def loud(text):\n    return text.swapcase().upper()\n"
    assert judged("1.1", put(tmp_path / "01-echo", files), fc).word == "PASS"
    files["answers.py"] = "def loud(text):\n    return text.uper()\n"
    verdict = judged("1.1", put(tmp_path / "01-echo", files), fc)
    assert verdict.first_line() == "1.1 CRASHED  AttributeError: 'str' object has no attr... (answers.py line 2)"
