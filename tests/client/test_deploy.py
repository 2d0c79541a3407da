"""From a folder with s.yaml to a function that answers, through the official SDK; and what is refused on the way."""

import io
import json
import os
import shutil
import ssl
import stat
import zipfile
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import trustme
from alibabacloud_fc20230330 import models
from alibabacloud_fc20230330.client import Client
from alibabacloud_tea_openapi.models import Config

from fclocal.client import platform
from fclocal.client.deploy import deploy, pack, parse_override, remove
from fclocal.core.errors import FcError
from fclocal.testing import connect, wait_for

S_YAML = """\
edition: 3.0.0
name: app
resources:
  hello:
    component: fc3
    props:
      region: cn-hangzhou
      functionName: hello
      runtime: custom.debian12
      code: ./code
      timeout: 10
      customRuntimeConfig: { command: [python3, main.py] }
      triggers:
        - triggerName: http
          triggerType: http
          triggerConfig: { methods: [GET, POST], authType: anonymous }
"""
MAIN = """\
import asyncio
from websockets.asyncio.server import serve

async def hello(ws):
    await ws.send("hello")

async def main():
    async with serve(hello, "0.0.0.0", 9000) as server:
        await server.serve_forever()

asyncio.run(main())
"""


@pytest.fixture
def folder(tmp_path):
    """A function's folder: s.yaml and code/main.py."""
    it = tmp_path / "hello"
    (it / "code").mkdir(parents=True)
    (it / "s.yaml").write_text(S_YAML)
    (it / "code" / "main.py").write_text(MAIN)
    return it


def greeting(url: str) -> str:
    with connect(url.replace("https", "wss", 1)) as ws:
        return ws.recv(timeout=10)


def entries(data: bytes) -> dict[str, int]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {info.filename: info.external_attr >> 16 for info in archive.infolist()}


# Packing

@pytest.mark.parity("api.fcignore")
def test_pack_is_deterministic_and_respects_fcignore(folder):
    code = folder / "code"
    (code / ".fcignore").write_text("*.log\n!keep.log\n/build/\nnode_modules/.cache\n# a comment\n")
    for name in ("a.log", "keep.log", "build/x", "lib/build/y", "node_modules/.cache/z", "node_modules/m/index.js",
                 ".git/HEAD", "lib/__pycache__/m.pyc", ".fclocal/state.sqlite"):
        (code / name).parent.mkdir(parents=True, exist_ok=True)
        (code / name).write_text(name)
    run = code / "run"
    run.write_text("#!/bin/sh")
    run.chmod(0o4711)
    (code / "link").symlink_to("lib/build/y")
    data = pack(code)
    names = entries(data)
    assert list(names) == [".fcignore", "keep.log", "lib/build/y", "link", "main.py", "node_modules/m/index.js", "run"]
    assert (names["run"], names["main.py"]) == (stat.S_IFREG | 0o755, stat.S_IFREG | 0o644)
    assert stat.S_ISLNK(names["link"])
    copy = folder.parent / "copy"
    shutil.copytree(code, copy, symlinks=True)
    os.utime(copy / "main.py", (1, 1))
    assert pack(copy) == data


@pytest.mark.parity("api.package")
def test_a_package_is_checked_where_it_arrives(fc, folder):
    for target in ("/etc/passwd", "../s.yaml", "lib/../../s.yaml"):
        (folder / "code" / "link").unlink(missing_ok=True)
        (folder / "code" / "link").symlink_to(target)
        with pytest.raises(FcError, match="CodeInvalid: the symlink 'link' leads out") as error:
            deploy(fc.sdk, folder, overrides={})
        assert "plain files" in error.value.cure
    assert fc.status()["functions"] == []


