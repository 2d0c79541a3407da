"""The checklist for going live: each point says OK, FIX or DECIDE for the reason it gives."""

import os
import sys
import urllib.request
from pathlib import Path

import pytest

from fclocal.client.platform import Platform
from workshop.labs.go_live import Checklist, Point, go_live_checklist, with_packages

S_YAML = """
edition: 3.0.0
name: horn
vars: {region: cn-hangzhou}
resources:
  horn:
    component: fc3
    props:
      region: ${vars.region}
      functionName: horn
      runtime: custom.debian12
      code: .
      timeout: 600
      instanceConcurrency: 20
      logConfig: auto
      customRuntimeConfig: {command: [python3, main.py], port: 9000}
      triggers:
        - {triggerName: http, triggerType: http, triggerConfig: {methods: [GET], authType: function}}
"""
DOMAIN = "      customDomain: {domainName: horn.example.com, protocol: HTTPS, certConfig: {certName: horn}}\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "horn"
    folder.mkdir()
    (folder / "s.yaml").write_text(S_YAML)
    (folder / "main.py").write_text("print('low')")
    return folder


def change(folder: Path, old: str, new: str) -> None:
    text = (folder / "s.yaml").read_text()
    assert text.count(old) == 1
    (folder / "s.yaml").write_text(text.replace(old, new))


def word(checklist: Checklist, topic: str) -> tuple[str, str]:
    [point] = [point for point in checklist.points if point.topic == topic]
    return point.word, point.text


def distribution(folder: Path, name: str, *needs: str, tag: str = "py3-none-any") -> None:
    """Put a package of this name into the folder, as pip would."""
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir()
    lines = [f"Requires-Dist: {need}" for need in needs]
    (info / "METADATA").write_text("\n".join(["Metadata-Version: 2.1", f"Name: {name}", "Version: 1.0", *lines, ""]))
    (info / "WHEEL").write_text(f"Wheel-Version: 1.0\nTag: {tag}\n")


def test_what_is_decided_is_ticked(folder: Path) -> None:
    assert go_live_checklist(folder).open() == ["region", "tried", "domain"]
    checklist = go_live_checklist(folder, decided=["region", "domain", "tried"])
    assert checklist.open() == ["tried"], "only what is a decision can be decided"
    assert word(checklist, "region")[1].startswith("decided. ")


@pytest.mark.parametrize(("topic", "old", "new", "reason"), [
    ("runtime", "custom.debian12", "custom.debian10", "FIX custom.debian10 does not have a recent python3"),
    ("runtime", "[python3, main.py]", "[node, index.js]", "FIX node is not on PATH"),
    ("region", "cn-hangzhou", "ap-southeast-1", "OK ap-southeast-1"),
    ("timeout", "timeout: 600", "timeout: 3", "DECIDE 3 s is the longest"),
    ("concurrency", "instanceConcurrency: 20", "instanceConcurrency: 1", "DECIDE 1: every connection"),
    ("auth", "authType: function", "authType: anonymous", "DECIDE anonymous"),
    ("auth", "[GET]", "[POST]", "FIX a WebSocket begins with GET"),
    ("logs", "      logConfig: auto\n", "", "FIX logConfig is missing"),
    ("variables", "logConfig: auto", "environmentVariables: {API: 'http://localhost:1'}", "FIX API points to"),
    ("variables", "logConfig: auto", "environmentVariables: {REDIS_URL: 'redis://r/0'}", "FIX REDIS_URL names a host"),
    ("variables", "logConfig: auto", "environmentVariables: {REDIS_URL: 'redis://r/0'}\n      vpcConfig: auto",
     "OK REDIS_URL"),
    ("domain", "      logConfig: auto\n", DOMAIN, "OK horn.example.com"),
    ("domain", "      logConfig: auto\n", DOMAIN.replace(", certConfig: {certName: horn}", ""), "FIX horn.example.com"),
    ("domain", "      logConfig: auto\n", "      customDomain: {domainName: auto, protocol: HTTP}\n", "DECIDE auto is"),
    ("s.yaml", "timeout: 600", "timeout: 90000", "FIX s.yaml line 13"),
])
def test_each_point_has_its_reason(folder: Path, topic: str, old: str, new: str, reason: str) -> None:
    change(folder, old, new)
    assert " ".join(word(go_live_checklist(folder), topic)).startswith(reason)


def test_packages_are_judged_for_the_python_of_the_service(folder: Path) -> None:
    (folder / "requirements.txt").write_text("horn-tones>=1  # both of them\n")
    assert word(go_live_checklist(folder), "packages")[1].startswith("not in the folder: horn-tones.")
    distribution(folder, "horn_tones", "async-timeout; python_full_version < '3.11.3'", "pywin32; os_name == 'nt'",
                 "brass; extra == 'brass'")
    assert word(go_live_checklist(folder), "packages")[1].startswith("not in the folder: async-timeout.")
    distribution(folder, "async_timeout", tag="cp314-cp314-macosx_11_0_arm64")
    assert word(go_live_checklist(folder), "packages")[1].startswith("built for another machine: async-timeout.")
    (folder / "async_timeout-1.0.dist-info" / "WHEEL").write_text("Tag: cp311-cp311-manylinux_2_28_x86_64\n")
    assert word(go_live_checklist(folder), "packages") == ("OK", "In the folder: async-timeout, horn-tones.")


