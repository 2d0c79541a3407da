"""functions/03-wss in a real browser: the page finds its WebSocket, and a token in the query opens it."""

import json
import re
from collections.abc import Iterator

import jwt
import pytest
from alibabacloud_fc20230330 import models as m
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from jwt.algorithms import ECAlgorithm
from playwright.sync_api import Browser, Page, expect, sync_playwright

from fclocal import Platform

KEY = generate_private_key(SECP256R1())
AUTH = {"jwks": {"keys": [{**ECAlgorithm.to_jwk(KEY.public_key(), as_dict=True), "kid": "k1"}]},
        "tokenLookup": "query:token,cookie:token", "claimPassBy": "header:sub:x-user",
        "whitelist": ["/", "/page.js", "/style.css"]}
QUIET = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
         "--disable-sync", "--no-first-run"]


@pytest.fixture
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=QUIET)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page that fails the test for any complaint of the browser but a refused WebSocket, which tests ask for."""
    context = browser.new_context(ignore_https_errors=True)
    page = context.new_page()
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda line: complaints.append(line.text)
            if line.type == "error" and "WebSocket connection" not in line.text else None)
    yield page
    context.close()
    assert complaints == []


def domain(fc: Platform, **more: object) -> str:
    """Deploy the page behind a custom domain: on the trigger's own URL a page would be a download."""
    fc.deploy("functions/03-wss")
    routes = m.RouteConfig(routes=[m.PathConfig(path="/*", function_name="wss")])
    fc.sdk.create_custom_domain(m.CreateCustomDomainRequest(body=m.CreateCustomDomainInput(
        domain_name="page.example.com", protocol="HTTP,HTTPS", route_config=routes, **more)))
    return str(fc.status()["customDomains"][0]["url"])


@pytest.mark.parametrize("scheme", ["https", "http"])
def test_the_page_speaks_to_its_websocket(fc: Platform, page: Page, scheme: str) -> None:
    page.goto(domain(fc).replace("https", scheme))
    expect(page.locator("#state")).to_have_text("open")
    expect(page.locator("#address")).to_have_text(re.compile(f"^{scheme.replace('http', 'ws')}://localhost:[0-9]+/talk$"))
    page.get_by_label("Message", exact=True).fill("<img src=x onerror=alert(1)>")
    page.get_by_role("button", name="Send").click()
    expect(page.locator("#log li")).to_have_text([
        "you: <img src=x onerror=alert(1)>", "function: you said: <img src=x onerror=alert(1)>"])
    assert page.locator("img").count() == 0


@pytest.mark.parity("auth.jwt-lookup", "auth.jwt-lists")
def test_a_browser_shows_its_token_in_the_query_or_a_cookie(fc: Platform, page: Page) -> None:
    url = domain(fc, auth_config=m.AuthConfig(auth_type="jwt", auth_info=json.dumps(AUTH)))
    token = jwt.encode({"sub": "ana"}, KEY, algorithm="ES256", headers={"kid": "k1"})
    page.goto(url)
    expect(page.locator("#state")).to_have_text("closed, code 1006")
    page.goto(f"{url}/?token={token[:-4]}AAAA")
    expect(page.locator("#state")).to_have_text("closed, code 1006")
    page.goto(f"{url}/?token={token}")
    expect(page.locator("#state")).to_have_text("open")
    page.context.add_cookies([{"name": "token", "value": token, "url": url}])
    page.goto(url)
    expect(page.locator("#state")).to_have_text("open")


@pytest.mark.parity("gateway.attachment")
def test_the_default_url_makes_the_page_a_download(fc: Platform, page: Page) -> None:
    url = fc.deploy("functions/03-wss").url
    with page.expect_download() as download, pytest.raises(Exception, match="Download is starting"):
        page.goto(url)
    assert download.value.failure() is None
