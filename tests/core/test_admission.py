"""Admission: which error a request gets that breaks a rule, and which revision serves one that breaks none."""

from typing import Any

import pytest

from fclocal.core import admission
from fclocal.core.errors import FcError
from fclocal.core.model import (
    Alias,
    Code,
    CustomDomain,
    Function,
    FunctionConfig,
    HttpTriggerConfig,
    InvocationRestriction,
    Revision,
    Route,
    RouteConfig,
    Trigger,
)
from fclocal.core.request import Entry, IncomingRequest, RequestHead

NOW = 1000.0
TRIGGER, DOMAIN, CALL = Entry("trigger", "echo", "http"), Entry("domain", "", "shop.example.com"), Entry(
    "invocation", "echo", "LATEST")
Functions = dict[str, Function]


def revision(version: str = "") -> Revision:
    config = FunctionConfig(function_name="echo", runtime="custom.debian12", timeout=7)
    return Revision(version_id=version, generation=1, config=config, code=Code(checksum="0", size=1), created=0.0)


def functions(**change: Any) -> Functions:
    """One function with two versions, an alias with a canary of 25 %, and a trigger for it."""
    config = {"auth_type": "anonymous", "methods": ("GET",), **change.pop("config", {})}
    trigger = Trigger(trigger_name="http", trigger_id="t", qualifier=change.pop("qualifier", "prod"),
                      config=HttpTriggerConfig(**config), port=1, created=NOW - 10, modified=0.0)
    alias = Alias(alias_name="prod", version_id="1", additional_version_weight={"2": 0.25}, created=0.0, modified=0.0)
    function = Function(function_id="f", latest=revision(), created=0.0, modified=0.0, aliases={"prod": alias},
                        versions={"1": revision("1"), "2": revision("2")}, triggers={"http": trigger})
    return {"echo": function.model_copy(update=change)}


def domains(**change: Any) -> dict[str, CustomDomain]:
    routes = RouteConfig(routes=(Route(path="/api/*", function_name="echo", **change),))
    return {"shop.example.com": CustomDomain(domain_name="shop.example.com", route_config=routes, port=1,
                                             created=0.0, modified=0.0)}


def admit(
    known: Functions, entry: Entry = TRIGGER, *, method: str = "GET", target: str = "/a?b=1", roll: float = 0.99,
    propagation: float = 0.0, headers: tuple[tuple[bytes, bytes], ...] = (), **domain: Any
) -> admission.Admission:
    request = IncomingRequest(entry, RequestHead(method, target, headers), "http", "127.0.0.1", "1-2-3", NOW, NOW, roll)
    trigger = admission.resolve(request, known, domains(**domain), propagation)
    return admission.admit(request, trigger, known, {"id": "secret"})


def refused(*args: Any, **kwargs: Any) -> tuple[int, str]:
    with pytest.raises(FcError) as caught:
        admit(*args, **kwargs)
    return caught.value.status, caught.value.code


@pytest.mark.parametrize(("roll", "version"), [(0.0, "2"), (0.2499, "2"), (0.25, "1"), (0.99, "1")])
def test_the_roll_decides_between_the_version_of_an_alias_and_its_canary(roll: float, version: str) -> None:
    accepted = admit(functions(), roll=roll)
    assert (accepted.revision.version_id, accepted.qualifier, accepted.timeout) == (version, "prod", 7.0)
    assert accepted.head.target == "/a?b=1"


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"triggers": {}}, (404, "TriggerNotFound")),
        ({"config": {"disable_url_internet": True}}, (403, "AccessDenied")),
        ({"disabled": InvocationRestriction(reason="night", since=0.0)}, (403, "AccessDenied")),
        ({"config": {"methods": ("POST",)}}, (403, "AccessDenied")),
        ({"config": {"auth_type": "function"}}, (400, "MissingRequiredHeader")),
        ({"qualifier": "gone"}, (404, "AliasNotFound")),
        ({"qualifier": "9"}, (404, "VersionNotFound")),
        ({"reserved_concurrency": 0}, (429, "ResourceExhausted")),
    ],
)
@pytest.mark.parity("dispatch.reserved-concurrency")
def test_each_rule_has_its_error(change: dict[str, Any], error: tuple[int, str]) -> None:
    assert refused(functions(**change)) == error


