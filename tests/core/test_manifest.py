"""Parse s.yaml into the fields of the API; each error names its line."""

import json
import textwrap

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fclocal.core import manifest
from fclocal.core.errors import FcError
from fclocal.core.manifest_source import MAX_SIZE

HEAD = """\
edition: 3.0.0
name: app
access: default
vars:
  region: cn-hangzhou
  size: { memory: 512 }
resources:
  echo:
    component: fc3
    props:
      region: ${vars.region}
      functionName: echo
      runtime: custom.debian12
      code: ./code
"""
TRIGGER = """\
      triggers:
        - triggerName: http
          triggerType: http
          triggerConfig:
            methods: [GET]
            authType: anonymous
"""


def props(text: str) -> str:
    """HEAD with more props; they begin on line 15."""
    return HEAD + textwrap.indent(textwrap.dedent(text), "      ")


def parse(text: str, loose: bool = False, env: dict[str, str] | None = None, **overrides):
    return manifest.parse(text, env=env or {}, overrides=overrides, loose=loose)


def refused(text: str, **options) -> FcError:
    with pytest.raises(FcError) as error:
        parse(text, **options)
    assert error.value.code in ("ManifestInvalid", "NotEmulated")
    assert "\n" not in error.value.message
    return error.value


@pytest.mark.parity("api.manifest")
def test_every_prop_reaches_the_api():
    parsed = parse(props("""\
        description: says it back
        cpu: 0.5
        memorySize: ${vars.size.memory}
        timeout: 600
        instanceConcurrency: 20
        environmentVariables: { LEVEL: info, HOST: "${env('HOST', 'localhost')}/x" }
        customRuntimeConfig:
          command: [python3]
          args: [main.py]
          port: 9001
          healthCheckConfig: { httpGetUrl: /ready, periodSeconds: 5 }
        instanceLifecycleConfig:
          initializer: { handler: index.initializer, timeout: 30 }
        sessionAffinity: HEADER_FIELD
        sessionAffinityConfig: { affinityHeaderFieldName: my-session, sessionTTLInSeconds: 60 }
        concurrencyConfig: { reservedConcurrency: 10 }
        scalingConfig: { minInstances: 1 }
        customDomain:
          domainName: ws.example.com
          protocol: HTTP,HTTPS
          route: { path: /api/*, qualifier: prod }
          authConfig:
            authType: jwt
            authInfo: { jwks: { keys: [ { kty: oct, alg: HS256, k: KEY } ] } }
        triggers:
          - triggerName: http
            triggerType: http
            qualifier: prod
            triggerConfig:
              methods: [GET, POST]
              authType: jwt
              disableURLInternet: true
              authConfig:
                jwks: { keys: [ { kty: oct, alg: HS256, k: KEY } ] }
                tokenLookup: "query:token"
        """).replace("KEY", "c2VjcmV0" * 6), env={"HOST": "example.com"})
    (resource,) = parsed.resources
    function = resource.function
    assert (function["functionName"], function["cpu"]) == ("echo", 0.5)
    assert (function["memorySize"], function["timeout"]) == (512, 600)
    assert function["environmentVariables"] == {"LEVEL": "info", "HOST": "example.com/x"}
    assert function["customRuntimeConfig"]["port"] == 9001
    assert function["customRuntimeConfig"]["healthCheckConfig"]["periodSeconds"] == 5
    assert function["instanceLifecycleConfig"]["initializer"]["timeout"] == 30
    assert json.loads(function["sessionAffinityConfig"])["sessionTTLInSeconds"] == 60
    assert resource.concurrency == {"reservedConcurrency": 10}
    assert resource.scaling == {"minInstances": 1}
    (trigger,) = resource.triggers
    config = json.loads(trigger["triggerConfig"])
    assert (trigger["qualifier"], config["methods"], config["disableURLInternet"]) == ("prod", ["GET", "POST"], True)
    assert json.loads(config["authConfig"])["tokenLookup"] == "query:token"
    (domain,) = resource.domains
    assert domain["routeConfig"]["routes"][0]["functionName"] == "echo"
    assert domain["routeConfig"]["routes"][0]["path"] == "/api/*"
    assert "keys" in json.loads(domain["authConfig"]["authInfo"])["jwks"]
    assert (resource.code, resource.where) == ("./code", "s.yaml line 14")
    assert parsed.warnings == ()


