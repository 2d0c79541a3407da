"""Which injected fault hits which step, how often and how long."""

from typing import Any

import pytest

from fclocal.core import faults
from fclocal.core.errors import FcError
from fclocal.core.faults import FaultRule, hit, rule


@pytest.mark.parity("fault.reject")
@pytest.mark.parametrize(("status", "code"), [
    (429, "ResourceExhausted"), (500, "InternalServerError"), (503, "ResourceThrottled")])
def test_a_refusal_has_the_documented_code_of_its_status(status: int, code: str) -> None:
    error = rule("r1", "reject", {"status": status}, 0).error()
    assert (error.status, error.code) == (status, code)


def test_a_rule_applies_n_times_and_is_removed() -> None:
    rules: faults.Rules = (rule("r1", "reject", {"status": 503, "times": 3}, 0),)
    before = rules
    for _ in range(3):
        hits, rules = hit(rules, "request", "echo", 0)
        assert [one.id for one in hits] == ["r1"]
    assert hit(rules, "request", "echo", 0) == ((), ())
    assert faults.ended(before, rules) == before and faults.ended(before, before) == ()


def test_a_rule_applies_for_n_seconds_and_is_removed() -> None:
    rules = (rule("r1", "delay", {"delay": 0.5, "seconds": 10}, 100.0),)
    assert hit(rules, "request", "echo", 109.9) == (rules, rules)
    assert hit(rules, "start", "echo", 110.0) == ((), ())


def test_a_rule_is_for_its_function_and_its_step_only() -> None:
    rules = (FaultRule("a", "kill", function="echo"), FaultRule("b", "slow_start"), FaultRule("c", "cut", after=2.0))
    assert [one.id for one in hit(rules, "connected", "echo", 0)[0]] == ["a", "c"]
    assert [one.id for one in hit(rules, "connected", "chat", 0)[0]] == ["c"]
    assert [one.id for one in hit(rules, "start", "chat", 0)[0]] == ["b"]
    assert hit(rules, "request", "echo", 0) == ((), rules)


def test_one_request_uses_up_one_refusal() -> None:
    rules = (FaultRule("a", "reject", status=429, times=1), FaultRule("b", "reject", times=1), FaultRule("c", "delay"))
    hits, rules = hit(rules, "request", "echo", 0)
    assert [one.id for one in hits] == ["a"]
    hits, rules = hit(rules, "request", "echo", 0)
    assert [one.id for one in hits] == ["b"]
    assert [one.id for one in hit(rules, "request", "echo", 0)[0]] == ["c"]


@pytest.mark.parametrize(("what", "options", "field"), [
    ("explode", {}, "fault"), ("reject", {"status": 404}, "status"), ("reject", {"delay": 1}, "delay"),
    ("reject", {"times": 0}, "times"), ("reject", {"times": True}, "times"), ("cut", {"after": -1}, "after"),
    ("cut", {"status": 503}, "status"), ("delay", {"delay": "long"}, "delay"), ("kill", {"seconds": 1e9}, "seconds"),
    ("delay", {"delay": float("nan")}, "delay"), ("silence", {"function": 7}, "function"),
    ("pause_redis", {"after": 1}, "after")])
def test_errors_name_the_field(what: str, options: dict[str, Any], field: str) -> None:
    with pytest.raises(FcError) as caught:
        rule("r1", what, options, 0)
    assert caught.value.code == "InvalidArgument" and caught.value.message.startswith(f"{field}: ")


def test_the_detail_reads_well() -> None:
    options = [("reject", {"status": 429}), ("delay", {"delay": 0.25}), ("cut", {"after": 2}), ("pause_redis", {})]
    assert [rule("r", what, values, 0).detail for what, values in options] == [
        "reject 429", "delay 0.25 s", "cut after 2 s", "pause_redis"]
