"""Triggers, versions, aliases and custom domains, through the official SDK."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from alibabacloud_fc20230330 import models as fc
from management import Management, function_input, refused

LISTED = fc.ListTriggersRequest()


@pytest.fixture
def sdk(api: Management) -> Any:
    """The official client of an API that has the function `echo`."""
    client = api.sdk()
    client.create_function(function_input())
    return client


def trigger(name: str = "t", qualifier: str | None = None, config: Any = None, **more: Any) -> fc.CreateTriggerRequest:
    config = {"authType": "anonymous", "methods": ["GET", "POST"]} if config is None else config
    return fc.CreateTriggerRequest(body=fc.CreateTriggerInput(**{
        "trigger_name": name, "trigger_type": "http", "qualifier": qualifier,
        "trigger_config": config if isinstance(config, str) else json.dumps(config), **more}))


def change(**fields: Any) -> fc.UpdateTriggerRequest:
    return fc.UpdateTriggerRequest(body=fc.UpdateTriggerInput(**fields))


def publish(sdk: Any, description: str | None = None) -> str:
    body = fc.PublishVersionInput(description=description)
    version: str = sdk.publish_function_version("echo", fc.PublishFunctionVersionRequest(body=body)).body.version_id
    return version


def alias(name: str = "prod", version: str = "1", **more: Any) -> fc.CreateAliasRequest:
    return fc.CreateAliasRequest(body=fc.CreateAliasInput(alias_name=name, version_id=version, **more))


def realias(**fields: Any) -> fc.UpdateAliasRequest:
    return fc.UpdateAliasRequest(body=fc.UpdateAliasInput(**fields))


# Triggers

@pytest.mark.parity("api.trigger-url", "api.official-sdks")
def test_a_trigger_from_its_creation_to_its_deletion(api: Management, sdk: Any) -> None:
    created = sdk.create_trigger("echo", trigger(description="the door")).body
    assert created.http_trigger.url_internet == "https://localhost:9443" == created.http_trigger.url_intranet
    assert (created.trigger_type, created.qualifier, created.description) == ("http", "LATEST", "the door")
    assert created.trigger_id and created.target_arn.endswith(":functions/echo") and created.status == "OK"
    assert json.loads(created.trigger_config) == {
        "authType": "anonymous", "methods": ["GET", "POST"], "disableURLInternet": False}
    assert sdk.get_trigger("echo", "t").body.to_map() == created.to_map()
    assert [t.to_map() for t in sdk.list_triggers("echo", LISTED).body.triggers] == [created.to_map()]
    assert not sdk.list_triggers("echo", fc.ListTriggersRequest(prefix="x")).body.triggers

    config = json.dumps({"authType": "function", "methods": ["GET"], "disableURLInternet": True})
    changed = sdk.update_trigger("echo", "t", change(trigger_config=config)).body
    assert json.loads(changed.trigger_config)["disableURLInternet"] is True
    assert changed.http_trigger.url_internet == created.http_trigger.url_internet
    assert (changed.description, changed.trigger_id) == ("the door", created.trigger_id)
    assert sdk.update_trigger("echo", "t", change(description="other")).body.trigger_config == changed.trigger_config

    assert sdk.delete_trigger("echo", "t").status_code == 204
    assert not api.ports.open_ports
    for call in (lambda: sdk.get_trigger("echo", "t"), lambda: sdk.delete_trigger("echo", "t"),
                 lambda: sdk.update_trigger("echo", "t", change(description="d"))):
        assert refused(call) == (404, "TriggerNotFound", "trigger 't' does not exist")


@pytest.mark.parity("api.trigger-default-auth")
def test_a_trigger_wants_signatures_by_default(sdk: Any) -> None:
    created = sdk.create_trigger("echo", trigger(config={"methods": ["GET"]})).body
    assert json.loads(created.trigger_config)["authType"] == "function"


def test_a_jwt_trigger_keeps_its_configuration_as_a_string_in_the_string(sdk: Any) -> None:
    key = {"kty": "oct", "kid": "k", "alg": "HS256", "k": "c2VjcmV0" * 8}
    inner = json.dumps({"jwks": {"keys": [key]}, "tokenLookup": "query:token", "claimPassBy": "header:sub:x-user"})
    config = {"authType": "jwt", "methods": ["GET"], "authConfig": inner}
    created = sdk.create_trigger("echo", trigger(config=config)).body
    assert json.loads(json.loads(created.trigger_config)["authConfig"]) == json.loads(inner)
    status, code, message = refused(sdk.update_trigger, "echo", "t", change(
        trigger_config=json.dumps({**config, "authConfig": "{}"})))
    assert (status, code) == (400, "InvalidArgument") and "jwks" in message


@pytest.mark.parity("api.trigger-per-qualifier")
def test_one_http_trigger_for_each_version_and_alias(sdk: Any) -> None:
    sdk.create_trigger("echo", trigger("latest"))
    assert refused(sdk.create_trigger, "echo", trigger("latest", "1"))[:2] == (409, "TriggerAlreadyExists")
    status, code, message = refused(sdk.create_trigger, "echo", trigger("second"))
    assert (status, code) == (409, "TriggerAlreadyExists") and "'latest'" in message
    assert refused(sdk.create_trigger, "echo", trigger("v1", "1"))[:2] == (404, "VersionNotFound")
    assert refused(sdk.create_trigger, "echo", trigger("prod", "prod"))[:2] == (404, "AliasNotFound")

    publish(sdk)
    sdk.create_alias("echo", alias())
    urls = {sdk.create_trigger("echo", trigger(f"for-{q}", q)).body.http_trigger.url_internet for q in ("1", "prod")}
    assert len(urls | {"https://localhost:9443"}) == 3
    assert refused(sdk.update_trigger, "echo", "latest", change(qualifier="prod"))[1] == "TriggerAlreadyExists"
    assert refused(sdk.update_trigger, "echo", "latest", change(qualifier="9"))[1] == "VersionNotFound"
    sdk.delete_trigger("echo", "for-prod")
    assert sdk.update_trigger("echo", "latest", change(qualifier="prod")).body.qualifier == "prod"


@pytest.mark.parity("api.trigger-types", "api.json-strings", "api.unknown-field")
@pytest.mark.parametrize(("request_", "code", "expected"), [
    (trigger(trigger_type="timer"), "NotEmulated", "'triggerType: timer'"),
    (trigger(source_arn="acs:oss"), "NotEmulated", "'sourceArn'"),
    (trigger(invocation_role="acs:ram"), "NotEmulated", "'invocationRole'"),
    (trigger(config={"methods": ["GET"], "corsConfig": {"maxAge": 1}}), "NotEmulated", "'triggerConfig.corsConfig'"),
    (trigger(config={"methods": ["GET"], "authType": "basic"}), "NotEmulated", "'triggerConfig.authType: basic'"),
    (trigger(trigger_config={"methods": ["GET"]}), "InvalidArgument", "triggerConfig: must be a JSON string"),
    (trigger(config="{'methods': []}"), "InvalidArgument", "triggerConfig: is not valid JSON"),
    (trigger(config="[]"), "InvalidArgument", "triggerConfig: must be the JSON of an object"),
    (trigger(config={"methods": ["GET"], "authType": "jwt", "authConfig": {"jwks": {}}}), "InvalidArgument",
     "triggerConfig.authConfig: must be a JSON string"),
    (trigger(config="[" * 100_000), "InvalidArgument", "triggerConfig: is not valid JSON"),
    (trigger(config={}), "InvalidArgument", "triggerConfig.methods: field required"),
    (trigger(config={"methods": []}), "InvalidArgument", "triggerConfig.methods: "),
    (trigger(config={"methods": ["GET", "FETCH"]}), "InvalidArgument", "triggerConfig.methods.1: "),
    (trigger(config={"methods": ["GET"], "disableURLInternet": "yes"}), "InvalidArgument", "disableURLInternet: "),
    (trigger(config={"methods": ["GET"], "authType": "jwt"}), "InvalidArgument", "authConfig"),
    (trigger("9lives"), "InvalidArgument", "triggerName: "),
    (trigger("a" * 129), "InvalidArgument", "triggerName: "),
])
def test_a_wrong_trigger_is_refused(api: Management, sdk: Any, request_: Any, code: str, expected: str) -> None:
    status, name, message = refused(sdk.create_trigger, "echo", request_)
    assert (status, name) == (400, code) and expected in message
    assert not api.ports.open_ports and not api.registry.function("echo").triggers


# Versions and aliases

@pytest.mark.parity("api.version-numbers", "api.version-snapshot")
def test_versions(sdk: Any) -> None:
    assert [publish(sdk, f"number {n}") for n in range(1, 12)] == [str(n) for n in range(1, 12)]

    def listed(**query: Any) -> list[str]:
        body = sdk.list_function_versions("echo", fc.ListFunctionVersionsRequest(**query)).body
        return [version.version_id for version in body.versions]

    newest_first = [str(n) for n in range(11, 0, -1)]
    assert listed() == listed(direction="BACKWARD") == newest_first
    assert listed(direction="FORWARD", limit=3) == ["1", "2", "3"]
    page = sdk.list_function_versions("echo", fc.ListFunctionVersionsRequest(limit=10)).body
    assert listed(next_token=page.next_token) == ["1"] and page.versions[0].description == "number 11"
    sdk.update_function("echo", fc.UpdateFunctionRequest(body=fc.UpdateFunctionInput(timeout=99)))
    assert sdk.get_function("echo", fc.GetFunctionRequest(qualifier="11")).body.timeout == 3
    assert sdk.get_function("echo", fc.GetFunctionRequest(qualifier="LATEST")).body.timeout == 99
    assert sdk.delete_function_version("echo", "11").status_code == 204
    assert refused(sdk.delete_function_version, "echo", "11")[:2] == (404, "VersionNotFound")
    assert publish(sdk) == "12"


@pytest.mark.parity("api.alias-canary")
def test_an_alias_from_its_creation_to_its_deletion(sdk: Any) -> None:
    publish(sdk), publish(sdk)
    created = sdk.create_alias("echo", alias(additional_version_weight={"2": 0.1}, description="live")).body
    assert (created.alias_name, created.version_id, created.description) == ("prod", "1", "live")
    assert created.additional_version_weight == {"2": 0.1} and created.created_time
    assert sdk.get_alias("echo", "prod").body.to_map() == created.to_map()
    assert [a.alias_name for a in sdk.list_aliases("echo", fc.ListAliasesRequest()).body.aliases] == ["prod"]
    assert sdk.get_function("echo", fc.GetFunctionRequest(qualifier="prod")).body.timeout == 3

    moved = sdk.update_alias("echo", "prod", realias(version_id="2", additional_version_weight={})).body
    assert (moved.version_id, moved.additional_version_weight, moved.description) == ("2", {}, "live")
    assert sdk.delete_alias("echo", "prod").status_code == 204
    assert refused(sdk.get_alias, "echo", "prod") == (
        404, "AliasNotFound", "alias 'prod' of function 'echo' does not exist")


@pytest.mark.parity("api.alias-names", "api.alias-of-version", "api.alias-canary-own-version", "api.alias-canary")
@pytest.mark.parametrize(("request_", "status", "code", "expected"), [
    (alias("LATEST"), 400, "InvalidArgument", "aliasName"),
    (alias("1st"), 400, "InvalidArgument", "aliasName"),
    (alias("-x"), 400, "InvalidArgument", "aliasName"),
    (alias("a" * 129), 400, "InvalidArgument", "aliasName"),
    (alias("old"), 409, "AliasAlreadyExists", "'old'"),
    (alias(version="9"), 404, "VersionNotFound", "'9'"),
    (alias(version="old"), 400, "InvalidArgument", "versionId: an alias names a published version"),
    (alias(version="LATEST"), 400, "InvalidArgument", "versionId: an alias names a published version"),
    (alias(additional_version_weight={"old": 0.1}), 400, "InvalidArgument", "additionalVersionWeight"),
    (alias(additional_version_weight={"9": 0.1}), 404, "VersionNotFound", "'9'"),
    (alias(additional_version_weight={"1": 0.1}), 400, "AdditionalVersionContainsMajorVersion", "'1'"),
    (alias(additional_version_weight={"2": 1.1}), 400, "InvalidArgument", "additionalVersionWeight.2: "),
    (alias(additional_version_weight={"2": -0.1}), 400, "InvalidArgument", "additionalVersionWeight.2: "),
    (alias(additional_version_weight={"2": 0.6, "3": 0.6}), 400, "InvalidArgument", "sum of the weights"),
])
def test_a_wrong_alias_is_refused(sdk: Any, request_: Any, status: int, code: str, expected: str) -> None:
    publish(sdk), publish(sdk), publish(sdk)
    sdk.create_alias("echo", alias("old"))
    got, name, message = refused(sdk.create_alias, "echo", request_)
    assert (got, name) == (status, code) and expected in message


def test_a_wrong_change_of_an_alias_is_refused(sdk: Any) -> None:
    publish(sdk), publish(sdk)
    sdk.create_alias("echo", alias(additional_version_weight={"2": 0.5}))
    assert refused(sdk.update_alias, "echo", "prod", realias(version_id="2"))[1] == (
        "AdditionalVersionContainsMajorVersion")
    assert refused(sdk.update_alias, "echo", "no", realias(version_id="2"))[1] == "AliasNotFound"
    assert sdk.get_alias("echo", "prod").body.version_id == "1"


@pytest.mark.parity("api.version-in-use")
def test_what_is_in_use_is_not_deleted(sdk: Any) -> None:
    publish(sdk), publish(sdk), publish(sdk)
    sdk.create_alias("echo", alias(additional_version_weight={"2": 0.5}))
    sdk.create_trigger("echo", trigger("t3", "3"))
    sdk.create_trigger("echo", trigger("live", "prod"))
    for version, user in (("1", "alias 'prod'"), ("2", "alias 'prod'"), ("3", "trigger 't3'")):
        status, code, message = refused(sdk.delete_function_version, "echo", version)
        assert (status, code) == (412, "PreconditionFailed") and user in message
    assert "trigger 'live'" in refused(sdk.delete_alias, "echo", "prod")[2]


# Custom domains

def domain(name: str = "echo.example.com", **more: Any) -> fc.CreateCustomDomainRequest:
    routes = [fc.PathConfig(path="/api/*", function_name="echo", qualifier="LATEST", methods=["GET"])]
    return fc.CreateCustomDomainRequest(body=fc.CreateCustomDomainInput(**{
        "domain_name": name, "protocol": "HTTP", "route_config": fc.RouteConfig(routes=routes), **more}))


def rechange(**fields: Any) -> fc.UpdateCustomDomainRequest:
    return fc.UpdateCustomDomainRequest(body=fc.UpdateCustomDomainInput(**fields))


@pytest.mark.parity("api.domain-url")
def test_a_domain_from_its_creation_to_its_deletion(api: Management, sdk: Any) -> None:
    answer = sdk.create_custom_domain(domain(protocol="HTTP,HTTPS"))
    assert answer.headers["x-fclocal-url"] == "https://localhost:9443"
    created = answer.body
    route = created.route_config.routes[0]
    assert (created.domain_name, created.protocol, route.path) == ("echo.example.com", "HTTP,HTTPS", "/api/*")
    assert route.methods == ["GET"]
    got = sdk.get_custom_domain("echo.example.com")
    assert got.body.to_map() == created.to_map() and got.headers["x-fclocal-url"] == "https://localhost:9443"
    wild = sdk.create_custom_domain(domain("*.example.com", auth_config=fc.AuthConfig(
        auth_type="jwt", auth_info=json.dumps({"jwks": {"keys": [
            {"kty": "oct", "kid": "k", "alg": "HS256", "k": "c2VjcmV0" * 8}]}, "tokenLookup": "query:token"}))))
    assert json.loads(wild.body.auth_config.auth_info)["tokenLookup"] == "query:token"
    assert sdk.get_custom_domain("*.example.com").body.domain_name == "*.example.com"
    listed = sdk.list_custom_domains(fc.ListCustomDomainsRequest()).body.custom_domains
    assert [d.domain_name for d in listed] == ["*.example.com", "echo.example.com"]

    changed = sdk.update_custom_domain("echo.example.com", rechange(route_config=fc.RouteConfig(routes=[])))
    assert changed.body.route_config.routes == [] and changed.body.protocol == "HTTP,HTTPS"
    assert changed.headers["x-fclocal-url"] == "https://localhost:9443"
    assert sdk.delete_custom_domain("echo.example.com").status_code == 204
    assert len(api.ports.open_ports) == 1
    assert refused(sdk.get_custom_domain, "echo.example.com") == (
        404, "DomainNameNotFound", "domain name 'echo.example.com' does not exist")


def routes(*paths: str, **more: Any) -> fc.RouteConfig:
    return fc.RouteConfig(routes=[fc.PathConfig(path=p, **{"function_name": "echo", **more}) for p in paths])


@pytest.mark.parity("api.domain-routes", "api.domain-certificates", "domain.certificate", "domain.rewrite")
@pytest.mark.parametrize(("request_", "status", "code", "expected"), [
    (domain("there.example.com"), 409, "DomainNameAlreadyExists", "there.example.com"),
    (domain("nodots"), 400, "InvalidArgument", "domainName: "),
    (domain("a_b.example.com/x"), 400, "InvalidArgument", "domainName: "),
    (domain(protocol="FTP"), 400, "InvalidArgument", "protocol: "),
    (domain(route_config=routes("nope")), 400, "InvalidArgument", "routeConfig.routes.0.path"),
    (domain(route_config=routes("/a", "/a")), 400, "InvalidArgument", "routes"),
    (domain(route_config=routes("/", function_name="no")), 404, "FunctionNotFound", "'no'"),
    (domain(route_config=routes("/", qualifier="7")), 404, "VersionNotFound", "'7'"),
    (domain(cert_config=fc.CertConfig(cert_name="c")), 400, "InvalidArgument", "certConfig.certificate: field"),
    (domain(cert_config=fc.CertConfig(cert_name="c", certificate="x", private_key="y")), 400, "InvalidArgument",
     "certConfig.certificate: must be a PEM certificate"),
    (domain(cors_config=fc.CORSConfig(max_age=1)), 400, "NotEmulated", "corsConfig"),
    (domain(route_config=routes("/", rewrite_config=fc.RewriteConfig(
        wildcard_rules=[fc.WildcardRule(match="/a/*", replacement="/$1")]))), 400, "NotEmulated",
     "routeConfig.routes.0.rewriteConfig"),
    (domain(tls_config=fc.TLSConfig(min_version="TLSv1.2")), 400, "NotEmulated", "tlsConfig"),
    (domain(waf_config=fc.WAFConfig(enable_waf=True)), 400, "NotEmulated", "wafConfig"),
    (domain(auth_config=fc.AuthConfig(auth_type="jwt", auth_info="{}")), 400, "InvalidArgument", "jwks"),
    (domain(auth_config=fc.AuthConfig(auth_type="basic")), 400, "NotEmulated", "authConfig.authType: basic"),
])
def test_a_wrong_domain_is_refused(api: Management, sdk: Any, request_: Any, status: int, code: str,
                                   expected: str) -> None:
    sdk.create_custom_domain(domain("there.example.com"))
    got, name, message = refused(sdk.create_custom_domain, request_)
    assert (got, name) == (status, code) and expected in message
    assert list(api.store.domains) == ["there.example.com"] and len(api.ports.open_ports) == 1


@pytest.mark.parametrize("call", [
    lambda sdk: sdk.update_custom_domain("no.example.com", rechange(protocol="HTTP")),
    lambda sdk: sdk.delete_custom_domain("no.example.com"),
])
def test_a_domain_that_is_not_there(sdk: Any, call: Callable[[Any], object]) -> None:
    assert refused(call, sdk)[:2] == (404, "DomainNameNotFound")
