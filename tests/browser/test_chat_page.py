"""The chat's page in a real Chromium, on fclocal: two people on two instances, kills, hostile strings, keyboard."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, Page, WebSocketRoute, async_playwright, expect

from fclocal import App, Platform

FUNCTIONS = Path(__file__).parents[2] / "functions"
CHROMIUM = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
            "--disable-sync", "--no-first-run"]
BOTH = pytest.mark.parametrize("folder", ["07-chat", "07-chat-durable"])

HOSTILE = [
    "<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "<svg onload=alert(1)>", "<b>bold</b>",
    "<iframe src='javascript:alert(1)'></iframe>", "\"><script>alert(1)</script>", "' onmouseover='alert(1)",
    "javascript:alert(1)", "<a href='javascript:alert(1)'>x</a>", "</li></ol><script>alert(1)</script>",
    "<style>*{display:none}</style>", "<link rel=stylesheet href=//evil>", "<meta http-equiv=refresh content=0>",
    "<base href=//evil>", "<object data=x>", "<embed src=x>", "<form action=//evil><input>",
    "<details open ontoggle=alert(1)>", "<math><mi xlink:href='javascript:alert(1)'>", "<!--<script>",
    "<![CDATA[<script>alert(1)</script>]]>", "&lt;script&gt;",
    "&#60;script&#62;", "\\u003cscript\\u003e", "${alert(1)}", "{{constructor.constructor('alert(1)')()}}",
    "__proto__", "constructor", "\u202e\u2066txet", "a\u0301\u0302\u0303 \U0001f600 \u4e2d\u6587", "%3Cscript%3E",
    "]]></title><script>",
]


def run(test: Callable[[Browser], Coroutine[Any, Any, None]]) -> None:
    """Run the test with a browser, for at most 90 seconds."""
    async def main() -> None:
        async with async_playwright() as playwright, asyncio.timeout(90):
            browser = await playwright.chromium.launch(executable_path="/usr/bin/chromium", args=CHROMIUM)
            try:
                await test(browser)
            finally:
                await browser.close()
    asyncio.run(main())


@asynccontextmanager
async def person(browser: Browser, app: App, name: str, room: str = "tea", **options: Any) -> AsyncIterator[Page]:
    """A page of its own profile, in the room. No dialog, script error or breach of the policy is accepted."""
    context = await browser.new_context(locale="en-GB", ignore_https_errors=True, **options)
    page = await context.new_page()
    wrong: list[str] = []
    page.on("dialog", lambda dialog: wrong.append(f"dialog {dialog.message}"))
    page.on("pageerror", lambda error: wrong.append(f"error {error}"))
    page.on("console", lambda message: wrong.append(message.text) if "Content Security" in message.text else None)
    await page.goto(next(iter(app.domains.values())))
    await page.get_by_label("Your name").fill(name)
    await page.get_by_label("Room", exact=True).fill(room)
    await page.keyboard.press("Enter")
    await expect(page.locator("#state")).to_have_text("Connected", timeout=15_000)
    yield page
    assert not wrong, wrong
    await context.close()


async def say(page: Page, text: str) -> None:
    await page.get_by_label("Message", exact=True).fill(text)
    await page.keyboard.press("Enter")


async def hears(page: Page, *texts: str) -> None:
    """The page shows these texts, each once, in this order, among its messages."""
    for text in texts:
        await expect(page.locator("#log .text").get_by_text(text, exact=True)).to_have_count(1, timeout=15_000)
    shown = await page.locator("#log .text").all_inner_texts()
    assert [text for text in shown if text in texts] == list(texts)


@BOTH
@pytest.mark.parity("gateway.attachment")
def test_two_pages_on_two_instances_and_a_kill(folder: str, fc: Platform, tmp_path: Path) -> None:
    app = fc.deploy(FUNCTIONS / folder, instanceConcurrency=1)

    async def test(browser: Browser) -> None:
        phone = {"viewport": {"width": 390, "height": 844}, "color_scheme": "dark"}
        async with person(browser, app, "Ana") as ana, person(browser, app, "Bo", **phone) as bo:
            busy = [i["instanceId"] for i in fc.instances(app.name) if i["load"]]
            assert len(busy) == 2
            for page in (ana, bo):
                await expect(page.locator("#members .name")).to_have_text(["Ana", "Bo"])
            await say(ana, "Tea?")
            await hears(bo, "Tea?")
            await say(bo, "With milk.")
            await hears(ana, "Tea?", "With milk.")
            for instance in busy:
                fc.kill(instance)
            if folder == "07-chat-durable":  # typed while no member is connected: nothing is lost
                await say(ana, "Are you there?")
                await say(bo, "Always.")
            for page in (ana, bo):
                await expect(page.locator("#state")).to_have_text("Connected", timeout=20_000)
            await say(ana, "Sugar?")
            await hears(bo, "Sugar?")
            await say(bo, "One.")
            expected = ["Sugar?", "One."]
            if folder == "07-chat-durable":
                for page in (ana, bo):
                    for text in ("Are you there?", "Always."):
                        await hears(page, text)
            for page in (ana, bo):
                await hears(page, *expected)
                if folder == "07-chat-durable":
                    await expect(page.locator("#log .fate.bad")).to_have_count(0)
                wide = "document.documentElement.scrollWidth <= innerWidth"
                assert await page.evaluate(wide)
                await page.screenshot(path=tmp_path / "page.png")
    run(test)


def test_hostile_strings_are_shown_and_do_nothing(fc: Platform) -> None:
    app = fc.deploy(FUNCTIONS / "07-chat-durable", instanceConcurrency=20)  # the other has the same files
    assert len(HOSTILE) >= 30
    elements = "[...new Set([...document.querySelectorAll('*')].map((e) => e.localName))].sort()"

    async def test(browser: Browser) -> None:
        async with person(browser, app, "Ana") as ana, person(browser, app, "Bo") as bo:
            await say(bo, "plain")
            await hears(ana, "plain")
            kinds = await ana.evaluate(elements)
            for text in HOSTILE:
                await say(bo, text)
            for text in HOSTILE:
                shown = ana.locator("#log .text").get_by_text(text, exact=True).first
                await expect(shown).to_be_attached(timeout=15_000)
            assert await ana.evaluate(elements) == kinds
        for text in HOSTILE[:4]:
            async with person(browser, app, text[:32].strip(), text[:40].strip()) as page:
                await expect(page.locator("#members .name")).to_have_text([text[:32].strip()])
                await say(page, "here")
                await hears(page, "here")
                assert set(await page.evaluate(elements)) <= set(kinds)
    run(test)


def test_a_keyboard_and_a_screen_reader_get_along(fc: Platform) -> None:
    app = fc.deploy(FUNCTIONS / "07-chat", instanceConcurrency=20)

    async def test(browser: Browser) -> None:
        async with person(browser, app, "Ana") as ana, person(browser, app, "Bo") as bo:
            await expect(ana.get_by_role("log")).to_be_visible()
            await expect(ana.get_by_role("status")).to_have_text("Connected")
            await expect(ana.get_by_role("heading", level=1)).to_have_text("Room tea")
            await expect(ana.get_by_label("Message", exact=True)).to_be_focused()  # type at once
            await ana.keyboard.type("line one")
            await ana.keyboard.press("Shift+Enter")
            await ana.keyboard.type("line two")
            await ana.keyboard.press("Enter")
            await hears(bo, "line one\nline two")
            for _ in range(12):  # the focus can go everywhere and is always seen
                await ana.keyboard.press("Tab")
                outline = "getComputedStyle(document.activeElement).outlineStyle"
                inside = "document.activeElement !== document.body"
                assert not await ana.evaluate(inside) or await ana.evaluate(outline) == "solid"
            unnamed = ("[...document.querySelectorAll('button, input, textarea')].filter((e) =>"
                       " e.checkVisibility() && !e.textContent.trim() && !e.labels?.length).length")
            assert await ana.evaluate(unnamed) == 0
            await bo.get_by_role("button", name="Another room").click()
            await expect(ana.locator("#log .note").last).to_have_text("Bo left")
            await bo.get_by_label("Room", exact=True).fill("coffee")
            await bo.keyboard.press("Enter")
            await expect(bo.get_by_role("heading", level=1)).to_have_text("Room coffee")
            await expect(bo.get_by_role("button", name="tea")).to_be_visible()
    run(test)


def test_a_flood_is_slowed_down_and_all_of_it_arrives(fc: Platform) -> None:
    app = fc.deploy(FUNCTIONS / "07-chat", instanceConcurrency=20)

    async def test(browser: Browser) -> None:
        async with person(browser, app, "Ana") as ana, person(browser, app, "Bo") as bo:
            for number in range(150):
                await ana.evaluate("(text) => { document.querySelector('#text').value = text;"
                                   " document.querySelector('#say').requestSubmit(); }", f"flood {number}")
            await hears(bo, *(f"flood {number}" for number in range(150)))
            await expect(ana.locator("#log .fate.bad")).to_have_count(0)
            await expect(ana.locator("#state")).to_have_text("Connected")
    run(test)


def test_the_page_shows_instances_and_can_cut_its_connection(fc: Platform) -> None:
    app = fc.deploy(FUNCTIONS / "07-chat", instanceConcurrency=1)

    async def test(browser: Browser) -> None:
        async with person(browser, app, "Ana") as ana, person(browser, app, "Ana") as other:
            await expect(ana.locator("#members .name")).to_have_text(["Ana", "Ana"])
            badges = await ana.locator("#members .badge").all_inner_texts()
            assert len(set(badges)) == 2 and await ana.locator("#instance").inner_text() in badges
            await say(other, "I am the other one")
            await hears(ana, "I am the other one")
            await expect(ana.locator("#log .mine")).to_have_count(0)  # the same name is not the same person
            await ana.get_by_role("button", name="Cut my connection").click()
            await expect(ana.locator("#log .note").get_by_text("Connected again")).to_have_count(1, timeout=15_000)
            await expect(ana.locator("#state")).to_have_text("Connected")
            await say(ana, "Back")
            await hears(other, "Back")
    run(test)


def test_the_layout_leaves_the_messages_their_place(fc: Platform, tmp_path: Path) -> None:
    """Wide or 360 pixels, light or dark: nothing scrolls sideways, bubbles leave a margin, lists have their roles."""
    app = fc.deploy(FUNCTIONS / "07-chat", instanceConcurrency=20)
    box = ("(selector) => { const box = document.querySelector(selector).getBoundingClientRect();"
           " return [box.width, box.height]; }")

    async def test(browser: Browser) -> None:
        for width, height in ((1280, 800), (360, 740)):
            for scheme in ("light", "dark"):
                options = {"viewport": {"width": width, "height": height}, "color_scheme": scheme}
                async with (person(browser, app, "Ana", f"{width} {scheme}", **options) as ana,
                            person(browser, app, "Bo", f"{width} {scheme}") as bo):
                    await say(bo, "word " * 60)
                    await say(ana, "short")
                    await expect(ana.locator("#log .mine .text")).to_have_text("short")
                    await expect(ana.locator("#log li")).to_have_count(3)
                    assert await ana.evaluate("document.documentElement.scrollWidth <= innerWidth")
                    log, bubble = await ana.evaluate(box, "#log"), await ana.evaluate(box, "#log li:not(.note)")
                    assert bubble[0] <= 0.85 * log[0] and bubble[0] <= 34 * 16
                    assert (await ana.evaluate(box, "#log .mine"))[0] < 0.5 * log[0]
                    assert log[1] >= 0.4 * height
                    await expect(ana.get_by_role("log").get_by_role("listitem")).to_have_count(3)
                    await ana.screenshot(path=tmp_path / f"{width}-{scheme}.png")
    run(test)


def test_an_answer_that_overtakes_the_repetition_of_its_message_stops_nothing() -> None:
    joins: list[WebSocketRoute] = []
    received = asyncio.Queue[str]()

    def chat(socket: WebSocketRoute) -> None:
        """A durable chat that loses the first connection, and answers its messages before they are repeated."""
        async def answer(text: str | bytes) -> None:
            match json.loads(text):
                case {"type": "join"}:
                    joins.append(socket)
                    socket.send(json.dumps({"type": "welcome", "id": "a", "name": "Ana", "instance": "i",
                                            "durable": True, "after": "0-0", "rate": 100, "burst": 100}))
                    if len(joins) == 2:
                        socket.send('{"type": "sent", "ref": 2}')
                    socket.send('{"type": "members", "members": []}')
                case {"type": "say", "text": said}:
                    received.put_nowait(said)
                    if said == "two":
                        await socket.close(code=1011)

        socket.on_message(answer)

    async def test(browser: Browser) -> None:
        page = await browser.new_page()
        await page.route("http://chat.test/*", lambda route: route.fulfill(
            path=FUNCTIONS / "07-chat-durable" / "static" / "connection.js", content_type="text/javascript"))
        await page.route_web_socket("ws://chat.test/*", chat)
        await page.goto("http://chat.test/")
        await page.evaluate("""async () => {
            const { Connection } = await import("http://chat.test/connection.js");
            const chat = window.chat = new Connection("ws://chat.test/talk", "tea", "Ana");
            chat.addEventListener("fate", (event) => { if (event.detail.ref === 2) chat.say("three"); });
            chat.say("one");
            chat.say("two");
        }""")
        assert [await received.get() for _ in range(3)] == ["one", "two", "three"]

    run(test)
