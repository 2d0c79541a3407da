"""The first lesson as a learner sees it: JupyterLab in a real browser, Run All, and the console at work.

Screenshots go to build/screenshots.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import nbformat
import pytest
from awaited import until
from browser.axe import serious
from browser.layout import overlaps
from playwright.sync_api import Locator, Page, expect, sync_playwright

from fclocal import FcError, attach

ROOT = Path(__file__).parents[2]
SHOTS = ROOT / "build" / "screenshots"
QUIET = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
         "--disable-sync", "--no-first-run"]
SETTINGS = {
    "@jupyterlab/apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
    "@jupyterlab/notebook-extension/tracker": {"windowingMode": "none"},  # every cell is in the page
}


@pytest.fixture
def kit(tmp_path: Path) -> Path:
    """A copy of what a learner works in."""
    for folder in ("notebooks", "functions", "exercises", "solutions"):
        shutil.copytree(ROOT / folder, tmp_path / "kit" / folder,
                        ignore=shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints", "node_modules"))
    return tmp_path / "kit"


@pytest.fixture
def lab(kit: Path) -> Iterator[str]:
    """JupyterLab on the copy: the URL of the folder of notebooks."""
    with jupyter(kit, "jupyterlab") as url:
        yield f"{url}/lab/tree/notebooks"


@contextmanager
def jupyter(kit: Path, module: str) -> Iterator[str]:
    """Start `python -m module` on the copy, on a port of its own; give its URL. Nothing it started survives."""
    home = kit.parent
    settings = home / "settings"
    for name, values in SETTINGS.items():
        file = settings / f"{name}.jupyterlab-settings"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(values))
    env = {k: v for k, v in os.environ.items() if not k.startswith(("FCLOCAL_", "JUPYTER", "IPYTHON"))}
    env |= {f"JUPYTER_{what}_DIR": str(home / what.lower()) for what in ("CONFIG", "DATA", "RUNTIME")}
    env |= {"JUPYTERLAB_SETTINGS_DIR": str(settings), "JUPYTERLAB_WORKSPACES_DIR": str(home / "workspaces"),
            "IPYTHONDIR": str(home / "ipython"), "PYTHONDONTWRITEBYTECODE": "1",
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    command = [sys.executable, "-m", module, "--no-browser", "--ServerApp.port=0", "--IdentityProvider.token=",
               "--allow-root", f"--ServerApp.root_dir={kit}", "--log-level=ERROR"]
    with (home / "lab.log").open("w") as log:
        server = subprocess.Popen(command, cwd=kit, env=env, stdout=log, stderr=log, start_new_session=True)
    try:
        yield url_of(home / "runtime", server)
    finally:
        server.terminate()
        server.wait(20)
        with suppress(FcError):
            attach(kit / ".fclocal").stop()


def url_of(runtime: Path, server: subprocess.Popen[bytes]) -> str:
    """Where the server listens, once it has written it down."""
    def written() -> int | None:
        assert server.poll() is None, (runtime.parent / "lab.log").read_text()
        ports = [json.loads(file.read_text() or "{}").get("port") for file in runtime.glob("jpserver-*.json")]
        return next(filter(None, ports), None)

    return f"http://127.0.0.1:{until(written, 60)}"


@pytest.fixture
def page() -> Iterator[Page]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=QUIET)
        page = browser.new_page(viewport={"width": 1280, "height": 1000})
        page.set_default_timeout(30_000)
        yield page
        SHOTS.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=SHOTS / "lab-last.png")
        browser.close()


def run_all(page: Page, url: str, notebook: str) -> None:
    """Open a notebook and run all its cells."""
    with page.expect_event("websocket", lambda socket: "/channels" in socket.url, timeout=60_000):
        page.goto(f"{url}/{notebook}")  # before the kernel is connected, it counts as idle in the classic notebook
    expect(page.locator(".jp-Notebook .jp-Cell").first).to_be_visible(timeout=60_000)
    idle = page.get_by_role("button", name="Python 3 (ipykernel) | Idle") if "/lab/" in url else page.locator(
        '.jp-Notebook-ExecutionIndicator[data-status="idle"]')
    expect(idle).to_be_visible(timeout=60_000)
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name=re.compile("^Run All Cells")).first.click()


def shot(page: Page, name: str, what: Locator | None = None) -> None:
    """Keep a picture of the page, or of a part of it."""
    SHOTS.mkdir(parents=True, exist_ok=True)
    (what or page).screenshot(path=SHOTS / f"{name}.png")


@pytest.mark.timeout(240)
def test_run_all_then_a_trigger_a_message_and_the_timeline(lab: str, page: Page) -> None:
    run_all(page, lab, "00-start.ipynb")
    console = page.locator(".jp-OutputArea-output:has(.widget-tab)")
    expect(console).to_be_visible(timeout=90_000)
    expect(page.locator(".jp-Cell.jp-CodeCell .jp-InputPrompt", has_text="[*]")).to_have_count(0, timeout=60_000)
    assert page.locator('.jp-OutputArea [data-mime-type="application/vnd.jupyter.error"]').count() == 0
    console.scroll_into_view_if_needed()
    shot(page, "lab-1-run-all")

    def tab(name: str) -> None:
        console.get_by_role("tab", name=name, exact=True).click()

    name = console.get_by_label("Name", exact=True)
    name.fill("http")
    console.get_by_role("button", name="Delete").click()
    expect(console.get_by_text("Deleted.")).to_be_visible()
    name.fill("http-trigger")
    console.get_by_role("button", name="Create").click()
    expect(console.get_by_text(re.compile(r"^Created\. https://localhost:\d+"))).to_be_visible()
    assert serious(page, ".jp-OutputArea-output:has(.widget-tab)") == []
    shot(page, "lab-2-trigger", console)

    tab("Test")
    assert console.get_by_label("URL", exact=True).input_value().startswith("wss://localhost:")
    console.get_by_role("button", name="Connect", exact=True).click()
    expect(console.get_by_text("connected", exact=True)).to_be_visible()
    console.get_by_label("Message", exact=True).fill("good morning")
    console.get_by_role("button", name="Send text").click()
    console.get_by_role("button", name="Send binary").click()
    console.get_by_role("button", name="Ping").click()
    frames = console.locator("pre:visible")
    for words in ('-> TEXT    "good morning"', '<- TEXT    "good morning"', "<- BINARY", "<- PONG"):
        expect(frames.filter(has_text=words)).to_be_visible()
    live = console.locator("canvas")
    drawn = live.evaluate("canvas => canvas.toDataURL()")
    page.wait_for_function("was => document.querySelector('.widget-tab canvas').toDataURL() !== was", arg=drawn)
    assert serious(page, ".jp-OutputArea-output:has(.widget-tab)") == []
    shot(page, "lab-3-test", console)

    tab("Timeline")
    picture = console.locator("svg:visible")
    expect(picture).to_be_visible()
    before = picture.evaluate("picture => picture.outerHTML")
    page.wait_for_function("([e, was]) => document.querySelector(e).outerHTML !== was",
                           arg=[".widget-tab svg", before])  # it moves while the connection is open
    tab("Test")
    console.get_by_role("button", name="Disconnect").click()
    expect(frames.filter(has_text="closed with 1000")).to_be_visible()
    tab("Timeline")
    expect(picture).to_contain_text("1000")
    shot(page, "lab-4-timeline", console)
    tab("Logs")
    expect(frames.filter(has_text="FC Invoke Start").last).to_be_visible()
    shot(page, "lab-5-logs", console)
    tab("Bill")
    expect(frames.filter(has_text=re.compile("CU"))).to_be_visible()
    shot(page, "lab-6-bill", console)


VIEWS = [
    "from websockets import connect\n"
    "from workshop import check, lesson, parity, predict, progress, recap, sequence, show, timeline, to_wss\n"
    "fc = lesson(1)",
    'app = fc.deploy("functions/01-echo")\n'
    "with sequence(fc, app) as happened:\n"
    "    async with connect(to_wss(app.url)) as ws:\n"
    '        await ws.send("hello")\n'
    "        await ws.recv()\n"
    "happened",
    'timeline(fc.events(), function="echo")',
    'check("1.1")',
    'predict("1.a")',
    'show("functions/01-echo/main.py", "echo")',
    "progress()",
    "recap(1)",
    "parity(1)",
    "from workshop import Nat, cost_planner\n"
    "nat = Nat(app.url, forget_after=0.5).start()\n"
    "nat",
    "cost_planner(per_hour=600, seconds=120)",
    "from fclocal import Record\n"
    "from workshop import frames\n"
    "inspector = frames(fc, app)\n"
    'facts = {"direction": "in", "opcode": "text", "length": 9, "closeCode": None}\n'
    "many = [Record(n, n / 100, 'tap.frame', data={**facts, 'preview': f'{{\"n\": {n}}}'}) for n in range(10_000)]\n"
    "inspector.widget.add(many)\n"
    "inspector.stop()\n"
    "inspector",
]


def write_views(kit: Path) -> str:
    """Write a notebook with every view; return its name."""
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in VIEWS])
    book.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}
    nbformat.write(book, kit / "notebooks" / "views.ipynb")
    return "views.ipynb"


@pytest.mark.nightly
@pytest.mark.timeout(240)
def test_views_work_in_the_classic_notebook(kit: Path, page: Page) -> None:
    with jupyter(kit, "notebook") as url:
        run_all(page, f"{url}/notebooks/notebooks", write_views(kit))
        expect(page.get_by_text("10000 of 10000 frames")).to_be_visible(timeout=60_000)
        page.get_by_role("button", name="b) Three, one for each client").click()
        expect(page.get_by_text("You chose b; the answer is a.")).to_be_visible()
        page.get_by_role("slider", name="connections per hour").press("ArrowRight")
        expect(page.get_by_text("PLAN  610 connections per hour")).to_be_visible()
        assert page.locator('.jp-OutputArea [data-mime-type="application/vnd.jupyter.error"]').count() == 0
        assert overlaps(page) == [] and serious(page, ".jp-OutputArea-output") == []


@pytest.mark.timeout(240)
def test_views_follow_the_theme_of_jupyterlab_and_not_of_the_system(lab: str, kit: Path, page: Page) -> None:
    page.set_viewport_size({"width": 1280, "height": 2600})
    run_all(page, lab, write_views(kit))
    expect(page.get_by_role("group", name="On the real platform")).to_be_visible(timeout=60_000)
    assert page.locator('.jp-OutputArea [data-mime-type="application/vnd.jupyter.error"]').count() == 0
    papers = {"Light": "rgb(255, 255, 255)", "Dark": "rgb(17, 20, 23)"}
    for theme, paper in papers.items():
        page.get_by_role("menuitem", name="Settings", exact=True).click()
        page.locator(".lm-Menu-itemLabel").get_by_text("Theme", exact=True).click()
        page.locator(".lm-Menu-itemLabel").get_by_text(f"JupyterLab {theme}", exact=True).click()
        expect(page.locator("body")).to_have_attribute("data-jp-theme-name", f"JupyterLab {theme}")
        for system in ("light", "dark"):
            page.emulate_media(color_scheme=system)  # type: ignore[arg-type]
            for picture in page.locator("svg.wp").all():
                fill = picture.locator("> rect").first.evaluate("one => getComputedStyle(one).fill")
                assert fill == paper, (theme, system)
            card = page.locator(".wv .card").first.evaluate("one => getComputedStyle(one).backgroundColor")
            assert card == paper, (theme, system)
            assert serious(page, ".jp-OutputArea-output") == [], (theme, system)
            shot(page, f"lab-views-{theme.lower()}-system-{system}")
    assert overlaps(page) == []
    page.get_by_role("slider", name="connections per hour").press("ArrowRight")
    expect(page.get_by_text("PLAN  610 connections per hour")).to_be_visible()
    limit = page.get_by_role("spinbutton", name="limit (s), as a number")
    limit.fill("99")
    limit.press("Enter")
    expect(page.get_by_role("slider", name="limit (s)")).to_have_value("5")  # the most that the slider has
    fits = "one => one.scrollWidth <= one.clientWidth"
    listing = page.locator(".listing")
    for width, whole in ((1280, True), (700, False)):  # a long line scrolls inside the listing, and only there
        page.set_viewport_size({"width": width, "height": 2600})
        assert listing.locator("pre").evaluate(fits) == whole, width
        assert page.locator(".jp-OutputArea-output:has(.listing)").evaluate(fits), width
    page.set_viewport_size({"width": 1280, "height": 2600})
    answer = page.get_by_text(re.compile("^Your choice is right|You chose"))
    expect(answer).to_have_count(0)  # running all cells reveals nothing
    page.get_by_role("button", name="b) Three, one for each client").click()
    expect(page.get_by_role("button", name="Ten, so that there is room for more")).to_be_disabled()
    expect(answer).to_be_visible()
    page.get_by_role("button", name="Hint", exact=True).click()
    expect(page.get_by_text("Hint 1 of")).to_be_visible()
    shot(page, "lab-views-answered")
    expect(page.get_by_text("10000 of 10000 frames")).to_be_visible(timeout=30_000)
    assert page.locator(".fi .row").count() < 40  # only what is in sight is in the page
    page.get_by_role("searchbox", name="Filter frames by text").fill('"n": 9876}')
    expect(page.get_by_text("1 of 10000 frames")).to_be_visible()
    page.locator(".fi .row").click()
    page.get_by_role("button", name="json", exact=True).click()
    expect(page.locator(".fi pre")).to_contain_text('"n": 9876')
    page.get_by_role("button", name="hex", exact=True).click()
    expect(page.locator(".fi pre")).to_contain_text("7b 22 6e")
    shot(page, "lab-frames", page.locator(".fi"))
