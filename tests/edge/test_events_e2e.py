"""The journal over the /local API: followers, readers that start in the middle, increments, a damaged file."""

import contextlib
import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests
from awaited import until

import fclocal

ECHO = Path(__file__).parents[2] / "functions" / "01-echo"


def test_three_followers_under_load_get_every_record_once_and_in_order(fc):
    app = fc.deploy(ECHO, instanceConcurrency=20)
    start = fc.status()["journal"]
    seen = [[], [], []]

    def follow(mine):
        for record in fc.events(start, follow=True):
            mine.append(record)
            if sum(one.kind == "request.end" for one in mine) == 60:
                return

    threads = [threading.Thread(target=follow, args=(mine,), daemon=True) for mine in seen]
    for thread in threads:
        thread.start()

    def request(number):
        # The function answers 426 to a request that is not a WebSocket; it is a request on an instance like any other.
        return requests.get(f"{app.url}/{number}", verify=str(fc.at.state / "ca" / "ca.pem"), timeout=20).status_code

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(request, range(60)))) == 1
    for thread in threads:
        thread.join(20)
    middle = seen[0][len(seen[0]) // 2].seq
    everything = list(fc.events(start))
    assert [sum(r.kind == "request.begin" for r in mine) for mine in seen] == [60, 60, 60]
    for mine in seen:
        assert mine == everything[:len(mine)]
    rest = [record for record in everything if record.seq > middle]
    assert list(fc.events(middle))[:len(rest)] == rest


def test_changes_are_read_in_increments(fc):
    first, cursor = fc.changes()
    assert [r.kind for r in first] == ["platform.started"] and cursor == first[-1].seq
    assert fc.changes(cursor) == ([], cursor) and fc.status()["started"] == cursor
    fc.deploy(ECHO)
    nothing, cursor_of_logs = fc.changes(cursor, kinds="tap.*")
    assert (nothing, cursor_of_logs) == ([], fc.status()["journal"]), "the cursor passes records of other kinds"
    second, cursor = fc.changes(cursor)
    assert second == list(fc.events(first[-1].seq)) and cursor == second[-1].seq


def test_a_damaged_journal_is_an_error_and_not_an_empty_answer(fc):
    fc.deploy(ECHO)
    with contextlib.closing(sqlite3.connect(fc.at.state / "journal.sqlite", timeout=10)) as db, db:
        until(lambda: db.execute("SELECT 1 FROM facts").fetchone())  # the platform writes its first records together
        db.execute("INSERT OR REPLACE INTO facts VALUES (1, 0, 1, 2, '[[')")
    for read in (lambda: list(fc.events()), lambda: fc.changes(), lambda: fc.bill("echo")):
        with pytest.raises(fclocal.FcError, match=r"journal\.sqlite is damaged"):
            read()
