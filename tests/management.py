"""A management API on a free port, with everything behind it real but ports and instances."""

import asyncio
import base64
import contextlib
import io
import secrets
import socket
import threading
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import uvicorn
import uvloop
from alibabacloud_fc20230330 import models as fc
from alibabacloud_fc20230330.client import Client
from alibabacloud_tea_openapi.models import Config
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from Tea.exceptions import TeaException

from fclocal.core.clock import Clock, SystemClock
from fclocal.core.lifecycle import State
from fclocal.core.model import Certificate, Revision
from fclocal.core.request import Entry
from fclocal.core.retention import Rest
from fclocal.edge.control import management_app
from fclocal.runtime.instances.instance import Instance
from fclocal.runtime.requests.sessions import Sessions
from fclocal.runtime.state.journal import Journal
from fclocal.runtime.state.registry import Registry
from fclocal.runtime.state.store import Store


def package(files: Mapping[str, str] | None = None) -> bytes:
    """A code package."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for name, text in (files or {"server.py": "print('hello')"}).items():
            archive.writestr(zipfile.ZipInfo(name), text)  # without the time of day: same files, same package
    return data.getvalue()


class FakePorts:
    """The gateway's listeners, without a socket. `taken`: ports that another program uses."""

    def __init__(self, taken: set[int] | None = None) -> None:
        self.open_ports: dict[Entry, int] = {}
        self.certificates: dict[Entry, Certificate | None] = {}
        self.taken = taken or set()

    async def open(self, entry: Entry, preferred: int | None) -> int:
        busy = self.taken | set(self.open_ports.values())
        wanted = [preferred] if preferred else []
        self.open_ports[entry] = next(port for port in (*wanted, *range(9443, 65536)) if port not in busy)
        return self.open_ports[entry]

    async def close(self, entry: Entry) -> None:
        del self.open_ports[entry]

    def certify(self, entry: Entry, certificate: Certificate | None) -> None:
        self.certificates[entry] = certificate


class FakeEngine:
    """Instances that are only said to be there, and invocations that are written down."""

    def __init__(self) -> None:
        self.running: list[Instance] = []
        self.aborted: list[tuple[str, str]] = []
        self.invoked: list[tuple[str, str, bytes]] = []
        self.answer: tuple[Mapping[str, str], bytes] | Exception = ({}, b"")
        self.called = threading.Event()
        self.sessions = Sessions()
        self.clock: Clock = SystemClock()

    def add(self, revision: Revision, created: float, state: State = State.ACTIVE) -> str:
        instance_id = f"c-{secrets.token_hex(16)}"
        instance = Instance(instance_id, revision, "request", Rest.HIBERNATING, created, lambda *_: None, state)
        self.running.append(instance)
        return instance_id

    def instances(self, function: str | None = None) -> list[Instance]:
        return [i for i in self.running if function in (None, i.name)]

    def abort(self, function: str, why: str) -> None:
        self.aborted.append((function, why))

    async def invoke(self, function: str, qualifier: str, body: bytes) -> tuple[Mapping[str, str], bytes]:
        self.invoked.append((function, qualifier, body))
        self.called.set()
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


class Management:
    """A management API that serves until `close`."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self.engine = FakeEngine()
        self.ports = FakePorts()
        self.clock = SystemClock()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.endpoint = f"127.0.0.1:{self._listener.getsockname()[1]}"
        ready = threading.Event()
        self._thread = threading.Thread(target=lambda: uvloop.run(self._serve(ready)))
        self._thread.start()
        assert ready.wait(20)

    async def _serve(self, ready: threading.Event) -> None:
        self._closing, self._loop = asyncio.Event(), asyncio.get_running_loop()
        with (contextlib.closing(Store(self.state / "state.sqlite")) as self.store,
              contextlib.closing(Journal(self.state / "journal.sqlite", self.clock)) as self.journal):
            self.registry = Registry(self.store, self.journal, self.clock, self.ports)
            local = [Route("/echo", _echo, methods=["POST"]), Route("/bug", _bug)]
            app = management_app(self.registry, self.engine, invoke=self.engine.invoke, local=local,
                                 clock=self.clock, store=self.store)
            server = uvicorn.Server(uvicorn.Config(app, log_level="critical", lifespan="off", ws="none"))
            server.config.load()
            server.lifespan = server.config.lifespan_class(server.config)
            await server.startup(sockets=[self._listener])
            ready.set()
            await self._closing.wait()
            await server.shutdown(sockets=[self._listener])

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._closing.set)
        self._thread.join(20)

    def sdk(self, **config: Any) -> Client:
        """The official client; `config` overrides its settings."""
        return Client(Config(**{"access_key_id": self.store.access_key_id,
                                "access_key_secret": self.store.access_key_secret,
                                "endpoint": self.endpoint, "protocol": "http", "region_id": "cn-hangzhou", **config}))


async def _echo(request: Request) -> Response:
    return JSONResponse({"body": (await request.body()).decode()})


async def _bug(request: Request) -> Response:
    raise RuntimeError("a bug, with a secret in it")


@contextlib.contextmanager
def management(state: Path) -> Iterator[Management]:
    """A management API over the state directory `state`."""
    running = Management(state)
    try:
        yield running
    finally:
        running.close()


def function_input(name: str = "echo", **props: Any) -> fc.CreateFunctionRequest:
    """What creates a function; `props` are those of CreateFunctionInput."""
    code = fc.InputCodeLocation(zip_file=base64.b64encode(package()).decode())
    return fc.CreateFunctionRequest(body=fc.CreateFunctionInput(
        **{"function_name": name, "runtime": "custom.debian12", "code": code, **props}))


def refused(call: Any, *args: Any) -> tuple[int, str, str]:
    """Status, code and message with which the API refuses a call of the SDK."""
    try:
        call(*args)
    except TeaException as error:
        return error.status_code, error.code, error.data["Message"]
    raise AssertionError("the call was not refused")
