"""`fclocal doctor`: check this machine and the state directory, and print one line with the fix for each problem.

Nothing in the report names a user or a path outside the kit, so it can be pasted into a question.
"""

import contextlib
import errno
import importlib.metadata
import json
import os
import platform
import re
import resource
import shutil
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import psutil
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from rich.console import Console
from rich.table import Table
from rich.text import Text

from fclocal.client.state import state_dir
from fclocal.core.errors import FcError
from fclocal.runtime.instances.redis_server import find_program

COLOURS = {"PASS": "green", "FIX": "bold red", "OPTIONAL": "yellow"}
FIRST_PORT, PORTS = 9443, 1000  # a room of learners on one machine takes some hundred
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
MAC_BROWSERS = tuple(f"/Applications/{name}.app/Contents/MacOS/{name}" for name in ("Google Chrome", "Chromium"))
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
# One proxied WebSocket holds two descriptors of the gateway; the lessons stay below 200 connections.
DESCRIPTORS = 512
FREE_SPACE = 200 * 2**20  # bytes: the journal's bound, some packages of code, Redis
# SQLite accepts paths of 512 bytes, its own file names included; Unix sockets of functions accept about 100, but none
# lies in the state directory.
LONGEST_PATH = 480
# File systems on which SQLite's locks are unreliable: network drives, and Windows drives inside WSL.
REMOTE_FILE_SYSTEMS = frozenset({"9p", "drvfs", "nfs", "nfs4", "cifs", "smb3", "fuse.sshfs"})
LOCAL_DISK = "export FCLOCAL_STATE=/tmp/fclocal-$USER"


@dataclass(frozen=True, slots=True)
class Check:
    """One result. `found` describes what is there, `fix` what to do about it ("" if nothing)."""

    name: str
    ok: bool
    found: str
    fix: str = ""
    needed: bool = True

    @property
    def word(self) -> str:
        """PASS, FIX (the lessons need it) or OPTIONAL (only what `fix` says needs it)."""
        return "PASS" if self.ok else "FIX" if self.needed else "OPTIONAL"

    def wire(self) -> dict[str, Any]:
        """Return the check as a JSON object."""
        return {"name": self.name, "verdict": self.word, "found": self.found, "fix": self.fix}


def checks(env: Mapping[str, str] = os.environ, state: Path | None = None) -> list[Check]:
    """Check everything; takes about a second. `env` stands for the environment of the process."""
    apt = shutil.which("apt") is not None
    state = state or state_dir()
    return [
        python(sys.version_info[:3]),
        system(sys.platform, platform.release()),
        packages(),
        folders(Path.home(), state),
        disk(state, file_system(state)),
        files(state),
        localhost(),
        ports(),
        proxies(env),
        descriptors(*resource.getrlimit(resource.RLIMIT_NOFILE)),
        redis(env, apt=apt),
        program("Node.js", ("node",), env, "the Node.js functions of the lessons", minimum=18,
                fix="sudo apt install nodejs npm" if apt else "install Node.js 20 or newer"),
        program("Browser", (*BROWSERS, *MAC_BROWSERS), env, "`python3 start.py test`",
                fix="sudo apt install chromium" if apt else "install Chromium or Chrome"),
    ]


def python(version: tuple[int, ...]) -> Check:
    """Check the interpreter: 3.11 or newer."""
    found = ".".join(map(str, version))
    return Check("Python", version >= (3, 11), found, "" if version >= (3, 11) else "install Python 3.11 or newer")


def system(name: str, release: str) -> Check:
    """Check the system: Linux or macOS; Windows through WSL."""
    kind = {"linux": "Linux", "darwin": "macOS"}.get(name, name)
    where = f"{kind} in WSL" if "microsoft" in release.lower() else kind
    ok = kind in ("Linux", "macOS")
    return Check("System", ok, where, "" if ok else "on Windows run `wsl --install`, open Ubuntu, and start there")


def packages() -> Check:
    """Check that every library that the kit needs is installed."""
    asked = importlib.metadata.requires("fc-websocket-workshop") or []
    # A line with a condition (";") is for some Pythons only; the others are for all.
    names = [re.split(r"[\[<>=!~ ]", line)[0] for line in asked if ";" not in line]
    missing = [name for name in names if not _installed(name)]
    if missing:
        return Check("Packages", False, f"missing: {', '.join(missing)}", "python3 start.py")
    return Check("Packages", True, f"all {len(names)} are installed")


