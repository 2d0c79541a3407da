"""The append-only record of everything that happens, kept in SQLite.

The records of five milliseconds are written in one transaction, so an append costs microseconds and a killed
platform loses at most its last five milliseconds. (A transaction for each record costs a third of the gateway's
rate of opens, one for each turn of the event loop a tenth.)
"""

import asyncio
import contextlib
import json
import sqlite3
import sys
import threading
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

from fclocal.core import records
from fclocal.core.clock import Clock
from fclocal.core.records import Record

_SCHEMA = """
CREATE TABLE IF NOT EXISTS records (
    seq INTEGER PRIMARY KEY, at REAL NOT NULL, kind TEXT NOT NULL,
    function TEXT NOT NULL, instance TEXT NOT NULL, request TEXT NOT NULL, data TEXT NOT NULL)
"""
_GATHER = 0.005  # seconds
_BULKY = ("log", "tap.frame")
_KEEP_BULKY = 100_000  # log lines and frames kept over a restart
_MOST_PENDING = 100_000  # records kept in memory while the disk refuses them

Listener = Callable[[Record], None]


class Journal:
    """Append, subscribe, read. `path` is the database file; one Journal writes it at a time."""

    def __init__(self, path: Path, clock: Clock) -> None:
        self._path = path
        self._clock = clock
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._db.execute("PRAGMA journal_mode=WAL")
        # A killed process loses nothing that was committed; only a power cut could. That is enough here.
        self._db.execute("PRAGMA synchronous=OFF")
        self._db.execute(_SCHEMA)
        self._prune()
        self._seq: int = self._db.execute("SELECT COALESCE(MAX(seq), 0) FROM records").fetchone()[0]
        self._pending: list[Record] = []
        self._scheduled = False
        self._refused = False
        self._writing = threading.Lock()  # read() may flush from another thread
        self._listeners: list[Listener] = []

    def _prune(self) -> None:
        marks = ",".join("?" * len(_BULKY))
        self._db.execute(
            f"DELETE FROM records WHERE kind IN ({marks}) AND seq <= COALESCE((SELECT seq FROM records"
            f" WHERE kind IN ({marks}) ORDER BY seq DESC LIMIT 1 OFFSET {_KEEP_BULKY}), 0)",
            (*_BULKY, *_BULKY),
        )

    def append(self, kind: str, *, function: str = "", instance: str = "", request: str = "", **data: Any) -> Record:
        """Write one record now. Raises ValueError if `data` does not have the facts of `kind`."""
        records.check(kind, data)
        self._seq += 1
        record = Record(self._seq, self._clock.now(), kind, function, instance, request, data)
        self._pending.append(record)
        for listener in tuple(self._listeners):
            listener(record)
        if not self._scheduled:
            try:
                asyncio.get_running_loop().call_later(_GATHER, self.flush)
            except RuntimeError:
                self.flush()
            else:
                self._scheduled = True
        return record

    def flush(self) -> None:
        """Write what is pending. A full disk stops nothing: it is said once, the oldest records give way."""
        with self._writing:
            self._write()

    def _write(self) -> None:
        self._scheduled = False
        if not self._pending:
            return
        pending, self._pending = self._pending, []
        rows = [(r.seq, r.at, r.kind, r.function, r.instance, r.request, json.dumps(r.data)) for r in pending]
        try:
            self._db.execute("BEGIN")
            self._db.executemany("INSERT INTO records VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
            self._db.execute("COMMIT")
            self._refused = False
        except sqlite3.OperationalError as error:
            with contextlib.suppress(sqlite3.OperationalError):
                self._db.execute("ROLLBACK")
            self._pending = (pending + self._pending)[-_MOST_PENDING:]
            if not self._refused:
                print(f"journal not written: {error}", file=sys.stderr, flush=True)
            self._refused = True

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Call `listener` with each new record; the answer ends the subscription."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def read(
        self, after: int = 0, *, function: str | None = None, kinds: Collection[str] = (), limit: int | None = None
    ) -> Iterator[Record]:
        """Records with seq > `after` in order; only those of `function`, of `kinds`, the first `limit`.

        Kinds may end in ".*". May be called from any thread.
        """
        where, values = ["seq > ?"], [after]  # type: list[str], list[Any]
        if function is not None:
            where.append("function = ?")
            values.append(function)
        if kinds:
            where.append("(" + " OR ".join("kind GLOB ?" for _ in kinds) + ")")
            values.extend(kinds)
        self.flush()  # also waits for another thread that is writing: its records are not pending, and not yet readable
        query = f"SELECT * FROM records WHERE {' AND '.join(where)} ORDER BY seq LIMIT ?"
        with contextlib.closing(sqlite3.connect(self._path, check_same_thread=False)) as db:
            for seq, at, kind, name, instance, request, data in db.execute(query, (*values, limit or -1)):
                yield Record(seq, at, kind, name, instance, request, json.loads(data))

    def last(self) -> int:
        """The seq of the newest record, 0 if there is none."""
        return self._seq

    def close(self) -> None:
        """Write what is pending and close the file."""
        if self._pending:
            self.flush()
        self._db.close()
