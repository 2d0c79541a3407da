"""Pages of functions through jupyter-server-proxy, behind the prefix that a JupyterHub gives to a learner's server."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from awaited import until
from playwright.sync_api import expect, sync_playwright
from websockets.sync.client import connect

from fclocal import Platform
from workshop.labs.urls import browser_url

PREFIX = "/user/ana/"
NOT_NEEDED = ("jupyterlab", "jupyter_lsp", "jupyter_server_terminals", "notebook", "notebook_shim")  # slow to load
QUIET = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
         "--disable-sync", "--no-first-run"]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """A learner's Jupyter server, without the hub in front of it; its origin."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(("FCLOCAL_", "JUPYTER"))}
    env |= {f"JUPYTER_{name}_DIR": str(tmp_path / name) for name in ("CONFIG", "DATA", "RUNTIME")}
    command = [sys.executable, "-m", "jupyter_server", "--ServerApp.port=0", "--IdentityProvider.token=",
               "--allow-root", "--no-browser", f"--ServerApp.base_url={PREFIX}", f"--ServerApp.root_dir={tmp_path}",
               *(f"--ServerApp.jpserver_extensions={name}=False" for name in NOT_NEEDED)]
    with (tmp_path / "server.log").open("w") as log:
        process = subprocess.Popen(command, cwd=tmp_path, env=env, stdout=log, stderr=log)
    try:
        yield f"http://127.0.0.1:{port_of(tmp_path / 'RUNTIME', process)}"
    finally:
        process.kill()  # it has no kernels; an orderly end takes two seconds
        process.wait(20)


def port_of(runtime: Path, process: subprocess.Popen[bytes]) -> int:
    """Return the port of the server, once it has written it down."""
    def written() -> int | None:
        assert process.poll() is None, (runtime.parent / "server.log").read_text()
        ports = [json.loads(file.read_text() or "{}").get("port") for file in runtime.glob("jpserver-*.json")]
        return next(filter(None, ports), None)

    return int(until(written, 60))


def deployed(fc: Platform, folder: str) -> str:
    domain = {"domainName": f"{folder}.example.com", "protocol": "HTTP,HTTPS", "route": {"path": "/*"}}
    return fc.deploy(f"functions/{folder}", customDomain=domain).domains[domain["domainName"]]


def test_a_page_and_its_websocket_work_through_the_learners_server(
        fc: Platform, server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JUPYTERHUB_SERVICE_PREFIX", PREFIX)
    talk, beat = (server + browser_url(deployed(fc, folder)) for folder in ("03-wss", "04-keepalive"))
    assert talk.startswith(f"{server}{PREFIX}proxy/")
    with connect(talk.replace("http", "ws") + "talk", proxy=None) as ws:
        ws.send("hello")
        assert ws.recv(20) == "you said: hello"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=QUIET)
        page = browser.new_page()
        page.goto(talk)
        expect(page.locator("#state")).to_have_text("open", timeout=20_000)
        expect(page.locator("#address")).to_have_text(talk.replace("http", "ws") + "talk")
        page.goto(beat)
        expect(page.locator("#beats")).to_have_text("1", timeout=20_000)
        browser.close()
