"""The session API and DescribeRegions, through the official SDK, and a session that traffic then uses."""

from collections.abc import Iterator
from typing import Any

import pytest
from alibabacloud_fc20230330 import models as fc
from awaited import until
from fake_clock import FakeClock
from management import Management, function_input, refused
from service_kit import call

from fclocal import Platform
from fclocal.testing import running_platform

HEADER = {"session_affinity": "HEADER_FIELD",
          "session_affinity_config": '{"affinityHeaderFieldName": "x-session", "sessionTTLInSeconds": 600}'}
PLAIN = fc.GetSessionRequest()


@pytest.fixture
def sdk(api: Management) -> Any:
    """The official client of an API with the functions `echo` (sessions by header), `cookie` and `none`."""
    client = api.sdk()
    client.create_function(function_input("echo", **HEADER))
    client.create_function(function_input("cookie", session_affinity="GENERATED_COOKIE"))
    client.create_function(function_input("none"))
    return client


def create(sdk: Any, function: str = "echo", qualifier: str | None = None, **options: Any) -> Any:
    return sdk.create_session(function, fc.CreateSessionRequest(
        qualifier=qualifier, body=fc.CreateSessionInput(**options))).body


@pytest.mark.parity("api.sessions", "api.sessions-bound-later")
def test_a_session_from_its_creation_to_its_deletion(sdk: Any) -> None:
    session = create(sdk, session_id="s-1", session_idle_timeout_in_seconds=30)
    assert (session.session_id, session.function_name, session.qualifier) == ("s-1", "echo", "LATEST")
    assert (session.session_affinity_type, session.session_status) == ("HEADER_FIELD", "Active")
    assert session.container_id == ""
    assert (session.session_ttlin_seconds, session.session_idle_timeout_in_seconds) == (600, 30)
    assert session.created_time.endswith("Z")
    assert sdk.get_session("echo", "s-1", PLAIN).body.to_map() == session.to_map()
    changed = sdk.update_session("echo", "s-1", fc.UpdateSessionRequest(
        body=fc.UpdateSessionInput(session_ttlin_seconds=60))).body
    assert (changed.session_ttlin_seconds, changed.session_idle_timeout_in_seconds) == (60, 30)
    assert create(sdk).session_id != "s-1", "without an id the platform makes one"
    assert sdk.delete_session("echo", "s-1", fc.DeleteSessionRequest()).status_code == 204
    for request in (lambda: sdk.get_session("echo", "s-1", PLAIN),
                    lambda: sdk.delete_session("echo", "s-1", fc.DeleteSessionRequest()),
                    lambda: sdk.update_session("echo", "s-1", fc.UpdateSessionRequest(body=fc.UpdateSessionInput()))):
        assert refused(request) == (404, "SessionNotFound", "session 's-1' of function 'echo' does not exist")


@pytest.mark.parity("api.sessions")
def test_sessions_are_listed_by_id_qualifier_and_status(sdk: Any) -> None:
    sdk.publish_function_version("echo", fc.PublishFunctionVersionRequest(body=fc.PublishVersionInput()))
    for name, qualifier in (("a", None), ("b", "1"), ("c", None)):
        create(sdk, qualifier=qualifier, session_id=name)

    def listed(**query: Any) -> list[str]:
        body = sdk.list_sessions("echo", fc.ListSessionsRequest(**query)).body
        return [session.session_id for session in body.sessions]

    assert listed() == listed(session_status="Active") == ["a", "b", "c"]
    assert listed(session_id="b") == listed(qualifier="1") == ["b"] and listed(session_status="Expired") == []
    first = sdk.list_sessions("echo", fc.ListSessionsRequest(limit=2)).body
    assert len(first.sessions) == 2 and listed(next_token=first.next_token) == ["c"]
    assert "sessionStatus: " in refused(lambda: listed(session_status="Gone"))[2]


@pytest.mark.parity("api.sessions")
def test_a_session_of_a_version_has_the_limits_of_the_version(sdk: Any) -> None:
    """Without a qualifier too, although the latest revision has other limits or no affinity at all."""
    sdk.publish_function_version("echo", fc.PublishFunctionVersionRequest(body=fc.PublishVersionInput()))
    create(sdk, qualifier="1", session_id="a")
    sdk.update_function("echo", fc.UpdateFunctionRequest(body=fc.UpdateFunctionInput(
        session_affinity_config='{"affinityHeaderFieldName": "x-session", "sessionTTLInSeconds": 1}')))
    (listed,) = sdk.list_sessions("echo", fc.ListSessionsRequest()).body.sessions
    assert (listed.session_id, listed.qualifier, listed.session_ttlin_seconds) == ("a", "1", 600)
    assert create(sdk, session_id="b").session_ttlin_seconds == 1


