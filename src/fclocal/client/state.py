"""The state directory of a platform, and calls to the platform that runs there."""

import contextlib
import fcntl
import json
import os
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx

from fclocal.core import acs3
from fclocal.core.errors import FcError

_MARKS = (".fclocal", "start.py", ".git")


def state_dir(path: str | os.PathLike[str] | None = None) -> Path:
    """Return the state directory: `path`, else FCLOCAL_STATE, else .fclocal of the project around this folder."""
    if path or os.environ.get("FCLOCAL_STATE"):
        return Path(path or os.environ["FCLOCAL_STATE"]).expanduser().absolute()
    here = Path.cwd()
    for folder in (here, *here.parents):
        if any((folder / mark).exists() for mark in _MARKS):
            return folder / ".fclocal"
    return here / ".fclocal"


@cache
def _client() -> httpx.Client:
    """Return the one HTTP client of this process.

    trust_env: a proxy would be asked to reach this machine's loopback. verify: only http is called, and reading the
    certificate authorities takes 20 ms. Streams stay open, so the number of connections has no limit.
    """
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
    return httpx.Client(trust_env=False, verify=False, limits=limits)


@dataclass(frozen=True, slots=True)
class Running:
    """A running platform: its process, and the address and the keys of its API."""

    state: Path
    pid: int
    endpoint: str
    access_key_id: str
    access_key_secret: str

    def call(self, method: str, path: str, query: Mapping[str, str] | None = None, body: object = None) -> Any:
        """Call the /local API; return its JSON, None if it sends none. Raises FcError with the platform's error."""
        answer = self._send(method, path, query or {}, body)
        return answer.json() if answer.content else None

    def lines(self, path: str, query: Mapping[str, str]) -> Iterator[dict[str, Any]]:
        """Yield the JSON Lines of a /local stream, as they come, until the platform ends it."""
        with contextlib.closing(self._send("GET", path, query, None, stream=True)) as answer:
            try:
                for line in answer.iter_lines():
                    if line:
                        yield json.loads(line)
            except httpx.TransportError:
                if running(self.state) is None:
                    return  # the platform is gone: so are its events
                raise FcError("RemoteError", remote="InternalServerError",
                              reason=f"the platform broke off; {self.state / 'platform.log'} names the cause") from None

    def changes(self, cursor: int, query: Mapping[str, str]) -> tuple[list[dict[str, Any]], int]:
        """Return the journal's records after number `cursor` and the cursor to go on from."""
        answer = self._send("GET", "/events", {**query, "after": str(cursor)}, None)
        records = [json.loads(line) for line in answer.iter_lines() if line]
        return records, max([int(answer.headers["x-fclocal-cursor"]), *(record["seq"] for record in records[-1:])])

    def hold(self) -> httpx.Response:
        """Open the stream that attaches this client to the platform. Closing it detaches the client."""
        return self._send("GET", "/attach", {}, None, stream=True)

    def _send(
        self, method: str, path: str, query: Mapping[str, str], body: object, *, stream: bool = False
    ) -> httpx.Response:
        path = f"/local{path}"
        data = b"" if body is None else json.dumps(body).encode()
        url = f"http://{self.endpoint}{path}" + (f"?{urlencode(query)}" if query else "")
        client = _client()
        timeout = httpx.Timeout(5, read=None if stream else 60)
        request = client.build_request(method, url, content=data or None, timeout=timeout,
                                       headers=self._headers(method, path, query, data))
        try:
            answer = client.send(request, stream=stream)
            if answer.status_code >= 400:
                answer.read()
        except httpx.TransportError:
            raise FcError("PlatformNotRunning", state=self.state) from None
        if answer.status_code >= 400:
            raise remote_error(answer.json())
        return answer

    def _headers(self, method: str, path: str, query: Mapping[str, str], body: bytes) -> dict[str, str]:
        hashed = sha256(body).hexdigest()
        headers = {
            "host": self.endpoint,
            "x-acs-date": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "x-acs-signature-nonce": secrets.token_hex(16),
            "x-acs-content-sha256": hashed,
        }
        if body:
            headers["content-type"] = "application/json; charset=utf-8"
        headers["authorization"] = acs3.sign(
            method,
            path,
            query,
            headers,
            access_key_id=self.access_key_id,
            access_key_secret=self.access_key_secret,
            payload=hashed,
        )
        return headers


def remote_error(body: Mapping[str, Any]) -> FcError:
    """Return the error of the platform's response as an FcError."""
    return FcError("RemoteError", remote=body.get("Code", "?"), reason=body.get("Message", "?"))


def running(state: Path) -> Running | None:
    """Return the platform that runs with this state directory, or None.

    The lock on the directory decides: the kernel releases it when the process ends, however it ends, and no step
    of the system clock changes it. Raises FcError StateDamaged.
    """
    if not locked(state):
        return None
    try:
        platform = _json(state / "platform.json", ("pid", "endpoint"))
        keys = _json(state / "credentials.json", ("accessKeyId", "accessKeySecret"))
    except FileNotFoundError:
        return None  # it starts or stops at this moment
    return Running(state, platform["pid"], platform["endpoint"], keys["accessKeyId"], keys["accessKeySecret"])


def required(state: Path) -> Running:
    """Return the platform that runs with this state directory. Raises FcError PlatformNotRunning or StateDamaged."""
    if (platform := running(state)) is None:
        raise FcError("PlatformNotRunning", state=state)
    return platform


def locked(state: Path) -> bool:
    """Report whether a platform holds the directory. A shared lock for a moment asks without taking anything away."""
    try:
        with (state / "lock").open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def _json(path: Path, names: tuple[str, ...]) -> dict[str, Any]:
    """Return the object in a file of the platform. Raises FileNotFoundError, and FcError StateDamaged."""
    try:
        content = json.loads(path.read_bytes())
        return {name: content[name] for name in names}
    except (ValueError, KeyError, TypeError) as error:
        holder = (path.parent / "lock").read_text().strip()
        raise FcError("StateDamaged", file=path, reason="it is not the JSON that fclocal wrote",
                      lost=f"end the platform first (kill {holder})") from error
