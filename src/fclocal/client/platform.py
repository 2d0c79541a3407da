"""The Python API: `fc = fclocal.start()`."""

import contextlib
import os
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from fclocal.client import daemon
from fclocal.client.app import App
from fclocal.client.state import Running, required, state_dir
from fclocal.core import identifiers
from fclocal.core.errors import FcError
from fclocal.core.options import parse
from fclocal.core.records import LOG, Record, log_line

if TYPE_CHECKING:
    from alibabacloud_fc20230330.client import Client

_printed: set[str] = set()
"""Fields of s.yaml whose notice this process has printed: a notebook deploys many folders with the same fields."""


@dataclass(frozen=True, slots=True)
class Bill:
    """The bill of a function: `data` for programs, printed as an invoice."""

    data: dict[str, Any]
    text: str

    def __str__(self) -> str:
        return self.text

    __repr__ = __str__


class Tap:
    """The frames that a tap records."""

    def __init__(self, platform: "Platform", function: str, after: int) -> None:
        self._platform = platform
        self._function = function
        self.after = after  # number of the newest record before the tap

    @property
    def frames(self) -> list[Record]:
        """Return the records tap.frame so far: direction, opcode, final, length, closeCode, preview, compressed."""
        return list(self._platform.events(self.after, function=self._function, kinds="tap.frame"))


class Platform:
    """A running fclocal. Get one by `fclocal.start()` or `fclocal.attach()`."""

    def __init__(self, at: Running) -> None:
        self.at = at
        self._lifeline = at.hold()

    def __repr__(self) -> str:
        return f"<fclocal at {self.at.endpoint}, state in {self.at.state}>"

    @cached_property
    def sdk(self) -> "Client":
        """Return the official client alibabacloud_fc20230330, configured for this platform and its credentials."""
        from alibabacloud_fc20230330.client import Client
        from alibabacloud_tea_openapi.models import Config

        return Client(
            Config(
                access_key_id=self.at.access_key_id,
                access_key_secret=self.at.access_key_secret,
                endpoint=self.at.endpoint,
                protocol="http",
                region_id=identifiers.REGION,
                read_timeout=600_000,
            )
        )

    def deploy(self, folder: str | os.PathLike[str], *, loose: bool = False, **props: Any) -> App:
        """Deploy a function folder from its s.yaml; keywords override its props (`timeout=5`).

        With `loose`, fields that fclocal does not emulate are left out with a warning. Raises FcError.
        The first resource of the file is returned. A notice about a field that fclocal runs without (`logConfig`,
        `vpcConfig` and others) is printed once for each process; the command `fclocal deploy` prints all.
        """
        from fclocal.client.deploy import deploy

        app = deploy(self.sdk, Path(folder), overrides=props, loose=loose)[0]
        for warning in app.warnings:
            print(f"warning: {warning}", file=sys.stderr)
        for notice in app.notices:
            field = notice.partition(" (")[0]
            if field not in _printed:
                _printed.add(field)
                print(textwrap.fill(f"notice: {notice}", 72, subsequent_indent="  ", break_on_hyphens=False))
        return app

    def status(self) -> dict[str, Any]:
        """Return what runs where: version, pid, endpoint, options, functions with their URLs and instances."""
        answer: dict[str, Any] = self.at.call("GET", "/status")
        return answer

    def instances(self, function: str | None = None) -> list[dict[str, Any]]:
        """Return the instances that exist: instanceId, function, state, load, pid, version."""
        return [instance for instance in self.status()["instances"] if function in (None, instance["function"])]

    def events(
        self, after: int = 0, *, function: str | None = None, kinds: str = "", follow: bool = False
    ) -> Iterator[Record]:
        """Yield the records after number `after`; with `follow`, also new ones, until the platform ends."""
        query = {"after": str(after), "kinds": kinds, "follow": str(follow).lower()}
        if function is not None:
            query["function"] = function
        return (Record.from_wire(line) for line in self.at.lines("/events", query))

    def changes(self, cursor: int = 0, *, function: str | None = None, kinds: str = "") -> tuple[list[Record], int]:
        """Return the records after `cursor` and the new cursor: for views that redraw without reading it all again."""
        query = {"kinds": kinds} if function is None else {"kinds": kinds, "function": function}
        records, cursor = self.at.changes(cursor, query)
        return [Record.from_wire(line) for line in records], cursor

    def logs(self, function: str) -> str:
        """Return the function's output with the platform's own lines."""
        records = self.events(function=function, kinds=",".join(LOG))
        return "\n".join(line for line in map(log_line, records) if line is not None)

    def bill(self, function: str, *, currency: str = "CNY") -> Bill:
        """Return what the function would cost on the service, line by line."""
        data = self.at.call("GET", "/bill", {"function": function, "currency": currency})
        return Bill(data, data.pop("text"))

    def metrics(self, function: str) -> dict[str, Any]:
        """Return the function's metrics under the names that CloudMonitor gives them. Raises FcError."""
        answer: dict[str, Any] = self.at.call("GET", f"/metrics/{quote(function, safe='')}")
        return answer

    def kill(self, instance_id: str) -> None:
        """Kill one instance, as a crash would, and wait until its process is gone."""
        self.at.call("POST", f"/instances/{instance_id}/kill")

    @contextlib.contextmanager
    def fault(self, what: str, **fields: Any) -> Iterator[dict[str, Any]]:
        """Inject a fault while the block runs.

        `what` is reject (status), delay (delay), slow_start (delay), kill (after), cut (after), silence (after) or
        pause_redis; each takes function, times (how often) and seconds (how long). Raises FcError InvalidArgument.
        """
        rule = self.at.call("POST", "/faults", body={"what": what, **fields})
        try:
            yield rule
        finally:
            self.at.call("DELETE", f"/faults/{rule['rule']}")

    @contextlib.contextmanager
    def tap(self, function: "str | App") -> Iterator["Tap"]:
        """Record the frames of the function's connections that open while the block runs."""
        name = function.name if isinstance(function, App) else function
        after = self.at.call("POST", f"/taps/{name}")["after"]
        try:
            yield Tap(self, name, after)
        finally:
            self.at.call("DELETE", f"/taps/{name}")

    def redis(self) -> str:
        """Start the kit's own Redis unless it runs, and return its URL. Raises FcError RedisNotAvailable."""
        url: str = self.at.call("POST", "/redis")["url"]
        return url

    def remove(self, function: str) -> None:
        """Delete a function with its triggers, aliases and versions."""
        from fclocal.client.deploy import remove

        remove(self.sdk, function)

    def stop(self) -> None:
        """Stop the platform and everything it runs."""
        self.close()
        daemon.stop(self.at)

    def close(self) -> None:
        """Detach without stopping the platform; it ends by itself after the last client has detached."""
        self._lifeline.close()

    def __enter__(self) -> "Platform":
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()


