"""`fclocal doctor`: what the kit finds on this machine, and the one line that mends what is missing.

Nothing it prints names a user or a path outside the kit, so all of it can be pasted into a question.
"""

import errno
import importlib.metadata
import os
import platform
import re
import resource
import shutil
import socket
import subprocess
import sys
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from fclocal.core.errors import FcError
from fclocal.runtime.redis_server import find_program

WIDTH = 76
FIRST_PORT, PORTS = 9443, 1000  # a room of learners on one machine takes some hundred
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
MAC_BROWSERS = tuple(f"/Applications/{name}.app/Contents/MacOS/{name}" for name in ("Google Chrome", "Chromium"))
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
# One proxied WebSocket holds two descriptors of the gateway; the lessons stay below 200 connections.
DESCRIPTORS = 512


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at. `found` says what is there, `fix` what to do about it ("" if nothing)."""

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
        """The check as a JSON object."""
        return {"name": self.name, "verdict": self.word, "found": self.found, "fix": self.fix}


def checks(env: Mapping[str, str] = os.environ) -> list[Check]:
    """Look at everything; takes about a second. `env` stands for the environment of the process."""
    apt = shutil.which("apt") is not None
    return [
        python(sys.version_info[:3]),
        system(sys.platform, platform.release()),
        packages(),
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
    """The interpreter: 3.11 or newer."""
    found = ".".join(map(str, version))
    return Check("Python", version >= (3, 11), found, "" if version >= (3, 11) else "install Python 3.11 or newer")


def system(name: str, release: str) -> Check:
    """Linux and macOS; Windows through WSL."""
    kind = {"linux": "Linux", "darwin": "macOS"}.get(name, name)
    where = f"{kind} in WSL" if "microsoft" in release.lower() else kind
    ok = kind in ("Linux", "macOS")
    return Check("System", ok, where, "" if ok else "on Windows run `wsl --install` and work in there")


def packages() -> Check:
    """Every library that the kit asks for is installed."""
    asked = importlib.metadata.requires("fc-websocket-workshop") or []
    # A line with a condition (";") is for some Pythons only; the others are for all.
    names = [re.split(r"[\[<>=!~ ]", line)[0] for line in asked if ";" not in line]
    missing = [name for name in names if not _installed(name)]
    if missing:
        return Check("Packages", False, f"missing: {', '.join(missing)}", "python3 start.py")
    return Check("Packages", True, f"all {len(names)} are there")


def _installed(name: str) -> bool:
    try:
        importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def localhost() -> Check:
    """The name localhost leads to this machine: every URL of fclocal begins with it."""
    try:
        found = {str(entry[4][0]) for entry in socket.getaddrinfo("localhost", None, type=socket.SOCK_STREAM)}
    except OSError:
        found = set()
    if "127.0.0.1" in found:
        return Check("localhost", True, ", ".join(sorted(found)))
    return Check("localhost", False, ", ".join(sorted(found)) or "the name is not known",
                 "add the line `127.0.0.1 localhost` to /etc/hosts")


def ports() -> Check:
    """Ports for triggers; a taken one is passed over, so any free one is enough to begin."""
    free = [port for port in range(FIRST_PORT, FIRST_PORT + PORTS) if _free(port)]
    found = f"{len(free)} of {PORTS} free from {FIRST_PORT} on"
    return Check("Ports", bool(free), found, "" if free else "end some of the programs that listen there")


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
    """Proxy variables: the official SDK sends even loopback to HTTP_PROXY, and other programs may, too."""
    have = sorted({name for name in PROXIES if env.get(name) or env.get(name.lower())})
    if not have:
        return Check("Proxy", True, "none set")
    exempt = {part.strip() for part in (env.get("NO_PROXY") or env.get("no_proxy") or "").split(",")}
    if "*" in exempt or {"localhost", "127.0.0.1"} <= exempt:
        return Check("Proxy", True, f"{', '.join(have)} set, not used for localhost")
    return Check("Proxy", False, f"{', '.join(have)} set, also for localhost. fclocal.start() and the fclocal "
                 "commands go round it by themselves; curl, Node.js and your own programs do not",
                 "export NO_PROXY=localhost,127.0.0.1,::1", needed=False)


def descriptors(soft: int, hard: int) -> Check:
    """How many files and sockets one process may hold; the gateway needs two for a WebSocket."""
    if soft == resource.RLIM_INFINITY:
        return Check("Descriptors", True, "no limit")
    ok = soft >= DESCRIPTORS
    fix = "" if ok else f"ulimit -n {4096 if hard == resource.RLIM_INFINITY else min(hard, 4096)}"
    return Check("Descriptors", ok, f"{soft}: about {max(soft - 60, 0) // 2} WebSockets at a time", fix)


def redis(env: Mapping[str, str], *, apt: bool) -> Check:
    """A Redis for lesson 7: REDIS_URL if set (and then reachable), else a program the kit starts itself."""
    if url := env.get("REDIS_URL"):
        try:
            where = urlsplit(url)
            socket.create_connection((where.hostname or "localhost", where.port or 6379), timeout=1).close()
        except (OSError, ValueError):
            return Check("Redis", False, "REDIS_URL is set but nothing answers there; needed for lesson 7",
                         "unset REDIS_URL", needed=False)
        return Check("Redis", True, "the one of REDIS_URL")
    try:
        server = find_program(env)
    except FcError:
        fix = "sudo apt install redis-server" if apt else "brew install redis"
        return Check("Redis", False, "not found; needed for lesson 7 (chat)", fix, needed=False)
    return Check("Redis", True, f"{server.name} {_version(str(server))}".strip())


def program(name: str, commands: Sequence[str], env: Mapping[str, str], use: str, *, fix: str,
            minimum: int = 0) -> Check:
    """A program that only a part of the kit (`use`) needs; `minimum`: its lowest major version."""
    for command in commands:
        if path := shutil.which(command, path=env.get("PATH", os.defpath)):
            version = _version(path)
            if version and int(version.split(".")[0]) < minimum:
                old = f"version {version}; {minimum} or newer is needed for {use}"
                return Check(name, False, old, fix, needed=False)
            return Check(name, True, f"{Path(command).name} {version}".strip())
    return Check(name, False, f"not found; needed for {use}", fix, needed=False)


def _version(path: str) -> str:
    """The version that a program prints for --version, "" if it does not say."""
    try:
        told = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    found = re.search(r"\d+(?:\.\d+)+", told.stdout)
    return found[0] if found else ""


def text(found: Sequence[Check]) -> str:
    """The report: a line per check, the fixes below it, at most 76 columns, plain ASCII, fit to be pasted."""
    version = importlib.metadata.version("fc-websocket-workshop")
    lines = [f"--- fclocal doctor {version} ---"]
    for check in found:
        head = f"{check.word:<9} {check.name:<12} "
        lines += textwrap.wrap(check.found, WIDTH, initial_indent=head, subsequent_indent=" " * len(head))
        if check.fix:
            label = " " * 10 + "to fix it:   "
            lines += textwrap.wrap(check.fix, WIDTH, initial_indent=label, subsequent_indent=" " * len(label))
    needed = [check.name for check in found if check.word == "FIX"]
    lines.append(f"Fix before you begin: {', '.join(needed)}." if needed else "Ready: nothing has to be fixed.")
    return "\n".join([*lines, "--- end ---"])
