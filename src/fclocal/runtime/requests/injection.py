"""Injected faults: which rules are armed, what they hit, and when they end.

`core.faults` decides which rule hits; this module keeps the rules, records them in the journal, and returns the hits to
the engine. A rule that is armed also hits the requests that are open already.
"""

import secrets
from collections.abc import Callable, Mapping
from typing import Any

from fclocal.core import faults
from fclocal.core.clock import Clock, Timer
from fclocal.core.errors import invalid
from fclocal.runtime.instances.redis_server import RedisServer
from fclocal.runtime.state.journal import Journal


class Injection:
    """The armed rules of one platform."""

    def __init__(self, journal: Journal, clock: Clock, redis: RedisServer) -> None:
        self._journal = journal
        self._clock = clock
        self._redis = redis
        self._rules: faults.Rules = ()
        self._timers: dict[str, Timer] = {}

    @property
    def rules(self) -> faults.Rules:
        """The rules that are armed now."""
        return self._rules

    async def arm(self, what: str, settings: Mapping[str, Any], running: Callable[[], None]) -> faults.FaultRule:
        """Arm a rule (see core.faults.rule for `settings`); `running` applies it to the requests that are open already.

        The fault pause_redis has taken effect when this returns. Raises FcError InvalidArgument.
        """
        now = self._clock.now()
        rule = faults.rule(f"f-{secrets.token_hex(4)}", what, settings, now)
        if rule.what == "pause_redis" and not self._redis.ours:
            why = "REDIS_URL names another one" if self._redis.running else "no function has asked for it yet"
            raise invalid("pause_redis", f"the kit's own Redis does not run: {why}")
        self._rules = (*self._rules, rule)
        if rule.what == "pause_redis":
            await self._redis.freeze()
        self._journal.append(
            "fault.armed", function=rule.function or "", rule=rule.id, what=rule.what, detail=rule.detail
        )
        if rule.until is not None:
            self._timers[rule.id] = self._clock.call_later(rule.until - now, self.clear, rule.id)
        running()
        return rule

    def clear(self, rule_id: str) -> None:
        """End a rule, if it is still armed."""
        self._keep(tuple(rule for rule in self._rules if rule.id != rule_id))

    def hit(self, step: faults.Step, function: str, *, instance: str = "", request: str = "") -> faults.Rules:
        """Consume the rules that hit this step now, record them, and return them."""
        if not self._rules:  # the usual case, twice per request
            return ()
        hits, left = faults.hit(self._rules, step, function, self._clock.now())
        for rule in hits:
            self._journal.append(
                "fault.hit",
                function=function,
                instance=instance,
                request=request,
                rule=rule.id,
                what=rule.what,
                detail=rule.detail,
            )
        self._keep(left)
        return hits

    def close(self) -> None:
        """End every rule."""
        self._keep(())

    def _keep(self, left: faults.Rules) -> None:
        for rule in faults.ended(self._rules, left):
            if (timer := self._timers.pop(rule.id, None)) is not None:
                timer.cancel()
            if rule.what == "pause_redis" and not any(other.what == rule.what for other in left):
                self._redis.thaw()
            self._journal.append("fault.cleared", function=rule.function or "", rule=rule.id, what=rule.what)
        self._rules = left
