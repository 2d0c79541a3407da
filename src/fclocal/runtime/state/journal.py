"""The append-only record of everything that happens, kept in SQLite within fixed bounds.

`append` only adds to a list. A thread writes the list every 100 ms as one JSON text for output and one for all other
records, in one transaction: the event loop never waits for the disk, and a killed platform loses at most the last
100 ms. (A row for each record made the event loop spend 16 % of its time here.)

When a bound is reached, the oldest output goes first. Older records of requests go too, once a meter has added them
to the sums that bills are computed from. A reader that starts before such a gap gets a record that says so.
"""

import contextlib
import json
import sqlite3
import sys
import threading
import time
from bisect import bisect_right
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import cache
from itertools import groupby, islice
from operator import attrgetter, itemgetter
from pathlib import Path
from typing import Any

from pydantic import ConfigDict, TypeAdapter

from fclocal.core import records
from fclocal.core.clock import Clock
from fclocal.core.errors import FcError
from fclocal.core.metering import Meter
from fclocal.core.records import KINDS, OUTPUT, Record
from fclocal.core.usage import Usage
from fclocal.runtime.state.storage import storage_errors

_FORMAT = 2  # PRAGMA user_version of the tables below
# A row holds the records of one write. `last`: seq of the newest record written then, the same in both tables.
# `count`: the records it stands for. `size` is 0 in the row that stands for dropped ones.
_SCHEMA = """
CREATE TABLE IF NOT EXISTS meter (id INTEGER PRIMARY KEY CHECK (id = 0), metered INTEGER, body TEXT);
CREATE TABLE IF NOT EXISTS facts (last INTEGER PRIMARY KEY, at REAL, count INTEGER, size INTEGER, records TEXT);
CREATE TABLE IF NOT EXISTS output (last INTEGER PRIMARY KEY, at REAL, count INTEGER, size INTEGER, records TEXT);
"""
_TABLES = {"output": OUTPUT, "facts": frozenset(KINDS) - OUTPUT}  # in the order in which records are dropped
LIMITS = {"output": 12 * 2**20, "facts": 18 * 2**20}  # bytes of JSON
KEEP = 14 * 86_400.0  # seconds
_STEP = 7 / 8  # the part of a limit that stays when records are dropped
_GATHER = 0.1  # seconds
_RETRY = 1.0  # seconds between attempts while the disk refuses
_MOST_PENDING = 100_000  # records kept in memory while the disk refuses
_LISTED_SPANS = 1000  # per function, in a bill
_GAPS = {"output": ("log.dropped", "lines"), "facts": ("journal.dropped", "records")}
_LOST = "the timeline, the logs and the bills so far are lost"
_JSON = TypeAdapter(Any, config=ConfigDict(ser_json_inf_nan="constants"))

Listener = Callable[[Record], None]