def test_packages_are_judged_for_the_python_on_path(folder: Path) -> None:
    change(folder, "custom.debian12", "custom.debian11")
    change(folder, "logConfig: auto", "environmentVariables: {PATH: '/var/fc/lang/python3.12/bin:/usr/bin'}")
    (folder / "requirements.txt").write_text("horn-tones")
    distribution(folder, "horn_tones", "async-timeout; python_full_version < '3.11.3'", tag="cp311-cp311-linux_x86_64")
    assert word(go_live_checklist(folder), "packages")[1].startswith("built for another machine: horn-tones.")
    (folder / "horn_tones-1.0.dist-info" / "WHEEL").write_text("Tag: cp312-cp312-manylinux_2_28_x86_64\n")
    assert word(go_live_checklist(folder), "packages") == ("OK", "In the folder: horn-tones.")
    assert word(go_live_checklist(folder), "runtime")[0] == "OK"


def test_node_packages(folder: Path) -> None:
    (folder / "package.json").write_text('{"dependencies": {"ws": "8"}}')
    assert word(go_live_checklist(folder), "packages") == ("FIX", "not in the folder: ws. Run: npm ci")
    (folder / "node_modules" / "ws").mkdir(parents=True)
    assert word(go_live_checklist(folder), "packages") == ("OK", "In node_modules: ws.")


def test_the_python_packages_are_judged_beside_the_node_packages(folder: Path) -> None:
    (folder / "package.json").write_text('{"dependencies": {"ws": "8"}}')
    (folder / "node_modules" / "ws").mkdir(parents=True)
    (folder / "requirements.txt").write_text("horn-tones\n")
    assert word(go_live_checklist(folder), "packages")[0] == "FIX"
    distribution(folder, "horn_tones")
    assert word(go_live_checklist(folder), "packages") == ("OK", "In the folder: horn-tones. In node_modules: ws.")


def test_keys_stay_at_home(folder: Path) -> None:
    (folder / ".env").write_text("KEY=1")
    assert word(go_live_checklist(folder), "package")[1].startswith("would be uploaded: .env.")
    (folder / ".fcignore").write_text(".env\n")
    assert word(go_live_checklist(folder), "package")[0] == "OK"


def test_a_folder_that_is_none_is_a_point_too(tmp_path: Path) -> None:
    checklist = go_live_checklist(tmp_path)
    assert checklist.open() == ["s.yaml"] and "does not contain an s.yaml" in " ".join(str(checklist).split())


def test_it_is_plain_and_narrow(folder: Path) -> None:
    change(folder, "logConfig: auto", "environmentVariables: {REDIS_URL: 'redis://r/0'}")
    text = str(go_live_checklist(folder))
    assert text.isascii() and max(map(len, text.splitlines())) <= 76
    assert text.endswith("5 to do.")


SERVER = """
import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "3")
        self.end_headers()
        self.wfile.write(b"low")
        self.close_connection = True

ThreadingHTTPServer(("0.0.0.0", int(os.environ["FC_SERVER_PORT"])), Handler).serve_forever()
"""


@pytest.mark.parametrize(("line", "reason"), [
    ("self.close_connection = True", "FIX it closed a connection that the platform keeps"),
    ("pass", "OK HTTP requests on fclocal: 2. None met"),
])
def test_a_server_that_closes_kept_connections_is_found(fc: Platform, folder: Path, line: str, reason: str) -> None:
    change(folder, "authType: function", "authType: anonymous")
    (folder / "main.py").write_text(SERVER.replace("self.close_connection = True", line))
    url = fc.deploy(folder, loose=True).url.replace("https", "http")
    for _ in range(2):
        with urllib.request.urlopen(url, timeout=10) as answer:
            assert answer.read() == b"low"
    assert " ".join(word(go_live_checklist(folder, fc), "keep-alive")).startswith(reason)
    (folder / "main.py").write_text("")
    fc.deploy(folder, loose=True)
    assert word(go_live_checklist(folder, fc), "keep-alive")[0] == "OK", "the program has changed since"


def test_a_packed_folder_serves_from_its_own_packages(fc: Platform, monkeypatch: pytest.MonkeyPatch,
                                                      tmp_path: Path) -> None:
    from fclocal.testing import connect

    monkeypatch.setenv("FCLOCAL_STATE", str(tmp_path))
    folder = with_packages("functions/09-live")
    assert (folder / "websockets" / "__init__.py").is_file() and folder.is_relative_to(tmp_path)
    app = fc.deploy(folder, loose=True, customRuntimeConfig={
        "command": ["python3", "-c", "import main, websockets, asyncio\n"
                                     "print('from', websockets.__file__, flush=True)\nasyncio.run(main.main())"]})
    with connect(app.url.replace("https", "wss")) as ws:
        ws.send("hello")
        assert ws.recv(timeout=10) == "hello"
    served = next(line for line in fc.logs("live").splitlines() if line.startswith("from "))
    assert not served.split()[1].startswith(sys.prefix), served
    checklist = go_live_checklist(folder, fc)
    assert word(checklist, "tried")[0] == "OK" and word(checklist, "logs")[0] == "OK"
    assert os.environ["FCLOCAL_STATE"] == str(tmp_path)


def test_the_checklist_is_a_card_with_the_same_words() -> None:
    made = Checklist("live", (Point("auth", "DECIDE", "anonymous <all>"), Point("logs", "OK", "kept")))
    shown = made._repr_mimebundle_()
    assert shown["text/plain"] == str(made)
    for words in (">DECIDE</span>", ">OK</span>", "<b>auth</b> anonymous &lt;all&gt;", "1 to do."):
        assert words in shown["text/html"]
