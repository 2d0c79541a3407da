"""The live timeline in a page of its own: what it draws, and how many frames a second with 20 busy lanes.

`pytest tests/browser/test_live_timeline_page.py -rP` prints the frames that were dropped. A busy machine drops some, so
the number is not asserted.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from browser.test_lab import QUIET
from playwright.sync_api import Page, expect, sync_playwright

from workshop.views import live_timeline

PAGE = """<!doctype html><body><div id="el" style="width:900px"></div><script type="module">
const next = window.requestAnimationFrame.bind(window);
let stamps = [], work = [];
window.requestAnimationFrame = draw => next((at) => {
  const began = performance.now();
  draw(at);
  stamps.push(at);
  work.push(performance.now() - began);
});
window.measure = async (ms) => {
  stamps = []; work = [];
  await new Promise(done => setTimeout(done, ms));
  const gaps = stamps.slice(1).map((at, n) => Math.round((at - stamps[n]) / (1000 / 60)) - 1);
  return { drawn: stamps.length, dropped: gaps.reduce((sum, gap) => sum + Math.max(0, gap), 0),
           work: work.sort((a, b) => a - b)[work.length >> 1] };
};
const blob = new Blob([window.module], { type: "text/javascript" });
const { default: { render } } = await import(URL.createObjectURL(blob));
const model = { get: () => "", on: (_, arrived) => { window.arrived = arrived; }, off() {}, send() {} };
render({ model, el: document.getElementById("el") });
</script>"""
# 20 instances with 10 connections and 200 frames each; then 200 more frames a second, as the console sends them.
FILL = """() => {
  const now = Date.now() / 1000, records = [], frame = { opcode: "text", length: 5, preview: "hi" };
  for (let lane = 0; lane < 20; lane++) {
    const instance = `c-${lane}`;
    const add = (kind, ago, more) => records.push({ kind, at: now - ago, instance, ...more });
    add("instance.starting", 25);
    add("instance.ready", 24);
    for (let n = 0; n < 10; n++) add("request.begin", 24 - n, { request: `${lane}-${n}` });
    for (let n = 0; n < 200; n++) add("tap.frame", 24 - n * 0.12, { ...frame, direction: n % 2 ? "in" : "out" });
  }
  window.arrived({ records });
  let sent = 0;
  setInterval(() => window.arrived({ records: Array.from({ length: 50 }, () => ({ ...frame, kind: "tap.frame",
    at: Date.now() / 1000, instance: `c-${sent++ % 20}`, direction: "in" })) }), 250);
}"""


@pytest.fixture
def page() -> Iterator[Page]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=QUIET)
        page = browser.new_page(viewport={"width": 1000, "height": 900})
        yield page
        browser.close()


def test_twenty_busy_lanes_are_drawn_and_say_what_is_under_the_pointer(page: Page) -> None:
    module = Path(live_timeline.__file__).with_suffix(".js").read_text("utf-8")
    page.add_init_script(f"window.module = {json.dumps(module)}")
    page.goto("data:text/html,")
    page.set_content(PAGE)
    page.wait_for_function("!!window.arrived")
    page.evaluate(FILL)
    result = page.evaluate("measure(2000)")
    print(f"{result['drawn'] / 2:.0f} frames a second, {result['dropped']} dropped, {result['work']:.1f} ms each")
    assert result["drawn"]
    canvas = page.locator("canvas")
    box = canvas.bounding_box()
    assert box and box["height"] > 20 * 30
    page.mouse.move(box["x"] + 500, box["y"] + 40)
    expect(page.get_by_text(re.compile(r"^(request|text to the)"))).to_be_visible()