def test_a_reserved_concurrency_above_zero_is_the_affair_of_dispatch() -> None:
    assert admit(functions(reserved_concurrency=1))


def test_the_first_rule_that_is_broken_decides() -> None:
    broken: list[tuple[dict[str, Any], str]] = [
        ({"config": {"disable_url_internet": True}}, "internet URL"),
        ({"disabled": InvocationRestriction(reason="night", since=0.0)}, "disabled: night"),
        ({"config": {"methods": ("POST",)}}, "request method GET"),
        ({"config": {"auth_type": "function"}}, "Date was not specified"),
        ({"qualifier": "gone"}, "alias 'gone'"),
        ({"reserved_concurrency": 0}, "reservedConcurrency"),
    ]
    for position, (_, text) in enumerate(broken):
        change: dict[str, Any] = {}
        for later, _ in broken[position:]:
            config = {**change.get("config", {}), **later.get("config", {})}
            change = {**change, **later, **({"config": config} if config else {})}
        with pytest.raises(FcError, match=text):
            admit(functions(**change))


@pytest.mark.parametrize(("seconds", "answers"), [(0.0, True), (10.0, True), (10.1, False)])
def test_a_new_trigger_answers_after_its_propagation(seconds: float, answers: bool) -> None:
    if answers:
        assert admit(functions(), propagation=seconds)
    else:
        assert refused(functions(), propagation=seconds) == (404, "TriggerNotFound")


def test_a_function_that_does_not_exist() -> None:
    for entry in (TRIGGER, CALL):
        assert refused({}, entry) == (404, "FunctionNotFound")
    assert refused({}, DOMAIN, target="/api/x") == (404, "FunctionNotFound")


def test_a_custom_domain_leads_by_its_routes() -> None:
    accepted = admit(functions(), DOMAIN, target="/api/x?y", qualifier="2", methods=("GET",))
    assert (accepted.revision.version_id, accepted.head.target) == ("2", "/api/x?y")
    assert refused(functions(), DOMAIN, target="/other") == (404, "RouteNotFound")
    assert refused(functions(), Entry("domain", "", "unknown.example.com")) == (404, "DomainNameNotFound")
    assert refused(functions(), DOMAIN, target="/api/x", methods=("POST",)) == (403, "AccessDenied")


def test_a_call_of_the_api_needs_no_trigger_and_no_further_authentication() -> None:
    accepted = admit(functions(triggers={}), CALL, method="POST", target="/invoke")
    assert accepted.revision == revision()
    assert (CALL.trigger, TRIGGER.trigger, DOMAIN.trigger) == ("", "http", "shop.example.com")


@pytest.mark.parity("gateway.invocation-headers")
@pytest.mark.parametrize(
    ("header", "value", "code", "message"),
    [
        (b"x-fc-invocation-type", b"Async", "NotEmulated", "fclocal does not emulate 'x-fc-invocation-type: Async'"),
        (b"x-fc-log-type", b"Tail", "NotEmulated", "fclocal does not emulate 'x-fc-log-type: Tail'"),
        (b"x-fc-async-task-id", b"1", "NotEmulated", "fclocal does not emulate 'x-fc-async-task-id'"),
        (b"x-fc-invocation-type", b"Later", "InvalidArgument", "x-fc-invocation-type must be Sync or Async"),
        (b"x-fc-log-type", b"All\xff", "InvalidArgument", "x-fc-log-type must be None or Tail"),
    ],
)
def test_an_invocation_that_is_not_emulated_is_refused_by_name(
    header: bytes, value: bytes, code: str, message: str
) -> None:
    with pytest.raises(FcError) as refused:
        admit(functions(), headers=((header, value),))
    assert (refused.value.status, refused.value.code, refused.value.message) == (400, code, message)


@pytest.mark.parametrize("header", [(b"x-fc-invocation-type", b"Sync"), (b"x-fc-log-type", b"None")])
def test_the_headers_of_a_synchronous_invocation_change_nothing(header: tuple[bytes, bytes]) -> None:
    assert admit(functions(), headers=(header,)).revision.version_id == "1"