def _installed(name: str) -> bool:
    try:
        importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def folders(home: Path, state: Path) -> Check:
    """Check that files can be created in the home folder and in the state directory, and that its path is short."""
    if not _can_write(home):
        return Check("Folders", False, "the home folder cannot be written; JupyterLab needs it",
                     "export HOME=$(mktemp -d)")
    if (length := len(os.fsencode(state))) > LONGEST_PATH:
        return Check("Folders", False, f"the path of the state directory has {length} bytes; SQLite accepts "
                     f"{LONGEST_PATH}", LOCAL_DISK)
    if not _can_write(_existing(state)):
        return Check("Folders", False, "the state directory cannot be written; the folder of the kit is read-only",
                     "copy the kit to a folder of your own, or: " + LOCAL_DISK)
    return Check("Folders", True, "home and state directory can be written")


def disk(state: Path, kind: str) -> Check:
    """Check the drive of the state directory: a local one, with free space. `kind`: its file system, "" if unknown."""
    if kind in REMOTE_FILE_SYSTEMS:
        return Check("Disk", False, f"the state directory is on a {kind} drive, where fclocal cannot lock its files",
                     LOCAL_DISK)
    free = shutil.disk_usage(_existing(state)).free
    found = f"{free // 2**20:,} MB free"
    return Check("Disk", free >= FREE_SPACE, found, "" if free >= FREE_SPACE else
                 f"free {FREE_SPACE // 2**20} MB on the drive of the state directory, or: {LOCAL_DISK}")


def files(state: Path) -> Check:
    """Check the files of the state directory for damage; it may be in use."""
    damaged = {name: reason for name, check in FILES.items()
               if (state / name).exists() and (reason := _damage(state / name, check))}
    if not damaged:
        return Check("State", True, "no file is damaged" if state.exists() else "empty, a first start creates it")
    found = "; ".join(f"{name} is damaged ({reason})" for name, reason in damaged.items())
    return Check("State", False, found, "fclocal stop, then delete in the state directory: " + ", ".join(damaged))