@pytest.mark.parity("api.manifest-notices")
def test_a_process_prints_the_notice_of_a_field_once(fc, folder, capsys, monkeypatch):
    monkeypatch.setattr(platform, "_printed", set())
    for comment in ("", "\n"):  # the second file has the field in another line
        (folder / "s.yaml").write_text(comment + S_YAML.replace("timeout: 10", "logConfig: auto"))
        app = fc.deploy(folder)
        assert [notice.partition(" ")[0] for notice in app.notices] == ["logConfig"]
    assert capsys.readouterr().out.count("notice: logConfig (") == 1


def test_what_is_no_file_is_refused(folder):
    os.mkfifo(folder / "code" / "pipe")
    with pytest.raises(FcError, match="'pipe' is neither file, folder nor symlink"):
        pack(folder / "code")


@pytest.mark.parity("api.fcignore")
def test_leaving_out_the_certificate_authorities_is_noticed(fc, folder):
    code = folder / "code"
    (code / "certifi").mkdir()
    for name in ("certifi/cacert.pem", "private.pem"):
        (code / name).write_text("PEM")
    (code / ".fcignore").write_text("*.pem\n")
    (app,) = deploy(fc.sdk, folder, overrides={})
    assert [notice for notice in app.notices if "certifi/cacert.pem" in notice and "/*.pem" in notice]
    (code / ".fcignore").write_text("/*.pem\n")
    (app,) = deploy(fc.sdk, folder, overrides={})
    assert app.notices == ()
    assert list(entries(pack(code))) == [".fcignore", "certifi/cacert.pem", "main.py"]


@pytest.mark.parity("api.manifest-notices")
def test_npm_packages_that_are_missing_are_noticed(fc, folder):
    code = folder / "code"
    (code / "package.json").write_text('{"dependencies": {"ws": "^8.18.0", "@scope/tool": "1.0.0"}}')

    def notices():
        return deploy(fc.sdk, folder, overrides={})[0].notices

    (notice,) = notices()
    assert notice == ("package.json needs ws, @scope/tool, but node_modules does not contain them; "
                      f"run: cd {code} && npm ci")
    for name in ("ws", "@scope/tool"):
        (code / "node_modules" / name).mkdir(parents=True)
        (code / "node_modules" / name / "index.js").write_text("")
    assert notices() == ()
    (code / ".fcignore").write_text("node_modules/ws/\n")
    assert notices()[0].startswith("package.json needs ws, but")
    for text in ("{", "[]", '{"dependencies": []}', '{"devDependencies": {"x": "1"}}'):  # npm's matter, not ours
        (code / "package.json").write_text(text)
        assert notices() == ()


# Rejections before anything is sent: the client is never used

def refused(folder: Path, expected: str, **overrides) -> str:
    with pytest.raises(FcError) as error:
        deploy(None, folder, overrides=overrides)
    assert error.value.code == expected
    return error.value.message


def test_a_folder_that_cannot_be_deployed(folder):
    assert "does not contain an s.yaml" in refused(folder / "code", "CodeNotFound")
    assert refused(folder, "CodeNotFound", code="elsewhere").endswith("code 'elsewhere' does not exist")
    assert "s.yaml line 10: code './code'" in _without_code(folder)
    (folder / "code").symlink_to(folder.parent)
    assert "s.yaml line 10: code './code' leads out" in refused(folder, "ManifestInvalid")
    (folder / "s.yaml").write_text(S_YAML.replace("timeout: 10", "timeout: ten"))
    assert refused(folder, "ManifestInvalid").startswith("s.yaml line 11: timeout: ")
    (folder / "s.yaml").write_bytes(b"\xff\xfe")
    assert "cannot be read" in refused(folder, "ManifestInvalid")


def _without_code(folder: Path) -> str:
    shutil.rmtree(folder / "code")
    return refused(folder, "CodeNotFound")


