"""A function that tries to leave a process behind: no process outlives its instance."""

from collections.abc import Callable
from http.client import IncompleteRead
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import psutil
import pytest
from awaited import until

from fclocal import Platform

# GET /escape leaves a process with another parent, group and session, no environment and another folder.
# GET /kill-guardian kills the parent of the instance.
SERVER = """
import http.server, os, signal, sys

def escape():
    read, write = os.pipe()
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.chdir("/")
            os.write(write, b"%d" % os.getpid())
            os.closerange(0, 64)
            os.execve("/bin/sleep", ["sleep", "600"], {})
        os._exit(0)
    os.wait()
    return os.read(read, 20)

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = escape() if self.path == "/escape" else b"%d" % os.getppid()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        if self.path == "/kill-guardian":
            self.wfile.flush()
            os.kill(os.getppid(), signal.SIGKILL)

http.server.ThreadingHTTPServer(("0.0.0.0", 9000), Handler).serve_forever()
"""
MANIFEST = """
edition: 3.0.0
name: {name}
access: default
resources:
  fn:
    component: fc3
    props:
      region: cn-hangzhou
      functionName: {name}
      runtime: custom.debian12
      code: .
      timeout: 60
      instanceConcurrency: 5
      customRuntimeConfig: {{command: [python3], args: [server.py]}}
      triggers:
        - {{triggerName: http, triggerType: http, triggerConfig: {{methods: [GET], authType: anonymous}}}}
"""


@pytest.fixture
def deploy(fc: Platform, tmp_path: Path) -> Callable[[str], str]:
    """Deploy the server above under a name; its URL."""

    def deploy(name: str) -> str:
        folder = tmp_path / name
        folder.mkdir()
        (folder / "server.py").write_text(SERVER)
        (folder / "s.yaml").write_text(MANIFEST.format(name=name))
        return fc.deploy(folder).url.replace("https", "http", 1)

    return deploy


def get(url: str) -> int:
    """The process id in the answer."""
    with urlopen(url, timeout=20) as answer:
        return int(answer.read())


def is_gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


@pytest.mark.parity("instance.orphans")
def test_a_process_that_escaped_ends_when_the_guardian_is_killed(fc: Platform, deploy: Callable[[str], str]) -> None:
    first, second = deploy("escapes"), deploy("kills")
    escaped = get(f"{first}/escape")
    assert Path(f"/proc/{escaped}/cwd").readlink() == Path("/") and not is_gone(escaped)
    guardian = get(f"{second}/")
    try:
        get(f"{second}/kill-guardian")
    except IncompleteRead:  # the instance may end before its answer is complete, or before the answer begins
        pass
    except HTTPError as refused:
        refused.close()
    until(lambda: is_gone(guardian))
    until(lambda: is_gone(escaped), 2.0)
    assert get(f"{first}/") != guardian, "a new guardian starts new instances"
    again = get(f"{first}/escape")
    fc.stop()
    until(lambda: is_gone(again), 2.0)