def _database(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True)) as db:
        if (result := db.execute("PRAGMA quick_check").fetchone()[0]) != "ok":
            raise ValueError(result)
        columns = {"facts": "records", "output": "records", "functions": "body", "domains": "body"}
        for (table,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            if (column := columns.get(table)) and db.execute(
                    f"SELECT COUNT(*) FROM {table} WHERE NOT json_valid({column})").fetchone()[0]:
                raise ValueError(f"unreadable rows in {table}")


# How each file of the state directory is checked; an exception means damage.
FILES = {
    "journal.sqlite": _database,
    "state.sqlite": _database,
    "platform.json": lambda path: json.loads(path.read_bytes())["endpoint"],
    "credentials.json": lambda path: json.loads(path.read_bytes())["accessKeySecret"],
    "ca/ca.pem": lambda path: x509.load_pem_x509_certificate(path.read_bytes()),
    "ca/ca.key": lambda path: load_pem_private_key(path.read_bytes(), None),
}


def _damage(path: Path, check: Any) -> str:
    """Return why the file cannot be read, "" if it can."""
    try:
        check(path)
    except sqlite3.OperationalError:
        return ""  # in use at this moment, or on a drive that another check is about
    except (sqlite3.DatabaseError, ValueError, KeyError, TypeError, OSError) as error:
        text = str(error).splitlines()[0] if isinstance(error, sqlite3.DatabaseError) else "not what fclocal wrote"
        return text.removeprefix("*** in database main ***").strip() or "not what fclocal wrote"
    return ""


def file_system(folder: Path) -> str:
    """Return the type of the file system that holds the folder, "" where the system does not list it."""
    places = {str(folder), *map(str, folder.parents)}
    with contextlib.suppress(OSError):
        mounts = [(len(part.mountpoint), part.fstype) for part in psutil.disk_partitions(all=True)
                  if part.mountpoint in places]
        return max(mounts)[1] if mounts else ""
    return ""


def _existing(folder: Path) -> Path:
    """Return the folder, or the nearest one around it that exists."""
    return next(place for place in (folder, *folder.parents) if place.exists())


def _can_write(folder: Path) -> bool:
    """Report whether a file can be created there; root passes a check of permissions on a read-only drive."""
    probe = folder / f".fclocal-doctor-{os.getpid()}"
    try:
        probe.touch()
        probe.unlink()
    except OSError:
        return False
    return True


def localhost() -> Check:
    """Check that the name localhost leads to this machine: every URL of fclocal begins with it."""
    try:
        found = {str(entry[4][0]) for entry in socket.getaddrinfo("localhost", None, type=socket.SOCK_STREAM)}
    except OSError:
        found = set()
    if "127.0.0.1" in found:
        return Check("localhost", True, ", ".join(sorted(found)))
    return Check("localhost", False, ", ".join(sorted(found)) or "the name is unknown",
                 "add the line `127.0.0.1 localhost` to /etc/hosts")


def ports() -> Check:
    """Check for a free port; triggers skip the ones in use."""
    free = [port for port in range(FIRST_PORT, FIRST_PORT + PORTS) if _free(port)]
    found = f"{len(free)} of {PORTS} free from {FIRST_PORT} on"
    return Check("Ports", bool(free), found, "" if free else "stop some of the programs that listen there")


def _free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return False
            raise
    return True


def proxies(env: Mapping[str, str]) -> Check:
    """Check the proxy variables: the official SDK sends even loopback to HTTP_PROXY, and other programs may, too."""
    have = sorted({name for name in PROXIES if env.get(name) or env.get(name.lower())})
    if not have:
        return Check("Proxy", True, "none set")
    exempt = {part.strip() for part in (env.get("NO_PROXY") or env.get("no_proxy") or "").split(",")}
    if "*" in exempt or {"localhost", "127.0.0.1"} <= exempt:
        return Check("Proxy", True, f"{', '.join(have)} set, not used for localhost")
    return Check("Proxy", False, f"{', '.join(have)} set, also for localhost. fclocal.start() and the fclocal "
                 "commands bypass it; curl, Node.js and your own programs do not",
                 "export NO_PROXY=localhost,127.0.0.1,::1", needed=False)


def descriptors(soft: int, hard: int) -> Check:
    """Check how many files and sockets a process may open; the gateway needs two for a WebSocket."""
    if soft == resource.RLIM_INFINITY:
        return Check("Descriptors", True, "no limit")
    ok = soft >= DESCRIPTORS
    fix = "" if ok else f"ulimit -n {4096 if hard == resource.RLIM_INFINITY else min(hard, 4096)}"
    return Check("Descriptors", ok, f"{soft}: about {max(soft - 60, 0) // 2} WebSockets at a time", fix)


def redis(env: Mapping[str, str], *, apt: bool) -> Check:
    """Check for a Redis for lesson 7: REDIS_URL if set (and then reachable), else a program that the kit starts."""
    if url := env.get("REDIS_URL"):
        try:
            where = urlsplit(url)
            socket.create_connection((where.hostname or "localhost", where.port or 6379), timeout=1).close()
        except (OSError, ValueError):
            return Check("Redis", False, "REDIS_URL is set, but no server answers there; lesson 7 needs one",
                         "unset REDIS_URL", needed=False)
        return Check("Redis", True, "the server of REDIS_URL")
    try:
        server = find_program(env)
    except FcError:
        fix = "sudo apt install redis-server" if apt else "brew install redis"
        return Check("Redis", False, "not found; needed for lesson 7 (chat)", fix, needed=False)
    return Check("Redis", True, f"{server.name} {_version(str(server))}".strip())


def program(name: str, commands: Sequence[str], env: Mapping[str, str], use: str, *, fix: str,
            minimum: int = 0) -> Check:
    """Check for a program that only a part of the kit (`use`) needs; `minimum`: its lowest major version."""
    for command in commands:
        if path := shutil.which(command, path=env.get("PATH", os.defpath)):
            version = _version(path)
            if version and int(version.split(".")[0]) < minimum:
                old = f"version {version}; {minimum} or newer is needed for {use}"
                return Check(name, False, old, fix, needed=False)
            return Check(name, True, f"{Path(command).name} {version}".strip())
    return Check(name, False, f"not found; needed for {use}", fix, needed=False)


def _version(path: str) -> str:
    """Return the version that a program prints for --version, "" if it prints none."""
    try:
        printed = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    found = re.search(r"\d+(?:\.\d+)+", printed.stdout)
    return found[0] if found else ""


def report(found: Sequence[Check], console: Console) -> None:
    """Print a line for each check and the fixes below it, with colour beside the words on a terminal."""
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for check in found:
        table.add_row(Text(check.word, COLOURS[check.word]), check.name, Text(check.found))
        if check.fix:
            table.add_row("", Text("to fix it", COLOURS[check.word]), Text(check.fix, "bold"))
    needed = [check.name for check in found if check.word == "FIX"]
    end = (Text(f"Fix before you begin: {', '.join(needed)}.", COLOURS["FIX"]) if needed
           else Text("Ready: nothing has to be fixed.", COLOURS["PASS"]))
    console.print(f"--- fclocal doctor {importlib.metadata.version('fc-websocket-workshop')} ---")
    console.print(table)
    console.print(end)
    console.print("--- end ---")