def test_overrides_of_the_command_line():
    assert parse_override("timeout=5") == ("timeout", 5)
    assert parse_override("cpu=0.5") == ("cpu", 0.5)
    assert parse_override("customRuntimeConfig.command=[python3, a=b.py]") == (
        "customRuntimeConfig.command", ["python3", "a=b.py"])
    assert parse_override("environmentVariables.PORT=9000") == ("environmentVariables.PORT", "9000")
    for text in ("timeout", "=5", "a=[", "a='"):
        with pytest.raises(FcError) as error:
            parse_override(text)
        assert error.value.code == "InvalidArgument" and f"--set {text}" in error.value.message


# Against a platform

@pytest.mark.parity("api.deploy")
def test_a_second_deployment_changes_only_what_differs(fc, folder):
    def generation() -> int:
        return fc.status()["functions"][0]["generation"]

    def again(**overrides):
        (deployed,) = deploy(fc.sdk, folder, overrides=overrides)
        return deployed

    first = again()
    assert greeting(first.urls["http"]) == "hello"
    begin, written = generation(), fc.status()["journal"]
    assert again() == first
    assert generation() == begin
    kinds = {record.kind for record in fc.events(written)}
    assert not kinds & {"function.updated", "trigger.changed", "domain.changed"}
    (folder / "code" / "main.py").write_text(MAIN.replace('"hello"', '"hello again"'))
    assert again() == first
    assert generation() == begin + 1
    assert greeting(first.urls["http"]) == "hello again"
    assert again(timeout=11) == first
    assert generation() == begin + 2
    assert fc.sdk.get_function("hello", models.GetFunctionRequest()).body.timeout == 11
    again()
    assert fc.sdk.get_function("hello", models.GetFunctionRequest()).body.timeout == 10  # what s.yaml says counts
    (folder / "s.yaml").write_text(S_YAML.replace("GET, POST", "GET"))
    begin = generation()
    assert again() == first
    trigger = fc.sdk.get_trigger("hello", "http").body
    assert json.loads(trigger.trigger_config)["methods"] == ["GET"]
    assert generation() == begin


def test_a_zip_is_deployed_as_it_is(fc, folder):
    (folder / "made.zip").write_bytes(pack(folder / "code"))
    (deployed,) = deploy(fc.sdk, folder, overrides={"code": "made.zip"})
    assert greeting(deployed.urls["http"]) == "hello"
    (folder / "made.zip").write_text("no zip")
    with pytest.raises(FcError, match="not a sound zip"):
        deploy(fc.sdk, folder, overrides={"code": "made.zip"})


def test_everything_an_s_yaml_may_ask_for(fc, folder):
    (folder / "s.yaml").write_text(S_YAML + """\
      concurrencyConfig: { reservedConcurrency: 7 }
      scalingConfig: { minInstances: 1 }
      customDomain: { domainName: hello.example.com, protocol: "HTTP,HTTPS", route: { path: "/*" } }
""" + S_YAML[S_YAML.index("  hello:"):].replace("hello", "second"))
    first, second = deploy(fc.sdk, folder, overrides={})
    assert (first.name, second.name) == ("hello", "second")
    wire = first.wire()
    assert wire["triggers"] == [{"triggerName": "http", "url": first.urls["http"]}]
    assert wire["customDomains"][0]["domainName"] == "hello.example.com"
    assert greeting(wire["customDomains"][0]["url"]) == greeting(second.urls["http"]) == "hello"
    assert fc.sdk.get_concurrency_config("hello").body.reserved_concurrency == 7
    wait_for(fc, "instance.starting", function="hello", why="minimum")
    written = fc.status()["journal"]
    assert deploy(fc.sdk, folder, overrides={}) == [first, second]
    kinds = {record.kind for record in fc.events(written)}
    assert not kinds & {"function.updated", "trigger.changed", "domain.changed"}
    remove(fc.sdk, "hello")
    assert [f["functionName"] for f in fc.status()["functions"]] == ["second"]
    assert fc.status()["customDomains"] == []


def pem(name: str) -> tuple[str, str]:
    """A certificate and a private key of an authority that is not fclocal's own."""
    leaf = trustme.CA().issue_cert(name)
    return leaf.cert_chain_pems[0].bytes().decode(), leaf.private_key_pem.bytes().decode()


