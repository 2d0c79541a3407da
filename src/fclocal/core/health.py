"""Health checks of an instance: which result follows from the answers so far.

The rules are those of "Configure instance health checks": failureThreshold failures in a row make an instance
unhealthy, successThreshold successes in a row make it healthy again.
"""

from enum import Enum, auto

from fclocal.core.model import HealthCheck


class Verdict(Enum):
    """What the answers in a row say about an instance."""

    HEALTHY = auto()
    UNHEALTHY = auto()
    OPEN = auto()  # too few in a row: it stays what it was


def count(streak: int, problem: str) -> int:
    """Return the streak after one more check: successes in a row, or failures as a negative number."""
    return min(streak, 0) - 1 if problem else max(streak, 0) + 1


def verdict(check: HealthCheck, streak: int) -> Verdict:
    """Return what `streak` means under the thresholds of `check`."""
    if streak >= check.success_threshold:
        return Verdict.HEALTHY
    return Verdict.UNHEALTHY if -streak >= check.failure_threshold else Verdict.OPEN


def problem(status: int) -> str:
    """Return "" for an answer that counts as success (200 to 399), else what is wrong with it."""
    return "" if 200 <= status < 400 else f"answered {status}"
