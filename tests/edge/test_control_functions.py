"""Functions and their code, through the official SDK."""

import base64
import hashlib
import json
from typing import Any

import pytest
from alibabacloud_fc20230330 import models as fc
from management import Management, function_input, package, refused

GET = fc.GetFunctionRequest()


def update(**props: Any) -> fc.UpdateFunctionRequest:
    return fc.UpdateFunctionRequest(body=fc.UpdateFunctionInput(**props))


def code(data: bytes) -> fc.InputCodeLocation:
    return fc.InputCodeLocation(zip_file=base64.b64encode(data).decode())


@pytest.mark.parity("api.official-sdks", "api.update-merges", "api.code-checksum")
def test_a_function_from_its_creation_to_its_deletion(api: Management) -> None:
    sdk = api.sdk()
    created = sdk.create_function(function_input(
        timeout=600, memory_size=1024, cpu=0.5, instance_concurrency=20, description="echoes",
        environment_variables={"LEVEL": "info", "WORD": "ü"}, internet_access=True, disk_size=512,
        custom_runtime_config=fc.CustomRuntimeConfig(command=["python3"], args=["server.py"], port=8080),
        instance_lifecycle_config=fc.InstanceLifecycleConfig(initializer=fc.LifecycleHook(handler="h", timeout=30)),
        session_affinity="HEADER_FIELD", session_affinity_config=json.dumps({"affinityHeaderFieldName": "x-session"}),
    )).body
    assert created.function_arn == "acs:fc:cn-hangzhou:1234567890123456:functions/echo"
    assert created.function_id and created.state == "Active" and created.last_update_status == "Successful"
    assert created.code_checksum == hashlib.sha256(package()).hexdigest() and created.code_size == len(package())
    got = sdk.get_function("echo", GET).body
    assert got.to_map() == created.to_map()
    assert (got.timeout, got.memory_size, got.cpu, got.disk_size) == (600, 1024, 0.5, 512)
    assert got.custom_runtime_config.command == ["python3"] and got.custom_runtime_config.port == 8080
    assert got.environment_variables == {"LEVEL": "info", "WORD": "ü"}
    assert json.loads(got.session_affinity_config)["affinityHeaderFieldName"] == "x-session"

    changed = sdk.update_function("echo", update(timeout=5, environment_variables={"A": "1"})).body
    assert (changed.timeout, changed.environment_variables, changed.memory_size) == (5, {"A": "1"}, 1024)
    assert changed.code_checksum == created.code_checksum and changed.function_id == created.function_id
    again = sdk.update_function("echo", update(code=code(package({"new": "1"})))).body
    assert again.code_checksum != created.code_checksum and again.timeout == 5

    assert sdk.delete_function("echo").status_code == 204
    assert refused(sdk.get_function, "echo", GET) == (404, "FunctionNotFound", "function 'echo' does not exist")
    assert not sdk.list_functions(fc.ListFunctionsRequest()).body.functions


@pytest.mark.parity("api.error-codes", "api.delete-function")
def test_what_is_missing_and_what_is_there_already(api: Management) -> None:
    sdk = api.sdk()
    sdk.create_function(function_input())
    assert refused(sdk.create_function, function_input())[:2] == (409, "FunctionAlreadyExists")
    for call in (lambda: sdk.get_function("no", GET), lambda: sdk.update_function("no", update(timeout=1)),
                 lambda: sdk.delete_function("no"), lambda: sdk.list_triggers("no", fc.ListTriggersRequest())):
        assert refused(call) == (404, "FunctionNotFound", "function 'no' does not exist")
    assert refused(sdk.get_function, "echo", fc.GetFunctionRequest(qualifier="7"))[1] == "VersionNotFound"
    assert refused(sdk.get_function, "echo", fc.GetFunctionRequest(qualifier="prod"))[1] == "AliasNotFound"
    sdk.create_trigger("echo", fc.CreateTriggerRequest(body=fc.CreateTriggerInput(
        trigger_name="t", trigger_type="http", trigger_config='{"methods": ["GET"]}')))
    assert refused(sdk.delete_function, "echo") == (409, "FunctionNotEmpty", "function 'echo' has active triggers")
    sdk.delete_trigger("echo", "t")
    sdk.delete_function("echo")


@pytest.mark.parity("api.paging")
def test_lists_come_in_pages(api: Management) -> None:
    sdk = api.sdk()
    names = [f"f{number:02}" for number in range(25)]
    for name in reversed(names):
        sdk.create_function(function_input(name, description=f"about {name}"))
    sdk.create_function(function_input("other", runtime="custom"))

    def listed(**query: Any) -> tuple[list[str], str]:
        body = sdk.list_functions(fc.ListFunctionsRequest(**query)).body
        return [function.function_name for function in body.functions], body.next_token

    first, token = listed(prefix="f")
    assert first == names[:20] and token
    assert listed(prefix="f", next_token=token) == (names[20:], "")
    one_by_one, token = [], ""
    while True:
        page, token = listed(limit=1, next_token=token)
        one_by_one += page
        if not token:
            break
    assert one_by_one == [*names, "other"]
    assert listed(runtime="custom") == (["other"], "")
    assert refused(lambda: listed(tags=[fc.Tag(key="a", value="b")])) == (
        400, "NotEmulated", "fclocal does not emulate 'tags'")
    assert listed(function_name="03") == listed(description="about f03", fc_version="v3") == (["f03"], "")
    assert listed(fc_version="v2") == ([], "")
    for limit in (0, 101, -1):
        assert refused(sdk.list_functions, fc.ListFunctionsRequest(limit=limit))[:2] == (400, "InvalidArgument")
    for token in ("rubbish", "cnViYmlzaA==", "%ff"):
        assert "nextToken" in refused(sdk.list_functions, fc.ListFunctionsRequest(next_token=token))[2]


