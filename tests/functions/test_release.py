"""functions/09-live/release.py: by version and alias, forwards, back and away; as its users run it."""

import importlib.util
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

from fclocal.client.platform import Platform
from fclocal.testing import connect

FOLDER = Path(__file__).parents[2] / "functions" / "09-live"


def run(fc: Platform, *words: str, **other: str) -> tuple[int, str]:
    """release.py with these arguments: exit code and all it printed."""
    env = {"PATH": os.environ["PATH"], "LIVE_KEY_ID": fc.at.access_key_id, "LIVE_KEY_SECRET": fc.at.access_key_secret,
           "LIVE_ENDPOINT": fc.at.endpoint, "HOME": "/nonexistent", **other}
    done = subprocess.run([sys.executable, str(FOLDER / "release.py"), "live", *words], env=env, capture_output=True,
                          text=True, timeout=60)
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, (done.stdout + done.stderr).strip()


def serving(url: str, visits: int) -> Counter[str]:
    """Which versions answer, and how often."""
    counts = Counter[str]()
    for _ in range(visits):
        with connect(url.replace("https", "wss")) as ws:
            ws.send("hello")
            assert ws.recv(timeout=10) == "hello"
            assert ws.response is not None
            counts[ws.response.headers["X-Version"]] += 1
    return counts


def test_a_release_its_canary_the_way_back_and_the_end(fc: Platform) -> None:
    app = fc.deploy(FOLDER, loose=True)
    assert serving(app.url, 1) == {"LATEST": 1}
    assert run(fc, "publish") == (0, "version 1")
    code, output = run(fc, "point", "1")
    assert code == 0 and output.startswith("prod at https://localhost:")
    prod = output.split()[-1]
    assert prod != app.url and serving(prod, 2) == {"1": 2}

    fc.deploy(FOLDER, loose=True, timeout=600)
    assert serving(prod, 1) == {"1": 1}, "deploying is not releasing"
    assert run(fc, "publish") == (0, "version 2")
    with connect(prod.replace("https", "wss")) as stays:
        assert run(fc, "point", "1", "2", "0.5") == (0, output)
        assert set(serving(prod, 40)) == {"1", "2"}
        run(fc, "point", "2")
        assert serving(prod, 5) == {"2": 5}
        stays.send("still there?")
        assert stays.recv(timeout=10) == "still there?"
    run(fc, "point", "1")
    assert serving(prod, 5) == {"1": 5}

    code, output = run(fc, "status")
    assert code == 0 and output.splitlines() == ["function live", "trigger http of LATEST", "trigger prod of prod",
                                               "alias prod: version 1", "version 2", "version 1"]
    assert run(fc, "remove") == (0, "nothing is left")
    assert run(fc, "remove") == run(fc, "status") == (0, "nothing is left")
    assert fc.status()["functions"] == []


def test_a_domain_with_another_route_is_kept_and_reported(fc: Platform) -> None:
    from alibabacloud_fc20230330 import models as m

    fc.deploy(FOLDER, loose=True)
    fc.deploy(FOLDER, loose=True, functionName="other")
    for name, functions in (("own.example.com", ["live"]), ("both.example.com", ["live", "other"])):
        routes = [m.PathConfig(path=f"/{one}", function_name=one) for one in functions]
        body = m.CreateCustomDomainInput(domain_name=name, protocol="HTTP",
                                         route_config=m.RouteConfig(routes=routes))
        fc.sdk.create_custom_domain(m.CreateCustomDomainRequest(body=body))
    assert run(fc, "remove") == (1, "custom domain both.example.com")
    assert [row["functionName"] for row in fc.status()["functions"]] == ["other"]


def test_what_is_wrong_is_one_line(fc: Platform) -> None:
    assert run(fc, "status", LIVE_KEY_ID="") == (1, "set the environment variables LIVE_KEY_ID")
    code, output = run(fc, "status", LIVE_KEY_SECRET="another")
    assert code == 1 and "signature" in output and len(output.splitlines()) == 1
    code, output = run(fc, "point", "1")
    assert code == 1 and "live" in output and len(output.splitlines()) == 1
    fc.deploy(FOLDER, loose=True, triggers=[])
    run(fc, "publish")
    code, output = run(fc, "point", "1", "2")
    assert code == 2 and output.endswith("a canary needs a share: 0.1 is one request in ten")
    assert run(fc, "point", "1") == (1, "live does not have an HTTP trigger to copy the settings from: deploy it first")
    code, output = run(fc, "point", "9")
    assert code == 1 and "version '9'" in output and "already exists" not in output


def test_its_key_is_the_one_that_was_named(monkeypatch) -> None:
    spec = importlib.util.spec_from_file_location("release", FOLDER / "release.py")
    assert spec and spec.loader
    release = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(release)
    for name, value in {"ALIBABA_CLOUD_ACCESS_KEY_ID": "not-mine", "MY_ID": "mine", "MY_SECRET": "s",
                        "MY_PLACE": "fcv3.cn-hangzhou.aliyuncs.com"}.items():
        monkeypatch.setenv(name, value)
    client = release.client("MY_ID", "MY_SECRET", "MY_PLACE")
    assert client._credential.get_credential().access_key_id == "mine"
    assert (client._protocol, client._endpoint) == ("https", "fcv3.cn-hangzhou.aliyuncs.com")
