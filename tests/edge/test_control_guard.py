"""Which requests the management API accepts; every error has a form that clients can read."""

import hashlib
import http.client
import json
import socket
import threading
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from alibabacloud_fc20230330 import models as fc
from management import Management, function_input, refused

from fclocal.core import acs3

FUNCTIONS = "/2023-03-30/functions"


def signed(api: Management, method: str, path: str, body: bytes = b"", **headers: str) -> dict[str, str]:
    """The headers of a call that is signed by hand; `headers` (with _ for -) are signed too."""
    payload = hashlib.sha256(body).hexdigest()
    names = {"host": api.endpoint, "x-acs-date": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
             "x-acs-content-sha256": payload, **{name.replace("_", "-"): value for name, value in headers.items()}}
    authorization = acs3.sign(method, path, {}, names, access_key_id=api.store.access_key_id,
                              access_key_secret=api.store.access_key_secret, payload=payload)
    return {**names, "authorization": authorization}


def call(api: Management, method: str, path: str, headers: Mapping[str, str] | None = None,
         body: Any = None) -> tuple[int, dict[str, Any], Mapping[str, str]]:
    """Status, decoded JSON and headers of a call over plain HTTP."""
    connection = http.client.HTTPConnection(api.endpoint, timeout=30)
    try:
        connection.request(method, path, body, dict(headers or {}))
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read() or b"{}"), {k.lower(): v for k, v in answer.getheaders()}
    finally:
        connection.close()


def is_error(body: Mapping[str, Any], headers: Mapping[str, str], code: str) -> bool:
    return (set(body) == {"RequestId", "Code", "Message"} and body["Code"] == code
            and headers["x-fc-request-id"] == body["RequestId"] and headers["content-type"] == "application/json")


@pytest.mark.parity("api.error-shape", "api.http-errors")
@pytest.mark.parametrize(("method", "path", "status", "code"), [
    ("GET", "/", 404, "PathNotFound"),
    ("GET", "/2016-08-15/services", 404, "PathNotFound"),
    ("GET", "/local/nothing", 400, "MissingRequiredHeader"),
    ("GET", "/2023-03-30/nothing", 400, "PathNotSupported"),
    ("GET", "/2023-03-30/functions/echo/nothing", 400, "PathNotSupported"),
    ("PATCH", FUNCTIONS, 405, "MethodNotAllowed"),
    ("DELETE", "/2023-03-30/functions/echo/invocations", 405, "MethodNotAllowed"),
    ("GET", "/code/abc.zip", 404, "PathNotFound"),
    ("GET", FUNCTIONS, 400, "MissingRequiredHeader"),
])
def test_every_error_is_json(api: Management, method: str, path: str, status: int, code: str) -> None:
    got, body, headers = call(api, method, path)
    assert got == status and is_error(body, headers, code), body


@pytest.mark.parity("api.error-shape")
def test_a_bug_is_json_and_says_nothing_of_itself(api: Management) -> None:
    status, body, headers = call(api, "GET", "/local/bug", signed(api, "GET", "/local/bug"))
    assert status == 500 and is_error(body, headers, "InternalServerError")
    assert body["Message"] == "an internal error has occurred. Please retry."
    assert call(api, "GET", FUNCTIONS, signed(api, "GET", FUNCTIONS))[0] == 200, "the API goes on"
    status, body, headers = call(api, "GET", "/local/nothing", signed(api, "GET", "/local/nothing"))
    assert status == 404 and is_error(body, headers, "PathNotFound")
    status, body, headers = call(api, "GET", "/local/echo", signed(api, "GET", "/local/echo"))
    assert status == 405 and is_error(body, headers, "MethodNotAllowed")


@pytest.mark.parity("api.http-errors")
def test_a_huge_body_is_refused_readably(api: Management) -> None:
    def chunks() -> Iterator[bytes]:
        for _ in range(141):
            yield b"x" * 2**20

    whole = b"x" * 141 * 2**20
    for body in (chunks(), whole):
        status, answer, headers = call(api, "POST", FUNCTIONS, signed(api, "POST", FUNCTIONS, whole), body)
        assert status == 413 and is_error(answer, headers, "RequestTooLarge"), answer


@pytest.mark.parity("api.unknown-field")
@pytest.mark.parametrize("body", [
    b"{", b"\xff", b"[" * 100_000, b'{"functionName": "\\ud800"}', b'{"timeout": NaN}', b"[1]", b'"text"', b"null",
    b'{"code": 1}', b'{"code": {"zipFile": 5}}', b'{"tags": "x"}', b'{"environmentVariables": []}',
    b'{"timeout": 1e999}', b'{"timeout": ' + b"9" * 4000 + b"}",
])
def test_a_body_that_makes_no_sense_is_the_callers_fault(api: Management, body: bytes) -> None:
    status, answer, headers = call(api, "POST", FUNCTIONS, signed(api, "POST", FUNCTIONS, body), body)
    assert status == 400 and is_error(answer, headers, "InvalidArgument"), answer


