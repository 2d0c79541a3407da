"""The slides of a lesson in a real browser, as a file: nothing is requested, and the speaker's window has the notes."""

from pathlib import Path

from browser.axe import serious
from browser.test_accessibility import QUIET
from playwright.sync_api import expect, sync_playwright

from workshop.course.slides.build import main


def test_slides_open_as_a_file_with_pictures_and_notes(tmp_path: Path) -> None:
    assert main(["1", "--to", str(tmp_path)]) == 0
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=QUIET)
        context = browser.new_context()
        requests: list[str] = []
        errors: list[str] = []
        context.on("request", lambda request: requests.append(request.url))
        page = context.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto((tmp_path / "01-echo.html").as_uri())
        expect(page).to_have_title("1. Write an echo server")
        expect(page.locator("section.present h1")).to_have_text("1. Write an echo server")
        assert serious(page) == []

        with context.expect_page() as opened:
            page.keyboard.press("s")
        speaker = opened.value
        shown = speaker.locator(".speaker-controls-notes .value")
        expect(shown).to_contain_text("Idea: Your program is a web server")
        page.keyboard.press("Space")
        page.keyboard.press("Space")
        expect(page.locator("section.present > section.present h2")).to_have_text(
            "One idea: your program is a web server that the platform starts")
        expect(shown).to_contain_text("Show (9 min):")
        assert page.evaluate("document.querySelector('section.present img').naturalWidth") > 100

        page.keyboard.press("Space")
        expect(page.locator("section.present > section.present h2")).to_have_text("Predict")
        page.keyboard.press("ArrowDown")
        expect(page.locator("section.present > section.present h2")).to_have_text("Predict 1.a: the answer is a")
        assert [url for url in requests if not url.startswith(("file:", "data:", "about:", "blob:"))] == []
        assert errors == []
        browser.close()
