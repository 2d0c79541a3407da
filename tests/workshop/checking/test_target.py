"""What checks are written with: calls of a learner's function, scripts, known mistakes, the client's fence."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import pytest
from websockets.asyncio.server import ServerConnection, serve

from workshop.checking import Findings, Mistake, Returned, Target, Unexpected, preview

T = TypeVar("T")
FILE = '''
import atexit, sys, time
print("a learner may print")
atexit.register(print, "at the end, too")

def double(n):
    print("and here")
    return n * 2

async def later(n):
    return n + 1

def leave(n):
    sys.exit(n)

def for_ever(n):
    time.sleep(600)
'''


def with_target(folder: Path, work: Callable[[Target], Awaitable[T]]) -> T:
    async def run() -> T:
        async with Target(folder, lambda: None) as target:
            return await work(target)

    return asyncio.run(run())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "sums.py").write_text(FILE)
    return tmp_path


def test_calls_in_a_process_of_their_own(folder: Path) -> None:
    assert with_target(folder, lambda t: t.call("sums.py", "double", [2], ["a"])) == [Returned(4), Returned("aa")]
    assert with_target(folder, lambda t: t.call("sums.py", "later", [2])) == [Returned(3)]
    [got] = with_target(folder, lambda t: t.call("sums.py", "double", [None]))
    assert got.error.startswith("TypeError: ") and "sums.py" in got.trace


@pytest.mark.parametrize(("function", "argument", "saw"), [
    ("leave", 0, "leave() ended the program"),
    ("leave", 3, "sums.py ended with 3"),
    ("for_ever", 1, "for_ever() was still running after 0.5 s"),
    ("nothing", 1, "sums.py has no function nothing"),
])
def test_what_cannot_be_called_is_said(folder: Path, function: str, argument: int, saw: str) -> None:
    seconds = 0.5 if function == "for_ever" else 10
    with pytest.raises(Unexpected) as raised:
        with_target(folder, lambda t: t.call("sums.py", function, [argument], seconds=seconds))
    assert str(raised.value).startswith(saw)


def test_a_script_that_does_not_end_is_stopped(folder: Path) -> None:
    (folder / "loop.py").write_text("import time\nprint('begun', flush=True)\ntime.sleep(600)\n")
    done = with_target(folder, lambda t: t.run("loop.py", seconds=1))
    assert (done.code, done.out) == (None, "begun\n")


def test_a_traceback_has_no_colours_in_a_notebook(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # ipykernel sets it, and Python 3.13 and above obey it
    (folder / "broken.py").write_text("everything\n")
    done = with_target(folder, lambda t: t.run("broken.py"))
    assert done.err.endswith("\nNameError: name 'everything' is not defined\n")


def test_a_script_is_stopped_as_soon_as_its_output_shows_that_it_failed(folder: Path) -> None:
    (folder / "loop.py").write_text("import time\nprint('wrong\\nhalf a line', end='', flush=True)\ntime.sleep(600)\n")

    async def failed(out: str) -> bool:
        return out == "wrong"

    done = with_target(folder, lambda t: t.run("loop.py", seconds=60, failed=failed))
    assert (done.code, done.out) == (None, "wrong\nhalf a line")


@pytest.mark.parametrize(("mistake", "fits"), [
    (Mistake("1.1", "x", saw="nothing"), True),
    (Mistake("*", "x", saw="nothing", log="Trace.*Error"), True),
    (Mistake("1.2", "x", saw="nothing"), False),
    (Mistake("1.1", "x", saw="nothing", code="await"), False),
    (Mistake("1.1", "x", when=lambda findings: findings.code == "pass"), True),
])
def test_a_mistake_fits_when_all_it_names_fits(mistake: Mistake, fits: bool) -> None:
    assert mistake.fits(Findings("1.1", "ana received nothing", "Trace\nError", "pass")) is fits


def test_the_fence_tells_what_came_before_without_waiting() -> None:
    async def chatty(ws: ServerConnection) -> None:
        async for message in ws:
            if message == "go":
                await ws.send("one")
                await ws.send("two")
            else:
                await ws.send(message)

    async def run() -> None:
        async with serve(chatty, "127.0.0.1", 0) as server, Target(Path(), lambda: None) as target:
            port = next(iter(server.sockets)).getsockname()[1]
            ana = await target.connect("ana", url=f"http://127.0.0.1:{port}")
            assert await ana.fence("fence") == []
            await ana.send("go")
            assert await ana.fence(b"fence") == ["one", "two"]
            with pytest.raises(Unexpected, match=r"ana received nothing within 0\.1 s"):
                await ana.receive(0.1)
            await ana.close(4000, "enough")
            with pytest.raises(Unexpected, match="ana's connection was closed with 4000 enough"):
                await ana.receive()
            assert [w.kind for w in target.wire if w.receiver == "ana"] == ["(101)", "TEXT", "TEXT", "TEXT", "BINARY",
                                                                           "CLOSE"]

    asyncio.run(run())


def test_a_ping_is_written_down_with_its_pong() -> None:
    async def pings(ws: ServerConnection) -> None:
        await ws.recv()
        await (await ws.ping(b"ab"))
        await ws.send("alive")
        await ws.wait_closed()

    async def run() -> None:
        async with serve(pings, "127.0.0.1", 0) as server, Target(Path(), lambda: None) as target:
            port = next(iter(server.sockets)).getsockname()[1]
            ana = await target.connect("ana", url=f"http://127.0.0.1:{port}")
            await ana.send("go")
            await ana.expect("alive")
            assert [(w.sender, w.kind, w.text) for w in target.wire if w.kind[0] == "P"] == [
                ("fn", "PING", "2 bytes 61 62"), ("ana", "PONG", "2 bytes 61 62")]

    asyncio.run(run())


def test_previews_are_short_and_ascii() -> None:
    assert preview("caf\u00e9") == '"caf\\u00e9"'
    assert preview(b"\x00\xff") == "2 bytes 00 ff"
    assert len(preview("x" * 500)) < 70