def start(state: str | os.PathLike[str] | None = None, **options: Any) -> Platform:
    """Start the platform, or attach to the one that runs.

    `options` are those of core.options.Options; they count when the platform starts. Raises FcError:
    PlatformStartFailed, or InvalidArgument for a wrong option or where a running platform has others.
    """
    wanted = asdict(parse(options))
    running_platform = daemon.spawn(state_dir(state), keep=False, options=options)
    platform = Platform(running_platform)
    current = platform.status()["options"] if options else {}
    for name in options:
        if current.get(name) != wanted[name]:
            platform.close()
            reason = f"fclocal runs already with {name}={current.get(name)}: stop it first"
            raise FcError("InvalidArgument", reason=reason)
    trust(running_platform.state)
    return platform


def attach(state: str | os.PathLike[str] | None = None) -> Platform:
    """Attach to the running platform. Raises FcError PlatformNotRunning."""
    running_platform = required(state_dir(state))
    trust(running_platform.state)
    return Platform(running_platform)


@contextlib.contextmanager
def detaching(platform: Platform) -> Iterator[Platform]:
    """Use a platform in a block and detach from it at the end, without stopping it."""
    try:
        yield platform
    finally:
        platform.close()


def trust(state: Path) -> None:
    """Make this process, and those it starts, trust the local CA beside the usual ones, and reach loopback directly.

    Python reads SSL_CERT_FILE, Node.js NODE_EXTRA_CA_CERTS. The SDK sends even calls to loopback to HTTP_PROXY and
    ignores NO_PROXY (measured), so HTTP_PROXY is removed from this process; other proxy variables stay.
    """
    os.environ["SSL_CERT_FILE"] = str(state / "ca" / "bundle.pem")
    os.environ["NODE_EXTRA_CA_CERTS"] = str(state / "ca" / "ca.pem")
    for name in ("HTTP_PROXY", "http_proxy"):
        with contextlib.suppress(KeyError):
            del os.environ[name]
    exempt = [part for part in os.environ.get("NO_PROXY", os.environ.get("no_proxy", "")).split(",") if part]
    for host in ("localhost", "127.0.0.1", "::1"):
        if host not in exempt:
            exempt.append(host)
    os.environ["NO_PROXY"] = os.environ["no_proxy"] = ",".join(exempt)
