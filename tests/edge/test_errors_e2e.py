"""One error of each class, as a client of the real platform receives it, and what it costs."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from alibabacloud_fc20230330 import models as m
from awaited import until
from service_kit import Answer, call, set_trigger

from fclocal import Platform
from fclocal.testing import running_platform

SERVER = """
import http.server, os
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path != "/broken":
            self.send_response(200); self.send_header("Content-Length", "0"); self.end_headers()
http.server.ThreadingHTTPServer(("0.0.0.0", int(os.environ["FC_SERVER_PORT"])), Handler).serve_forever()
"""
MANIFEST = """
edition: 3.0.0
name: errors
resources:
  fn:
    component: fc3
    props:
      region: cn-hangzhou
      functionName: errors
      runtime: custom.debian12
      code: .
      timeout: 30
      customRuntimeConfig: { command: [python3, server.py] }
      triggers:
        - { triggerName: http, triggerType: http, triggerConfig: { methods: [GET], authType: anonymous } }
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("code")
    (made / "server.py").write_text(SERVER)
    (made / "s.yaml").write_text(MANIFEST)
    return made


@pytest.fixture(scope="module")
def fc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    with running_platform(tmp_path_factory.mktemp("state"), propagation=0.5) as running:
        yield running


@pytest.fixture(scope="module")
def seen(fc: Platform, folder: Path) -> dict[str, Answer]:
    """The answer to one request of each class, by status."""
    url = fc.deploy(folder).url
    answers = {"404": call(url)}  # the trigger is new
    until(lambda: call(url).status == 200)
    answers["400"] = call(url, headers=[("x-big", "x" * 8200)])
    set_trigger(fc, "errors", authType="function")
    answers["400 unsigned"] = call(url)
    set_trigger(fc, "errors", methods=["POST"])
    answers["403"] = call(url)
    set_trigger(fc, "errors")
    for status in (500, 503):
        with fc.fault("reject", status=status, times=1, function="errors"):
            answers[str(status)] = call(url)
    answers["502"] = call(url, "/broken")
    fc.sdk.update_function("errors", m.UpdateFunctionRequest(body=m.UpdateFunctionInput(timeout=31)))  # no instance now
    fc.sdk.put_concurrency_config("errors", m.PutConcurrencyConfigRequest(
        body=m.PutConcurrencyInput(reserved_concurrency=0)))
    answers["429"] = call(url)
    down = fc.deploy(folder, functionName="down", customRuntimeConfig={"command": ["python3", "missing.py"]}).url
    answers["412"] = until(lambda: answer if (answer := call(down)).status != 404 else None)
    return answers


@pytest.mark.parity("gateway.error-shape", "gateway.error-type")
@pytest.mark.parametrize(("case", "code"), [
    ("400", "InvalidArgument"), ("400 unsigned", "MissingRequiredHeader"), ("403", "AccessDenied"),
    ("404", "TriggerNotFound"), ("412", "CAExited"), ("429", "ResourceExhausted"), ("500", "InternalServerError"),
    ("502", "BadResponse"), ("503", "ResourceThrottled")])
def test_each_class_of_error_has_the_documented_shape_and_type(seen: dict[str, Answer], case: str, code: str) -> None:
    answer = seen[case]
    assert answer.error == (int(case[:3]), code)
    assert answer.headers["x-fc-error-type"] == ("UnhandledInvocationError" if case == "502" else "FcCommonError")
    assert answer.headers["content-type"] == "application/json" and answer.json["Message"]


@pytest.mark.parity("bill.not-billed")
def test_none_of_them_is_billed_but_that_of_the_function(fc: Platform, seen: dict[str, Answer]) -> None:
    data = fc.bill("errors").data
    reasons = {row["reason"].split(" ")[0] for row in data["notBilled"]}
    assert reasons == {"400", "403", "404", "429", "500", "503"}
    served = list(fc.events(function="errors", kinds="request.end"))
    assert data["requests"] == len(served) and [record.data["status"] for record in served].count(502) == 1
    down = fc.bill("down").data
    assert down["requests"] == 0 and down["spans"] == []
    assert [row["reason"] for row in down["notBilled"] if row["reason"].startswith("412")] == [
        "412 CAExited, before the function"]
