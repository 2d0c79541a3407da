"""Session affinity: ids given and planted, bindings, limits and lifetimes."""

from typing import Any

import pytest

from fclocal.core import affinity
from fclocal.core.affinity import Session
from fclocal.core.errors import FcError
from fclocal.core.model import AffinityConfig, FunctionConfig
from fclocal.core.request import RequestHead


def config(kind: str, **rules: Any) -> FunctionConfig:
    if kind == "HEADER_FIELD":
        rules = {"affinity_header_field_name": "My-Session-Id", **rules}
    return FunctionConfig.model_validate({"function_name": "f", "runtime": "custom.debian12", "session_affinity": kind,
                                          "session_affinity_config": AffinityConfig(**rules) if rules else None})


HEADER, COOKIE = config("HEADER_FIELD"), config("GENERATED_COOKIE")


def head_of(*headers: tuple[str, str]) -> RequestHead:
    return RequestHead("GET", "/", tuple((name.encode(), value.encode()) for name, value in headers))


def choose(head: RequestHead, function: FunctionConfig, table: affinity.Table = (),
           now: float = 0.0) -> affinity.Choice:
    choice = affinity.choose(head, function, table, now, "new-1")
    assert choice is not None
    return choice


@pytest.mark.parity("affinity.header")
def test_a_header_names_the_session_and_comes_back() -> None:
    table = affinity.bind((), HEADER, "s1", "c-1", 10.0)
    assert choose(head_of(("my-session-id", "s1")), HEADER, table, 11) == affinity.Choice(
        "s1", "c-1", (b"my-session-id", b"s1"))
    assert choose(head_of(("my-session-id", "s2")), HEADER, table, 11).instance_id is None
    assert choose(head_of(), HEADER, table, 11) == affinity.Choice("new-1", None, (b"my-session-id", b"new-1"))


@pytest.mark.parity("affinity.header")
@pytest.mark.parametrize("bad", ["", "-a", "a b", "a" * 65, "ä", "a;b"])
def test_a_session_id_that_breaks_the_rules_is_refused(bad: str) -> None:
    with pytest.raises(FcError) as caught:
        choose(head_of(("my-session-id", bad)), HEADER)
    assert caught.value.code == "InvalidArgument" and "My-Session-Id" in caught.value.message
    with pytest.raises(FcError):
        choose(head_of(("my-session-id", "a"), ("my-session-id", "b")), HEADER)


@pytest.mark.parity("affinity.cookie")
def test_a_cookie_is_planted_by_the_platform_only() -> None:
    planted = (b"set-cookie", b"x-fc-cookie-session-id=new-1; Max-Age=21600")
    assert choose(head_of(), COOKIE) == affinity.Choice("new-1", None, planted)
    made_up = head_of(("cookie", "x-fc-cookie-session-id=mine"))
    assert choose(made_up, COOKIE) == affinity.Choice("new-1", None, planted)
    table = affinity.bind((), COOKIE, "s1", "c-1", 0)
    known = head_of(("cookie", "a=1; x-fc-cookie-session-id=s1"))
    assert choose(known, COOKIE, table, 1) == affinity.Choice("s1", "c-1", None)


@pytest.mark.parity("affinity.lifetime")
def test_a_session_ends_when_idle_or_old() -> None:
    short = config("HEADER_FIELD", session_ttl_in_seconds=100, session_idle_timeout_in_seconds=10)
    head = head_of(("my-session-id", "s1"))
    table = affinity.bind((), short, "s1", "c-1", 0)
    assert choose(head, short, table, 99).instance_id == "c-1", "a running request keeps its session"
    assert choose(head, short, table, 100).instance_id is None
    table = affinity.release(table, "s1", 20)
    assert choose(head, short, table, 29).instance_id == "c-1"
    assert choose(head, short, table, 30).instance_id is None
    again = affinity.bind(table, short, "s1", "c-1", 25)
    assert again == (Session("s1", "c-1", 0, 25, "HEADER_FIELD", 100, 10, 1),)
    assert affinity.bind(table, short, "s1", "c-2", 40) == (Session("s1", "c-2", 40, 40, "HEADER_FIELD", 100, 10, 1),)


@pytest.mark.parity("affinity.id-reuse", "affinity.id-reuse-disabled")
@pytest.mark.parametrize(("disabled", "expected"), [(False, "s1"), (True, "new-1")])
def test_the_id_of_a_session_that_is_over_is_used_again_unless_that_is_disabled(disabled: bool, expected: str) -> None:
    header = config("HEADER_FIELD", disable_session_id_reuse=disabled)
    cookie = config("GENERATED_COOKIE", disable_session_id_reuse=disabled)
    by_header = affinity.choose(head_of(("my-session-id", "s1")), header, (), 0, "new-1", {"s1"})
    assert by_header == affinity.Choice(expected, None, (b"my-session-id", expected.encode()))
    by_cookie = affinity.choose(head_of(("cookie", "x-fc-cookie-session-id=s1")), cookie, (), 0, "new-1", {"s1"})
    assert by_cookie == affinity.Choice(
        expected, None, (b"set-cookie", f"x-fc-cookie-session-id={expected}; Max-Age=21600".encode()))


@pytest.mark.parity("affinity.limit")
def test_an_instance_takes_so_many_sessions_and_no_more() -> None:
    two = config("GENERATED_COOKIE", session_concurrency_per_instance=2, session_idle_timeout_in_seconds=10)
    table = affinity.bind(affinity.bind((), two, "a", "c-1", 0), two, "b", "c-1", 0)
    assert affinity.full(table, two, 1) == {"c-1"}
    table = affinity.release(table, "a", 1)
    assert affinity.full(table, two, 10) == {"c-1"} and affinity.full(table, two, 11) == frozenset()
    assert [one.session_id for one in affinity.prune(table, ["c-1"], 11)] == ["b"]
    assert affinity.prune(table, ["c-2"], 1) == ()


@pytest.mark.parity("affinity.concurrency")
def test_affinity_forces_a_concurrency_of_200() -> None:
    assert (HEADER.concurrency, COOKIE.concurrency, config("NONE").concurrency) == (200, 200, 1)


@pytest.mark.parametrize(("function", "field"), [
    (config("NONE", session_ttl_in_seconds=5), "sessionAffinityConfig"),
    (config("HEADER_FIELD", affinity_header_field_name=None), "affinityHeaderFieldName"),
    (config("HEADER_FIELD", affinity_header_field_name="X-FC-mine"), "affinityHeaderFieldName")])
def test_a_configuration_that_cannot_work_names_the_field(function: FunctionConfig, field: str) -> None:
    with pytest.raises(FcError, match=field):
        affinity.check(function)


def test_good_configurations_pass() -> None:
    for good in (HEADER, COOKIE, config("NONE")):
        affinity.check(good)
