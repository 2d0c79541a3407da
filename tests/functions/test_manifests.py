"""Every s.yaml deploys unchanged: the public schema of the component fc3 as rules, and what production needs.

The rules follow the JSON schema of the component (github.com/devsapp/fc3, src/schema.json) for the fields that the
folders use. A field without a rule here is an error: add its rule.
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pathspec
import pytest
from functions.standalone import FUNCTIONS
from ruamel.yaml import YAML

from fclocal.client import deploy

FILES = sorted(path.relative_to(FUNCTIONS) for path in FUNCTIONS.rglob("s.yaml") if "node_modules" not in path.parts)
BROKEN = "08-errors"  # broken on purpose, without a health check
PATTERNS = ("07-chat-simple", "07-chat-memory")  # only the pattern; their READMEs say what is left out
Rule = Callable[[Any], bool]


def number(low: float, high: float, step: float = 0) -> Rule:
    """A rule for numbers of a range; `step` in the unit of the field."""
    return lambda value: (type(value) in (int, float) and low <= value <= high
                          and (not step or abs(value / step - round(value / step)) < 1e-9))


def text(pattern: str = r"(?s).+") -> Rule:
    return lambda value: isinstance(value, str) and re.fullmatch(pattern, value) is not None


def one_of(*values: object) -> Rule:
    return lambda value: value in values


def list_of(rule: Rule) -> Rule:
    return lambda value: isinstance(value, list) and bool(value) and all(map(rule, value))


def map_of(rules: dict[str, Rule], *required: str) -> Rule:
    """A rule for a map: only these keys, each by its rule, and the required ones."""
    def check(value: object) -> bool:
        assert isinstance(value, dict), value
        for key, inner in value.items():
            assert key in rules, f"{key} has no rule"
            assert rules[key](inner), f"{key}: {inner!r}"
        missing = set(required) - set(value)
        assert not missing, f"missing: {missing}"
        return True
    return check


NAME = text(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")
HOOK = map_of({"handler": text(), "timeout": number(1, 90)}, "handler")
VPC: Rule = lambda value: value == "auto" or map_of(  # noqa: E731
    {"vpcId": text("vpc-.+"), "vSwitchIds": list_of(text("vsw-.+")), "securityGroupId": text("sg-.+")},
    "vpcId", "vSwitchIds", "securityGroupId")(value)
LOG: Rule = lambda value: value == "auto" or map_of(  # noqa: E731
    {"project": text(), "logstore": text(), "logBeginRule": one_of("DefaultRegex", "None"),
     "enableRequestMetrics": one_of(True, False), "enableInstanceMetrics": one_of(True, False)},
    "project", "logstore")(value)
JWT = map_of({
    "jwks": map_of({"keys": list_of(lambda key: isinstance(key, dict) and "kty" in key)}, "keys"),
    "tokenLookup": text(r"(header|query|form|cookie):[^,]+(,(header|query|form|cookie):[^,]+)*"),
    "claimPassBy": text(r"(header|query|form|cookie):[^,]+(,(header|query|form|cookie):[^,]+)*"),
    "whitelist": list_of(text("/.*")), "blacklist": list_of(text("/.*"))}, "jwks", "tokenLookup")
TRIGGER = map_of({
    "triggerName": NAME, "triggerType": one_of("http"), "qualifier": NAME, "description": text(),
    "triggerConfig": map_of({
        "methods": list_of(one_of("GET", "POST", "PUT", "DELETE", "HEAD", "PATCH", "OPTIONS")),
        "authType": one_of("anonymous", "function", "jwt"), "authConfig": JWT,
        "disableURLInternet": one_of(True, False)}, "methods", "authType"),
}, "triggerName", "triggerType", "triggerConfig")
DOMAIN = map_of({
    "domainName": text(r"auto|[a-z0-9-]+(\.[a-z0-9-]+)+"), "protocol": one_of("HTTP", "HTTPS", "HTTP,HTTPS"),
    "route": map_of({"path": text("/.*"), "qualifier": NAME, "methods": list_of(text())}),
    "certConfig": map_of({"certName": text(), "certificate": text(), "privateKey": text()},
                         "certName", "certificate", "privateKey")}, "domainName", "protocol")
VARIABLES: Rule = lambda value: isinstance(value, dict) and all(  # noqa: E731
    text("[A-Za-z][A-Za-z0-9_]*")(key) and not key.startswith("FC_") and isinstance(inner, str)
    for key, inner in value.items())
PROPS = map_of({
    "region": text("[a-z]+-[a-z0-9-]+"), "functionName": NAME, "description": text("(?s).{0,256}"),
    "runtime": one_of("custom.debian10", "custom.debian11", "custom.debian12"), "code": text(r"\.(/.*)?"),
    "cpu": number(0.05, 16, 0.05), "memorySize": number(128, 32768, 64), "diskSize": one_of(512, 10240),
    "timeout": number(1, 86400, 1), "instanceConcurrency": number(1, 200, 1), "logConfig": LOG, "vpcConfig": VPC,
    "role": text("acs:ram::.+"), "environmentVariables": VARIABLES,
    "customRuntimeConfig": map_of({
        "command": list_of(text()), "args": list_of(text()), "port": number(1, 65535, 1),
        "healthCheckConfig": map_of({
            "httpGetUrl": text("/.*"), "initialDelaySeconds": number(0, 120, 1), "periodSeconds": number(1, 120, 1),
            "timeoutSeconds": number(1, 3, 1), "failureThreshold": number(1, 120, 1),
            "successThreshold": number(1, 120, 1)}, "httpGetUrl")}),
    "instanceLifecycleConfig": map_of({"initializer": HOOK, "preStop": HOOK}),
    "sessionAffinity": one_of("NONE", "HEADER_FIELD", "GENERATED_COOKIE"),
    "sessionAffinityConfig": lambda value: isinstance(value, dict),
    "triggers": list_of(TRIGGER), "customDomain": DOMAIN,
}, "region", "functionName", "runtime", "code")


def props(file: Path) -> dict[str, Any]:
    """The props of the only resource, with the variables of the file filled in."""
    document = YAML(typ="safe", pure=True).load((FUNCTIONS / file).read_text("utf-8"))
    assert set(document) <= {"edition", "name", "access", "vars", "resources"} and document["edition"] == "3.0.0"
    [resource] = document["resources"].values()
    assert set(resource) == {"component", "props"} and resource["component"] == "fc3"
    props: dict[str, Any] = fill(resource["props"], document.get("vars", {}))
    return props


def fill(value: Any, variables: dict[str, Any]) -> Any:
    """Return the value with every ${vars.NAME} in it replaced."""
    if isinstance(value, dict):
        return {key: fill(inner, variables) for key, inner in value.items()}
    if isinstance(value, list):
        return [fill(inner, variables) for inner in value]
    whole = re.fullmatch(r"\$\{vars\.(\w+)\}", value) if isinstance(value, str) else None
    return fill(variables[whole[1]], variables) if whole else value


@pytest.mark.parametrize("file", FILES, ids=str)
def test_it_follows_the_schema_of_the_component(file: Path) -> None:
    assert PROPS(props(file))


@pytest.mark.parametrize("file", FILES, ids=str)
def test_fclocal_accepts_it_unchanged(file: Path) -> None:
    deploy.read((FUNCTIONS / file).parent, overrides={})


@pytest.mark.parametrize("file", FILES, ids=str)
def test_it_asks_for_what_production_needs(file: Path) -> None:
    config = props(file)
    assert "logConfig" in config
    assert ("vpcConfig" in config) is ("REDIS_URL" in config.get("environmentVariables", {}))
    if file.parts[0] not in (BROKEN, *PATTERNS):
        assert config["customRuntimeConfig"]["healthCheckConfig"]["httpGetUrl"] == "/healthz"
        hook = config.get("instanceLifecycleConfig", {}).get("preStop")
        programs = [path.read_text("utf-8") for path in (FUNCTIONS / file).parent.glob("*.py")]
        assert bool(hook) is any("pre-stop" in program for program in programs)


@pytest.mark.parametrize("file", [file for file in FILES if (FUNCTIONS / file).with_name("static").exists()], ids=str)
def test_a_page_has_a_domain_with_tls_to_uncomment(file: Path) -> None:
    """A domain and a certificate are the reader's own, so `s deploy` of the unchanged file cannot name them."""
    lines = (FUNCTIONS / file).read_text("utf-8").splitlines()
    begin = lines.index("      # customDomain:")
    block = YAML(typ="safe").load("\n".join(line.replace("# ", "", 1) for line in lines[begin:]))["customDomain"]
    assert DOMAIN(block) and block["protocol"] == "HTTP,HTTPS"
    ignored = pathspec.GitIgnoreSpec.from_lines((FUNCTIONS / file).with_name(".fcignore").read_text().splitlines())
    for name in ("certificate", "privateKey"):
        assert ignored.match_file(block["certConfig"][name]), name
    deploy.read((FUNCTIONS / file).parent, overrides={"customDomain": block})


@pytest.mark.parametrize("file", [file for file in FILES if file.parts[0] != BROKEN], ids=str)
def test_the_package_has_no_file_that_the_function_does_not_need(file: Path) -> None:
    ignored = pathspec.GitIgnoreSpec.from_lines((FUNCTIONS / file).with_name(".fcignore").read_text().splitlines())
    for name in ("README.md", ".venv/bin/python3", ".env", "clients/sign.py", "client.py",
                 "release.py", "certs/privkey.pem"):
        if (FUNCTIONS / file).with_name(name.partition("/")[0]).exists() or name[0] == ".":
            assert ignored.match_file(name), name
    for name in ("main.py", "static/index.html", "certifi/cacert.pem", "websockets/client.py", "redis/client.py"):
        assert not ignored.match_file(name), name