def test_defaults_are_the_services():
    (resource,) = parse(HEAD + TRIGGER).resources
    assert resource.function["timeout"] == 3 and resource.function["memorySize"] == 512
    assert resource.function["customRuntimeConfig"] == {"command": [], "args": [], "port": 9000}
    assert resource.triggers[0]["qualifier"] == "LATEST"


@pytest.mark.parity("api.manifest-domain")
def test_an_automatic_domain_is_named_after_the_function():
    (resource,) = parse(props("customDomain: { domainName: auto, protocol: HTTP }").replace(
        "functionName: echo", "functionName: my_Echo")).resources
    assert resource.domains[0]["domainName"] == "my-echo.fcv3.1234567890123456.cn-hangzhou.fc.devsapp.net"
    assert resource.domains[0]["routeConfig"]["routes"][0]["path"] == "/*"


def test_several_resources():
    second = HEAD[HEAD.index("  echo:"):].replace("echo", "chat")
    assert [r.name for r in parse(HEAD + second).resources] == ["echo", "chat"]
    assert "two resources have the functionName 'echo'" in refused(
        HEAD + second.replace("functionName: chat", "functionName: echo")).message


@pytest.mark.parity("api.manifest-line")
@pytest.mark.parametrize(("text", "line", "reason"), [
    (props("timeout: 0"), 15, "timeout: "),
    (props("timeout: 86401"), 15, "timeout: "),
    (props("timeout: soon"), 15, "timeout: "),
    (props("timeut: 5"), 15, "unknown field 'timeut'; did you mean 'timeout'?"),
    (props("cpu: 0.35\nmemorySize: 100"), 16, "memorySize: "),
    (props("environmentVariables:\n  A: x\n  PORT: 9000"), 17, "environmentVariables.PORT: "),
    (props("environmentVariables: { FC_X: y }"), 15, "environmentVariables"),
    (props("customRuntimeConfig:\n  command: python3"), 16, "customRuntimeConfig.command: "),
    (props("customRuntimeConfig:\n  command: [python3,\n    3]"), 17, "customRuntimeConfig.command.1: "),
    (props("customRuntimeConfig:\n  prot: 9000"), 16, "unknown field 'customRuntimeConfig.prot'"),
    (props("description: 2026-01-02"), 15, "put it in quotes"),
    (props("timeout: ${vars.timeout}"), 15, "'${vars.timeout}' does not exist"),
    (props("timeout: ${this.props.timeout}"), 15, "too large or too deep"),
    (props("description: ${env('TOKEN')}"), 15, "the environment variable 'TOKEN' is not set and has no default"),
    (props("description: x ${vars.size}"), 15, "is not text"),
    (props("triggers: {}"), 15, "'triggers' must be a list"),
    (props("concurrencyConfig: { reservedConcurrency: -1 }"), 15, "reservedConcurrency: "),
    (props("customDomain:\n  domainName: x.example.com\n  protocol: FTP"), 17, "protocol: "),
    (HEAD + TRIGGER.replace("[GET]", "[GETT]"), 19, "triggerConfig.methods.0: "),
    (HEAD + TRIGGER.replace("authType: anonymous", "disableURLInternet: true"), 18, "authType is missing"),
    (HEAD + TRIGGER.replace("anonymous", "jwt"), 18, "authConfig"),
    (HEAD + TRIGGER.replace("triggerName: http", "triggerName: 1http"), 16, "triggerName: "),
    (HEAD.replace("      functionName: echo\n", ""), 10, "'functionName' is missing"),
    (HEAD.replace("functionName: echo", "functionName: 1echo"), 12, "functionName: "),
    (HEAD.replace("code: ./code", "code: ../../etc"), 14, "relative path inside"),
    (HEAD.replace("code: ./code", "code: /etc"), 14, "relative path inside"),
    (HEAD.replace("code: ./code", "code: ~/x"), 14, "relative path inside"),
    (HEAD.replace("code: ./code", "code: 'C:\\x'"), 14, "relative path inside"),
    (HEAD.replace("code: ./code", 'code: "a\\0b"'), 14, "relative path inside"),
    (HEAD.replace("code: ./code", "code: ${vars.dir}").replace("vars:\n", "vars:\n  dir: ../x\n"), 15, "relative path"),
    (HEAD.replace("edition: 3.0.0", "edition: 2.0.0"), 1, "edition must be 3.0.0"),
    (HEAD.replace("name: app", "nmae: app"), 2, "unknown field 'nmae'"),
    (HEAD.replace("    component", "    componnt"), 9, "unknown field 'componnt'"),
    ("edition: 3.0.0\nresources: []\n", 2, "'resources' must be a map"),
    ("edition: 3.0.0\nresources:\n", 2, "'resources' must be a map"),
    (HEAD + "      timeout: [\n", 16, ""),
    (HEAD + "     timeout: 5\n", 15, ""),
    (HEAD + "      code: twice\n", 15, "duplicate key"),
    ("a: *b\n", 1, "undefined alias"),
    ("a: !!python/object:os.system x\n", 1, ""),
])
def test_each_mistake_is_reported_with_its_line(text, line, reason):
    error = refused(text)
    assert error.code == "ManifestInvalid"
    assert error.message.startswith(f"s.yaml line {line}: ")
    assert reason in error.message


