"""Deploy s.yaml through the official SDK, to fclocal or to the service.

A deployment creates what is missing and updates what differs, so a second deployment changes nothing. What the file
does not name (other triggers, a concurrency limit set by hand) stays.
"""

import base64
import hashlib
import io
import json
import os
import stat
import zipfile
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import pathspec
from alibabacloud_fc20230330 import models
from alibabacloud_fc20230330.client import Client
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from Tea.exceptions import TeaException  # type: ignore[import-untyped]

from fclocal.client.app import App
from fclocal.core.errors import KINDS, FcError
from fclocal.core.manifest import Manifest, Resource, parse
from fclocal.core.model import LATEST

NAMES = ("s.yaml", "s.yml")
IGNORE = ".fcignore"
_NEVER = (".git/", "__pycache__/", ".fclocal/")
_MOMENT = (1980, 1, 1, 0, 0, 0)  # the zip's earliest; the same content must give the same package
T = TypeVar("T")


def deploy(client: Client, folder: Path, *, overrides: Mapping[str, Any], loose: bool = False) -> list[App]:
    """Deploy every resource of the s.yaml in `folder`, in its order.

    `overrides` replace props of each. All files are read and checked before the first call. Raises FcError:
    what is wrong with the file or the folder, or RemoteError with the error of the API.
    """
    manifest = read(folder, overrides=overrides, loose=loose)
    notices = list(manifest.notices)
    packages = [_code(folder, resource, notices) for resource in manifest.resources]
    domains = [[_with_certificate(folder, domain, notices) for domain in resource.domains]
               for resource in manifest.resources]
    return [replace(_resource(client, resource, code, each), warnings=manifest.warnings, notices=tuple(notices))
            for resource, code, each in zip(manifest.resources, packages, domains, strict=True)]


def read(folder: Path, *, overrides: Mapping[str, Any], loose: bool = False) -> Manifest:
    """Return the manifest of `folder`. Raises FcError CodeNotFound without one, else as `core.manifest.parse`."""
    for name in NAMES:
        if (file := folder / name).is_file():
            try:
                text = file.read_text("utf-8")
            except (OSError, UnicodeDecodeError) as error:
                raise FcError("ManifestInvalid", where=name, reason=f"cannot be read: {error}") from None
            return parse(text, env=os.environ, overrides=overrides, loose=loose, file=name)
    raise FcError("CodeNotFound", reason=f"the folder '{folder}' does not contain an s.yaml")


def remove(client: Client, name: str) -> None:
    """Delete a function with its triggers, and the custom domains whose routes all lead to it. Raises FcError."""
    for trigger in _paged(lambda token: client.list_triggers(
            name, models.ListTriggersRequest(limit=100, next_token=token)).body, "triggers"):
        _call(client.delete_trigger, name, trigger["triggerName"])
    for domain in _paged(lambda token: client.list_custom_domains(
            models.ListCustomDomainsRequest(limit=100, next_token=token)).body, "customDomains"):
        routes = domain.get("routeConfig", {}).get("routes", [])
        if routes and all(route.get("functionName") == name for route in routes):
            _call(client.delete_custom_domain, domain["domainName"])
    _call(client.delete_function, name)


def parse_override(text: str) -> tuple[str, Any]:
    """Parse `PROP=VALUE` of the command line; the value is YAML. Raises FcError InvalidArgument."""
    prop, equals, value = text.partition("=")
    if not prop or not equals:
        raise FcError("InvalidArgument", reason=f"--set {text}: write PROP=VALUE, as in timeout=5")
    if prop.startswith("environmentVariables."):
        return prop, value  # always text
    try:
        return prop, YAML(typ="safe", pure=True).load(value)
    except YAMLError:
        raise FcError("InvalidArgument", reason=f"--set {text}: the value is not YAML; put it in quotes") from None


# The package

def pack(folder: Path) -> bytes:
    """Return the zip of a function's folder; the same content gives the same bytes.

    Left out are .git, __pycache__, .fclocal and what .fcignore names (the rules of .gitignore). Raises FcError
    CodeInvalid for what is neither file, folder nor symlink. The platform checks the package when it receives it.
    """
    rules = [*_NEVER]
    if (ignore := folder / IGNORE).is_file():
        rules += ignore.read_text("utf-8", errors="replace").splitlines()
    ignored = pathspec.GitIgnoreSpec.from_lines(rules)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in _files(folder, folder, ignored):
            name = path.relative_to(folder).as_posix()
            info = zipfile.ZipInfo(name, _MOMENT)
            info.create_system, info.compress_type = 3, zipfile.ZIP_DEFLATED
            mode, content = _content(path, name)
            info.external_attr = mode << 16
            archive.writestr(info, content)
    return out.getvalue()


