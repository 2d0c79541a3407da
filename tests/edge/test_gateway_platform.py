"""The gateway on the real platform: real processes behind it, real clients before it."""

import asyncio
import os
import signal
import time
from collections import deque
from pathlib import Path

import psutil
import pytest
import websockets
from awaited import until
from playwright.sync_api import sync_playwright
from websockets.asyncio.client import connect

from fclocal import App, Platform
from fclocal.testing import wait_for

ECHO = Path(__file__).parents[2] / "functions" / "01-echo"


def wss(app: App) -> str:
    return app.url.replace("https", "wss")


def plain(app: App) -> connect:
    """A connection without TLS: a hundred contexts with all the world's authorities cost a client seconds."""
    return connect(app.url.replace("https", "ws"), proxy=None, open_timeout=30)


def steady(process: psutil.Process) -> tuple[int, int]:
    """Return (children, descriptors) of the platform, once ten readings in a row are the same."""
    readings: deque[tuple[int, int]] = deque(maxlen=10)

    def same() -> bool:
        readings.append((len(process.children(recursive=True)), process.num_fds()))
        return len(readings) == 10 and len(set(readings)) == 1

    until(same)
    return readings[-1]


@pytest.mark.parity("instance.crash")
def test_an_instance_is_killed_under_a_hundred_connections(fc: Platform) -> None:
    """All clients see 1006 within a second, others nothing, and the next request gets a new instance (F2)."""
    app = fc.deploy(ECHO, instanceConcurrency=100, timeout=60)
    bystander = fc.deploy(ECHO, functionName="bystander", timeout=60)

    async def talk() -> tuple[set[int | None], float]:
        async with plain(bystander) as other, plain(app) as first:
            sockets = [first, *await asyncio.gather(*(plain(app) for _ in range(99)))]
            (victim,) = fc.instances(app.name)
            assert victim["load"] == 100
            began = time.monotonic()
            os.kill(victim["pid"], signal.SIGKILL)
            await asyncio.wait_for(asyncio.gather(*(ws.wait_closed() for ws in sockets)), 10)
            took = time.monotonic() - began
            await other.send("still here")
            assert await other.recv() == "still here"
            async with plain(app) as ws:
                await ws.send("again")
                assert await ws.recv() == "again"
            (fresh,) = fc.instances(app.name)
            assert fresh["instanceId"] != victim["instanceId"]
        return {ws.close_code for ws in sockets}, took

    codes, seconds = asyncio.run(talk())
    assert codes == {1006}
    assert seconds < 1
    ends = [r for r in fc.events(function=app.name, kinds="request.end") if r.data["closeCode"] == 1006]
    assert len(ends) == 100


def test_connections_leave_nothing_behind(fc: Platform) -> None:
    """Clients that close, vanish or are cut: descriptors and processes are as before."""
    app = fc.deploy(ECHO, instanceConcurrency=100, timeout=60)
    process = psutil.Process(fc.status()["pid"])

    async def talk() -> None:
        sockets = await asyncio.gather(*(plain(app) for _ in range(30)))
        for number, ws in enumerate(sockets):
            if number % 3 == 0:
                await ws.close()
            elif number % 3 == 1:
                ws.transport.abort()
        with fc.fault("cut", function=app.name, after=0.3):
            async with plain(app) as cut:
                with pytest.raises(websockets.ConnectionClosedError):
                    await cut.recv()
        for ws in sockets[2::3]:
            await ws.close()

    asyncio.run(talk())
    wait_for(fc, "request.end", function=app.name)
    before = steady(process)
    for _ in range(2):
        asyncio.run(talk())
    children, descriptors = before
    until(lambda: len(process.children(recursive=True)) <= children and process.num_fds() <= descriptors)


def test_a_browser_speaks_https_and_wss(fc: Platform) -> None:
    """Chromium, from a page of another origin: fetch with the default CORS headers, and wss."""
    app = fc.deploy(ECHO, timeout=60)
    arguments = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=[*arguments, "--disable-sync"])
        page = browser.new_context(ignore_https_errors=True).new_page()
        result = page.evaluate(
            """async ([https, wss]) => {
                const echoed = await new Promise((done, failed) => {
                    const ws = new WebSocket(wss);
                    ws.onopen = () => ws.send("from a browser");
                    ws.onmessage = (event) => { done(event.data); ws.close(); };
                    ws.onerror = () => failed(new Error("wss failed"));
                });
                const answer = await fetch(https);
                return [echoed, answer.status, answer.headers.get("x-fc-request-id")];
            }""",
            [app.url, wss(app)],
        )
        browser.close()
    assert result[:2] == ["from a browser", 426]
    assert result[2].startswith("1-")
