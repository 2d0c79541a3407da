"""The journal: nothing is lost, every reader gets every record once, its size is bounded, a full disk stops nothing."""

import asyncio
import contextlib
import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading

import pytest
from fake_clock import FakeClock

from fclocal.core import billing
from fclocal.core.errors import FcError
from fclocal.core.metering import meter
from fclocal.core.records import Record
from fclocal.runtime.state import journal as module
from fclocal.runtime.state.journal import Journal


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


@pytest.mark.parametrize("text", ["caf\u00e9 \u4e2d \U0001f600", 'quotes " \\ \x00 \u2028', "half a pair: \ud83d"])
def test_any_text_survives_being_written(tmp_path, text):
    first = Journal(tmp_path / "j", FakeClock())
    first.append("log", function="echo", stream="stdout", text=text)
    first.append("instance.kept", function="echo", until=float("inf"))
    first.close()
    again = Journal(tmp_path / "j", FakeClock())
    records = list(again.read())
    again.close()
    assert [record.data for record in records] == [{"stream": "stdout", "text": text}, {"until": float("inf")}]


def test_a_reader_can_ask_for_part(journal):
    for name in ("a", "b"):
        journal.append("instance.frozen", function=name, instance="c")
        journal.append("log", function=name, stream="stdout", text="x")
    assert [r.seq for r in journal.read(1)] == [2, 3, 4]
    assert [r.seq for r in journal.read(function="b")] == [3, 4]
    assert [r.seq for r in journal.read(kinds=("instance.*",))] == [1, 3]
    assert [r.seq for r in journal.read(limit=1)] == [1]


def test_listeners_receive_each_record_until_they_leave(journal):
    received = []
    leave = journal.subscribe(received.append)
    record = journal.append("instance.thawed", function="a", instance="c")
    leave()
    journal.append("instance.frozen", function="a", instance="c")
    assert received == [record]


def test_a_record_must_have_the_facts_of_its_kind(journal):
    with pytest.raises(ValueError, match="carries"):
        journal.append("instance.stopped", why="idle")
    with pytest.raises(ValueError, match="unknown record kind"):
        journal.append("instance.eaten")


