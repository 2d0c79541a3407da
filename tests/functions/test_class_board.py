"""functions/07-class-board: a report to any instance reaches the pages of every instance, as counts."""

import contextlib
import json
import signal
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest
import redis
from functions.standalone import module
from functions.test_push import Redis, server  # noqa: F401 (server is a fixture)
from functions.test_service import REQUEST_ID, Process, close_code
from websockets.sync.client import ClientConnection, connect

from fclocal.client.platform import Platform

ANA, BO, CY = "a" * 32, "b" * 32, "c" * 32
WORD = "otter-42"


@contextlib.contextmanager
def instance(server: Redis, port: int = 0, **env: str) -> Iterator[Process]:  # noqa: F811
    process = Process("07-class-board", port, REDIS_URL=server.url, **{"CLASS_WORD": WORD} | env)
    try:
        process.wait_until_ready()
        yield process
    finally:
        process.kill()


def post(url: str, body: object) -> tuple[int, str]:
    """POST a report, and return the status and the body of the answer."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data), timeout=10) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code, refused.read().decode()


def report(process: Process, learner: str, word: str = WORD, **tasks: tuple[str, str]) -> tuple[int, str]:
    facts = {task.removeprefix("t").replace("_", "."): {"verdict": verdict, "line": line}
             for task, (verdict, line) in tasks.items()}
    return post(f"http://127.0.0.1:{process.port}/app/{word}/report", {"learner": learner, "tasks": facts})


@contextlib.contextmanager
def watching(process: Process, word: str = WORD) -> Iterator[ClientConnection]:
    with connect(f"ws://127.0.0.1:{process.port}/app/{word}/watch", proxy=None,
                 additional_headers={"x-fc-request-id": REQUEST_ID}) as ws:
        yield ws


def wait_for_learners(ws: ClientConnection, learners: int) -> list[dict[str, object]]:
    """Receive states until one has that many learners, and return its tasks."""
    while True:
        state = json.loads(ws.recv(timeout=10))
        if state["learners"] == learners:
            tasks: list[dict[str, object]] = state["tasks"]
            return tasks


def test_the_pages_of_every_instance_receive_the_counts(server: Redis) -> None:  # noqa: F811
    with instance(server) as one, instance(server) as two, watching(one) as first, watching(two) as second:
        for ws in (first, second):
            assert json.loads(ws.recv(timeout=10)) == {"learners": 0, "tasks": []}
        assert report(one, ANA, t1_1=("PASS", ""), t1_2=("NOT YET", "never awaited"))[0] == 204
        assert report(two, BO, t1_1=("NOT YET", "the wrong port"), t1_2=("CRASHED", "never awaited"))[0] == 204
        for ws in (first, second):
            assert wait_for_learners(ws, 2) == [
                {"task": "1.1", "passed": 1, "stuck": 1, "line": "the wrong port", "times": 1},
                {"task": "1.2", "passed": 0, "stuck": 2, "line": "never awaited", "times": 2}]


def test_a_report_that_arrives_twice_counts_once_and_the_newest_wins(server: Redis) -> None:  # noqa: F811
    with instance(server) as process:
        for _ in range(2):
            report(process, ANA, t1_1=("NOT YET", "never awaited"))
        report(process, ANA, t1_1=("PASS", ""))
        report(process, BO)
        with watching(process) as ws:
            assert wait_for_learners(ws, 2) == [{"task": "1.1", "passed": 1, "stuck": 0, "line": "", "times": 0}]


def test_another_word_is_refused_everywhere(server: Redis) -> None:  # noqa: F811
    with instance(server) as process, instance(server, CLASS_WORD="") as without:
        for one, word in ((process, "otter-43"), (without, WORD)):
            assert report(one, ANA, word)[0] == 404
            assert one.get(f"/{word}/")[0] == one.get(f"/{word}/watch")[0] == 404
        assert process.get(f"/{WORD}/")[0] == process.get(f"/user/ana/proxy/9443/{WORD}/page.js")[0] == 200
        status, headers, _ = process.get(f"/app/{WORD}")
        assert (status, headers["location"]) == (302, f"{WORD}/")


def test_a_word_that_no_link_can_have_is_one_clear_line() -> None:
    process = Process("07-class-board", CLASS_WORD="Otter 42")
    code, output = process.finish()
    assert code == 1
    assert output.splitlines() == [
        "CLASS_WORD must be 3 to 40 small letters, digits and hyphens, not 'Otter 42'. Example: otter-42"]


@pytest.mark.parametrize(("body", "reason"), [
    (b"{not json", "Expecting property name"),
    ({"learner": ANA}, "A report has a learner, and tasks"),
    ([], "A report has a learner, and tasks"),
    ({"learner": ANA, "tasks": {"1.1": "PASS"}}, "A report has a learner, and tasks"),
    ({"learner": "Ana Lopez", "tasks": {}}, "The learner's code must be"),
    ({"learner": ANA, "tasks": {"<b>": {"verdict": "PASS"}}}, "Tasks must be numbers such as 3.1"),
    ({"learner": ANA, "tasks": {"1.1": {"verdict": "GREAT"}}}, "Unknown verdict: GREAT"),
])
def test_a_wrong_report_is_refused_with_a_reason(server: Redis, body: object, reason: str) -> None:  # noqa: F811
    with instance(server) as process:
        status, text = post(f"http://127.0.0.1:{process.port}/{WORD}/report", body)
    assert status == 400 and text.startswith(reason)


def test_a_class_and_a_report_have_a_size(server: Redis) -> None:  # noqa: F811
    board = module("07-class-board", "board")
    with pytest.raises(ValueError, match="at most 100"):
        board.parse_report({"learner": ANA, "tasks": {f"{n // 50}.{n % 50}": {"verdict": "PASS"} for n in range(101)}})
    with instance(server) as process:
        assert post(f"http://127.0.0.1:{process.port}/{WORD}/report", {"x": "x" * 40_000})[0] == 413
        with redis.Redis.from_url(server.url) as client:
            client.hset(f"class:{WORD}", mapping={f"{n:032x}": "{}" for n in range(board.MOST_LEARNERS)})
        assert report(process, ANA) == (403, "The class is full\n")
        assert report(process, f"{7:032x}", t1_1=("PASS", ""))[0] == 204  # a member can still report


def test_it_outlives_a_redis_that_restarts(server: Redis) -> None:  # noqa: F811
    with instance(server) as process, watching(process) as ws:
        report(process, ANA, t1_1=("PASS", ""))
        wait_for_learners(ws, 1)
        server.stop()
        assert report(process, BO) == (503, "Redis does not answer\n")
        server.start()
        assert report(process, BO)[0] == 204
        wait_for_learners(ws, 2)
        ws.close()
        process.send_signal(signal.SIGTERM)
        _, output = process.finish()
        assert [json.loads(line)["event"] for line in output.splitlines()].count("redis-answers") == 1, output


@pytest.mark.parametrize("how", ["SIGTERM", "/pre-stop"])
def test_pages_get_1001_when_the_instance_ends(server: Redis, how: str) -> None:  # noqa: F811
    with instance(server) as process:
        with watching(process) as ws:
            ws.recv(timeout=10)
            if how == "SIGTERM":
                process.send_signal(signal.SIGTERM)
            else:
                process.get(how)
            assert close_code(ws) == 1001
        process.send_signal(signal.SIGTERM)
        _, output = process.finish()
    records = [json.loads(line) for line in output.splitlines()]
    assert [one["event"] for one in records if one["requestId"] == REQUEST_ID] == ["open", "closed"]


def test_two_instances_on_fclocal_show_the_same_class(fc: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLASS_WORD", WORD)  # s.yaml reads it
    app = fc.deploy("functions/07-class-board", instanceConcurrency=1)
    url = app.url.replace("https", "http") + f"/{WORD}"
    assert post(f"{url}/report", {"learner": ANA, "tasks": {}})[0] == 204
    with connect(url.replace("http", "ws") + "/watch", proxy=None) as ws:  # occupies the first instance
        wait_for_learners(ws, 1)
        assert post(f"{url}/report", {"learner": BO, "tasks": {}})[0] == 204  # starts a second one
        wait_for_learners(ws, 2)
    assert len(fc.instances("class-board")) == 2
