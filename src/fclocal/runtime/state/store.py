"""The deployed functions with their triggers, versions and aliases, custom domains and code, stored in SQLite.

Everything is also in memory, so a read is a look-up in a dict. A change is one transaction and reaches memory only
after its commit; a killed process loses nothing that it acknowledged. Call it from one thread only, except
`put_code`.
"""

import contextlib
import hashlib
import json
import os
import secrets
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from fclocal.core.model import Code, CustomDomain, Function
from fclocal.runtime.state import package
from fclocal.runtime.state.storage import storage_errors

_FORMAT = 1  # PRAGMA user_version of the tables below
_SCHEMA = """
CREATE TABLE IF NOT EXISTS functions (name TEXT PRIMARY KEY, body TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS domains (name TEXT PRIMARY KEY, body TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS settings (name TEXT PRIMARY KEY, body TEXT NOT NULL);
"""
_LOST = "deploy your functions again"
_KEEP_CODE = 120.0
"""Seconds a package outlives its last use: an instance that starts right now may still have to unpack it, and a
start takes at most 120 s."""


class Store:
    """The state of one platform. `path` is the database; code and credentials are beside it.

    Raises FcError StateDamaged if the database is damaged or of a newer fclocal, StateNotWritten from any change.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._code = path.parent / "code"
        with storage_errors(self._code, _LOST):
            self._code.mkdir(parents=True, exist_ok=True)
        self._unused: dict[str, float] = {}
        with contextlib.ExitStack() as failed:
            with storage_errors(path, _LOST):
                self._db = sqlite3.connect(path, isolation_level=None)
                failed.callback(self._db.close)
                self._load()
            self.access_key_id, self.access_key_secret = _credentials(path.parent / "credentials.json")
            failed.pop_all()
        self.functions: Mapping[str, Function] = MappingProxyType(self._functions)
        self.domains: Mapping[str, CustomDomain] = MappingProxyType(self._domains)
        for file in self._code.iterdir():  # drafts of a killed process, packages of functions deleted last time
            if file.suffix != ".zip" or file.stem not in self._checksums():
                file.unlink()

    def _load(self) -> None:
        rows = self._rows()
        self._functions = {name: Function.model_validate_json(body) for name, body in rows["functions"]}
        self._domains = {name: CustomDomain.model_validate_json(body) for name, body in rows["domains"]}
        self._settings: dict[str, int] = {name: json.loads(body) for name, body in rows["settings"]}

    def _rows(self) -> dict[str, list[tuple[str, str]]]:
        self._db.execute("PRAGMA journal_mode=WAL")
        # In WAL mode a killed process loses nothing committed; only a power cut could. That is enough here.
        self._db.execute("PRAGMA synchronous=NORMAL")
        if (version := self._db.execute("PRAGMA user_version").fetchone()[0]) not in (0, _FORMAT):
            raise ValueError(f"it has format {version}, this fclocal reads {_FORMAT}")
        self._db.executescript(f"{_SCHEMA} PRAGMA user_version = {_FORMAT};")
        return {table: self._db.execute(f"SELECT name, body FROM {table} ORDER BY rowid").fetchall()
                for table in ("functions", "domains", "settings")}

    def save(self, function: Function) -> None:
        """Store `function`, replacing the one of that name."""
        self._put("functions", function.name, function.model_dump_json(by_alias=True, exclude_none=True))
        self._functions[function.name] = function

    def remove(self, name: str) -> None:
        """Delete the function `name`."""
        self._execute("DELETE FROM functions WHERE name = ?", (name,))
        del self._functions[name]

    def save_domain(self, domain: CustomDomain) -> None:
        """Store `domain`, replacing the one of that name."""
        self._put("domains", domain.domain_name, domain.model_dump_json(by_alias=True, exclude_none=True))
        self._domains[domain.domain_name] = domain

    def remove_domain(self, name: str) -> None:
        """Delete the custom domain `name`."""
        self._execute("DELETE FROM domains WHERE name = ?", (name,))
        del self._domains[name]

    @property
    def control_port(self) -> int | None:
        """The port of the management API in the last run."""
        return self._settings.get("control_port")

    @control_port.setter
    def control_port(self, port: int) -> None:
        self._put("settings", "control_port", json.dumps(port))
        self._settings["control_port"] = port

    def put_code(self, data: bytes) -> Code:
        """Check and store the package `data`. Call it from any thread.

        Raises FcError CodeInvalid, EntityTooLarge or StateNotWritten; then nothing is stored.
        """
        package.check_zip(data)
        code = Code(checksum=hashlib.sha256(data).hexdigest(), size=len(data))
        target = self.code_path(code.checksum)
        if not target.exists():
            draft = target.with_suffix(f".{secrets.token_hex(4)}")
            with storage_errors(draft, _LOST), contextlib.ExitStack() as failed:
                failed.callback(draft.unlink, missing_ok=True)  # a partial file must not keep a full disk full
                draft.write_bytes(data)
                draft.replace(target)
                failed.pop_all()
        return code

    def code_path(self, checksum: str) -> Path:
        """Return the path of the package with this SHA-256 (hex)."""
        return self._code / f"{checksum}.zip"

    def sweep(self, now: float) -> None:
        """Remove packages that no function or version has used for two minutes; `now` in the platform's seconds."""
        used = self._checksums()
        present = {file.stem for file in self._code.glob("*.zip")}
        self._unused = {checksum: self._unused.get(checksum, now) for checksum in present - used}
        for checksum, since in self._unused.items():
            if now - since >= _KEEP_CODE:
                self.code_path(checksum).unlink(missing_ok=True)

    def close(self) -> None:
        """Close the database."""
        self._db.close()

    def _checksums(self) -> set[str]:
        return {revision.code.checksum for function in self._functions.values()
                for revision in (function.latest, *function.versions.values())}

    def _put(self, table: str, name: str, body: str) -> None:
        self._execute(f"INSERT INTO {table} VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET body = excluded.body",
                      (name, body))

    def _execute(self, sql: str, values: tuple[str, ...]) -> None:
        with storage_errors(self._path, _LOST):
            self._db.execute(sql, values)


def _credentials(path: Path) -> tuple[str, str]:
    """Return the key id and secret of this state directory, created at its first use, readable by the owner only."""
    with storage_errors(path, "new credentials are created"):
        with contextlib.suppress(FileExistsError):
            created = {"accessKeyId": f"fclocal{secrets.token_hex(8)}", "accessKeySecret": secrets.token_urlsafe(24)}
            draft = path.with_suffix(f".{secrets.token_hex(4)}")
            with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                json.dump(created, file)
            try:
                os.link(draft, path)  # unlike a rename it never replaces keys that a client already holds
            finally:
                draft.unlink()
        kept = json.loads(path.read_bytes())
        return str(kept["accessKeyId"]), str(kept["accessKeySecret"])
