"""The head of a request as it arrived, and the entry it arrived at."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Entry:
    """A public door of the platform, with a port of its own: an HTTP trigger or a custom domain.

    `function` and `name` (the trigger's name) identify a trigger; a domain has `function` "" and its
    domain name in `name`.
    """

    kind: Literal["trigger", "domain"]
    function: str
    name: str


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
        """The first value of the header `name` (lower case), or None."""
        return next((value for key, value in self.headers if key == name), None)

    def get_all(self, name: bytes) -> list[bytes]:
        """Every value of the header `name` (lower case), in order."""
        return [value for key, value in self.headers if key == name]

    def tokens(self, name: bytes) -> frozenset[bytes]:
        """The comma-separated members of a list header such as Connection, in lower case."""
        values = self.get_all(name)
        return frozenset(part.strip().lower() for part in b",".join(values).split(b",")) - {b""}

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]

    @property
    def query(self) -> str:
        """What follows the first "?", without it."""
        return self.target.partition("?")[2]

    @property
    def is_websocket(self) -> bool:
        """Whether the client asks to switch to the WebSocket protocol (RFC 6455, 4.1)."""
        return (
            self.method == "GET"
            and b"websocket" in self.tokens(b"upgrade")
            and b"upgrade" in self.tokens(b"connection")
        )
