"""The messages between a client and the chat: JSON objects in WebSocket text messages. No I/O in this module.

    client to chat                                   chat to client
    {"type": "join", "room": "tea", "name": "Ana",   {"type": "welcome", "room", "id", "name", "instance", "durable",
     "client": "<secret>", "acked": 0, "after": ""}   "after", "gone", "rate", "burst"}
    {"type": "say", "ref": 1, "text": "hello"}       {"type": "members", "members": [PERSON ...], "count"}
    {"type": "leave"}                                {"type": "presence", "joined": [PERSON ...], "left": [ID ...],
                                                      "count"}
                                                     {"type": "message", "text", "name", "by", "ref", "at", "id"}
                                                     {"type": "sent", "ref", "receivers", "missed"}
                                                     {"type": "failed", "ref", "sure": bool, "retry": bool, "reason"}
                                                     {"type": "status", "live": bool, "text"}
                                                     {"type": "gone"}

PERSON is {"id", "name", "instance"}.
A client numbers its messages with `ref`: 1, 2, 3 ...; each answer carries the same number. In "failed", `sure` means
that no member received the message, and `retry` that the same message can be sent again. "missed" counts instances with
members that did not receive the message. `client` is a secret that a client keeps across connections; the public `id`
is derived from it. `rate` and `burst` are the limits that a client must keep.
Only the durable chat uses `acked` (the last ref with an answer), `after` (the id of the last message received), `gone`
(older messages were deleted) and the message's `id`.
A client that breaks the format is closed with 1008, or with 1009 if a message is too large.
"""

import hashlib
import json
import secrets
import time
import unicodedata
from dataclasses import dataclass
from typing import Any

from websockets.frames import Frame, Opcode

MESSAGE_BYTES = 8192  # one WebSocket message; the library closes with 1009 above this size
TEXT_LENGTH = 1000  # characters, as the next two
NAME_LENGTH = 32
ROOM_LENGTH = 40
RATE, BURST = 20.0, 80.0  # messages per second of one client, and how many at once
ABUSE = 200.0  # messages above the rate, after which the connection is closed
ADDRESS_RATE, ADDRESS_BURST = 400.0, 1600.0  # messages of all clients behind one source address
JOIN_RATE, JOIN_BURST = 20.0, 400.0  # joins from one source address
ROOMS = 10_000  # rooms on one instance


class Violation(Exception):
    """A client broke a rule: close its connection with `code` and `reason`."""

    def __init__(self, reason: str, code: int = 1008) -> None:
        super().__init__(reason)
        self.code, self.reason = code, reason


@dataclass(frozen=True, slots=True)
class Join:
    room: str
    name: str
    client: str  # secret of the client, which recognizes repeated messages
    acked: int  # the last ref with an answer
    after: str  # id of the last message received

    @property
    def id(self) -> str:
        """The public id: stable across connections, and useless for claiming the identity of another member."""
        return hashlib.sha256(self.client.encode()).hexdigest()[:12]


@dataclass(frozen=True, slots=True)
class Say:
    ref: int
    text: str
    error: str = ""  # why the text is refused


@dataclass(frozen=True, slots=True)
class Leave:
    pass


def parse(data: str | bytes, name: str = "") -> Join | Say | Leave:
    """Return the request in one WebSocket message; raise Violation. An authenticated `name` replaces the sent one."""
    try:
        fields = json.loads(data) if isinstance(data, str) else None
    except (ValueError, RecursionError):
        fields = None
    if not isinstance(fields, dict):
        raise Violation("send one JSON object per text message")
    match fields.get("type"):
        case "join":
            return Join(_label(fields, "room", ROOM_LENGTH), _label(fields | {"name": name} if name else fields, "name",
                        NAME_LENGTH), _word(fields, "client", 16) or secrets.token_hex(16), _number(fields, "acked"),
                        _word(fields, "after"))
        case "say":
            return _say(_number(fields, "ref"), fields.get("text"))
        case "leave":
            return Leave()
    raise Violation("type must be join, say or leave")


def _say(ref: int, text: object) -> Say:
    if not isinstance(text, str) or not text.strip():
        return Say(ref, "", "text must not be empty")
    if len(text) > TEXT_LENGTH:
        return Say(ref, "", f"text is longer than {TEXT_LENGTH} characters")
    if any(unicodedata.category(c) in ("Cc", "Cs") and c not in "\n\t" for c in text):
        return Say(ref, "", "text contains control characters")
    return Say(ref, text.strip())


def _label(fields: dict[str, Any], field: str, limit: int) -> str:
    """A name: one line of visible characters. Direction overrides and zero-width characters imitate other names."""
    value = fields.get(field)
    if not isinstance(value, str) or not value.strip():
        raise Violation(f"{field} must be a text that is not empty")
    value = unicodedata.normalize("NFC", value.strip())
    if len(value) > limit:
        raise Violation(f"{field} is longer than {limit} characters")
    if any(unicodedata.category(c) in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp") for c in value):
        raise Violation(f"{field} contains invisible or control characters")
    return value


def _word(fields: dict[str, Any], field: str, least: int = 0) -> str:
    value = fields.get(field, "")
    allowed = isinstance(value, str) and value.isascii() and (not value or (
        least <= len(value) <= 64 and value.replace("-", "").isalnum()))
    if not allowed:
        raise Violation(f"{field} must be {f'{least} to' if least else 'at most'} 64 letters, digits or hyphens")
    return value


def _number(fields: dict[str, Any], field: str) -> int:
    value = fields.get(field, 0)
    if type(value) is not int or not 0 <= value < 2**53:
        raise Violation(f"{field} must be a whole number from 0")
    return value


def dump(type: str, **fields: Any) -> bytes:
    """Return one message of the chat as JSON."""
    return json.dumps({"type": type, **fields}, ensure_ascii=False, separators=(",", ":")).encode()


def message(by: str, name: str, say: Say) -> bytes:
    """Return what Redis carries when a member says something; members receive it unchanged."""
    return dump("message", text=say.text, name=name, by=by, ref=say.ref, at=round(time.time(), 3))


def frame(payload: bytes) -> bytes:
    """Return a WebSocket text frame, which is built once and then written to every member's connection.

    The library would build one frame per member, which costs as much as the rest of a delivery.
    """
    return Frame(Opcode.TEXT, payload).serialize(mask=False)


class Rate:
    """A bucket of `burst` tokens that fills with `rate` tokens per second."""

    __slots__ = ("_at", "_burst", "_left", "_rate")

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self._rate, self._burst, self._left, self._at = rate, burst, burst, now

    def take(self, now: float) -> bool:
        """Take one token; return False if there is none."""
        self._left, self._at = min(self._burst, self._left + (now - self._at) * self._rate), now
        if self._left < 1:
            return False
        self._left -= 1
        return True