def served(url: str) -> str:
    """The certificate that a port serves."""
    return ssl.get_server_certificate((urlsplit(url).hostname, urlsplit(url).port))


@pytest.mark.parity("domain.certificate")
def test_a_domain_serves_the_certificate_of_s_yaml(platform_factory, folder):
    fc = platform_factory()
    certificate, key = pem("ws.example.com")
    (folder / "tls").mkdir()
    (folder / "tls" / "cert.pem").write_text(certificate)
    (folder / "s.yaml").write_text(S_YAML + """\
      customDomain:
        domainName: ws.example.com
        protocol: HTTPS
        certConfig: { certName: mine, certificate: tls/cert.pem, privateKey: tls/key.pem }
""")
    (app,) = deploy(fc.sdk, folder, overrides={})
    assert "'tls/key.pem' cannot be read" in app.notices[0] and len(app.notices) == 1
    url = app.domains["ws.example.com"]
    assert served(url) != certificate and served(url) == served(app.url)
    (folder / "tls" / "key.pem").write_text(key)
    (app,) = deploy(fc.sdk, folder, overrides={})
    assert app.notices == () and served(url) == certificate and served(app.url) != certificate
    written = fc.status()["journal"]
    deploy(fc.sdk, folder, overrides={})
    assert "domain.changed" not in {record.kind for record in fc.events(written)}
    got = fc.sdk.get_custom_domain("ws.example.com").body.cert_config
    assert (got.cert_name, got.certificate, got.private_key) == ("mine", certificate, None)
    fc.stop()
    again = platform_factory()
    assert served(again.status()["customDomains"][0]["url"]) == certificate
    (folder / "tls" / "cert.pem").write_text(pem("ws.example.com")[0])
    with pytest.raises(FcError, match=r"certConfig.privateKey: does not belong to the certificate"):
        deploy(again.sdk, folder, overrides={})


@pytest.mark.parity("api.deploy-qualifier")
def test_a_trigger_may_name_an_alias_that_exists(fc, folder):
    deploy(fc.sdk, folder, overrides={})
    (folder / "s.yaml").write_text(S_YAML + """\
        - triggerName: prod
          triggerType: http
          qualifier: prod
          triggerConfig: { methods: [GET], authType: anonymous }
""")
    with pytest.raises(FcError) as error:
        deploy(fc.sdk, folder, overrides={})
    assert error.value.message == "AliasNotFound: alias 'prod' of function 'hello' does not exist"
    assert "Create the alias" in error.value.cure
    version = fc.sdk.publish_function_version("hello", models.PublishFunctionVersionRequest(
        body=models.PublishVersionInput())).body.version_id
    fc.sdk.create_alias("hello", models.CreateAliasRequest(
        body=models.CreateAliasInput(alias_name="prod", version_id=version)))
    (deployed,) = deploy(fc.sdk, folder, overrides={})
    assert list(deployed.urls) == ["http", "prod"]
    assert greeting(deployed.urls["prod"]) == "hello"


def test_a_rejection_by_the_service_is_reported_in_one_line(fc, folder):
    deploy(fc.sdk, folder, overrides={})
    (folder / "s.yaml").write_text(S_YAML.replace("triggerName: http", "triggerName: other"))
    with pytest.raises(FcError) as error:
        deploy(fc.sdk, folder, overrides={})
    assert error.value.code == "RemoteError"
    assert error.value.message.startswith("TriggerAlreadyExists: ") and "'http'" in error.value.message
    nobody = Client(Config(access_key_id="x", access_key_secret="x", endpoint="127.0.0.1:1", protocol="http"))
    with pytest.raises(FcError) as error:
        deploy(nobody, folder, overrides={})
    assert error.value.code == "RemoteError" and error.value.message.startswith("NoAnswer: ")
    assert "\n" not in error.value.message
