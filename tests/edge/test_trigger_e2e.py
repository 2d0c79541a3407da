"""Triggers, versions, aliases and custom domains through the official SDK, and what clients see of them."""

import collections
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from alibabacloud_fc20230330 import models as m
from awaited import until
from service_kit import (
    ROOT,
    add_trigger,
    call,
    caller,
    last,
    publish,
    records_since,
    set_greeting,
    set_trigger,
)
from websockets.exceptions import InvalidStatus

from fclocal import Platform
from fclocal.testing import connect, running_platform

FOLDER = ROOT / "functions" / "02-trigger"
OFF = "access denied due to function internet URL is disable"


@pytest.fixture(scope="module")
def fc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    with running_platform(tmp_path_factory.mktemp("trigger")) as running:
        yield running


@pytest.fixture(scope="module")
def released(fc: Platform) -> dict[str, str]:
    """A function with versions 1 and 2, an alias "prod" on 1, and a trigger for each of them and for LATEST."""
    urls = {"LATEST": fc.deploy(FOLDER, functionName="released").url}
    for number in ("1", "2"):
        set_greeting(fc, "released", f"version {number}")
        assert publish(fc, "released") == number
    set_greeting(fc, "released", "newest")
    fc.sdk.create_alias("released", m.CreateAliasRequest(body=m.CreateAliasInput(alias_name="prod", version_id="1")))
    for qualifier in ("1", "2", "prod"):
        urls[qualifier] = add_trigger(fc, "released", f"for-{qualifier}", qualifier)
    return urls


def move(fc: Platform, version: str, weights: dict[str, float] | None = None) -> None:
    body = m.UpdateAliasInput(version_id=version, additional_version_weight=weights or {})
    fc.sdk.update_alias("released", "prod", m.UpdateAliasRequest(body=body))


@pytest.mark.parity("trigger.qualifier")
def test_each_qualifier_has_a_url_of_its_own(fc: Platform, released: dict[str, str]) -> None:
    move(fc, "1")
    expected = {"LATEST": ("newest", ""), "1": ("version 1", "1"), "2": ("version 2", "2"), "prod": ("version 1", "1")}
    assert len(set(released.values())) == 4
    for qualifier, (greeting, version) in expected.items():
        seen = call(released[qualifier]).json
        assert (seen["qualifier"], seen["greeting"], seen["version"]) == (qualifier, greeting, version)
    move(fc, "2")
    assert call(released["prod"]).json["greeting"] == "version 2"


@pytest.mark.parity("api.trigger-per-qualifier")
def test_a_second_trigger_for_the_same_qualifier_is_refused(fc: Platform, released: dict[str, str]) -> None:
    with pytest.raises(Exception, match="already") as refused:
        add_trigger(fc, "released", "second", "prod")
    assert refused.value.code == "TriggerAlreadyExists"


@pytest.mark.parity("api.alias-canary")
def test_a_canary_gets_its_share_of_1000_requests(fc: Platform, released: dict[str, str]) -> None:
    move(fc, "1", {"2": 0.3})
    sigma = math.sqrt(1000 * 0.3 * 0.7)

    def share() -> int:
        with caller(released["prod"]) as send:
            seen = collections.Counter(send().json["version"] for _ in range(1000))
        assert set(seen) == {"1", "2"}
        return seen["2"]

    # One sample in 370 lies outside 3 sigma by chance; two in a row, one in 137,000.
    assert any(abs(share() - 300) <= 3 * sigma for _ in range(2))
    move(fc, "1")


@pytest.mark.parity("trigger.running-untouched")
def test_running_connections_are_left_alone_by_canary_alias_and_domain_changes(
        fc: Platform, released: dict[str, str]) -> None:
    move(fc, "1")
    domain = set_domain(fc, "moving.example.com", [route("/*", "released", qualifier="prod")])
    with connect(released["prod"].replace("https", "wss")) as one, connect(domain.replace("https", "wss")) as two:
        assert [json.loads(socket.recv(timeout=10))["version"] for socket in (one, two)] == ["1", "1"]
        move(fc, "1", {"2": 1.0})
        set_domain(fc, "moving.example.com", [route("/*", "released", qualifier="2")])
        set_trigger(fc, "released", "for-prod", methods=["POST"])
        for socket in (one, two):
            socket.send("still here")
            assert socket.recv(timeout=10) == "still here"
        assert call(domain).json["version"] == "2"
        assert call(released["prod"]).status == 403
    set_trigger(fc, "released", "for-prod")
    assert call(released["prod"]).json["version"] == "2"
    move(fc, "1")


