"""Faults injected on purpose: which of the armed rules hits this step of this function now.

    what         step       what happens
    reject       request    the request is refused with `status` (429, 500 or 503) before it reaches an instance
    delay        request    it waits `delay` seconds first
    slow_start   start      a cold start takes `delay` seconds longer
    kill         connected  the instance is killed `after` seconds into the request, as by a crash
    cut          connected  the connection is cut `after` seconds into it, without a Close frame
    silence      connected  after `after` seconds no byte passes and no end gets a notice, as behind a NAT
    pause_redis  redis      the kit's Redis is paused while the rule is armed

"connected" happens when a request gets its place on an instance, and once for each open request when a rule is armed.
A rule ends after `times` hits, at `until`, or when it is cleared.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, cast, get_args

from fclocal.core.errors import FcError, invalid

What = Literal["reject", "delay", "slow_start", "kill", "cut", "silence", "pause_redis"]
Step = Literal["request", "start", "connected", "redis"]

STEPS: dict[What, Step] = {"reject": "request", "delay": "request", "slow_start": "start", "kill": "connected",
                           "cut": "connected", "silence": "connected", "pause_redis": "redis"}
LONGEST = 86400.0
"""Longest time, in seconds, that a rule takes for `seconds`, `delay` and `after`: the longest a request may live."""

# The field that each kind of fault has besides function, times and seconds.
_OWN: dict[What, str] = {"reject": "status", "delay": "delay", "slow_start": "delay", "kill": "after", "cut": "after",
                         "silence": "after"}
_REASONS = {429: ("ResourceExhausted", {"reason": "injected fault: too many requests"}),
            500: ("InternalServerError", {}),
            503: ("ResourceThrottled", {"reason": "injected fault: the service is throttling"})}


@dataclass(frozen=True, slots=True)
class FaultRule:
    """An armed fault. Times in seconds; `function` None means any; `times` None means every time."""

    id: str
    what: What
    function: str | None = None
    status: int = 503
    delay: float = 1.0
    after: float = 0.0
    times: int | None = None
    until: float | None = None

    @property
    def step(self) -> Step:
        return STEPS[self.what]

    @property
    def detail(self) -> str:
        """The effect of the rule in a few words, for journal and timeline."""
        own = _OWN.get(self.what)
        value = f" {getattr(self, own):g}{'' if own == 'status' else ' s'}" if own else ""
        return f"{self.what}{f' {own}' if own == 'after' else ''}{value}"

    def error(self) -> FcError:
        """The error of a rule "reject": the code that the service documents for its status."""
        code, facts = _REASONS[self.status]
        return FcError(code, **facts)


Rules = tuple[FaultRule, ...]


def rule(rule_id: str, what: str, settings: Mapping[str, Any], now: float) -> FaultRule:
    """Build a rule from its settings: function, times, seconds (how long it stays armed), and status | delay | after.

    Raises FcError InvalidArgument that names the field.
    """
    if what not in get_args(What):
        raise invalid("fault", f"'{what}' is none of {', '.join(get_args(What))}")
    what = cast(What, what)
    known = {"function", "times", "seconds"} | ({_OWN[what]} if what in _OWN else set())
    values = {name: value for name, value in settings.items() if value is not None}
    if unknown := sorted(set(values) - known):
        raise invalid(unknown[0], f"a fault '{what}' has no such field, only {', '.join(sorted(known))}")
    if not isinstance(values.get("function", ""), str):
        raise invalid("function", "must be the name of a function")
    status = values.get("status", 503)
    if not isinstance(status, int) or status not in _REASONS:
        raise invalid("status", "must be 429, 500 or 503")
    times = values.get("times")
    if times is not None and (not isinstance(times, int) or isinstance(times, bool) or times < 1):
        raise invalid("times", "must be a whole number from 1")
    for name in ("seconds", "delay", "after"):
        value = values.get(name, 1)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= LONGEST:
            raise invalid(name, f"must be a number of seconds from 0 to {LONGEST:g}")
    seconds = values.pop("seconds", None)
    return FaultRule(rule_id, what, until=None if seconds is None else now + seconds, **values)


def hit(rules: Rules, step: Step, function: str, now: float) -> tuple[Rules, Rules]:
    """Return the rules that hit `step` of `function` at `now`, and the rules that stay armed after it.

    Of several rules "reject" only the first hits: a request that is rejected once must not consume the second rule.
    """
    hits: list[FaultRule] = []
    left: list[FaultRule] = []
    for armed in rules:
        if armed.until is not None and now >= armed.until:
            continue
        refused = any(other.what == "reject" for other in hits)
        if armed.step != step or armed.function not in (None, function) or refused:
            left.append(armed)
            continue
        hits.append(armed)
        if armed.times is None:
            left.append(armed)
        elif armed.times > 1:
            left.append(replace(armed, times=armed.times - 1))
    return tuple(hits), tuple(left)


def ended(before: Rules, after: Rules) -> Rules:
    """Return the rules of `before` that are no longer armed."""
    alive = {armed.id for armed in after}
    return tuple(armed for armed in before if armed.id not in alive)