@pytest.mark.parity("api.unknown-field")
def test_an_unknown_query_parameter_is_named(api: Management) -> None:
    def get(query: str) -> str:
        authorization = {k: v for k, v in signed(api, "GET", FUNCTIONS).items() if k != "authorization"}
        name, _, value = query.partition("=")
        authorization["authorization"] = acs3.sign(
            "GET", FUNCTIONS, {name: value}, authorization, payload=authorization["x-acs-content-sha256"],
            access_key_id=api.store.access_key_id, access_key_secret=api.store.access_key_secret)
        message: str = call(api, "GET", f"{FUNCTIONS}?{query}", authorization)[1]["Message"]
        return message

    assert get("maxItems=3") == "unknown query parameter 'maxItems'"
    assert get("gpuType=t") == "fclocal does not emulate 'gpuType'"


# Signatures

@pytest.mark.parity("api.signature")
def test_who_has_the_wrong_key_stays_out(api: Management) -> None:
    stranger = api.sdk(access_key_secret="guess")
    for refusal in (lambda: stranger.create_function(function_input()),
                    lambda: stranger.list_functions(fc.ListFunctionsRequest()),
                    lambda: stranger.invoke_function("echo", fc.InvokeFunctionRequest(body=b"x"))):
        assert refused(refusal)[:2] == (403, "SignatureNotMatch")
    nobody = api.sdk(access_key_id="nobody")
    assert refused(nobody.list_functions, fc.ListFunctionsRequest()) == (
        403, "InvalidAccessKeyID", "invalid access key ID 'nobody'")
    assert not api.store.functions and not api.engine.invoked


@pytest.mark.parity("api.signature")
def test_what_was_signed_cannot_be_changed(api: Management) -> None:
    body = json.dumps({"abortOngoingRequest": True}).encode()
    path = f"{FUNCTIONS}/echo/invoke/disable"
    api.sdk().create_function(function_input())
    right = signed(api, "POST", path, body, x_acs_action="DisableFunctionInvocation")
    enable = f"{FUNCTIONS}/echo/invoke/enable"
    for method, where, headers, sent in (
        ("POST", path, right, body.replace(b"true", b"null")),
        ("POST", enable, right, body),
        ("POST", f"{path}?a=b", right, body),
        ("POST", path, {**right, "x-acs-action": "EnableFunctionInvocation"}, body),
        ("POST", path, {**right, "x-acs-extra": "1"}, body),
        ("POST", path, {**right, "host": f"localhost:{api.endpoint.partition(':')[2]}"}, body),
        ("POST", path, {k: v for k, v in right.items() if k != "x-acs-content-sha256"}, body),
    ):
        status, answer, _ = call(api, method, where, headers, sent)
        assert (status, answer["Code"]) == (403, "SignatureNotMatch"), (where, headers)
    assert api.registry.function("echo").disabled is None
    assert call(api, "POST", path, right, body)[0] == 200
    assert api.registry.function("echo").disabled


@pytest.mark.parity("api.signature")
def test_a_signature_is_good_for_a_quarter_of_an_hour(api: Management) -> None:
    for minutes, expected in ((14, 200), (-14, 200), (16, 403), (-16, 403)):
        date = (datetime.now(UTC) + timedelta(minutes=minutes)).strftime("%Y-%m-%dT%H:%M:%SZ")
        assert call(api, "GET", FUNCTIONS, signed(api, "GET", FUNCTIONS, x_acs_date=date))[0] == expected


@pytest.mark.parity("api.signature")
def test_the_local_api_is_signed_alike_and_gets_its_body(api: Management) -> None:
    body = b"x" * 300_000
    assert call(api, "POST", "/local/echo", None, body)[1]["Code"] == "MissingRequiredHeader"
    headers = signed(api, "POST", "/local/echo", body)
    assert call(api, "POST", "/local/echo", headers, body)[1] == {"body": body.decode()}
    assert call(api, "POST", "/local/echo", headers, body[1:] + b"y")[1]["Code"] == "SignatureNotMatch"