@pytest.mark.parity("trigger.methods")
def test_a_method_that_is_not_configured_is_refused_and_a_websocket_needs_get(fc: Platform) -> None:
    url = fc.deploy(FOLDER, functionName="methods").url
    set_trigger(fc, "methods", methods=["POST", "PUT"])
    before = last(fc)
    assert call(url).error == (403, "AccessDenied")
    with pytest.raises(InvalidStatus) as refused:
        connect(url.replace("https", "wss"))
    assert refused.value.response.status_code == 403
    assert not records_since(fc, before, "request.begin")
    assert [call(url, method=method).status for method in ("POST", "PUT")] == [200, 200]


@pytest.mark.parity("trigger.internet-url")
def test_without_internet_url_a_custom_domain_still_answers(fc: Platform) -> None:
    url = fc.deploy(FOLDER, functionName="private").url
    set_trigger(fc, "private", disableURLInternet=True)
    domain = set_domain(fc, "private.example.com", [route("/*", "private")])
    refused = call(url)
    assert refused.error == (403, "AccessDenied") and refused.json["Message"] == OFF
    with pytest.raises(InvalidStatus) as closed:
        connect(url.replace("https", "wss"))
    assert OFF.encode() in closed.value.response.body
    assert call(domain).status == 200
    with connect(domain.replace("https", "wss")) as socket:
        assert json.loads(socket.recv(timeout=10))["path"] == "/"
    set_trigger(fc, "private")
    assert call(url).status == 200


@pytest.mark.parity("trigger.propagation")
def test_a_new_trigger_may_take_a_while(tmp_path: Path) -> None:
    with running_platform(tmp_path / "slow", propagation=1.0) as slow:
        url = slow.deploy(FOLDER).url
        assert call(url).error == (404, "TriggerNotFound")
        assert until(lambda: call(url).status == 200)


# Custom domains

def route(path: str, function: str, **more: Any) -> m.PathConfig:
    return m.PathConfig(path=path, function_name=function, **more)


def set_domain(fc: Platform, name: str, routes: list[m.PathConfig], **more: Any) -> str:
    """Create or change a domain; its URL."""
    config = m.RouteConfig(routes=routes)
    if any(domain["domainName"] == name for domain in fc.status()["customDomains"]):
        update = m.UpdateCustomDomainInput(route_config=config, **more)
        fc.sdk.update_custom_domain(name, m.UpdateCustomDomainRequest(body=update))
    else:
        body = m.CreateCustomDomainInput(domain_name=name, protocol="HTTP,HTTPS", route_config=config, **more)
        fc.sdk.create_custom_domain(m.CreateCustomDomainRequest(body=body))
    return str(next(domain["url"] for domain in fc.status()["customDomains"] if domain["domainName"] == name))


@pytest.mark.parity("domain.route-order")
def test_routes(fc: Platform, released: dict[str, str]) -> None:
    url = set_domain(fc, "routes.example.com", [
        route("/*", "released", qualifier="1"), route("/room/*", "released", qualifier="2"),
        route("/only", "released", methods=["POST"])])
    seen = call(url, "/room/tea%20time?name=ana").json
    assert (seen["version"], seen["path"], seen["query"]) == ("2", "/room/tea time", {"name": "ana"})
    assert call(url, "/else").json["version"] == "1"
    assert call(url, "/only").error == (403, "AccessDenied")
    set_domain(fc, "routes.example.com", [route("/only", "released")])
    assert call(url, "/else").error == (404, "RouteNotFound")


@pytest.mark.parity("domain.own-auth")
def test_a_domain_has_an_authentication_of_its_own(fc: Platform, released: dict[str, str]) -> None:
    url = set_domain(fc, "closed.example.com", [route("/*", "released")],
                     auth_config=m.AuthConfig(auth_type="function"))
    assert call(url).error == (400, "MissingRequiredHeader")
    assert call(released["LATEST"]).status == 200


@pytest.mark.parity("gateway.attachment")
def test_pages_are_attachments_on_the_default_url_only(fc: Platform, released: dict[str, str]) -> None:
    url = set_domain(fc, "pages.example.com", [route("/*", "released")])
    assert call(released["LATEST"]).headers["content-disposition"] == "attachment"
    assert "content-disposition" not in call(url).headers
