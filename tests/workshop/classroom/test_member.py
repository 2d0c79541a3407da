"""A learner's side of the class board: nothing without a join, nothing lost, and a check never waits for the board."""

import json
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
import redis
from free_port import free_port
from functions.test_class_board import WORD, instance, wait_for_learners, watching
from functions.test_push import Redis, server  # noqa: F401 (server is a fixture)

from workshop.checking import commands, generation
from workshop.checking.catalog import find
from workshop.classroom import member
from workshop.cli import main
from workshop.errors import UserError


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A project whose task 1.1 is CRASHED: its verdict needs no platform."""
    project = tmp_path / "project"
    for folder in ("functions", "notebooks"):
        (project / folder).mkdir(parents=True)
    generation.write(project)
    (project / "exercises/01-echo/main.py").write_text("def broken(:\n")
    monkeypatch.chdir(project)
    monkeypatch.delenv("FCLOCAL_STATE", raising=False)
    yield project
    member.leave(project / ".fclocal")  # ends the attempts of the background thread


@pytest.fixture
def silent() -> Iterator[int]:
    """The port of a board that accepts connections and never answers."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        yield listener.getsockname()[1]


@pytest.fixture
def closed() -> int:
    """A port on which nothing listens."""
    return free_port()


def link(port: int, word: str = WORD) -> str:
    return f"http://127.0.0.1:{port}/{word}/"


def joined(project: Path, port: int) -> None:
    """Take part in the class of a board that does not answer at this moment."""
    (project / ".fclocal").mkdir(exist_ok=True)
    (project / ".fclocal/class.json").write_text(json.dumps({"link": link(port).rstrip("/"), "learner": "ab" * 16}))


def seconds(act: Callable[[], object]) -> float:
    began = time.perf_counter()
    act()
    return time.perf_counter() - began


def check(project: Path) -> None:
    assert commands.verdict(*find("1.1"), project=project).word == "CRASHED"


def test_the_board_receives_verdicts_and_first_lines_after_a_join(server: Redis, project: Path) -> None:  # noqa: F811
    with instance(server) as process, watching(process) as ws:
        assert json.loads(ws.recv(timeout=10))["learners"] == 0
        check(project)  # before the join: kept here
        message = member.join(project / ".fclocal", link(process.port))
        assert message.splitlines() == ["You take part in the class.", member.PRIVACY,
                                     "To end it: workshop class leave"]
        [row] = wait_for_learners(ws, 1)
        assert (row["task"], row["stuck"], row["line"]) == ("1.1", 1, "SyntaxError: invalid syntax (main.py line 1)")
        (project / "exercises/01-echo/main.py").unlink()
        commands.verdict(*find("1.1"), project=project)
        [row] = wait_for_learners(ws, 1)
        assert row["line"] == "the file main.py is missing"
        assert member.describe(project / ".fclocal").endswith("The board has all your verdicts.")


def test_without_a_join_nothing_is_sent(server: Redis, project: Path, tmp_path: Path) -> None:  # noqa: F811
    state = project / ".fclocal"
    with instance(server) as process, watching(process) as ws:
        check(project)
        member.join(state, link(process.port))
        wait_for_learners(ws, 1)
        member.leave(state)
        check(project)
        assert member.describe(state).startswith("You take part in no class.")
        member.join(tmp_path / "another", link(process.port))  # the next state that the board announces
        assert len(wait_for_learners(ws, 2)) == 1
        member.join(state, link(process.port))  # the same computer as before
        assert json.loads((state / "class.json").read_text())["learner"] in stored_learners(server)
        assert len(stored_learners(server)) == 2


def stored_learners(server: Redis) -> set[str]:  # noqa: F811
    with redis.Redis.from_url(server.url, decode_responses=True) as client:
        return set(client.hkeys(f"class:{WORD}"))


@pytest.mark.parametrize("board", ["silent", "closed"])
def test_a_check_does_not_wait_for_a_board(project: Path, board: str, request: pytest.FixtureRequest) -> None:
    check(project)  # loads the checks
    joined(project, request.getfixturevalue(board))
    assert max(seconds(lambda: check(project)) for _ in range(3)) < member.TIMEOUT


def test_the_command_ends_soon_when_the_board_is_silent(project: Path, silent: int,
                                                        capsys: pytest.CaptureFixture[str]) -> None:
    joined(project, silent)
    assert seconds(lambda: main(["check", "1.1"])) < member.TIMEOUT
    assert capsys.readouterr().out.startswith("1.1 CRASHED")


def test_a_board_that_comes_back_receives_what_it_missed(server: Redis, project: Path,  # noqa: F811
                                                         closed: int) -> None:
    joined(project, closed)
    check(project)
    answers = [member.join(project / ".fclocal", link(closed)), member.describe(project / ".fclocal")]
    for answer in answers:  # the address may be wrong, or the board not open yet
        assert "The board does not answer (Connection refused)." in answer and "compare the link" in answer
    with instance(server, port=closed) as process, watching(process) as ws:
        [row] = wait_for_learners(ws, 1)  # without another check
        assert (row["task"], row["stuck"]) == ("1.1", 1)


def test_a_wrong_link_is_refused_with_a_fix(server: Redis, project: Path, capsys: pytest.CaptureFixture[str],  # noqa: F811
                                            ) -> None:
    for wrong in ("otter-42", "http://127.0.0.1:8700", "ws://127.0.0.1:8700/otter-42/", "http://[::1/otter-42/",
                  "http://127.0.0.1:port/otter-42/", "http://127.0.0.1:8700/otter 42/"):
        with pytest.raises(UserError, match="is not the link of a class board"):
            member.join(project / ".fclocal", wrong)
    with instance(server) as process:
        assert main(["class", "join", link(process.port, "heron-1")]) == 1
    assert capsys.readouterr().err.splitlines() == [
        "The board refused: No class has this word, status 404", "Ask your instructor for the link."]
    assert main(["class"]) == 0
    assert capsys.readouterr().out.startswith("You take part in no class.")


def test_a_refused_report_is_not_repeated(server: Redis, project: Path) -> None:  # noqa: F811
    with instance(server) as process:
        joined(project, process.port)
        membership = json.loads((project / ".fclocal/class.json").read_text())
        (project / ".fclocal/class.json").write_text(json.dumps({**membership, "learner": "not a code"}))
        reporter = member.Reporter(project / ".fclocal")
        reporter.report()
        assert reporter.wait(10)
        assert "The board refused: The learner's code must be" in member.describe(project / ".fclocal")
