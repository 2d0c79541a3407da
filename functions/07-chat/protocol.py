"""What a client and the chat say to each other: JSON objects in WebSocket text messages.

    client says                                      the chat says
    {"type": "join", "room": "tea", "name": "Ana",   {"type": "welcome", "room", "id", "durable", "epoch", "gone"}
     "client": "<secret>", "acked": 0,               {"type": "members", "members": [{"id", "name"}]}
     "epoch": "", "after": ""}                       {"type": "message", "text", "name", "by", "ref", "at", "id"}
    {"type": "say", "ref": 1, "text": "hello"}       {"type": "sent", "ref", "receivers", "missed"}
    {"type": "leave"}                                {"type": "failed", "ref", "sure": bool, "reason"}
                                                     {"type": "presence", "joined": [{"id", "name"}], "left": ["<id>"]}
                                                     {"type": "status", "live": bool, "text"}

`ref` numbers what a client says: 1, 2, 3 ...; its answer carries the same number. "failed" with sure=true: nobody
got it. With sure=false: nobody knows. "missed" counts instances that have, or just had, members and did not get it.
Only the durable chat uses client, acked, epoch, after, id and gone; it also says {"type": "opened", "room", "id"},
the first entry of a room's history, and {"type": "epoch", "epoch"} when the history it had is gone.
Whoever breaks these rules is closed with 1008, or with 1009 if a message is too large. No I/O in here.
"""

import json
import time
from dataclasses import dataclass
from typing import Any

from websockets.frames import Frame, Opcode

MESSAGE_BYTES = 8192  # one WebSocket message; the library closes with 1009 above it
TEXT_LENGTH = 1000  # characters, as the next two
NAME_LENGTH = 32
ROOM_LENGTH = 40
RATE, BURST = 20.0, 80.0  # messages per second of one client, and how many at once


class Violation(Exception):
    """A client broke a rule: close its connection with `code` and `reason`."""

    def __init__(self, reason: str, code: int = 1008) -> None:
        super().__init__(reason)
        self.code, self.reason = code, reason


@dataclass(frozen=True, slots=True)
class Join:
    room: str
    name: str
    client: str  # secret of this client, so that what it sends again is recognised
    acked: int  # the last ref it knows to be accepted
    epoch: str  # the life of the room that `after` belongs to
    after: str  # id of the last message it has


@dataclass(frozen=True, slots=True)
class Say:
    ref: int
    text: str


@dataclass(frozen=True, slots=True)
class Leave:
    pass


def parse(data: str | bytes) -> Join | Say | Leave:
    """The request in one WebSocket message; raises Violation."""
    try:
        said = json.loads(data) if isinstance(data, str) else None
    except (ValueError, RecursionError):
        said = None
    if not isinstance(said, dict):
        raise Violation("send one JSON object per text message")
    match said.get("type"):
        case "join":
            return Join(_words(said, "room", ROOM_LENGTH), _words(said, "name", NAME_LENGTH),
                        _word(said, "client"), _number(said, "acked"), _word(said, "epoch"), _word(said, "after"))
        case "say":
            return Say(_number(said, "ref"), _words(said, "text", TEXT_LENGTH, code=1009))
        case "leave":
            return Leave()
    raise Violation("type must be join, say or leave")


def _words(said: dict[str, Any], field: str, limit: int, code: int = 1008) -> str:
    value = said.get(field)
    if not isinstance(value, str) or not value.strip():
        raise Violation(f"{field} must be a text that is not empty")
    if len(value) > limit:
        raise Violation(f"{field} is longer than {limit} characters", code)
    if any((ord(c) < 32 and c not in "\n\t") or 0xD800 <= ord(c) < 0xE000 for c in value):
        raise Violation(f"{field} holds characters that are no text")
    return value.strip()


def _word(said: dict[str, Any], field: str) -> str:
    value = said.get(field, "")
    if not isinstance(value, str) or len(value) > 64 or (not value.replace("-", "").isalnum() and value):
        raise Violation(f"{field} must be letters, digits and -, at most 64")
    return value


def _number(said: dict[str, Any], field: str) -> int:
    value = said.get(field, 0)
    if type(value) is not int or not 0 <= value < 2**53:
        raise Violation(f"{field} must be a whole number from 0")
    return value


def dump(type: str, **fields: Any) -> bytes:
    """One thing the chat says, as JSON."""
    return json.dumps({"type": type, **fields}, ensure_ascii=False, separators=(",", ":")).encode()


def message(by: str, name: str, say: Say) -> bytes:
    """What is stored in Redis when a member says something; members get it as it is."""
    return dump("message", text=say.text, name=name, by=by, ref=say.ref, at=round(time.time(), 3))


def frame(payload: bytes) -> bytes:
    """A WebSocket text frame, built once and then written to every member's connection.

    The library would build it anew for each member, which costs as much as the rest of a delivery.
    """
    return Frame(Opcode.TEXT, payload).serialize(mask=False)


class Rate:
    """A bucket of BURST messages that fills with RATE messages per second."""

    __slots__ = ("_at", "_left")

    def __init__(self, now: float) -> None:
        self._left, self._at = BURST, now

    def take(self, now: float) -> None:
        """Take one message out of the bucket; raises Violation if it is empty."""
        self._left, self._at = min(BURST, self._left + (now - self._at) * RATE), now
        if self._left < 1:
            raise Violation(f"more than {RATE:.0f} messages per second")
        self._left -= 1