@pytest.mark.parity("api.sessions-expired")
def test_sessions_that_have_expired_are_listed_and_deleted_ones_are_not(api: Management, sdk: Any) -> None:
    api.engine.clock = clock = FakeClock()
    for name in ("kept", "over", "gone"):
        create(sdk, session_id=name, session_ttlin_seconds=5 if name == "over" else 600)
    sdk.delete_session("echo", "gone", fc.DeleteSessionRequest())
    clock.advance(5)

    def listed(**query: Any) -> list[tuple[str, str]]:
        body = sdk.list_sessions("echo", fc.ListSessionsRequest(**query)).body
        return [(session.session_id, session.session_status) for session in body.sessions]

    assert listed() == [("kept", "Active"), ("over", "Expired")]
    assert listed(session_status="Expired") == listed(session_id="over") == [("over", "Expired")]
    assert listed(session_status="Active") == [("kept", "Active")]
    assert refused(lambda: sdk.get_session("echo", "over", PLAIN))[:2] == (404, "SessionNotFound")
    create(sdk, session_id="over")
    assert listed(session_id="over") == [("over", "Active"), ("over", "Expired")]


@pytest.mark.parity("api.sessions")
@pytest.mark.parametrize(("function", "options", "code", "says"), [
    ("none", {}, "InvalidArgument", "sessionAffinity: the function has none"),
    ("cookie", {"session_id": "a"}, "InvalidArgument", "sessionId: can be chosen with HEADER_FIELD only"),
    ("echo", {"session_id": "-a"}, "InvalidArgument", "sessionId: a session id has 1 to 64"),
    ("echo", {"session_ttlin_seconds": 21601}, "InvalidArgument", "sessionTTLInSeconds: "),
    ("echo", {"session_idle_timeout_in_seconds": -1}, "InvalidArgument", "sessionIdleTimeoutInSeconds: "),
    ("echo", {"enable_auto_pause": True}, "NotEmulated", "enableAutoPause"),
    ("echo", {"nas_config": fc.NASConfig(user_id=1)}, "NotEmulated", "nasConfig"),
    ("nothing", {}, "FunctionNotFound", "'nothing'"),
])
def test_a_session_that_cannot_be_is_refused(sdk: Any, function: str, options: dict[str, Any], code: str,
                                             says: str) -> None:
    _, actual_code, message = refused(lambda: create(sdk, function, **options))
    assert actual_code == code and says in message


@pytest.mark.parity("api.sessions")
def test_a_session_that_exists_is_refused_until_it_is_deleted(sdk: Any) -> None:
    create(sdk, session_id="a")
    assert refused(lambda: create(sdk, session_id="a")) == (409, "SessionAlreadyExists", "session 'a' already exists")
    sdk.delete_session("echo", "a", fc.DeleteSessionRequest())
    assert create(sdk, session_id="a").session_id == "a"
    with pytest.raises(Exception, match="NotImplemented"):
        sdk.pause_session("echo", "a", fc.PauseSessionRequest())


@pytest.mark.parity("api.regions")
def test_the_one_region_is_described(api: Management) -> None:
    (region,) = api.sdk().describe_regions(fc.DescribeRegionsRequest()).body.regions.region
    assert region.region_id == "cn-hangzhou"


SERVER = """
import http.server, os
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = os.environ["FC_INSTANCE_ID"].encode()
        self.send_response(200); self.send_header("content-length", str(len(body))); self.end_headers()
        self.wfile.write(body)
http.server.ThreadingHTTPServer(("0.0.0.0", 9000), Handler).serve_forever()
"""
MANIFEST = """
edition: 3.0.0
name: sessions
resources:
  fn:
    component: fc3
    props:
      region: cn-hangzhou
      functionName: sessions
      runtime: custom.debian12
      code: .
      timeout: 30
      customRuntimeConfig: { command: [python3], args: [server.py] }
      sessionAffinity: KIND
      CONFIG
      triggers:
        - { triggerName: http, triggerType: http, triggerConfig: { methods: [GET], authType: anonymous } }
"""


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    with running_platform(tmp_path_factory.mktemp("state")) as fc_:
        yield fc_


@pytest.mark.parity("api.sessions-bound-later")
@pytest.mark.parametrize("kind", ["HEADER_FIELD", "GENERATED_COOKIE"])
def test_a_request_with_the_id_binds_a_created_session(running: Platform, kind: str,
                                                       tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("code")
    (folder / "server.py").write_text(SERVER)
    config = ("sessionAffinityConfig: { affinityHeaderFieldName: x-session, sessionConcurrencyPerInstance: 1 }"
              if kind == "HEADER_FIELD" else "sessionAffinityConfig: { sessionConcurrencyPerInstance: 1 }")
    (folder / "s.yaml").write_text(MANIFEST.replace("KIND", kind).replace("CONFIG", config))
    app = running.deploy(folder)
    names = [create(running.sdk, app.name).session_id for _ in range(2)]

    def ask(name: str) -> str:
        header = ("x-session", name) if kind == "HEADER_FIELD" else ("cookie", f"x-fc-cookie-session-id={name}")
        return call(app.url, headers=[header]).body.decode()

    instances = [ask(name) for name in names]
    assert instances[0] != instances[1], "an instance takes one session"
    for name, instance in zip(names, instances, strict=True):
        assert ask(name) == instance
        session = until(lambda name=name: running.sdk.get_session(app.name, name, PLAIN).body)
        assert (session.container_id, session.session_affinity_type) == (instance, kind)
    running.sdk.delete_session(app.name, names[0], fc.DeleteSessionRequest())
    assert [session.session_id for session in running.sdk.list_sessions(
        app.name, fc.ListSessionsRequest(session_status="Active")).body.sessions] == [names[1]]
