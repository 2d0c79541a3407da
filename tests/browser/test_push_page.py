"""functions/07-push in a real browser: events arrive, also those that were published while the page was cut off."""

import re

from functions.test_push import Redis, instance, publish, server  # noqa: F401 (server is a fixture)
from playwright.sync_api import expect, sync_playwright

QUIET = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
         "--disable-sync", "--no-first-run"]


def test_the_page_receives_every_event_through_a_restart_of_its_instance(server: Redis) -> None:  # noqa: F811
    with sync_playwright() as playwright, instance(server) as other:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=QUIET)
        page = browser.new_page()
        errors: list[str] = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        with instance(server) as process:
            page.goto(f"http://127.0.0.1:{process.port}/user/ana/proxy/9443/")
            expect(page.locator("#state")).to_have_text("subscribed to orders")
            expect(page.locator("#command")).to_contain_text("/user/ana/proxy/9443/publish/orders")
            publish(other, {"order": 17, "note": "<b>bold</b>"})
            expect(page.locator("#log li")).to_have_text([re.compile(r'"note":"<b>bold</b>"')])
        expect(page.locator("#state")).to_have_text(re.compile(r"^(closed 1006, reconnecting in|connecting)"))
        publish(other, {"order": 18})
        with instance(server, port=process.port):
            expect(page.locator("#log li").first).to_have_text(re.compile('"order":18'), timeout=20_000)
            expect(page.locator("#log li")).to_have_count(2)
        assert errors == []
        browser.close()
