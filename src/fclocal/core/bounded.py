"""Numbers and JSON from outside, parsed within bounds.

`int()` refuses texts of more than 4,300 digits, `json.loads` overflows the stack on deeply nested text, and SQLite
stores 64 bits. Each of these ends in an unexpected exception far from its cause, so input is bounded here.
"""

import json
import math
import re
from typing import Any, NoReturn

LARGEST = 2**63 - 1
"""The largest integer that SQLite and JSON readers in other languages can store."""
JSON_DEPTH = 64
"""Arrays and objects inside one another in a JSON text."""

_DIGITS = re.compile(r"[0-9]+")


def parse_integer(text: str | bytes, *, maximum: int = LARGEST) -> int:
    """Return the non-negative decimal number `text`. Raises ValueError for anything else, or above `maximum`.

    Leading zeros are valid, as in HTTP; signs, blanks, underscores and digits of other scripts are not.
    """
    digits = text.decode("latin-1") if isinstance(text, bytes) else text
    if not _DIGITS.fullmatch(digits):
        raise ValueError("not a whole number")
    digits = digits.lstrip("0") or "0"
    if len(digits) > len(str(maximum)) or int(digits) > maximum:
        raise ValueError(f"larger than {maximum}")
    return int(digits)


def parse_json(text: str | bytes) -> Any:
    """Return the value of a JSON text. Raises ValueError.

    Refused beyond what `json.loads` refuses: nesting deeper than `JSON_DEPTH`, integers of more than 64 bits, numbers
    that are not finite.
    """
    try:
        value = json.loads(text, parse_int=_json_integer, parse_float=_json_float, parse_constant=_json_constant)
    except RecursionError:
        raise ValueError(f"nested deeper than {JSON_DEPTH} levels") from None
    level = _containers([value])
    for _ in range(JSON_DEPTH):
        level = [inner for outer in level for inner in _containers(outer)]
        if not level:
            return value
    raise ValueError(f"nested deeper than {JSON_DEPTH} levels")


def _containers(values: Any) -> list[Any]:
    """Return the arrays and objects directly inside an array or object."""
    inside = values.values() if isinstance(values, dict) else values
    return [value for value in inside if isinstance(value, (dict, list))]


def _json_integer(text: str) -> int:
    number = parse_integer(text.removeprefix("-"))
    return -number if text.startswith("-") else number


def _json_float(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("a number is too large")
    return number


def _json_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is not valid JSON")
