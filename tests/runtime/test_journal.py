"""The journal: nothing is lost, readers and listeners see the same, a full disk stops nothing."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
from types import SimpleNamespace

import pytest

from fclocal.core.clock import FakeClock
from fclocal.core.records import Record
from fclocal.runtime.journal import Journal


@pytest.fixture
def journal(tmp_path):
    journal = Journal(tmp_path / "journal.sqlite", FakeClock())
    yield journal
    journal.close()


def test_what_is_appended_is_read_back_in_order_and_after_a_restart(tmp_path):
    clock = FakeClock(1000.0)
    first = Journal(tmp_path / "j", clock)
    first.append("function.created", function="echo", generation=1)
    clock.advance(2.5)
    first.append("log", function="echo", instance="c-1", stream="stdout", text="hello")
    first.close()
    again = Journal(tmp_path / "j", clock)
    again.append("instance.frozen", function="echo", instance="c-1")
    records = list(again.read())
    again.close()
    assert [(r.seq, r.kind) for r in records] == [(1, "function.created"), (2, "log"), (3, "instance.frozen")]
    assert records[1] == Record(2, 1002.5, "log", "echo", "c-1", "", {"stream": "stdout", "text": "hello"})
    assert [Record.from_wire(r.wire()) for r in records] == records


def test_a_reader_can_ask_for_part(journal):
    for name in ("a", "b"):
        journal.append("instance.frozen", function=name, instance="c")
        journal.append("log", function=name, stream="stdout", text="x")
    assert [r.seq for r in journal.read(1)] == [2, 3, 4]
    assert [r.seq for r in journal.read(function="b")] == [3, 4]
    assert [r.seq for r in journal.read(kinds=("instance.*",))] == [1, 3]
    assert [r.seq for r in journal.read(limit=1)] == [1]


def test_a_reader_waits_for_records_that_another_thread_is_writing(journal, monkeypatch):
    """Between taking the pending records and committing them, they were in neither place that a reader looked at."""
    taken, go_on = threading.Event(), threading.Event()
    write = json.dumps

    def slow(data):
        taken.set()
        assert go_on.wait(10)
        return write(data)

    monkeypatch.setattr("fclocal.runtime.journal.json", SimpleNamespace(dumps=slow, loads=json.loads))
    appending = threading.Thread(target=journal.append, args=("instance.frozen",), kwargs={"function": "a"})
    appending.start()
    assert taken.wait(10)
    read = []
    reading = threading.Thread(target=lambda: read.extend(journal.read()))
    reading.start()
    reading.join(0.2)  # too early an answer is the fault that this test is about
    go_on.set()
    appending.join()
    reading.join()
    assert [record.kind for record in read] == ["instance.frozen"]


def test_listeners_hear_each_record_until_they_leave(journal):
    heard = []
    leave = journal.subscribe(heard.append)
    record = journal.append("instance.thawed", function="a", instance="c")
    leave()
    journal.append("instance.frozen", function="a", instance="c")
    assert heard == [record]


def test_a_record_must_have_the_facts_of_its_kind(journal):
    with pytest.raises(ValueError, match="carries"):
        journal.append("instance.stopped", why="idle")
    with pytest.raises(ValueError, match="unknown record kind"):
        journal.append("instance.eaten")


@pytest.mark.parity("state.survives-kill")
def test_a_killed_process_has_lost_at_most_its_last_milliseconds(tmp_path):
    program = (
        "import asyncio, sys\n"
        "from pathlib import Path\n"
        "from fclocal.core.clock import SystemClock\n"
        "from fclocal.runtime.journal import Journal\n"
        "async def main():\n"
        "    journal = Journal(Path(sys.argv[1]), SystemClock())\n"
        "    for turn in range(100):\n"
        "        journal.append('log', stream='stdout', text=str(turn))\n"
        "        await asyncio.sleep(0)\n"
        "    await asyncio.sleep(0.05)\n"  # ten times as long as records are gathered
        "    print('written', flush=True)\n"
        "    await asyncio.Event().wait()\n"
        "asyncio.run(main())\n"
    )
    path = tmp_path / "j"
    with subprocess.Popen([sys.executable, "-c", program, str(path)], stdout=subprocess.PIPE) as child:
        assert child.stdout.readline() == b"written\n"
        os.kill(child.pid, signal.SIGKILL)
    journal = Journal(path, FakeClock())
    assert [r.data["text"] for r in journal.read()] == [str(turn) for turn in range(100)]
    journal.close()


def test_a_disk_that_refuses_stops_nothing_and_is_said_once(tmp_path, capsys):
    journal = Journal(tmp_path / "j", FakeClock())
    limit = journal._db.execute("PRAGMA page_count").fetchone()[0] + 4
    journal._db.execute(f"PRAGMA max_page_count={limit}")  # what a full disk looks like to SQLite

    async def flood():
        for _ in range(50):
            journal.append("log", stream="stdout", text="x" * 1000)
            journal.flush()

    asyncio.run(flood())
    assert capsys.readouterr().err.count("journal not written") == 1
    journal._db.execute("PRAGMA max_page_count=100000")
    journal.close()
    again = Journal(tmp_path / "j", FakeClock())
    assert len(list(again.read())) == 50
    again.close()
