"""axe finds nothing serious in the pages of the function folders: light and dark, on a desktop and on a phone."""

import re
from collections.abc import Iterator

import pytest
from browser.axe import serious
from playwright.sync_api import Browser, Page, expect, sync_playwright

from fclocal import Platform
from fclocal.testing import running_platform

QUIET = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
         "--disable-sync", "--no-first-run"]
DOMAIN = {"protocol": "HTTP,HTTPS", "route": {"path": "/*"}}


@pytest.fixture(scope="module")
def fc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """One platform for all pages: they do not touch each other, and a start takes longer than a page."""
    with running_platform(tmp_path_factory.mktemp("pages")) as platform:
        yield platform


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=QUIET)
        yield browser
        browser.close()


def findings(page: Page) -> list[str]:
    """Return what axe finds in the page as it is now, in each theme and width."""
    violations = []
    for scheme in ("light", "dark"):
        for width in (1280, 360):
            page.emulate_media(color_scheme=scheme)
            page.set_viewport_size({"width": width, "height": 800})
            violations += [f"{scheme}, {width} px: {finding}" for finding in serious(page)]
            assert page.evaluate("document.documentElement.scrollWidth") <= width, (scheme, width)
    return violations


@pytest.mark.parametrize(("folder", "state"), [
    ("03-wss", "open"), ("04-keepalive", "open"), ("05-reconnect", "open"), ("07-push", "subscribed to"),
    ("07-chat", "Connected")])
def test_axe_finds_nothing_serious(folder: str, state: str, fc: Platform, browser: Browser) -> None:
    app = fc.deploy(f"functions/{folder}", customDomain={**DOMAIN, "domainName": f"{folder}.example.com"})
    page = browser.new_page(ignore_https_errors=True, locale="en-GB")
    page.goto(app.domains[f"{folder}.example.com"])
    if folder == "07-chat":
        assert findings(page) == []  # the form that asks for a name and a room
        page.get_by_label("Your name").fill("Ana")
        page.get_by_label("Room", exact=True).fill("tea")
        page.keyboard.press("Enter")
    expect(page.locator("#state")).to_have_text(re.compile(state), timeout=15_000)
    if folder == "07-chat":
        page.get_by_label("Message", exact=True).fill("Tea?")
        page.keyboard.press("Enter")
        expect(page.locator("#log .text").get_by_text("Tea?")).to_be_visible()
    assert findings(page) == []
    page.close()
