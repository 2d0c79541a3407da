"""When to connect again, by cause: one table and two pure functions. No clock, no socket, no chance in here."""

from dataclasses import dataclass
from typing import Literal

When = Literal["never", "at once", "backoff", "later"]


@dataclass(frozen=True, slots=True)
class Rule:
    """What to do about one cause, and why."""

    when: When
    why: str


# HTTP statuses that a handshake can be refused with.
STATUSES = {
    400: Rule("never", "the request breaks a limit or lacks a signature: it would break it again"),
    401: Rule("never", "the credentials are wrong: get new ones first"),
    403: Rule("never", "not let in: wrong credentials, or a method that the trigger does not take"),
    404: Rule("never", "there is no function or trigger at this address"),
    405: Rule("never", "the program does not take this method"),
    412: Rule("later", "the function does not start: somebody has to deploy it again"),
    429: Rule("backoff", "too many requests at the moment"),
    500: Rule("backoff", "an error of the service: it may be retried"),
    502: Rule("backoff", "the function broke off its answer"),
    503: Rule("backoff", "the service is throttling"),
    504: Rule("backoff", "the function was too slow"),
}
# Close codes of a connection that was open (RFC 6455, section 7.4, and IANA's registry).
CLOSE_CODES = {
    1000: Rule("never", "the work is done"),
    1001: Rule("at once", "the server goes away: another takes over"),
    1002: Rule("never", "one side breaks the protocol: it would break it again"),
    1003: Rule("never", "the server does not take this kind of data"),
    1006: Rule("at once", "the connection was cut: execution timeout, crash or network"),
    1007: Rule("never", "the data was not what it says it is"),
    1008: Rule("never", "the server's policy refuses this client"),
    1009: Rule("never", "the message was too big, and would be again"),
    1011: Rule("backoff", "an error in the function"),
    1012: Rule("later", "the server restarts"),
    1013: Rule("later", "the server has too much to do"),
}
UNREACHABLE = Rule("backoff", "no answer from this address: network, name or port")
UNTRUSTED = Rule("never", "the certificate is for another name, or from an authority that is not trusted here")
UNKNOWN = Rule("backoff", "a cause that this table does not know")


def rule(*, status: int | None = None, close_code: int | None = None) -> Rule:
    """The rule for a refused handshake (`status`) or a closed connection (`close_code`); neither: unreachable."""
    if status is not None:
        return STATUSES.get(status, UNKNOWN)
    if close_code is not None:
        return CLOSE_CODES.get(close_code, UNKNOWN)
    return UNREACHABLE


def wait(when: When, failures: int, draw: float, *, base: float = 1.0, longest: float = 30.0) -> float | None:
    """Seconds to wait before the next attempt, None for no further attempt.

    `failures`: attempts that failed in a row before this cause, from 0. `draw`: a random number in [0, 1). The wait is
    drawn from a whole span ("full jitter"), so that clients that are cut together do not come back together. The
    span begins at `base` seconds for "at once", 2 x for "backoff", 10 x for "later", and doubles with each failure
    up to `longest`.
    """
    if when == "never":
        return None
    first = {"at once": base, "backoff": 2 * base, "later": 10 * base}[when]
    return draw * min(longest, first * 2.0 ** min(failures, 60))
