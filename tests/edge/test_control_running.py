"""Concurrency, minimum instances, instances and invocations, through the official SDK."""

from typing import Any

import pytest
from alibabacloud_fc20230330 import models as fc
from management import Management, function_input, refused

from fclocal.core.errors import FcError
from fclocal.core.lifecycle import State


@pytest.fixture
def sdk(api: Management) -> Any:
    """The official client of an API that has the function `echo`, its version 1 and the alias prod of that."""
    client = api.sdk()
    client.create_function(function_input())
    client.publish_function_version("echo", fc.PublishFunctionVersionRequest(body=fc.PublishVersionInput()))
    client.create_alias("echo", fc.CreateAliasRequest(body=fc.CreateAliasInput(alias_name="prod", version_id="1")))
    return client


@pytest.mark.parity("api.concurrency", "api.concurrency-unbounded")
def test_concurrency_configuration(api: Management, sdk: Any) -> None:
    def put(value: Any) -> Any:
        body = fc.PutConcurrencyInput(reserved_concurrency=value)
        return sdk.put_concurrency_config("echo", fc.PutConcurrencyConfigRequest(body=body)).body

    def listed() -> list[int]:
        configs = sdk.list_concurrency_configs(fc.ListConcurrencyConfigsRequest()).body.configs
        return [config.reserved_concurrency for config in configs]

    assert refused(sdk.get_concurrency_config, "echo")[0] == 404 and listed() == []
    for value in (7, 0, 100_000):
        assert put(value).reserved_concurrency == value
        assert sdk.get_concurrency_config("echo").body.reserved_concurrency == value
        assert api.registry.function("echo").reserved_concurrency == value and listed() == [value]
    assert sdk.get_concurrency_config("echo").body.function_arn.endswith(":functions/echo")
    assert "reservedConcurrency: " in refused(put, -1)[2] and "reservedConcurrency: " in refused(put, None)[2]
    assert sdk.delete_concurrency_config("echo").status_code == 204
    assert refused(sdk.get_concurrency_config, "echo")[0] == 404


@pytest.mark.parity("api.minimum-instances", "api.scaling-policies")
def test_scaling_configuration(api: Management, sdk: Any) -> None:
    def scale(qualifier: str | None = None, **options: Any) -> Any:
        return sdk.put_scaling_config("echo", fc.PutScalingConfigRequest(
            qualifier=qualifier, body=fc.PutScalingConfigInput(**options))).body

    api.engine.add(api.registry.revision("echo", "1"), 1000.0)
    put = scale("prod", min_instances=2)
    assert (put.min_instances, put.target_instances, put.current_instances) == (2, 2, 1)
    assert put.function_arn.endswith(":functions/echo/prod")
    got = sdk.get_scaling_config("echo", fc.GetScalingConfigRequest(qualifier="prod")).body
    assert got.to_map() == put.to_map()

    scaled = scale(min_instances=3)
    assert (scaled.min_instances, scaled.target_instances, scaled.current_instances) == (3, 3, 0)
    assert dict(api.registry.function("echo").min_instances) == {"prod": 2, "LATEST": 3}
    for request in (fc.ListScalingConfigsRequest(), fc.ListScalingConfigsRequest(function_name="echo")):
        listed = sdk.list_scaling_configs(request).body.scaling_configs
        assert [config.min_instances for config in listed] == [3, 2]
    sdk.delete_scaling_config("echo", fc.DeleteScalingConfigRequest(qualifier="prod"))
    sdk.delete_scaling_config("echo", fc.DeleteScalingConfigRequest())
    assert not api.registry.function("echo").min_instances
    assert refused(sdk.get_scaling_config, "echo", fc.GetScalingConfigRequest())[0] == 404

    status, code, message = refused(lambda: scale("1", min_instances=1))
    assert (status, code) == (400, "InvalidArgument") and "qualifier" in message, "a version cannot have it"
    assert refused(lambda: scale("no", min_instances=1))[:2] == (404, "AliasNotFound")
    assert "minInstances: " in refused(lambda: scale(min_instances=-1))[2]
    for call, field in (
        (lambda: scale(min_instances=1, scheduled_policies=[fc.ScheduledPolicy(name="p")]), "scheduledPolicies"),
        (lambda: scale(min_instances=1, resident_pool_id="p"), "residentPoolId"),
    ):
        assert refused(call) == (400, "NotEmulated", f"fclocal does not emulate '{field}'")