@pytest.mark.parity("api.not-implemented", "api.code-url", "api.provision", "api.tags")
def test_operations_that_are_missing_are_named(api: Management) -> None:
    sdk = api.sdk()
    sdk.create_function(function_input())
    tag = fc.Tag(key="k", value="v")
    for call_, name in (
        (lambda: sdk.list_layers(fc.ListLayersRequest()), "ListLayers"),
        (lambda: sdk.put_async_invoke_config("echo", fc.PutAsyncInvokeConfigRequest(
            body=fc.PutAsyncInvokeConfigInput())), "PutAsyncInvokeConfig"),
        (lambda: sdk.stop_async_task("echo", "t", fc.StopAsyncTaskRequest()), "StopAsyncTask"),
        (lambda: sdk.pause_session("echo", "s", fc.PauseSessionRequest()), "PauseSession"),
        (lambda: sdk.get_function_code("echo", fc.GetFunctionCodeRequest()), "GetFunctionCode"),
        (lambda: sdk.put_provision_config("echo", fc.PutProvisionConfigRequest(
            body=fc.PutProvisionConfigInput(target=1))), "PutProvisionConfig"),
        (lambda: sdk.get_provision_config("echo", fc.GetProvisionConfigRequest()), "GetProvisionConfig"),
        (lambda: sdk.delete_provision_config("echo", fc.DeleteProvisionConfigRequest()), "DeleteProvisionConfig"),
        (lambda: sdk.list_provision_configs(fc.ListProvisionConfigsRequest()), "ListProvisionConfigs"),
        (lambda: sdk.tag_resources(fc.TagResourcesRequest(body=fc.TagResourcesInput(
            resource_id=["echo"], resource_type="function", tag=[tag]))), "TagResources"),
        (lambda: sdk.untag_resources(fc.UntagResourcesRequest(
            resource_type="function", resource_id=["echo"], all=True)), "UntagResources"),
        (lambda: sdk.list_tag_resources(fc.ListTagResourcesRequest(resource_type="function")), "ListTagResources"),
    ):
        assert refused(call_) == (501, "NotImplemented", f"fclocal does not implement the operation {name}")
    stranger = api.sdk(access_key_secret="guess")
    assert refused(stranger.list_layers, fc.ListLayersRequest())[1] == "SignatureNotMatch"


# Hosts

@pytest.mark.parity("api.host")
@pytest.mark.parametrize("host", [
    "evil.example.com", "evil.example.com:{port}", "127.0.0.1.nip.io:{port}", "localhost.evil.com", "0.0.0.0:{port}",
    "127.0.0.1:{port}.evil.com", "127.0.0.1@evil.com", "127.0.0.1:{port}, evil.com", "[::1].evil.com", "", "http://",
    "http://evil.com/127.0.0.1", "127.0.0.2",
])
def test_a_page_of_another_name_stays_out(api: Management, host: str) -> None:
    host = host.format(port=api.endpoint.partition(":")[2])
    for path in (FUNCTIONS, "/local/echo", "/2023-03-30/nothing"):
        status, answer, _ = call(api, "GET", path, {**signed(api, "GET", path), "host": host})
        assert (status, answer["Code"]) == (403, "AccessDenied"), path


@pytest.mark.parity("api.host")
@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.1:{port}", "localhost:{port}", "LOCALHOST", "[::1]:{port}",
                                  "http://127.0.0.1:{port}", "http://127.0.0.1:{port}/", "localhost:8888"])
def test_this_machines_own_names_come_in(api: Management, host: str) -> None:
    host = host.format(port=api.endpoint.partition(":")[2])
    assert call(api, "GET", FUNCTIONS, signed(api, "GET", FUNCTIONS, host=host))[0] == 200


@pytest.mark.parity("api.host")
def test_two_hosts_or_none_stay_out(api: Management) -> None:
    port = api.endpoint.partition(":")[2]
    for hosts in (f"Host: 127.0.0.1:{port}\r\nHost: evil.com\r\n", f"Host: evil.com\r\nHost: 127.0.0.1:{port}\r\n", ""):
        with socket.create_connection(("127.0.0.1", int(port)), timeout=10) as client:
            client.sendall(f"GET {FUNCTIONS} HTTP/1.1\r\n{hosts}Connection: close\r\n\r\n".encode())
            answer = b"".join(iter(lambda: client.recv(65536), b""))
        assert answer.split()[1] in (b"400", b"403"), answer


@pytest.mark.parity("api.official-sdks")
def test_the_sdk_with_a_whole_url_as_endpoint_comes_in(api: Management) -> None:
    sdk = api.sdk(endpoint=f"http://{api.endpoint}")
    sdk.create_function(function_input())
    assert sdk.get_function("echo", fc.GetFunctionRequest()).body.function_name == "echo"


def test_fifty_calls_at_once_are_answered(api: Management) -> None:
    answers: list[int] = []
    headers = signed(api, "GET", FUNCTIONS)
    threads = [threading.Thread(target=lambda: answers.append(call(api, "GET", FUNCTIONS, headers)[0]))
               for _ in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert answers == [200] * 50
