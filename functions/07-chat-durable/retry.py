"""When to reconnect, by cause: one table and two pure functions, without a clock, a socket or a random number."""

from dataclasses import dataclass
from typing import Literal

When = Literal["never", "at once", "backoff", "later"]


@dataclass(frozen=True, slots=True)
class Rule:
    """When to reconnect after one cause, and why."""

    when: When
    why: str


# HTTP statuses that reject a handshake.
STATUSES = {
    400: Rule("never", "the request exceeds a limit or has no signature: the next one would too"),
    401: Rule("never", "the credentials are wrong: get new ones first"),
    403: Rule("never", "access denied: wrong credentials, or a method that the trigger does not accept"),
    404: Rule("never", "no function or trigger has this address"),
    405: Rule("never", "the program does not accept this method"),
    412: Rule("later", "the function does not start until a corrected version is deployed"),
    429: Rule("backoff", "too many requests at this moment"),
    500: Rule("backoff", "an error of the service"),
    502: Rule("backoff", "the function did not complete its answer"),
    503: Rule("backoff", "the service is throttling"),
    504: Rule("backoff", "the function did not answer in time"),
}
# Close codes of an open connection (RFC 6455, section 7.4, and the registry of IANA).
CLOSE_CODES = {
    1000: Rule("never", "the work is done"),
    1001: Rule("at once", "the server stops: another instance continues"),
    1002: Rule("never", "one side violates the protocol: it would again"),
    1003: Rule("never", "the server does not accept this type of data"),
    1006: Rule("at once", "the connection was cut: execution timeout, crash or network"),
    1007: Rule("never", "a text message was not valid UTF-8"),
    1008: Rule("never", "the server's policy rejects this client"),
    1009: Rule("never", "the message was too large: it would be again"),
    1011: Rule("backoff", "an error in the function"),
    1012: Rule("later", "the server restarts"),
    1013: Rule("later", "the server is overloaded"),
}
UNREACHABLE = Rule("backoff", "the address does not answer: network, host name or port")
UNTRUSTED = Rule("never", "the certificate is for another name, or its authority is not trusted here")
UNKNOWN = Rule("backoff", "a cause that is not in this table")


def rule(*, status: int | None = None, close_code: int | None = None) -> Rule:
    """Return the rule for a rejected handshake (`status`), a close (`close_code`), or no answer (neither)."""
    if status is not None:
        return STATUSES.get(status, UNKNOWN)
    if close_code is not None:
        return CLOSE_CODES.get(close_code, UNKNOWN)
    return UNREACHABLE


def wait(when: When, failures: int, random_number: float, *, base: float = 1.0, longest: float = 30.0) -> float | None:
    """Return the seconds to wait before the next attempt, or None for no further attempt.

    `failures`: the attempts that failed in a row before this cause, from 0. `random_number`: from 0 to below 1.
    The wait is a random part of a span ("full jitter"), so that clients that were cut together do not return together.
    The span is `base` seconds for "at once", 2 x `base` for "backoff", 10 x `base` for "later". It doubles with each
    failure, up to `longest`.
    """
    if when == "never":
        return None
    first = {"at once": base, "backoff": 2 * base, "later": 10 * base}[when]
    return random_number * min(longest, first * 2.0 ** min(failures, 60))
