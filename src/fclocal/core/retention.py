"""What the platform does with an instance that has no request: freeze, keep, release or replace it.

Pure rules. The pool carries them out; the meter reads `Rest` from the record `instance.starting` and the time until
which an instance is kept from `instance.kept`.
"""

from enum import StrEnum

from fclocal.core.ending import Ending
from fclocal.core.model import FunctionConfig

# An instance that uses a smaller share of its vCPUs in a second is quiet. The service does not publish its threshold.
QUIET_SHARE = 0.05
QUIET_SECONDS = 1.0


class Rest(StrEnum):
    """How an instance without requests passes its time."""

    HIBERNATING = "hibernating"  # frozen
    ACTIVE = "active"  # it runs on: CPU is always allocated
    BY_CPU = "by-cpu"  # it runs on while it works, and hibernates afterwards


def rest(config: FunctionConfig, why: str, *, minimum_active: bool) -> Rest:
    """Return how an instance rests. `why`: the reason of its start, see the record `instance.starting`."""
    if why == "minimum":
        return Rest.ACTIVE if minimum_active else Rest.HIBERNATING
    return Rest.HIBERNATING if config.idle_timeout is None else Rest.BY_CPU


def kept_until(idle_since: float, idle_timeout: int | None, sessions_until: float) -> float:
    """Return the time until which the function itself keeps an instance, 0 if it does not.

    idle_since: the end of its last request. sessions_until: the end of the last session bound to it, 0 without one.
    """
    return max(sessions_until, 0.0 if idle_timeout is None else idle_since + idle_timeout)


def release_at(idle_since: float, idle_release: float, kept: float) -> float:
    """Return the time at which an instance is released. `kept`: see `kept_until`."""
    return max(idle_since + idle_release, kept)


def is_quiet(cpu_seconds: float, elapsed: float, vcpu: float) -> bool:
    """Return whether an instance that used `cpu_seconds` of CPU time in `elapsed` seconds may hibernate."""
    return cpu_seconds < QUIET_SHARE * vcpu * elapsed


def is_replaced(config: FunctionConfig, ending: Ending, status: int, *, websocket_cancel: bool) -> bool:
    """Return whether an instance is replaced after a request: its client canceled the request, and may have left work.

    Only with concurrency 1 and without a health check. status: that of the request, 101 for a WebSocket.
    websocket_cancel: whether a WebSocket whose client vanishes counts as canceled.
    """
    check = config.custom_runtime_config.health_check_config
    checked = check is not None and bool(check.http_get_url)
    canceled = ending is Ending.CLIENT and (status != 101 or websocket_cancel)
    return canceled and config.concurrency == 1 and not checked