def test_every_reader_gets_every_record_once_and_in_order_while_records_are_written(tmp_path):
    journal = Journal(tmp_path / "j", FakeClock())
    total = 8000
    done = threading.Event()
    seen = [[], [], [], []]

    def follow(mine, after):
        while not done.is_set() or after < journal.last():
            newest = journal.last()  # a reader may rely on it: all records up to here are in its answer
            mine += [record.seq for record in journal.read(after)]
            after = max([after, newest, *mine[-1:]])

    async def append():
        for number in range(total):
            if number % 3:
                journal.append("log", stream="stdout", text="x")
            else:
                journal.append("instance.frozen", function="echo", instance="c")
            if not number % 20:
                await asyncio.sleep(0)

    threads = [threading.Thread(target=follow, args=(mine, 0)) for mine in seen[:3]]
    threads += [threading.Thread(target=follow, args=(seen[3], total // 2))]
    for thread in threads:
        thread.start()
    asyncio.run(append())
    done.set()
    for thread in threads:
        thread.join()
    journal.close()
    assert seen[:3] == [list(range(1, total + 1))] * 3
    assert seen[3] == list(range(total // 2 + 1, total + 1))


class SlowCommits:
    """A database whose commits wait for `release`."""

    def __init__(self, db):
        self.db, self.reached, self.release = db, threading.Event(), threading.Event()

    def execute(self, sql, *values):
        if sql == "COMMIT":
            self.reached.set()
            self.release.wait(10)
        return self.db.execute(sql, *values)

    def __getattr__(self, name):
        return getattr(self.db, name)


def test_a_reader_gets_the_records_that_are_being_written(journal):
    journal._db = slow = SlowCommits(journal._db)
    threading.Thread(target=journal.append, args=("instance.frozen",)).start()
    assert slow.reached.wait(5)
    try:
        assert [record.seq for record in journal.read()] == [1]
    finally:
        slow.release.set()


@pytest.mark.parity("state.survives-kill")
def test_a_killed_process_has_lost_at_most_its_last_milliseconds(tmp_path):
    program = (
        "import asyncio, sys\n"
        "from pathlib import Path\n"
        "from fclocal.core.clock import SystemClock\n"
        "from fclocal.runtime.state.journal import Journal\n"
        "async def main():\n"
        "    journal = Journal(Path(sys.argv[1]), SystemClock())\n"
        "    for turn in range(100):\n"
        "        journal.append('log', stream='stdout', text=str(turn))\n"
        "        await asyncio.sleep(0)\n"
        "    await asyncio.sleep(0.2)\n"  # ten times as long as records are gathered
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


def requests(number, seed=1):
    """Yield (seconds to wait, what to append) of `number` requests with output on some instances."""
    generator = random.Random(seed)
    running = []
    for instance in range(6):
        yield 0.0, ("instance.starting", f"c-{instance}", ""), {
            "version": "", "generation": 1, "concurrency": 3, "cpu": 0.35, "memorySize": 512, "diskSize": 1024,
            "why": "minimum" if instance == 5 else "request", "rest": "hibernating"}
        yield 0.2, ("instance.ready", f"c-{instance}", ""), {"seconds": 0.2, "pid": 1, "port": 1}
    for request in range(number):
        instance = f"c-{generator.randrange(6)}"
        running.append((f"r-{request}", instance))
        yield generator.expovariate(2.0), ("request.begin", instance, f"r-{request}"), {
            "protocol": "websocket", "method": "GET", "path": "/", "trigger": "http", "qualifier": "LATEST",
            "version": "", "concurrency": 3, "client": "127.0.0.1", "cold": False, "waited": 0.0}
        yield 0.0, ("log", instance, f"r-{request}"), {"stream": "stdout", "text": "x" * generator.randrange(200)}
        while len(running) > generator.randrange(6):
            request, instance = running.pop(generator.randrange(len(running)))
            status, why = generator.choice([(101, "done"), (101, "timeout"), (503, "fault")])
            yield generator.expovariate(4.0), ("request.end", instance, request), {
                "status": status, "closeCode": None, "why": why, "error": "", "bytesIn": 10, "bytesOut": 20}


def play(journal, clock, number, *, keep):
    """Append the requests, and each record to `keep`, writing now and then as the writer does."""
    for count, (seconds, (kind, instance, request), facts) in enumerate(requests(number)):
        clock.advance(seconds)
        keep.append(journal.append(kind, function="echo", instance=instance, request=request, **facts))
        if not count % 40:
            journal.flush()
    journal.flush()


def amounts(usages, now):
    """Return a bill without its list of spans."""
    bill = billing.bill(usages, now=now)
    return {**bill.wire(), "spans": None, "earlier": None, "seconds": bill.seconds, "requests": bill.requests}


@pytest.mark.parity("state.journal-bounded")
def test_a_bounded_journal_keeps_every_amount_of_the_bill_and_says_what_it_dropped(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_LISTED_SPANS", 20)
    limits = {"output": 20_000, "facts": 60_000}
    clock, everything = FakeClock(), []
    journal = Journal(tmp_path / "j", clock, limits=limits)
    play(journal, clock, 3000, keep=everything)
    now = clock.now() + 1
    expected = amounts(meter(everything, now=now), now)
    assert amounts(journal.usages(now=now), now) == expected
    assert amounts(journal.usages("echo", now=now), now) == expected

    kept = list(journal.read())
    assert [record.seq for record in kept] == sorted({record.seq for record in kept})
    gaps = {record.kind: record.data for record in kept if not record.function}
    lines = [record for record in everything if record.kind == "log"]
    assert gaps["log.dropped"]["lines"] == len(lines) - sum(record.kind == "log" for record in kept)
    assert gaps["journal.dropped"]["records"] == len(everything) - len(lines) - sum(
        record.kind != "log" and bool(record.function) for record in kept)
    assert next(journal.read(kinds=("log.dropped", "log"), function="echo")).kind == "log.dropped"
    journal.close()

    again = Journal(tmp_path / "j", clock, limits=limits)
    assert list(again.read()) == kept
    assert amounts(again.usages(now=now), now) == expected
    assert again.append("instance.frozen", function="echo", instance="c-1").seq == everything[-1].seq + 1
    again.close()
    with contextlib.closing(sqlite3.connect(tmp_path / "j")) as db, db:
        assert db.execute("SELECT SUM(size) FROM output").fetchone()[0] <= limits["output"]
        assert db.execute("SELECT SUM(size) FROM facts").fetchone()[0] <= limits["facts"]


def test_output_is_dropped_before_the_records_of_requests(tmp_path):
    journal = Journal(tmp_path / "j", FakeClock(), limits={"output": 10_000, "facts": 10_000_000})
    journal.append("function.created", function="echo", generation=1)
    for _ in range(100):
        journal.append("log", function="echo", stream="stdout", text="x" * 500)
        journal.flush()
    kinds = [record.kind for record in journal.read()]
    assert kinds[:2] == ["function.created", "log.dropped"] and 5 < kinds.count("log") < 20
    journal.close()


def test_records_older_than_two_weeks_are_dropped_and_billed_all_the_same(tmp_path):
    clock, everything = FakeClock(), []
    journal = Journal(tmp_path / "j", clock)
    play(journal, clock, 20, keep=everything)
    clock.advance(module.KEEP + 60)
    journal.append("instance.frozen", function="echo", instance="c-1")
    journal.flush()
    assert {record.kind for record in journal.read()} == {"log.dropped", "journal.dropped", "instance.frozen"}
    assert journal.usages()[0].bytes_out == meter(everything)[0].bytes_out > 0
    journal.append("log", function="echo", stream="stdout", text="x")
    journal.flush()
    assert len(list(journal.read())) == 4
    journal.close()


def test_a_disk_that_refuses_stops_nothing_and_is_reported_once(tmp_path, capsys):
    journal = Journal(tmp_path / "j", FakeClock())
    limit = journal._db.execute("PRAGMA page_count").fetchone()[0] + 4
    journal._db.execute(f"PRAGMA max_page_count={limit}")  # what a full disk looks like to SQLite
    for _ in range(50):
        journal.append("log", stream="stdout", text="x" * 1000)
        journal.flush()
    assert len(list(journal.read())) == 50, "readers do not need the disk"
    assert capsys.readouterr().err.count("j cannot be written (database or disk is full). Free space") == 1
    journal._db.execute("PRAGMA max_page_count=100000")
    journal.close()
    again = Journal(tmp_path / "j", FakeClock())
    assert len(list(again.read())) == 50
    again.close()


def test_while_the_disk_refuses_memory_is_bounded_and_bills_are_complete(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_MOST_PENDING", 200)
    clock, everything = FakeClock(), []
    journal = Journal(tmp_path / "j", clock)
    limit = journal._db.execute("PRAGMA page_count").fetchone()[0] + 1
    journal._db.execute(f"PRAGMA max_page_count={limit}")
    play(journal, clock, 1000, keep=everything)
    assert len(journal._pending) <= 300
    kept = list(journal.read())
    assert {record.kind for record in kept if not record.function} == {"log.dropped", "journal.dropped"}
    assert amounts(journal.usages(), clock.now()) == amounts(meter(everything), clock.now())
    journal._db.execute("PRAGMA max_page_count=100000")
    journal.flush()
    assert list(journal.read()) == kept
    journal.close()


def test_the_writer_survives_a_database_that_breaks_while_it_runs(tmp_path, capsys):
    journal = Journal(tmp_path / "j", FakeClock())
    journal._db.execute("ALTER TABLE facts RENAME TO broken")
    for _ in range(3):
        journal.append("instance.frozen", function="echo", instance="c-1")
        journal.flush()
    journal._db.execute("ALTER TABLE broken RENAME TO facts")
    journal.append("instance.frozen", function="echo", instance="c-1")
    journal._writer.join(0.1)
    assert journal._writer.is_alive()
    journal.close()
    assert capsys.readouterr().err.count("j cannot be written") == 1
    again = Journal(tmp_path / "j", FakeClock())
    assert len(list(again.read())) == 4
    again.close()


def test_a_journal_of_another_format_is_replaced_when_older_and_refused_when_newer(tmp_path, capsys):
    with contextlib.closing(sqlite3.connect(tmp_path / "older")) as db, db:
        db.execute("CREATE TABLE records (seq INTEGER PRIMARY KEY)")
    journal = Journal(tmp_path / "older", FakeClock())
    assert list(journal.read()) == [] and "of an older fclocal" in capsys.readouterr().err
    journal.close()
    with contextlib.closing(sqlite3.connect(tmp_path / "newer")) as db, db:
        db.execute("PRAGMA user_version = 99")
    with pytest.raises(FcError, match="format 99"):
        Journal(tmp_path / "newer", FakeClock())


@pytest.mark.parametrize("damage", ["no database", "page", "text"])
def test_a_damaged_journal_is_named_with_its_fix(tmp_path, damage):
    path = tmp_path / "journal.sqlite"
    journal = Journal(path, FakeClock())
    for _ in range(200):
        journal.append("log", stream="stdout", text="x" * 100)
        journal.flush()
    journal.close()
    match damage:
        case "no database":
            path.write_bytes(b"not a database" * 1000)
        case "page":
            data = bytearray(path.read_bytes())
            data[len(data) // 2:] = os.urandom(len(data) - len(data) // 2)
            path.write_bytes(data)
        case "text":
            with contextlib.closing(sqlite3.connect(path)) as db, db:
                db.execute("UPDATE output SET records = '[[' WHERE last = 100")
    with pytest.raises(FcError) as caught, contextlib.closing(Journal(path, FakeClock())) as damaged:
        list(damaged.read())
    assert caught.value.code == "StateDamaged"
    assert f"{path} is damaged" in caught.value.message and "Delete the file" in caught.value.message
