"""The head of a request, the entry it arrived at, and what the platform assigned to it on arrival."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

Headers = tuple[tuple[bytes, bytes], ...]
"""Names in lower case, in the order of the message. A name may be repeated."""
_LONG_VALUE = re.compile(r"(?<==)([^&]{16})[^&]+")


def list_members(values: Iterable[bytes]) -> frozenset[bytes]:
    """Return the comma-separated members of a list header such as Connection, in lower case."""
    return frozenset(map(bytes.strip, b",".join(values).lower().split(b",")))


class Entry(NamedTuple):
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


@dataclass(slots=True)
class RequestHead:
    """Method, target and headers as the client sent them. It is not changed.

    `target` is in origin form ("/path?query"), not decoded. Header values carry no surrounding blanks.
    """

    method: str
    target: str
    headers: Headers = ()
    _first: dict[bytes, bytes] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        self._first = dict(reversed(self.headers))

    def get(self, name: bytes) -> bytes | None:
        """Return the first value of the header `name` (lower case), or None."""
        return self._first.get(name)

    def get_all(self, name: bytes) -> list[bytes]:
        """Return every value of the header `name` (lower case), in order."""
        if len(self._first) == len(self.headers):  # no header is repeated
            return [self._first[name]] if name in self._first else []
        return [value for key, value in self.headers if key == name]

    def members(self, name: bytes) -> frozenset[bytes]:
        """Return the members of the list header `name`, in lower case."""
        return list_members(self.get_all(name))

    def has_any(self, names: frozenset[bytes]) -> bool:
        """Return whether the head has a header of `names`."""
        return not names.isdisjoint(self._first)

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


class IncomingRequest(NamedTuple):
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
