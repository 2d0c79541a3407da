"""Turn s.yaml (Serverless Devs edition 3.0.0, component fc3) into what the management API takes.

Every error names the line. The variables `${vars.x}`, `${env('X', 'default')}`, `${this.props.x}` and
`${resources.name.props.x}` are filled in. `region` and `access` choose region and account of the service; this
machine has one of each. s.yaml does not publish versions or create aliases: a trigger or domain can name one that
exists.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fclocal.core import auth, startup, wire
from fclocal.core.errors import FcError
from fclocal.core.identifiers import ACCOUNT_ID, REGION
from fclocal.core.manifest_source import ManifestSource, Path
from fclocal.core.model import FunctionConfig

_TOP = frozenset({"edition", "name", "access", "vars", "resources"})
_TOP_OTHERS = frozenset({"actions", "flow", "template", "extend", "use", "env"})
_RESOURCE = frozenset({"component", "props"})
_RESOURCE_OTHERS = frozenset({"actions", "access", "extend"})
_APART = frozenset({"region", "code", "triggers", "concurrencyConfig", "scalingConfig", "customDomain"})
_OTHERS = frozenset({"asyncInvokeConfig", "provisionConfig", "vpcBinding", "endpoint", "tlsConfig", "wafConfig"})
_NOTICES = {
    "role": "gives the function temporary credentials on the service; fclocal runs without it",
    "logConfig": "stores the function's output in Simple Log Service on the service; fclocal runs without it, and "
                 "`fclocal logs` prints the output",
    "vpcConfig": "connects the function to your private network on the service; fclocal runs without it, in this "
                 "machine's network",
    "tags": "label the function for search and cost allocation on the service; fclocal runs without them",
}
"""Props that a complete s.yaml needs on the service and fclocal runs without, each with its notice."""
_CERTIFICATE = ("is the domain's TLS certificate on the service; fclocal serves the domain with a certificate of its"
                " own, because ")
_CERTIFICATE_FIELDS = frozenset({"certName", "certificate", "privateKey", "certId"})
_ELSEWHERE = ("http://", "https://", "oss://")
_TEXTS = frozenset({"triggerConfig", "sessionAffinityConfig"})  # maps here, JSON strings in the API


@dataclass(frozen=True, slots=True)
class Resource:
    """One function of the file; the dictionaries are those of the API.

    `code` is the package's path beside s.yaml, `where` the file and line that name it.
    """

    function: dict[str, Any]
    code: str
    where: str
    triggers: tuple[dict[str, Any], ...] = ()
    domains: tuple[dict[str, Any], ...] = ()
    concurrency: dict[str, Any] | None = None
    scaling: dict[str, Any] | None = None

    @property
    def name(self) -> str:
        """Return the name of the function."""
        return str(self.function["functionName"])


@dataclass(frozen=True, slots=True)
class Manifest:
    """The whole file.

    `warnings` name the fields that were left out because they are not emulated. `notices` say what fields do on the
    service that fclocal runs without.
    """

    resources: tuple[Resource, ...]
    warnings: tuple[str, ...]
    notices: tuple[str, ...]


def parse(
    text: str, *, env: Mapping[str, str], overrides: Mapping[str, Any], loose: bool = False, file: str = "s.yaml"
) -> Manifest:
    """Parse the text of an s.yaml.

    `env` holds the values of `${env(...)}`. `overrides` replace props; "customRuntimeConfig.port": 9001 sets a nested
    one. With `loose`, fields that are not emulated become warnings. Raises FcError ManifestInvalid or NotEmulated.
    """
    source = ManifestSource(file, env)
    reader = _Reader(source, loose)
    resources = tuple(reader.resource(name, props, overrides) for name, props in reader.outline(source.load(text)))
    names = [resource.name for resource in resources]
    for number, resource in enumerate(resources):
        if resource.name in names[:number]:
            raise source.invalid(("resources",), f"two resources have the functionName '{resource.name}'")
    return Manifest(resources, tuple(reader.warnings), tuple(reader.notices))


@dataclass
class _Reader:
    """Checks the values of one file and collects warnings and notices."""

    source: ManifestSource
    loose: bool
    warnings: list[str] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)

    def skip(self, path: Path, name: str) -> None:
        """Record a warning for a field that is not emulated; without `loose`, raise FcError NotEmulated."""
        if not self.loose:
            raise self.source.not_emulated(path, name)
        self.warnings.append(f"{name} ({self.source.where(path)}) is not emulated and was left out")

    def notice(self, path: Path, name: str, text: str) -> None:
        """Record what a field does on the service that fclocal runs without."""
        self.notices.append(f"{name} ({self.source.where(path)}) {text}")

    def outline(self, tree: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
        """Return name and props of each resource."""
        self._known(tree, (), _TOP, _TOP_OTHERS)
        if tree.get("edition") != "3.0.0":
            raise self.source.invalid(("edition",), "edition must be 3.0.0")
        resources = self._map(tree.get("resources"), ("resources",))
        if not resources:
            raise self.source.invalid(("resources",), "resources must name at least one function")
        outline = []
        for name, value in resources.items():
            path: Path = ("resources", name)
            resource = self._map(value, path)
            self._known(resource, path, _RESOURCE, _RESOURCE_OTHERS)
            component = str(resource.get("component")).partition("@")[0].removeprefix("devsapp/")
            if component != "fc3":
                raise self.source.not_emulated((*path, "component"), f"component: {resource.get('component')}")
            outline.append((name, self._map(resource.get("props"), (*path, "props"))))
        return outline

    def resource(self, name: str, props: dict[str, Any], overrides: Mapping[str, Any]) -> Resource:
        """Return one resource, checked. Raises FcError."""
        path: Path = ("resources", name, "props")
        for prop, value in overrides.items():
            self._override(props, path, prop, value)
        for required in ("region", "functionName", "runtime", "code"):
            if props.get(required) in (None, ""):
                raise self.source.invalid(path, f"'{required}' is missing")
        for other in _OTHERS & props.keys():
            self.skip((*path, other), other)
            del props[other]
        for prop, text in _NOTICES.items():
            if props.pop(prop, None):
                self.notice((*path, prop), prop, text)
        apart = {prop: props.pop(prop) for prop in _APART & props.keys()}
        function = self._checked(FunctionConfig, props, path).wire()
        redis = function["environmentVariables"].get("REDIS_URL")
        if redis is not None and not startup.on_this_machine(redis):
            self.notice((*path, "environmentVariables", "REDIS_URL"), "environmentVariables.REDIS_URL",
                        "names a Redis that is not on this machine; fclocal gives the function the URL of its own")
        triggers = [self._trigger(value, (*path, "triggers", number))
                    for number, value in enumerate(self._list(apart.get("triggers"), (*path, "triggers")))]
        return Resource(
            function=function,
            code=self._code(apart["code"], (*path, "code")),
            where=self.source.where((*path, "code")),
            triggers=tuple(triggers),
            domains=self._domains(apart.get("customDomain"), (*path, "customDomain"), function["functionName"]),
            concurrency=self._input(wire.ConcurrencyInput, apart, path, "concurrencyConfig"),
            scaling=self._input(wire.ScalingInput, apart, path, "scalingConfig"),
        )

    def _override(self, props: dict[str, Any], path: Path, prop: str, value: Any) -> None:
        *around, last = prop.split(".")
        inside = props
        for part in around:
            path = (*path, part)
            if not isinstance(inside.setdefault(part, {}), dict):
                raise self.source.invalid(path, f"'{prop}' cannot be set: '{part}' is not a map")
            inside = inside[part]
        inside[last] = value
        self.source.override((*path, last), prop)

    def _code(self, code: Any, path: Path) -> str:
        if isinstance(code, dict):
            raise self.source.not_emulated(path, "code in an OSS bucket")
        if not isinstance(code, str):
            raise self.source.invalid(path, "code must be the path of a folder or zip beside s.yaml")
        return self._inside(code, path, "code")

    def _inside(self, value: Any, path: Path, name: str) -> str:
        """Return a path that stays inside the folder of s.yaml. Raises FcError ManifestInvalid."""
        text = str(value)
        if text.startswith(("/", "~")) or ".." in text.split("/") or re.search(r"[\\\0]|^[A-Za-z]:", text):
            raise self.source.invalid(path, f"{name} {text!a} must be a relative path inside the folder of s.yaml")
        return text

    def _trigger(self, value: Any, path: Path) -> dict[str, Any]:
        trigger = dict(self._map(value, path))
        config = dict(self._map(trigger.get("triggerConfig"), (*path, "triggerConfig")))
        if trigger.get("triggerType") == "http" and "authType" not in config:
            raise self.source.invalid((*path, "triggerConfig"),
                                      "triggerConfig.authType is missing: anonymous, function or jwt")
        auth = config.get("authConfig")
        trigger["triggerConfig"] = {**config, "authConfig": json.dumps(auth)} if isinstance(auth, dict) else config
        checked = self._checked(wire.TriggerInput, trigger, path)
        self._auth(checked.trigger_config.auth_type, auth, (*path, "triggerConfig"))
        return checked.wire()

    def _domains(self, value: Any, path: Path, function: str) -> tuple[dict[str, Any], ...]:
        if value is None:
            return ()
        domain = dict(self._map(value, path))
        for other in _OTHERS & domain.keys():
            self.skip((*path, other), f"customDomain.{other}")
            del domain[other]
        certificate = self._certificate(domain.pop("certConfig", None), (*path, "certConfig"))
        if certificate is not None:
            domain["certConfig"] = certificate
        if domain.get("domainName") == "auto":
            label = function.lower().replace("_", "-")
            domain["domainName"] = f"{label}.fcv3.{ACCOUNT_ID}.{REGION}.fc.devsapp.net"
        route = {"path": "/*", **self._map(domain.pop("route", {}), (*path, "route")), "functionName": function}
        domain["routeConfig"] = {"routes": [route]}
        auth_config = self._map(domain.get("authConfig", {}), (*path, "authConfig"))
        info = auth_config.get("authInfo")
        self._auth(auth_config.get("authType", "anonymous"), info, (*path, "authConfig"))
        if isinstance(info, dict):
            domain["authConfig"] = {**auth_config, "authInfo": json.dumps(info)}
        return (self._checked(wire.DomainInput, domain, path).wire(),)

    def _certificate(self, value: Any, path: Path) -> dict[str, Any] | None:
        """Return the certificate of a domain as the API takes it, or None with a notice where fclocal cannot read it.

        certificate and privateKey are PEM text, or the path of a PEM file beside s.yaml that the caller reads.
        """
        if value is None:
            return None
        config = self._map(value, path)
        self._known(config, path, _CERTIFICATE_FIELDS, frozenset())
        parts = [config.get("certificate"), config.get("privateKey")]
        reason = ("it is stored in Certificate Management Service" if config.get("certId") else
                  "none is given" if not all(parts) else
                  "it is not on this machine" if any(str(part).startswith(_ELSEWHERE) for part in parts) else "")
        if reason:
            self.notice(path, "customDomain.certConfig", _CERTIFICATE + reason)
            return None
        for name in ("certificate", "privateKey"):
            if not str(config[name]).startswith("-"):
                self._inside(config[name], (*path, name), name)
        return {"certName": str(config.get("certName") or "certificate"),
                "certificate": config["certificate"], "privateKey": config["privateKey"]}

    def _auth(self, auth_type: auth.AuthType, value: Any, path: Path) -> None:
        try:
            auth.parse(auth_type, json.loads(value) if isinstance(value, str) else value)
        except FcError as error:
            raise self._located(error, path) from None
        except ValueError:
            raise self.source.invalid(path, "authConfig is neither a map nor the JSON of one") from None

    def _input(self, shape: type[wire.S], apart: dict[str, Any], path: Path, prop: str) -> dict[str, Any] | None:
        if prop not in apart:
            return None
        return self._checked(shape, self._map(apart[prop], (*path, prop)), (*path, prop)).wire()

    def _checked(self, shape: type[wire.S], fields: dict[str, Any], path: Path) -> wire.S:
        """Return `fields` as a `shape`; a loose deployment leaves out the fields that are not emulated."""
        while True:
            sent = {key: json.dumps(value) if key in _TEXTS and isinstance(value, dict) else value
                    for key, value in fields.items()}
            try:
                return wire.parse(shape, sent)
            except FcError as error:
                name = str(error.facts.get("field", ""))
                if error.code != "NotEmulated" or not self._drop(fields, name.split("."), (*path, *name.split("."))):
                    raise self._located(error, path) from None

    def _drop(self, fields: Any, names: list[str], path: Path) -> bool:
        """Remove a field that is not emulated from `fields`. Return False if it is a value rather than a field."""
        for name in names[:-1]:
            fields = fields.get(name) if isinstance(fields, dict) else None
        if not isinstance(fields, dict) or names[-1] not in fields:
            return False
        self.skip(path, ".".join(names))
        del fields[names[-1]]
        return True

    def _located(self, error: FcError, path: Path) -> FcError:
        """Return an error of the API's own checks with the line of the field that it names."""
        named = str(error.facts.get("field", "")) or error.message.removeprefix("unknown field ").lstrip("'")
        names = re.findall(r"[\w-]+", re.split("[:' ]", named)[0])
        place = (*path, *(int(name) if name.isdecimal() else name for name in names))
        if error.code == "NotEmulated":
            return self.source.not_emulated(place, named)
        return self.source.invalid(place, error.message)

    def _known(self, fields: dict[str, Any], path: Path, known: frozenset[str], others: frozenset[str]) -> None:
        """Raise FcError for a field that is not `known`; skip those of `others`, which are not emulated."""
        for key in list(fields):
            if key in others:
                self.skip((*path, key), key)
                del fields[key]
            elif key not in known:
                names = ", ".join(sorted(known))
                raise self.source.invalid((*path, key), f"unknown field '{key}'; known here: {names}")

    def _map(self, value: Any, path: Path) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise self.source.invalid(path, f"'{path[-1]}' must be a map" if path else "must be a map")
        return value

    def _list(self, value: Any, path: Path) -> list[Any]:
        if value is None:
            return []
        if not isinstance(value, list):
            raise self.source.invalid(path, f"'{path[-1]}' must be a list")
        return value