class Journal:
    """Append, subscribe, read, and the usage for bills. `path` is the database; one Journal writes it at a time.

    Raises FcError StateDamaged or StateNotWritten.
    """

    def __init__(self, path: Path, clock: Clock, *, limits: Mapping[str, int] = LIMITS) -> None:
        self._path = path
        self._clock = clock
        self._limits = limits
        self._listeners: tuple[Listener, ...] = ()
        self._lock = threading.Lock()  # guards _pending and _seq
        self._pending: list[Record] = []  # all that is not committed: readers take these records from here
        self._writing = threading.Lock()
        self._metering = threading.Lock()
        self._refused = False
        self._closed = False
        with storage_errors(path, _LOST), contextlib.ExitStack() as failed:
            self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            failed.callback(self._db.close)
            self._open()
            failed.pop_all()
        self._wake = threading.Event()
        self._writer = threading.Thread(target=self._write_until_closed, name="fclocal-journal", daemon=True)
        self._writer.start()

    def append(self, kind: str, *, function: str = "", instance: str = "", request: str = "", **data: Any) -> Record:
        """Add one record. Raises ValueError if `data` does not have the facts of `kind`."""
        records.check(kind, data)
        with self._lock:
            self._seq += 1
            record = Record(self._seq, self._clock.now(), kind, function, instance, request, data)
            self._pending.append(record)
            first = len(self._pending) == 1
        if first:
            self._wake.set()
        for listener in self._listeners:
            listener(record)
        return record

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Call `listener` with each new record, in the thread that appends it; the answer ends the subscription."""
        self._listeners += (listener,)

        def leave() -> None:
            self._listeners = tuple(one for one in self._listeners if one is not listener)

        return leave

    def read(
        self, after: int = 0, *, function: str | None = None, kinds: Collection[str] = (), limit: int | None = None
    ) -> Iterator[Record]:
        """Yield the records with seq > `after` in order; only those of `function`, of `kinds`, the first `limit`.

        Everything appended before the first step is included, and the records that stand for dropped ones.
        Kinds may end in ".*". Call it from any thread. Raises FcError StateDamaged.
        """
        wanted = records.matching(kinds)
        return islice((record for record in self._all(after, wanted) if record.kind in wanted and (
            function is None or record.function == function or _is_gap(record))), limit)

    def last(self) -> int:
        """Return the seq of the newest record, 0 if there is none."""
        return self._seq

    def usages(self, function: str | None = None, *, now: float | None = None) -> list[Usage]:
        """Return what each function used, dropped records included. Only what came since the last call is read.

        Call it from any thread. Raises FcError StateDamaged.
        """
        with self._metering:
            self._count()
            self._meter.compact()
            return self._meter.at(now, function)

    def flush(self) -> None:
        """Write what is pending. While that fails, warn once and drop the oldest pending records, output first."""
        with self._writing:
            with self._lock:
                batch = self._pending[:]
            if not batch:
                return
            try:
                with storage_errors(self._path, _LOST):
                    self._insert(batch)
                    for table in _TABLES:
                        self._drop(table)
            except FcError as error:
                with contextlib.suppress(sqlite3.Error):
                    self._db.execute("ROLLBACK")
                if not self._refused:
                    print(error.message, file=sys.stderr, flush=True)
                self._refused = True
                self._limit_pending()
            else:
                self._refused = False

    def close(self) -> None:
        """Write what is pending and close the file."""
        self._closed = True
        self._wake.set()
        self._writer.join()
        self.flush()
        self._db.close()

    def _open(self) -> None:
        db = self._db
        db.execute("PRAGMA journal_mode=WAL")
        # A killed process loses nothing that was committed; only a power cut could. That is enough here.
        db.execute("PRAGMA synchronous=OFF")
        if (version := db.execute("PRAGMA user_version").fetchone()[0]) > _FORMAT:
            raise ValueError(f"it has format {version}, this fclocal reads {_FORMAT}")
        if version < _FORMAT and (old := db.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()):
            print(f"{self._path} is of an older fclocal: started a new one", file=sys.stderr, flush=True)
            for (table,) in old:
                db.execute(f'DROP TABLE "{table}"')
            db.execute("VACUUM")
        db.executescript(f"{_SCHEMA} PRAGMA user_version = {_FORMAT};")
        self._seq, self._sizes, self._oldest = 0, dict.fromkeys(_TABLES, 0), dict.fromkeys(_TABLES, 0.0)
        for table in _TABLES:
            self._seq = max(self._seq, self._measure(table))
        saved: tuple[int, str] | None = db.execute("SELECT metered, body FROM meter").fetchone()
        self._metered = saved[0] if saved else 0  # the meter has counted all records up to this seq
        self._meter = _meters().validate_json(saved[1]) if saved else Meter(listed=_LISTED_SPANS)
        self._seq = max(self._seq, self._metered)  # a seq that was counted is never given twice

    def _measure(self, table: str) -> int:
        """Set size and age of a table; return its newest seq."""
        newest, size, oldest = self._db.execute(
            f"SELECT MAX(last), SUM(size), MIN(at) FILTER (WHERE size > 0) FROM {table}").fetchone()
        self._sizes[table], self._oldest[table] = size or 0, oldest or self._clock.now()
        return newest or 0

    def _write_until_closed(self) -> None:
        while not self._closed:
            self._wake.wait(_RETRY if self._refused else None)
            self._wake.clear()
            if not self._closed:
                time.sleep(_GATHER)
                self.flush()

    def _insert(self, batch: Sequence[Record]) -> None:
        last, sizes = batch[-1], dict(self._sizes)
        self._db.execute("BEGIN")
        for table, kinds in _TABLES.items():
            if part := [record for record in batch if record.kind in kinds]:
                text = _encode(part)
                self._db.execute(f"INSERT INTO {table} VALUES (?, ?, ?, ?, ?)",
                                 (last.seq, last.at, sum(map(_weight, part)), len(text), text.decode()))
                sizes[table] += len(text)
        self._db.execute("COMMIT")
        self._sizes = sizes
        with self._lock:
            del self._pending[:len(batch)]
            if self._pending:
                self._wake.set()

    def _drop(self, table: str) -> None:
        """Replace the oldest rows by one that says how many records it stands for, if a bound is reached."""
        horizon, limit = self._clock.now() - KEEP, self._limits[table]
        if self._sizes[table] <= limit and self._oldest[table] >= horizon:
            return
        surplus = self._sizes[table] - int(limit * _STEP) if self._sizes[table] > limit else 0
        count, dropped, last = 0, 0, 0
        for seq, at, records_in_row, size in self._db.execute(
                f"SELECT last, at, count, size FROM {table} ORDER BY last"):
            if dropped >= surplus and at >= horizon:
                break
            last, count, dropped = seq, count + records_in_row, dropped + size
        if dropped:
            [text] = self._db.execute(f"SELECT records FROM {table} WHERE last = ?", (last,)).fetchone()
            newest = Record(*json.loads(text)[-1])
            kind, fact = _GAPS[table]
            gap = Record(newest.seq, newest.at, kind, data={fact: count})
            with self._metering:
                if table == "facts":
                    self._count(newest.seq)
                self._db.execute("BEGIN")
                self._db.execute(f"DELETE FROM {table} WHERE last <= ?", (last,))
                self._db.execute(f"INSERT INTO {table} VALUES (?, ?, ?, 0, ?)",
                                 (last, gap.at, count, _encode([gap]).decode()))
                self._db.execute("INSERT OR REPLACE INTO meter VALUES (0, ?, ?)",
                                 (self._metered, _meters().dump_json(self._meter).decode()))
                self._db.execute("COMMIT")
        self._measure(table)

    def _limit_pending(self) -> None:
        """Drop what is too old to keep in memory, output first; bills keep the sums."""
        if len(self._pending) <= _MOST_PENDING:
            return
        with self._metering, contextlib.suppress(FcError):
            self._count()
        half = _MOST_PENDING // 2
        with self._lock:
            kept = self._pending[-half:]
            for table, kinds in _TABLES.items():
                old = [r for r in self._pending[:-half] if r.kind in kinds]
                drop = old if table == "output" else old[:-half]
                kept += old[len(drop):]
                if drop:
                    kind, fact = _GAPS[table]
                    kept.append(Record(drop[-1].seq, drop[-1].at, kind, data={fact: sum(map(_weight, drop))}))
            self._pending = sorted(kept)

    def _count(self, until: int | None = None) -> None:
        """Let the meter take the records up to `until`. The caller holds _metering."""
        for record in self.read(self._metered, kinds=_TABLES["facts"]):
            if until is not None and record.seq > until:
                return
            self._meter.take(record)
            self._metered = record.seq

    def _all(self, after: int, kinds: frozenset[str]) -> Iterator[Record]:
        """Yield the records with seq > `after`: first the written ones, then those that were not written yet."""
        with self._lock:
            pending = self._pending[bisect_right(self._pending, after, key=attrgetter("seq")):]
            written = self._pending[0].seq - 1 if self._pending else self._seq
        if after < written:
            with storage_errors(self._path, _LOST):
                yield from self._written(after, written, kinds)
        yield from pending

    def _written(self, after: int, until: int, kinds: frozenset[str]) -> Iterator[Record]:
        tables = [table for table, held in _TABLES.items() if kinds & held]
        query = " UNION ALL ".join(f"SELECT last, records FROM {table} WHERE last > :after" for table in tables)
        with contextlib.closing(sqlite3.connect(self._path, check_same_thread=False)) as db:
            rows = db.execute(f"{query} ORDER BY last", {"after": after})
            for _, parts in groupby(rows, itemgetter(0)):
                for values in sorted(values for part in parts for values in json.loads(part[1])):
                    if after < values[0] <= until:
                        yield Record(*values)


def _encode(batch: Sequence[Record]) -> bytes:
    """Return the records as JSON. `json` takes over for text that has no UTF-8: half of a surrogate pair."""
    plain = [tuple(record) for record in batch]  # in other types pydantic looks for rules, which takes as long again
    try:
        return _JSON.dump_json(plain, fallback=repr)
    except ValueError:
        return json.dumps(plain, separators=(",", ":"), default=repr).encode()


def _is_gap(record: Record) -> bool:
    """Report whether the record stands for dropped records of all functions."""
    return not record.function and record.kind in ("log.dropped", "journal.dropped")


def _weight(record: Record) -> int:
    """Return the number of records that this one stands for."""
    kind, data = record.kind, record.data
    return int(data["lines"] if kind == "log.dropped" else data["records"] if kind == "journal.dropped" else 1)


@cache
def _meters() -> TypeAdapter[Meter]:
    """Return the JSON form of a meter; built at the first use, because that takes some milliseconds."""
    return TypeAdapter(Meter)
