"""Rules between functions, versions, aliases, triggers and domains, without a platform."""

from typing import Any

import pytest

from fclocal.core import rules
from fclocal.core.errors import FcError
from fclocal.core.model import Alias, Code, Function, FunctionConfig, HttpTriggerConfig, Revision, Trigger


def function(**more: Any) -> Function:
    """A function with versions 1, 2 and 3."""
    latest = Revision(generation=4, config=FunctionConfig(function_name="echo", runtime="custom"),
                      code=Code(checksum="0" * 64, size=1), created=0)
    versions = {number: latest.model_copy(update={"version_id": number}) for number in "123"}
    return Function(function_id="i", latest=latest, created=0, modified=0, versions=versions, last_version=3, **more)


def alias(version: str = "1", name: str = "prod", **weights: float) -> Alias:
    return Alias(alias_name=name, version_id=version, created=0, modified=0,
                 additional_version_weight={key.removeprefix("v"): weight for key, weight in weights.items()})


def trigger(name: str, qualifier: str) -> Trigger:
    config = HttpTriggerConfig(auth_type="anonymous", methods=("GET",))
    return Trigger(trigger_name=name, trigger_id="i", qualifier=qualifier, config=config, port=1, created=0, modified=0)


def code(check: Any, *args: Any) -> str:
    with pytest.raises(FcError) as refused:
        check(*args)
    return refused.value.code


@pytest.mark.parametrize("weights", [{}, {"v2": 1.0}, {"v2": 0.9, "v3": 0.1}, {"v2": 0.1, "v3": 0.2}])
def test_shown_or_referred_to_an_alias_is_its_own_version(weights: dict[str, float]) -> None:
    echo = function(aliases={"prod": alias(**weights)})
    rules.check_alias(echo, echo.aliases["prod"])
    assert rules.revision(echo, "prod").version_id == "1"
    assert rules.revision(echo, "LATEST") is rules.revision(echo, "") is echo.latest
    assert rules.revision(echo, "2").version_id == "2"
    assert code(rules.revision, echo, "4") == "VersionNotFound" and code(rules.revision, echo, "x") == "AliasNotFound"


@pytest.mark.parity("api.alias-of-version", "api.alias-canary-own-version")
def test_aliases() -> None:
    echo = function(aliases={"old": alias(name="old")})
    assert code(rules.check_alias, echo, alias("old")) == "InvalidArgument"
    assert code(rules.check_alias, echo, alias("LATEST")) == "InvalidArgument"
    assert code(rules.check_alias, echo, alias(name="LATEST")) == "InvalidArgument"
    assert code(rules.check_alias, echo, alias(v1=0.1)) == "AdditionalVersionContainsMajorVersion"
    assert code(rules.check_alias, echo, alias(v9=0.1)) == "VersionNotFound"
    assert code(rules.check_alias, echo, alias(v2=0.6, v3=0.5)) == "InvalidArgument"


@pytest.mark.parity("api.trigger-per-qualifier", "api.version-in-use")
def test_triggers_and_what_they_hold_on_to() -> None:
    echo = function(aliases={"prod": alias(v2=0.5)}, triggers={"t": trigger("t", "prod")})
    rules.check_trigger(echo, trigger("t", "prod"))
    rules.check_trigger(echo, trigger("other", "1"))
    assert code(rules.check_trigger, echo, trigger("other", "prod")) == "TriggerAlreadyExists"
    assert code(rules.check_trigger, echo, trigger("other", "4")) == "VersionNotFound"
    rules.check_unused(echo, "3")
    assert {code(rules.check_unused, echo, used) for used in ("1", "2", "prod")} == {"PreconditionFailed"}
