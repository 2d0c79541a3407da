"""functions/07-class-board in a real browser: live counts, escaped messages, a page that reconnects, and axe."""

import re

from browser.test_accessibility import QUIET, findings
from functions.test_class_board import ANA, BO, WORD, instance, report
from functions.test_push import Redis, server  # noqa: F401 (server is a fixture)
from playwright.sync_api import expect, sync_playwright


def test_the_page_shows_the_class_live_and_through_a_restart_of_its_instance(server: Redis) -> None:  # noqa: F811
    with sync_playwright() as playwright, instance(server) as other:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=QUIET)
        page = browser.new_page()
        errors: list[str] = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        with instance(server) as process:
            address = f"http://127.0.0.1:{process.port}/user/ana/proxy/9443/{WORD}/"
            page.goto(address.rstrip("/"))
            expect(page.locator("#state")).to_have_text("live")
            expect(page.locator("#stuck")).to_have_text("nobody at the moment")
            expect(page.locator("#command")).to_have_text(f"workshop class join {address}")
            report(other, ANA, t1_1=("PASS", ""), t10_1=("CRASHED", "NameError: <b>tea</b>"))
            expect(page.locator("#tasks li")).to_have_text(["1.11/1", "10.10/11 stuck"])
            expect(page.locator("#stuck li")).to_have_text(["10.1: 1 learnerNameError: <b>tea</b>"])
            assert findings(page) == []
        expect(page.locator("#state")).to_have_text(re.compile(r"^(closed 1006, reconnecting in|connecting)"))
        report(other, BO)
        with instance(server, port=process.port):
            expect(page.locator("#learners")).to_have_text("2 learners", timeout=20_000)
        assert errors == []
        browser.close()