@pytest.mark.parametrize("text", ["", "- a", "just text", "\0", "a: b: c", "{" * 1200])
def test_what_is_no_manifest_at_all(text):
    assert refused(text).code == "ManifestInvalid"


def test_a_file_that_explodes_is_refused():
    bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 9))
    assert "too large" in refused(bomb).message
    assert "larger than" in refused("x" * (MAX_SIZE + 1)).message


NOT_EMULATED = [
    (props("nasConfig: auto"), "nasConfig", 15),
    (props("asyncInvokeConfig: {}"), "asyncInvokeConfig", 15),
    (props("provisionConfig: { defaultTarget: 1 }"), "provisionConfig", 15),
    (props("scalingConfig:\n  minInstances: 1\n  residentPoolId: x"), "residentPoolId", 17),
    (props("customDomain:\n  domainName: auto\n  tlsConfig: {}"), "customDomain.tlsConfig", 17),
    (HEAD + "      layers: [a]\n" + TRIGGER, "layers", 15),
    (HEAD + TRIGGER.replace("            methods", "            corsConfig: {}\n            methods"),
     "triggerConfig.corsConfig", 19),
    (HEAD.replace("access: default", "flow: {}"), "flow", 3),
    (HEAD.replace("    props", "    actions: {}\n    props"), "actions", 10),
]


@pytest.mark.parity("api.manifest-not-emulated", "api.provision")
@pytest.mark.parametrize(("text", "field", "line"), NOT_EMULATED)
def test_fields_that_are_not_emulated_are_errors_or_warnings(text, field, line):
    error = refused(text)
    assert error.code == "NotEmulated"
    assert error.message == f"fclocal does not emulate '{field} (s.yaml line {line})'"
    parsed = parse(text, loose=True)
    assert parsed.warnings == (f"{field} (s.yaml line {line}) is not emulated and was left out",)


@pytest.mark.parity("api.manifest-notices")
@pytest.mark.parametrize(("field", "value", "says"), [
    ("role", "acs:ram::123:role/fc", "credentials"),
    ("logConfig", "auto", "`fclocal logs`"),
    ("logConfig", "{ project: p, logstore: l, enableRequestMetrics: true }", "Simple Log Service"),
    ("vpcConfig", "{ vpcId: v, vSwitchIds: [s], securityGroupId: g }", "this machine's network"),
    ("tags", "[{ key: team, value: web }]", "cost allocation"),
])
def test_props_that_a_complete_file_needs_are_left_out_with_a_notice(field, value, says):
    parsed = parse(props(f"{field}: {value}"))
    (notice,) = parsed.notices
    assert notice.startswith(f"{field} (s.yaml line 15) ") and "on the service; fclocal runs without" in notice
    assert says in notice and ". " not in notice
    assert parsed.warnings == () and field not in parsed.resources[0].function
    assert parse(HEAD).notices == ()


def test_a_complete_file_for_production_needs_no_loose():
    parsed = parse(props("""\
        description: echo
        role: acs:ram::123:role/fc
        logConfig: { project: p, logstore: l, enableRequestMetrics: true, logBeginRule: None }
        vpcConfig: { vpcId: v, vSwitchIds: [s], securityGroupId: g }
        customRuntimeConfig:
          command: [python3, main.py]
          port: 9000
          healthCheckConfig: { httpGetUrl: /healthz, periodSeconds: 10, timeoutSeconds: 1, failureThreshold: 3,
                               initialDelaySeconds: 0, successThreshold: 1 }
        instanceLifecycleConfig: { preStop: { handler: index.preStop, timeout: 10 } }
        """))
    assert [notice.partition(" ")[0] for notice in parsed.notices] == ["role", "logConfig", "vpcConfig"]
    assert parsed.resources[0].function["instanceLifecycleConfig"]["preStop"]["timeout"] == 10


