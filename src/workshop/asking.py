"""ask(): one HTTP request, told in two values."""

import json
import urllib.error
import urllib.request
from typing import Any


def ask(url: str, method: str = "GET", **headers: str) -> tuple[int, Any]:
    """Send a request; return its status and its answer: parsed JSON, or the sentence of a refusal.

    Names of headers are written as keywords; `**{"x-acs-date": ...}` where they are no Python names.
    """
    request = urllib.request.Request(url, method=method, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, _parsed(answer.read())
    except urllib.error.HTTPError as refusal:
        with refusal:
            said = _parsed(refusal.read())
        return refusal.code, said.get("Message", said) if isinstance(said, dict) else said


def _parsed(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return body.decode("utf-8", "replace")
