"""The head of a request, the entry it arrived at, and what the platform assigned to it on arrival."""

import re
from dataclasses import dataclass
from typing import Literal

_EMPTY = frozenset((b"",))
_LONG_VALUE = re.compile(r"(?<==)([^&]{16})[^&]+")


@dataclass(frozen=True, slots=True)
class Entry:
    """Where a request enters the platform: an HTTP trigger or a custom domain, each with a port of its own, or a call.

    `name` is the name of the trigger, the domain name, or the qualifier of an InvokeFunction call. `function` is ""
    for a domain, whose routes lead to functions.
    """

    kind: Literal["trigger", "domain", "invocation"]
    function: str
    name: str

    @property
    def trigger(self) -> str:
        """The name of the trigger or custom domain, "" for a call."""
        return "" if self.kind == "invocation" else self.name


@dataclass(frozen=True, slots=True)
class RequestHead:
    """Method, target and headers as the client sent them.

    `target` is in origin form ("/path?query"), not decoded. Header names are lower case; order and
    repetitions are kept; values carry no surrounding blanks.
    """

    method: str
    target: str
    headers: tuple[tuple[bytes, bytes], ...] = ()

    def get(self, name: bytes) -> bytes | None:
        """Return the first value of the header `name` (lower case), or None."""
        for key, value in self.headers:
            if key == name:
                return value
        return None

    def get_all(self, name: bytes) -> list[bytes]:
        """Return every value of the header `name` (lower case), in order."""
        return [value for key, value in self.headers if key == name]

    def tokens(self, name: bytes) -> frozenset[bytes]:
        """Return the comma-separated members of a list header such as Connection, in lower case."""
        value = b",".join([value for key, value in self.headers if key == name])
        return frozenset([part.strip() for part in value.lower().split(b",")]) - _EMPTY if value else frozenset()

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]

    @property
    def query(self) -> str:
        """The part of the target after the first "?"."""
        return self.target.partition("?")[2]

    def preview(self) -> str:
        """Return the target, at most 200 characters; values of its query are cut after 16: one may be a token."""
        path, mark, query = self.target.partition("?")
        return (path + mark + _LONG_VALUE.sub(r"\1...", query))[:200]


RequestProtocol = Literal["http", "websocket", "invoke"]


@dataclass(frozen=True, slots=True)
class IncomingRequest:
    """One request on its way through the platform.

    client: IP address, "" for a call of the management API. at: arrival, in seconds of the platform's clock; wall:
    the same on the wall clock. canary_roll: in [0, 1), decides between an alias's version and its canary.
    """

    entry: Entry
    head: RequestHead
    protocol: RequestProtocol
    client: str
    request_id: str
    at: float
    wall: float
    canary_roll: float
