"""A real platform for a module's tests, spoken to through the official SDK and plain sockets."""

import http.client
import json
import shutil
import ssl
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from alibabacloud_fc20230330 import models as m

from fclocal import Platform, Record

ROOT = Path(__file__).parents[2]
Headers = Iterable[tuple[str, str]]


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, Any]:
        return dict(json.loads(self.body))

    @property
    def error(self) -> tuple[int, str]:
        """Status and code; the body must have the documented shape."""
        assert set(self.json) == {"RequestId", "Code", "Message"}, self.body
        assert self.json["RequestId"] == self.headers["x-fc-request-id"]
        return self.status, self.json["Code"]


def call(url: str, path: str = "/", *, method: str = "GET", headers: Headers = (), body: bytes = b"") -> Answer:
    """One request on a connection of its own; header names may repeat."""
    with caller(url) as send:
        return send(path, method=method, headers=headers, body=body)


@contextmanager
def caller(url: str) -> Iterator[Any]:
    """Many requests on one connection."""
    parts = urlsplit(url)
    context = ssl.create_default_context() if parts.scheme == "https" else None
    connection = (http.client.HTTPSConnection(parts.netloc, timeout=20, context=context) if context
                  else http.client.HTTPConnection(parts.netloc, timeout=20))

    def send(path: str = "/", *, method: str = "GET", headers: Headers = (), body: bytes = b"") -> Answer:
        headers = list(headers)
        has_host = any(name.lower() == "host" for name, _ in headers)
        connection.putrequest(method, path, skip_accept_encoding=True, skip_host=has_host)
        for name, value in headers:
            connection.putheader(name, value.encode("latin-1") if isinstance(value, str) else value)
        if body:
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body or None)
        answer = connection.getresponse()
        return Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())

    try:
        yield send
    finally:
        connection.close()


def beside_ws(script: Path, folder: Path) -> Path:
    """A copy of a Node.js program in `folder`, where it finds the package ws of functions/01-echo-node."""
    (folder / "node_modules").symlink_to(ROOT / "functions" / "01-echo-node" / "node_modules")
    return Path(shutil.copy(script, folder))


def set_trigger(fc: Platform, function: str, name: str = "http", *, qualifier: str | None = None,
                **config: Any) -> None:
    """Change a trigger through the SDK; `config` uses the names of triggerConfig."""
    wire = {"authType": "anonymous", "methods": ["GET", "POST"], **config}
    body = m.UpdateTriggerInput(trigger_config=json.dumps(wire), qualifier=qualifier)
    fc.sdk.update_trigger(function, name, m.UpdateTriggerRequest(body=body))


def add_trigger(fc: Platform, function: str, name: str, qualifier: str, **config: Any) -> str:
    """Create a trigger through the SDK; its URL."""
    wire = {"authType": "anonymous", "methods": ["GET", "POST"], **config}
    body = m.CreateTriggerInput(trigger_name=name, trigger_type="http", qualifier=qualifier,
                                trigger_config=json.dumps(wire))
    created = fc.sdk.create_trigger(function, m.CreateTriggerRequest(body=body))
    return str(created.body.http_trigger.url_internet)


def set_greeting(fc: Platform, function: str, greeting: str) -> None:
    """Change LATEST so that its answers differ from older ones."""
    body = m.UpdateFunctionInput(environment_variables={"GREETING": greeting})
    fc.sdk.update_function(function, m.UpdateFunctionRequest(body=body))


def publish(fc: Platform, function: str) -> str:
    """Publish LATEST; the number of the version."""
    created = fc.sdk.publish_function_version(function, m.PublishFunctionVersionRequest(body=m.PublishVersionInput()))
    return str(created.body.version_id)


def last(fc: Platform) -> int:
    """The number of the newest record."""
    return max((record.seq for record in fc.events()), default=0)


def kinds_since(fc: Platform, seq: int, function: str | None = None) -> list[str]:
    return [record.kind for record in fc.events(seq, function=function)]


def records_since(fc: Platform, seq: int, kind: str) -> list[Record]:
    return [record for record in fc.events(seq) if record.kind == kind]