@pytest.mark.parity("api.instances")
def test_instances(api: Management, sdk: Any) -> None:
    first = api.engine.add(api.registry.revision("echo", "LATEST"), 1000.25)
    second = api.engine.add(api.registry.revision("echo", "1"), 2000.0, State.FROZEN)

    def listed(**query: Any) -> list[str]:
        body = sdk.list_instances("echo", fc.ListInstancesRequest(**query)).body
        return [instance.instance_id for instance in body.instances]

    one, two = sdk.list_instances("echo", fc.ListInstancesRequest()).body.instances
    assert (one.instance_id, one.version_id, one.qualifier, one.status) == (first, "0", "LATEST", "Active")
    assert (two.instance_id, two.version_id, two.qualifier, two.status) == (second, "1", "1", "Frozen")
    assert one.created_time_ms == 1_000_250
    assert listed(qualifier="prod") == listed(qualifier="1") == listed(instance_ids=[second]) == [second]
    assert listed(qualifier="LATEST") == listed(instance_status=["Active", "Idle"]) == listed(limit="1") == [first]
    assert listed(start_key=first) == [second] and listed(end_time_ms=1_500_000) == [first]
    assert listed(with_all_active=True, start_time_ms=1) == [first, second]
    assert refused(sdk.list_instances, "echo", fc.ListInstancesRequest(qualifier="9"))[1] == "VersionNotFound"
    assert "limit" in refused(sdk.list_instances, "echo", fc.ListInstancesRequest(limit="many"))[2]
    assert "endTimeMs" in refused(sdk.list_instances, "echo", fc.ListInstancesRequest(end_time_ms="then"))[2]


@pytest.mark.parity("api.invoke", "api.invoke-failed")
def test_invocations_carry_bytes_both_ways(api: Management, sdk: Any) -> None:
    api.engine.answer = ({"x-fc-request-id": "1-abc", "content-type": "text/html", "x-own": "1"}, b"\0\xff out")
    answer = sdk.invoke_function("echo", fc.InvokeFunctionRequest(body=b"\0\xff in", qualifier="prod"))
    assert (answer.status_code, answer.body.read()) == (200, b"\0\xff out")
    assert answer.headers["x-fc-request-id"] == "1-abc" and "x-own" not in answer.headers
    assert "x-fc-error-type" not in answer.headers
    assert api.engine.invoked[-1] == ("echo", "prod", b"\0\xff in")
    api.engine.answer = ({"x-fc-status": "404"}, b"{}")
    answer = sdk.invoke_function("echo", fc.InvokeFunctionRequest())
    assert answer.headers["x-fc-error-type"] == "UnhandledInvocationError"
    assert answer.headers["x-fc-request-id"].startswith("1-")
    assert api.engine.invoked[-1] == ("echo", "LATEST", b"")

    api.engine.answer = FcError("CAExited", reason="Function instance exited unexpectedly(code 1)")
    assert refused(sdk.invoke_function, "echo", fc.InvokeFunctionRequest()) == (
        412, "CAExited", "Function instance exited unexpectedly(code 1)")
    assert refused(sdk.invoke_function, "no", fc.InvokeFunctionRequest())[:2] == (404, "FunctionNotFound")
    assert refused(sdk.invoke_function, "echo", fc.InvokeFunctionRequest(qualifier="9"))[1] == "VersionNotFound"


@pytest.mark.parity("api.invoke-async", "api.invoke-log")
def test_invocations_other_than_synchronous_ones_are_refused_by_name(api: Management, sdk: Any) -> None:
    def invoke(body: bytes, **headers: Any) -> Any:
        return sdk.invoke_function_with_options("echo", fc.InvokeFunctionRequest(body=body),
                                                fc.InvokeFunctionHeaders(**headers), fc_options())

    assert refused(lambda: invoke(b"event", x_fc_invocation_type="Async")) == (
        400, "NotEmulated", "fclocal does not emulate 'x-fc-invocation-type: Async'")
    assert not api.engine.invoked
    assert invoke(b"x" * 2**20, x_fc_invocation_type="Sync").status_code == 200
    assert refused(lambda: invoke(b"x" * (32 * 2**20 + 1)))[:2] == (400, "EntityTooLarge")
    assert refused(lambda: invoke(b"", x_fc_invocation_type="Later"))[1] == "InvalidArgument"
    assert refused(lambda: invoke(b"", x_fc_log_type="Tail")) == (
        400, "NotEmulated", "fclocal does not emulate 'x-fc-log-type: Tail'")
    assert invoke(b"", x_fc_log_type="None").status_code == 200
    assert refused(lambda: invoke(b"", x_fc_async_task_id="1")) == (
        400, "NotEmulated", "fclocal does not emulate 'x-fc-async-task-id'")


def fc_options() -> Any:
    from darabonba.runtime import RuntimeOptions
    return RuntimeOptions(read_timeout=60_000)


@pytest.mark.parity("api.disable")
def test_invocations_are_disabled_and_enabled(api: Management, sdk: Any) -> None:
    def disable(**options: Any) -> Any:
        return sdk.disable_function_invocation("echo", fc.DisableFunctionInvocationRequest(**options)).body

    assert disable(reason="maintenance").success is True
    restriction = sdk.get_function("echo", fc.GetFunctionRequest()).body.invocation_restriction
    assert (restriction.disable, restriction.reason) == (True, "maintenance") and restriction.last_modified_time
    assert not api.engine.aborted
    disable(abort_ongoing_request=True)
    assert api.engine.aborted == [("echo", "disabled")]
    assert sdk.enable_function_invocation("echo").body.success is True
    assert sdk.get_function("echo", fc.GetFunctionRequest()).body.invocation_restriction is None
    kinds = [record.kind for record in api.journal.read(kinds=("invocation.*",))]
    assert kinds == ["invocation.disabled", "invocation.disabled", "invocation.enabled"]
    assert refused(sdk.enable_function_invocation, "no")[1] == "FunctionNotFound"