DOMAIN = "customDomain:\n  domainName: ws.example.com\n  protocol: HTTPS\n  certConfig: "


@pytest.mark.parity("domain.certificate")
def test_a_certificate_of_a_domain_is_taken_or_noticed():
    parsed = parse(props(DOMAIN + "{ certName: c, certificate: '-----BEGIN', privateKey: tls/key.pem }"))
    assert parsed.notices == () and parsed.resources[0].domains[0]["certConfig"] == {
        "certName": "c", "certificate": "-----BEGIN", "privateKey": "tls/key.pem"}
    for config, says in (("{}", "none is given"), ("{ certName: c }", "none is given"),
                         ("{ certId: '7' }", "Certificate Management Service"),
                         ("{ certificate: \"${env('CERT', '')}\", privateKey: k }", "none is given"),
                         ("{ certificate: 'oss://a/b/c', privateKey: k }", "not on this machine")):
        parsed = parse(props(DOMAIN + config))
        (notice,) = parsed.notices
        assert notice.startswith("customDomain.certConfig (s.yaml line 18) ") and notice.endswith(says), notice
        assert "certConfig" not in parsed.resources[0].domains[0]
    for config, says in (("{ certifcate: x }", "unknown field 'certifcate'"), ("auto", "'certConfig' must be a map"),
                         ("{ certificate: ../c.pem, privateKey: k }", "certificate '../c.pem' must be a relative")):
        assert says in refused(props(DOMAIN + config)).message


@pytest.mark.parity("redis.url")
@pytest.mark.parametrize(("url", "noticed"), [
    ("redis://redis.internal:6379/0", True), ("redis://user:secret@10.0.0.1", True), ("", True), ("redis://[", True),
    ("redis://localhost:6379/0", False), ("redis://:secret@127.0.0.1:6399", False), ("redis://[::1]:6379", False),
])
def test_a_redis_url_that_is_replaced_is_noticed(url, noticed):
    parsed = parse(props(f"environmentVariables: {{ REDIS_URL: '{url}' }}"))
    assert len(parsed.notices) == noticed
    assert all(notice.startswith("environmentVariables.REDIS_URL (s.yaml line 15) ") for notice in parsed.notices)
    assert "secret" not in "".join(parsed.notices)


@pytest.mark.parametrize(("text", "field"), [
    (HEAD.replace("custom.debian12", "python3.10"), "runtime: python3.10 (s.yaml line 13)"),
    (HEAD.replace("component: fc3", "component: fc"), "component: fc (s.yaml line 9)"),
    (HEAD.replace("code: ./code", "code: { ossBucketName: a }"), "code in an OSS bucket (s.yaml line 14)"),
    (HEAD + TRIGGER.replace("triggerType: http", "triggerType: oss"), "triggerType: oss (s.yaml line 17)"),
    (props("description: ${config('AccountID')}"), "${config('AccountID')} (s.yaml line 15)"),
])
def test_values_that_are_not_emulated_cannot_be_left_out(text, field):
    for loose in (False, True):
        error = refused(text, loose=loose)
        assert (error.code, field in error.message) == ("NotEmulated", True)


def test_overrides_reach_any_prop_and_are_named_when_they_are_wrong():
    (resource,) = parse(HEAD, timeout=5, **{"customRuntimeConfig.port": 9001, "functionName": "other"}).resources
    assert (resource.name, resource.function["timeout"]) == ("other", 5)
    assert resource.function["customRuntimeConfig"]["port"] == 9001
    assert refused(HEAD, timeout=0).message.startswith("the value given for 'timeout': timeout: ")
    assert "unknown field 'timeot'" in refused(HEAD, timeot=5).message


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_damaged_files_raise_nothing_but_our_errors(data):
    text = HEAD + TRIGGER
    at = data.draw(st.integers(0, len(text)))
    pieces = ["", "\n", ":", " - ", "${", "}", "[", "'", "&a ", "*a", "!!", "\t", "null", "0x", "#", "|"]
    piece = data.draw(st.sampled_from(pieces))
    try:
        parse(text[:at] + piece + text[at + data.draw(st.integers(0, 12)):])
    except FcError as error:
        assert error.code in ("ManifestInvalid", "NotEmulated")