@pytest.mark.parity("api.not-emulated", "api.only-custom-runtimes", "api.tags")
@pytest.mark.parametrize(("props", "field"), [
    ({"vpc_config": fc.VPCConfig(vpc_id="v")}, "vpcConfig"),
    ({"layers": ["acs:fc:layer"]}, "layers"),
    ({"role": "acs:ram::1:role/r"}, "role"),
    ({"gpu_config": fc.GPUConfig(gpu_type="t")}, "gpuConfig"),
    ({"log_config": fc.LogConfig(project="p")}, "logConfig"),
    ({"internet_access": False}, "internetAccess: false"),
    ({"runtime": "nodejs20"}, "runtime: nodejs20"),
    ({"runtime": "custom-container"}, "runtime: custom-container"),
    ({"session_affinity": "MCP_SSE"}, "sessionAffinity: MCP_SSE"),
    ({"instance_lifecycle_config": fc.InstanceLifecycleConfig(pre_stop=fc.LifecycleHook(command=["x"]))},
     "instanceLifecycleConfig.preStop.command"),
    ({"code": fc.InputCodeLocation(oss_bucket_name="b", oss_object_name="o")}, "code.ossBucketName"),
    ({"code": fc.InputCodeLocation(zip_file="", checksum="1")}, "code.checksum"),
    ({"tags": [fc.Tag(key="team", value="web")]}, "tags"),
])
def test_what_is_not_emulated_is_refused_by_name(api: Management, props: dict[str, Any], field: str) -> None:
    status, name, message = refused(api.sdk().create_function, function_input(**props))
    assert (status, name, message) == (400, "NotEmulated", f"fclocal does not emulate '{field}'")
    assert not api.store.functions


@pytest.mark.parity("api.unknown-field", "api.json-strings")
@pytest.mark.parametrize(("props", "expected"), [
    ({"timeout": 0}, "timeout: "),
    ({"timeout": 86401}, "timeout: "),
    ({"timeout": "30"}, "timeout: "),
    ({"memory_size": 100}, "memorySize: "),
    ({"memory_size": True}, "memorySize: "),
    ({"cpu": 1, "memory_size": 8192}, "cpu : memory must be between 1:1 and 1:4"),
    ({"cpu": 0.33}, "cpu is a multiple of 0.05"),
    ({"instance_concurrency": 201}, "instanceConcurrency: "),
    ({"disk_size": 1024}, "diskSize: "),
    ({"function_name": "9lives"}, "functionName: "),
    ({"function_name": "a" * 65}, "functionName: "),
    ({"function_name": None}, "functionName: field required"),
    ({"code": None}, "code: field required"),
    ({"code": fc.InputCodeLocation(zip_file="***")}, "code.zipFile: must be a zip in Base64"),
    ({"environment_variables": {"FC_X": "1"}}, "'FC_X' must start with a letter"),
    ({"environment_variables": {"A": 1}}, "environmentVariables.A: "),
    ({"environment_variables": {"A": "x" * 4097}}, "at most 4 KB"),
    ({"custom_runtime_config": fc.CustomRuntimeConfig(port=70000)}, "customRuntimeConfig.port: "),
    ({"custom_runtime_config": fc.CustomRuntimeConfig(command="python3")}, "customRuntimeConfig.command: "),
    ({"instance_lifecycle_config": fc.InstanceLifecycleConfig(pre_stop=fc.LifecycleHook(timeout=91))},
     "instanceLifecycleConfig: preStop.timeout is at most 90 seconds"),
    ({"session_affinity_config": {"a": 1}}, "sessionAffinityConfig: must be a JSON string, not an object"),
    ({"session_affinity_config": "{"}, "sessionAffinityConfig: is not valid JSON"),
])
def test_a_wrong_field_is_named(api: Management, props: dict[str, Any], expected: str) -> None:
    status, name, message = refused(api.sdk().create_function, function_input(**props))
    assert (status, name) == (400, "InvalidArgument") and expected in message
    assert not api.store.functions


@pytest.mark.parity("api.unknown-field")
def test_a_misspelt_field_is_recognised(api: Management) -> None:
    sdk = api.sdk()
    sdk.create_function(function_input())

    class Misspelt(fc.UpdateFunctionInput):
        def to_map(self) -> dict[str, Any]:
            return {"memorysize": 1024}

    def put(body: Any) -> str:
        return refused(sdk.update_function, "echo", fc.UpdateFunctionRequest(body=body))[2]

    assert put(Misspelt()) == "unknown field 'memorysize'; did you mean 'memorySize'?"


@pytest.mark.parity("api.code-limit")
def test_a_package_over_100_mb_is_refused(api: Management) -> None:
    sdk = api.sdk(read_timeout=60_000)
    huge = code(b"\0" * (100 * 2**20 + 1))
    assert refused(sdk.create_function, function_input(code=huge)) == (
        400, "EntityTooLarge", "payload size exceeds maximum allowed size (104857600 bytes)")
    assert refused(sdk.create_function, function_input(code=code(b"no zip")))[:2] == (400, "CodeInvalid")

