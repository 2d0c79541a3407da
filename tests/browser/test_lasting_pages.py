"""The pages of 04-keepalive and 05-reconnect in a real Chromium: they notice, come back, and lose nothing."""

import asyncio
import json
import os
import re
import signal
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from functions.standalone import Program, running
from playwright.async_api import Page, WebSocketRoute, async_playwright, expect

CHROMIUM = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
            "--disable-sync", "--no-first-run"]
CUT = re.compile(r"^closed 1006, waiting \d+\.\d s$")


def on_page(folder: str, test: Callable[[Page, Program], Coroutine[Any, Any, None]], path: str = "",
            before: Callable[[Page], Coroutine[Any, Any, None]] | None = None, **env: str) -> None:
    """Run the test on the folder's page, served by the folder's program; no script error is accepted."""
    async def main() -> None:
        async with asyncio.timeout(90), running(folder, **env) as program, async_playwright() as playwright:
            browser = await playwright.chromium.launch(executable_path="/usr/bin/chromium", args=CHROMIUM)
            page = await browser.new_page(locale="en-GB")
            errors: list[str] = []
            page.on("pageerror", lambda error: errors.append(str(error)))
            await page.clock.install()
            if before:
                await before(page)
            await page.goto(program.url.replace("ws", "http") + path)
            await test(page, program)
            assert not errors
            await browser.close()
    asyncio.run(main())


async def reaches(page: Page, selector: str, number: int) -> None:
    """Wait, 15 seconds at most, until the element shows `number`; its policy forbids to poll inside the page."""
    async with asyncio.timeout(15):
        while int(await page.locator(selector).inner_text()) < number:
            await page.wait_for_timeout(50)


def test_a_stream_survives_a_crash_and_refused_attempts_without_a_gap() -> None:
    async def test(page: Page, program: Program) -> None:
        await expect(page.locator("#state")).to_have_text("open", timeout=15_000)
        await reaches(page, "#last", 1)
        await program.kill()
        cuts = page.locator("#log li", has_text="closed 1006, waiting")
        await expect(cuts).to_have_count(3, timeout=30_000)  # the crash itself, then two attempts without an answer
        before = int(await page.locator("#last").inner_text())
        await program.start()
        await expect(page.locator("#connections")).to_have_text("2", timeout=60_000)
        await reaches(page, "#last", before + 5)
        assert await page.locator("#missing").inner_text() == "0"
        assert await page.locator("#repeated").inner_text() == "0"
    on_page("05-reconnect", test, SECONDS_PER_MESSAGE="0.05")


def test_a_page_that_gave_up_asks_and_goes_on_where_it_stopped() -> None:
    async def test(page: Page, program: Program) -> None:
        await expect(page.locator("#state")).to_have_text("open", timeout=15_000)
        await reaches(page, "#last", 1)
        await program.kill()
        await expect(page.locator("#state")).to_have_text(CUT, timeout=15_000)
        before = int(await page.locator("#last").inner_text())
        async with asyncio.timeout(60):
            while await page.locator("#state").inner_text() != "gave up (1006)":
                await page.clock.run_for(1000)
        await program.start()
        await page.get_by_role("button", name="Try again").click()
        await reaches(page, "#last", before + 5)
        assert await page.locator("#missing").inner_text() == "0"
    on_page("05-reconnect", test, SECONDS_PER_MESSAGE="0.05")


def test_the_page_says_that_a_stream_is_done() -> None:
    async def test(page: Page, program: Program) -> None:
        await expect(page.locator("#state")).to_have_text("done", timeout=15_000)
        assert await page.locator("#last").inner_text() == "10"
    on_page("05-reconnect", test, SECONDS_PER_MESSAGE="0.05", LAST_MESSAGE="10")


def test_a_silent_server_is_noticed_by_its_missing_beat() -> None:
    async def test(page: Page, program: Program) -> None:
        await expect(page.locator("#state")).to_have_text("open", timeout=15_000)
        await reaches(page, "#beats", 2)
        assert program.process
        os.kill(program.process.pid, signal.SIGSTOP)
        try:
            await expect(page.locator("#state")).to_have_text(re.compile("^silent for 1 s, reconn"), timeout=15_000)
        finally:
            os.kill(program.process.pid, signal.SIGCONT)
        await expect(page.locator("#state")).to_have_text("open", timeout=15_000)
    on_page("04-keepalive", test, PING_SECONDS="0.5")


@pytest.mark.parametrize("folder", ["03-wss", "04-keepalive", "05-reconnect"])
def test_a_page_behind_a_path_finds_its_websocket(folder: str) -> None:
    async def test(page: Page, program: Program) -> None:
        await expect(page.locator("#state")).to_have_text("open", timeout=15_000)
    on_page(folder, test, path="user/ana/proxy/9443/")


def test_the_button_cuts_the_connection_and_the_page_counts_down() -> None:
    async def test(page: Page, program: Program) -> None:
        await reaches(page, "#last", 3)
        await page.get_by_role("button", name="Cut my connection").click()
        await expect(page.locator("#state")).to_have_text(re.compile(r"^closed 4000, waiting \d\.\d s$"), timeout=9_000)
        await expect(page.locator("#countdown")).to_have_text(re.compile(r"^next attempt in [12] s$"))
        await expect(page.locator("#connections")).to_have_text("2", timeout=15_000)
        await expect(page.locator("#countdown")).to_have_text("")
        await expect(page.locator("#strip .cell", has_text=re.compile("^2$"))).to_have_count(1)
        assert await page.locator("#missing").inner_text() == "0"
    on_page("05-reconnect", test, SECONDS_PER_MESSAGE="0.05")


def test_the_strip_marks_missing_and_repeated_messages() -> None:
    async def fake(page: Page) -> None:
        def serve(ws: WebSocketRoute) -> None:
            for number in (1, 2, 5, 5, 6):
                ws.send(json.dumps({"id": number, "text": ""}))
        await page.route_web_socket(re.compile(r"\?after="), serve)

    async def test(page: Page, program: Program) -> None:
        await expect(page.locator("#strip")).to_have_attribute(
            "aria-label", "Messages up to number 6 over 1 connections, 2 missing, 1 repeated")
        marks = [await cell.inner_text() for cell in await page.locator("#strip .cell").all()]
        assert marks == ["1", "", "!", "!", "", "=", ""]
        assert await page.locator("#strip .gap").first.get_attribute("title") == "message 3 is missing"
    on_page("05-reconnect", test, before=fake)


def test_page_04_shows_the_age_of_the_last_beat_and_the_delay() -> None:
    async def test(page: Page, program: Program) -> None:
        await reaches(page, "#beats", 1)
        await expect(page.locator("#age")).to_have_text(re.compile(r"^\d\.\d s ago$"))
        await expect(page.locator("#limit")).to_have_text("1 s")
        await program.kill()
        await expect(page.locator("#state")).to_have_text(re.compile(r"^closed 1006, reconnecting in \d\.\d s$"))
        await expect(page.locator("#delay")).to_have_text(re.compile(r"^\d\.\d s left$"))
    on_page("04-keepalive", test, PING_SECONDS="0.5")
