"""What an operation of the management API is, what it is given, and how it reads that."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from starlette.responses import Response

from fclocal.core import wire
from fclocal.core.bounded import parse_integer, parse_json
from fclocal.core.errors import FcError
from fclocal.core.model import LATEST

PAGE = ("limit", "nextToken")
FUNCTION = "/functions/{function}"


@dataclass(frozen=True, slots=True)
class Call:
    """One admitted call. `content`: the decoded JSON, or the bytes where the operation takes bytes."""

    path: Mapping[str, str]
    query: Mapping[str, str]
    headers: Mapping[str, str]
    content: Any

    @property
    def function(self) -> str:
        return self.path["function"]

    @property
    def qualifier(self) -> str:
        return self.query.get("qualifier") or LATEST


Run = Callable[[Call], Awaitable[dict[str, Any] | Response | None]]


@dataclass(frozen=True, slots=True)
class Operation:
    """Where an operation is found and what runs it. Answers: an object (200), None (204) or a whole response."""

    method: str
    path: str
    run: Run
    query: frozenset[str] = frozenset()
    json: bool = True


def op(method: str, path: str, run: Run, *query: str, json: bool = True) -> Operation:
    """A row of a table of operations: `query` names the parameters it takes, `json` says whether its body is JSON."""
    return Operation(method, path, run, frozenset(query), json)


def as_object(call: Call) -> dict[str, Any]:
    """The JSON object of the body, to take fields out of. Raises FcError if it is something else."""
    if not isinstance(call.content, dict):
        raise FcError("InvalidArgument", reason="the body must be a JSON object")
    return dict(call.content)


def page(call: Call, key: str, items: Mapping[str, Any], view: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
    """The answer of a list operation: those of `items` that begin with the query's prefix, by name."""
    chosen = [(name, items[name]) for name in sorted(items) if name.startswith(call.query.get("prefix", ""))]
    rows, token = wire.paginate(chosen, limit=call.query.get("limit"), token=call.query.get("nextToken"))
    return {key: [view(row) for row in rows], "nextToken": token}


def array(query: Mapping[str, str], name: str) -> Sequence[Any]:
    """A query parameter that is a JSON array; empty if it is not there."""
    try:
        value = parse_json(query.get(name) or "[]")
    except ValueError:
        value = None
    if not isinstance(value, list):
        raise FcError("InvalidArgument", reason=f"{name}: must be a JSON array")
    return value


def milliseconds(query: Mapping[str, str], name: str) -> int | None:
    """A query parameter that is a point in time (ms since 1970), or None."""
    if (text := query.get(name)) is None:
        return None
    try:
        return parse_integer(text)
    except ValueError:
        raise FcError("InvalidArgument", reason=f"{name}: must be milliseconds since 1970") from None