def _files(folder: Path, root: Path, ignored: pathspec.GitIgnoreSpec) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        name = path.relative_to(root).as_posix()
        directory = path.is_dir() and not path.is_symlink()
        if ignored.match_file(f"{name}/" if directory else name):
            continue
        if directory:
            yield from _files(path, root, ignored)
        else:
            yield path


def _content(path: Path, name: str) -> tuple[int, bytes]:
    """Return mode and content of one entry."""
    try:
        mode = path.lstat().st_mode
        if stat.S_ISLNK(mode):
            return stat.S_IFLNK | 0o777, os.fsencode(path.readlink())
        if stat.S_ISREG(mode):
            return stat.S_IFREG | (0o755 if mode & 0o111 else 0o644), path.read_bytes()
    except OSError as error:
        raise FcError("CodeInvalid", reason=f"'{name}' cannot be read: {error.strerror}") from None
    raise FcError("CodeInvalid", reason=f"'{name}' is neither file, folder nor symlink")


def _code(folder: Path, resource: Resource, notices: list[str]) -> bytes:
    path = folder / resource.code
    if not path.exists():
        raise FcError("CodeNotFound", reason=f"{resource.where}: code '{resource.code}' does not exist")
    if not path.resolve().is_relative_to(folder.resolve()):
        raise FcError("ManifestInvalid", where=resource.where,
                      reason=f"code '{resource.code}' leads out of the folder of s.yaml by a symlink")
    if path.is_dir():
        data = pack(path)
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            packed = archive.namelist()
        _check_authorities(path, packed, notices)
        _check_npm_packages(path, packed, notices)
        return data
    return path.read_bytes()


def _with_certificate(folder: Path, domain: dict[str, Any], notices: list[str]) -> dict[str, Any]:
    """Return the domain with the PEM text of the certificate files that it names; without them, a notice is added."""
    config = dict(domain.get("certConfig") or {})
    for name in ("certificate", "privateKey"):
        if config and not config[name].startswith("-"):
            try:
                config[name] = (folder / config[name]).read_text("utf-8")
            except (OSError, UnicodeDecodeError) as error:
                reason = getattr(error, "strerror", None) or "it is not text"
                notices.append(f"customDomain.certConfig.{name}: '{config[name]}' cannot be read ({reason}); "
                               "fclocal serves the domain with a certificate of its own")
                return {key: value for key, value in domain.items() if key != "certConfig"}
    return domain | ({"certConfig": config} if config else {})


def _check_npm_packages(folder: Path, packed: Collection[str], notices: list[str]) -> None:
    """Add a notice where the package lacks what package.json needs: the program would end at its start."""
    try:
        needed = list(json.loads((folder / "package.json").read_text("utf-8"))["dependencies"].keys())
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return
    if missing := [name for name in needed if not any(path.startswith(f"node_modules/{name}/") for path in packed)]:
        notices.append(f"package.json needs {', '.join(missing)}, but node_modules does not contain "
                       f"{'it' if len(missing) == 1 else 'them'}; run: cd {folder} && npm ci")


def _check_authorities(folder: Path, packed: Collection[str], notices: list[str]) -> None:
    """Add a notice where .fcignore leaves out the file of certificate authorities that Python packages read."""
    for file in folder.glob("certifi/cacert.pem"):
        if (name := file.relative_to(folder).as_posix()) not in packed:
            notices.append(f"{IGNORE} leaves {name} out: the function cannot verify TLS certificates without it; "
                           "write /*.pem, which names the top folder only")


# The calls

def _resource(client: Client, resource: Resource, code: bytes, wanted: list[dict[str, Any]]) -> App:
    name = resource.name
    new = _function(client, resource.function, code)
    current = {} if new else {trigger["triggerName"]: trigger for trigger in _paged(
        lambda token: client.list_triggers(name, models.ListTriggersRequest(limit=100, next_token=token)).body,
        "triggers")}
    urls = {}
    for trigger in resource.triggers:
        urls[trigger["triggerName"]] = _trigger(client, name, trigger, current.get(trigger["triggerName"]))
    if resource.concurrency is not None:
        body = models.PutConcurrencyInput().from_map(resource.concurrency)
        _call(client.put_concurrency_config, name, models.PutConcurrencyConfigRequest(body=body))
    if resource.scaling is not None:
        scaling = models.PutScalingConfigInput().from_map(resource.scaling)
        _call(client.put_scaling_config, name, models.PutScalingConfigRequest(body=scaling, qualifier=LATEST))
    domains = {domain["domainName"]: _domain(client, domain) for domain in wanted}
    return App(name, urls, domains)


