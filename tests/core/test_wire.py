"""The JSON of the API: every input becomes a model, or an error that names the field."""

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fclocal.core import wire
from fclocal.core.errors import FcError
from fclocal.core.model import CustomDomain, FunctionConfig, HttpTriggerConfig, Trigger

JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
                    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
                    max_leaves=10)
FIELDS = st.sampled_from(["functionName", "runtime", "timeout", "cpu", "memorySize", "customRuntimeConfig", "tags",
                          "environmentVariables", "sessionAffinityConfig", "instanceLifecycleConfig", "vpcConfig",
                          "triggerName", "triggerType", "triggerConfig", "aliasName", "additionalVersionWeight",
                          "domainName", "routeConfig", "authConfig", "ResourceId", "Tag", "layers"])
SHAPES = [FunctionConfig, wire.TriggerInput, wire.TriggerUpdate, wire.AliasInput, wire.AliasUpdate, wire.DomainInput,
          wire.DomainUpdate, wire.ScalingInput]
FUNCTION = {"functionName": "echo", "runtime": "custom"}


def refusal(shape: Any, given_: Any) -> str:
    with pytest.raises(FcError) as refused:
        wire.parse(shape, given_)
    return f"{refused.value.code}: {refused.value.message}"


@given(st.sampled_from(SHAPES), st.dictionaries(FIELDS | st.text(), JSON, max_size=4) | JSON)
def test_any_json_is_taken_or_refused_with_a_reason(shape: Any, body: Any) -> None:
    try:
        wire.parse(shape, body)
    except FcError as error:
        assert error.code in ("InvalidArgument", "NotEmulated") and error.message


@given(JSON)
def test_any_code_is_taken_or_refused_with_a_reason(body: Any) -> None:
    try:
        assert isinstance(wire.package(body), bytes | None)
    except FcError as error:
        assert error.code in ("InvalidArgument", "NotEmulated") and "code" in error.message


def test_null_and_unknown_empty_lists_count_as_not_given() -> None:
    config = wire.parse(FunctionConfig, {**FUNCTION, "layers": [], "tags": [], "vpcConfig": None, "timeout": None,
                                         "customRuntimeConfig": {"port": None, "command": []}})
    assert config == wire.parse(FunctionConfig, FUNCTION)
    assert refusal(FunctionConfig, {**FUNCTION, "layers": ["a"]}) == "NotEmulated: fclocal does not emulate 'layers'"


@pytest.mark.parity("api.unknown-field")
def test_only_the_names_of_the_wire_are_known() -> None:
    assert "functionName: field required" in refusal(FunctionConfig, {"function_name": "echo", "runtime": "custom"})
    assert refusal(FunctionConfig, {**FUNCTION, "memory_size": 512}) == (
        "InvalidArgument: unknown field 'memory_size'; did you mean 'memorySize'?")
    assert refusal(FunctionConfig, {**FUNCTION, "zzz": 1}) == "InvalidArgument: unknown field 'zzz'"
    assert "customRuntimeConfig.healthCheckConfig.periodSeconds: " in refusal(FunctionConfig, {
        **FUNCTION, "customRuntimeConfig": {"healthCheckConfig": {"periodSeconds": 0}}})


def test_what_a_client_sent_cannot_break_a_line_of_the_message() -> None:
    message = refusal(FunctionConfig, {**FUNCTION, "a\r\nb\x1b[31m": 1})
    assert "\n" not in message and "\x1b" not in message and "a??b?[31m" in message
    assert len(refusal(FunctionConfig, {**FUNCTION, "x" * 10_000: 1})) < 300


def test_the_code_is_base64() -> None:
    assert wire.package({"zipFile": base64.b64encode(b"zip").decode()}) == b"zip" and wire.package(None) is None


@pytest.mark.parity("api.paging")
@given(st.lists(st.text(min_size=1), unique=True, max_size=60), st.integers(1, 100))
def test_pages_give_every_item_once_in_order(names: list[str], limit: int) -> None:
    items = [(name, index) for index, name in enumerate(names)]
    got: list[int] = []
    token = ""
    while True:
        page, token = wire.paginate(items, limit=str(limit), token=token)
        assert len(page) <= limit
        got += page
        if not token:
            break
    assert got == list(range(len(names)))


@pytest.mark.parametrize("limit", ["0", "101", "-1", "1.5", "x", "", "\u0661"])
def test_a_page_has_1_to_100_items(limit: str) -> None:
    with pytest.raises(FcError, match="limit"):
        wire.paginate([], limit=limit, token=None)


def test_what_goes_out_can_come_in_again() -> None:
    key = {"kty": "oct", "kid": "k", "k": "c2VjcmV0"}
    config = HttpTriggerConfig(auth_type="jwt", methods=("GET",), auth_config={"jwks": {"keys": [key]}})
    trigger = Trigger(trigger_name="t", trigger_id="i", config=config, port=9443, created=0, modified=0)
    view = wire.trigger_view("echo", trigger)
    again = wire.parse(wire.TriggerInput, {key: view[key] for key in ("triggerName", "triggerType", "triggerConfig")})
    assert again.trigger_config == config

    given_ = {"domainName": "*.example.com", "protocol": "HTTP", "authConfig": {
        "authType": "jwt", "authInfo": json.dumps({"jwks": {"keys": [key]}})},
        "routeConfig": {"routes": [{"path": "/*", "functionName": "echo", "methods": ["GET"]}]}}
    domain = CustomDomain(**dict(wire.parse(wire.DomainInput, given_)), port=1, created=0, modified=0)
    shown = wire.domain_view(domain)
    assert wire.parse(wire.DomainInput, {key: shown[key] for key in given_}) == wire.parse(wire.DomainInput, given_)
    assert shown["createdTime"] == "1970-01-01T00:00:00Z"
