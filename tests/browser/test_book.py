"""The course as a site: it builds, its links lead somewhere, and it opens from a folder without a server or network."""

import fcntl
import re
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from urllib.parse import unquote

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from workshop.course.book.build import build

ROOT = Path(__file__).parents[2]
CHROMIUM = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
            "--disable-sync", "--no-first-run", "--allow-file-access-from-files"]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """The site with one lesson executed; the others are pages without outputs. Built once for all workers."""
    own = tmp_path_factory.getbasetemp()
    book = (own if worker_id == "master" else own.parent) / "book"
    with book.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        page = book / "html" / "index.html"  # the last file that is written
        return (page if page.exists() else build(ROOT, book, [0])).parent


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=CHROMIUM)
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page that fails the test when it asks for anything outside the folder."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, color_scheme="dark")
    page = context.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    yield page
    context.close()
    assert not [url for url in asked if not url.startswith(("file:", "data:"))]


def test_every_link_to_a_file_leads_to_one(site: Path) -> None:
    pages = [html for html in site.rglob("*.html") if "static" not in html.parts]  # there: pages of the functions
    assert len(pages) > 40
    for html in pages:
        for target in re.findall(r'(?:href|src)="([^"]+)"', html.read_text("utf-8")):
            place = unquote(unescape(target)).split("#")[0].split("?")[0]
            if place and not re.match(r"[a-z]+:", place):
                assert (html.parent / place).exists(), f"{html.relative_to(site)}: {target}"


def test_pages_open_from_the_folder_and_fit_a_phone(site: Path, page: Page) -> None:
    for name, heading in (("index.html", "WebSockets"), ("notebooks/00-start.html", "0."),
                          ("functions/01-echo/README.html", "cho")):
        page.set_viewport_size({"width": 1280, "height": 900})
        page.goto((site / name).as_uri())
        expect(page.locator("h1")).to_contain_text(heading)
        page.set_viewport_size({"width": 360, "height": 740})
        assert page.evaluate("document.documentElement.scrollWidth") <= 360, name


def test_an_executed_lesson_shows_its_output_and_follows_the_theme(site: Path, page: Page) -> None:
    page.goto((site / "notebooks" / "00-start.html").as_uri())
    expect(page.get_by_text("Setup complete. Lesson 0")).to_be_visible()
    assert page.evaluate("getComputedStyle(document.body).colorScheme") == "light dark"
    background = "getComputedStyle(document.body).backgroundColor"
    dark = page.evaluate(background)
    page.emulate_media(color_scheme="light")
    assert page.evaluate(background) != dark


def test_the_instructors_page_has_a_page_for_each_lesson(site: Path, page: Page) -> None:
    page.goto((site / "notebooks" / "teaching.html").as_uri())
    page.get_by_role("main").get_by_role("link", name="7. A chat room on Redis").click()
    expect(page.locator("h1")).to_contain_text("Teach lesson 7. A chat room on Redis")
    for part in ("Idea", "Say (4 min)", "Wrong answers", "Stop", "Cut"):
        expect(page.get_by_text(f"{part}:", exact=True)).to_be_visible()
    assert len(list((site / "notebooks").glob("teaching-*.html"))) == 10


def test_the_search_works_without_a_server(site: Path, page: Page) -> None:
    page.goto((site / "search.html").as_uri() + "?q=handshake")
    expect(page.locator("#search-results li").first).to_be_visible(timeout=15_000)