def _function(client: Client, config: dict[str, Any], code: bytes) -> bool:
    """Create or update the function. Return True if it is new."""
    name = config["functionName"]
    location = {"code": {"zipFile": base64.b64encode(code).decode()}}
    current = _get(client.get_function, name, models.GetFunctionRequest())
    if current is None:
        body = models.CreateFunctionInput().from_map(config | location)
        _call(client.create_function, models.CreateFunctionRequest(body=body))
        return True
    known = current.body.to_map()
    change = {} if _same(config, known) else {key: value for key, value in config.items() if key != "functionName"}
    if known.get("codeChecksum") != hashlib.sha256(code).hexdigest():  # the service has another kind of checksum
        change |= location
    if change:
        _call(client.update_function, name,
              models.UpdateFunctionRequest(body=models.UpdateFunctionInput().from_map(change)))
    return False


def _trigger(client: Client, name: str, wanted: dict[str, Any], current: dict[str, Any] | None) -> str:
    """Create or update a trigger. Return its public URL."""
    if current is None:
        body = models.CreateTriggerInput().from_map(wanted)
        current = _call(client.create_trigger, name, models.CreateTriggerRequest(body=body)).body.to_map()
    elif not _same(wanted, current):
        change = models.UpdateTriggerInput().from_map(wanted)
        request = models.UpdateTriggerRequest(body=change)
        current = _call(client.update_trigger, name, wanted["triggerName"], request).body.to_map()
    return str(current["httpTrigger"]["urlInternet"])


def _domain(client: Client, wanted: dict[str, Any]) -> str:
    """Create or update a custom domain. Return its URL."""
    name = wanted["domainName"]
    answer = _get(client.get_custom_domain, name)
    if answer is None:
        body = models.CreateCustomDomainInput().from_map(wanted)
        answer = _call(client.create_custom_domain, models.CreateCustomDomainRequest(body=body))
    elif not _same(_without_key(wanted), answer.body.to_map()):
        change = models.UpdateCustomDomainInput().from_map(wanted)
        answer = _call(client.update_custom_domain, name, models.UpdateCustomDomainRequest(body=change))
    scheme = "https" if "HTTPS" in wanted.get("protocol", "HTTP") else "http"
    return str(answer.headers.get("x-fclocal-url", f"{scheme}://{name}"))


def _without_key(domain: Mapping[str, Any]) -> dict[str, Any]:
    """Return a domain without its private key, which the API does not return; it belongs to the certificate."""
    config = {key: value for key, value in domain.get("certConfig", {}).items() if key != "privateKey"}
    return {**domain, "certConfig": config}


def _same(wanted: Mapping[str, Any], current: Mapping[str, Any]) -> bool:
    """Return whether `current` has all of `wanted`. JSON strings compare by content; unset equals empty."""
    return all(_plain(value) == _plain(current.get(key)) for key, value in wanted.items())


def _plain(value: Any) -> Any:
    if isinstance(value, str) and value.startswith("{"):
        try:
            value = json.loads(value)
        except ValueError:
            return value
    if isinstance(value, Mapping):
        value = {key: plain for key, item in value.items() if (plain := _plain(item)) is not None}
    elif isinstance(value, list):
        value = [_plain(item) for item in value]
    return value or None


def _get(call: Callable[..., T], *args: Any) -> T | None:
    """Return the answer of a `get` call, None after 404. Raises FcError RemoteError."""
    try:
        return call(*args)
    except TeaException as error:
        if getattr(error, "status_code", None) == 404:
            return None
        raise _remote_error(error) from None


def _call(call: Callable[..., T], *args: Any) -> T:
    """Return the answer of an SDK call. Raises FcError RemoteError."""
    try:
        return call(*args)
    except TeaException as error:
        raise _remote_error(error) from None


def _remote_error(error: TeaException) -> FcError:
    """Return the error of an SDK call as FcError, with the fix for its code."""
    code, data = getattr(error, "code", None), getattr(error, "data", None) or {}
    if not code or code == "None":
        return FcError("RemoteError", remote="NoAnswer", reason=str(error).partition("\n")[0])
    remote = FcError("RemoteError", remote=code, reason=data.get("Message", error.message))
    if code in KINDS and "{" not in KINDS[code].cure:
        remote.cure = KINDS[code].cure
    return remote


def _paged(call: Callable[[str | None], Any], field: str) -> Iterator[dict[str, Any]]:
    """Yield all items of a list operation, page by page."""
    token: str | None = None
    while True:
        page = _call(call, token).to_map()
        yield from page.get(field) or []
        if not (token := page.get("nextToken") or None):
            return
