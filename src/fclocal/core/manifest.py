"""s.yaml (Serverless Devs edition 3.0.0, component fc3) becomes what the management API takes.

Pure: text in, values out. Every error names the line. Of the file's variables `${vars.x}`, `${env('X', 'default')}`,
`${this.props.x}` and `${resources.name.props.x}` are known. `region` and `access` choose region and account of the
real service; on this machine there is one of each. Versions and aliases are no business of s.yaml: a trigger or
domain may name one that exists, and nothing is published by a deployment.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from fclocal.core import auth, startup, wire
from fclocal.core.errors import FcError
from fclocal.core.identifiers import ACCOUNT_ID, REGION
from fclocal.core.model import FunctionConfig

MAX_SIZE = 256 * 1024  # characters of the file
MAX_NODES = 20_000  # values in it, aliases counted each time
MAX_DEPTH = 40

Path = tuple[str | int, ...]
"""Where a value stands: ("resources", "echo", "props", "timeout")."""

_TOP = frozenset({"edition", "name", "access", "vars", "resources"})
_TOP_OTHERS = frozenset({"actions", "flow", "template", "extend", "use", "env"})
_RESOURCE = frozenset({"component", "props"})
_RESOURCE_OTHERS = frozenset({"actions", "access", "extend"})
_ASIDE = frozenset({"region", "code", "triggers", "concurrencyConfig", "scalingConfig", "customDomain"})
_OTHERS = frozenset({"asyncInvokeConfig", "provisionConfig", "vpcBinding", "endpoint", "tlsConfig", "wafConfig"})
_NOTICES = {
    "role": "on the service, the RAM role whose temporary credentials the function receives; "
            "fclocal gives the function no credentials",
    "logConfig": "on the service, the logstore of Simple Log Service that keeps the function's output; "
                 "here `fclocal logs` prints it",
    "vpcConfig": "on the service, the VPC through which the function reaches private addresses; "
                 "here the function uses this machine's network",
    "tags": "on the service, labels for search and cost allocation; fclocal runs without them",
}
"""Props that a complete s.yaml needs on the service and fclocal runs without: what is said of each."""
_CERTIFICATE = ("on the service, the domain's own TLS certificate; fclocal serves the domain with a certificate of its"
                " own, because ")
_CERTIFICATE_FIELDS = frozenset({"certName", "certificate", "privateKey", "certId"})
_ELSEWHERE = ("http://", "https://", "oss://")
_TEXTS = frozenset({"triggerConfig", "sessionAffinityConfig"})  # maps here, JSON strings in the API
_VARIABLE = re.compile(r"\$\{\s*([^{}]*?)\s*\}")
_ENV = re.compile(r"""env\(\s*(['"])(\w+)\1\s*(?:,\s*(['"])(.*?)\3\s*)?\)""")


@dataclass(frozen=True, slots=True)
class Resource:
    """One function as the file describes it; the dictionaries are those of the API.

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
        return str(self.function["functionName"])


@dataclass(frozen=True, slots=True)
class Manifest:
    """All of the file.

    `warnings` name the fields that were left out because they are not emulated. `notices` say what fields do on the
    service that fclocal runs without.
    """

    resources: tuple[Resource, ...]
    warnings: tuple[str, ...]
    notices: tuple[str, ...]


def parse(
    text: str, *, env: Mapping[str, str], overrides: Mapping[str, Any], loose: bool = False, file: str = "s.yaml"
) -> Manifest:
    """Read the text of an s.yaml.

    `env` answers `${env(...)}`; `overrides` are put over the props ("customRuntimeConfig.port": 9001 reaches inside).
    With `loose`, fields that are not emulated become warnings. Raises FcError ManifestInvalid or NotEmulated.
    """
    reader = _Reader(file, env, loose)
    tree = reader.load(text)
    resources = tuple(reader.resource(name, props, overrides) for name, props in reader.outline(tree))
    names = [resource.name for resource in resources]
    for number, resource in enumerate(resources):
        if resource.name in names[:number]:
            raise reader.wrong(("resources",), f"two resources have the functionName '{resource.name}'")
    return Manifest(resources, tuple(reader.warnings), tuple(reader.notices))


@dataclass
class _Reader:
    file: str
    env: Mapping[str, str]
    loose: bool
    warnings: list[str] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)
    _places: dict[Path, str] = field(default_factory=dict)
    _root: Any = None
    _nodes: int = 0

    # The YAML

    def load(self, text: str) -> dict[str, Any]:
        if len(text) > MAX_SIZE:
            raise FcError("ManifestInvalid", where=self.file, reason=f"is larger than {MAX_SIZE} characters")
        try:
            self._root = YAML(typ="rt", pure=True).load(text)
        except MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            where = f"{self.file} line {mark.line + 1}" if mark else self.file
            raise FcError("ManifestInvalid", where=where, reason=_first_line(error.problem or "is no YAML")) from None
        except (YAMLError, ValueError, RecursionError) as error:
            raise FcError("ManifestInvalid", where=self.file, reason=f"is no YAML: {_first_line(error)}") from None
        if not isinstance(self._root, CommentedMap):
            raise FcError("ManifestInvalid", where=self.file, reason="must be a map with edition, name and resources")
        self._places[()] = f"{self.file} line 1"
        tree: dict[str, Any] = self._plain(self._root, ())
        return tree

    def _plain(self, node: Any, path: Path, depth: int = 0) -> Any:
        """`node` as plain Python, variables filled in; the line of each value is remembered."""
        self._nodes += 1
        if self._nodes > MAX_NODES or depth > MAX_DEPTH:
            raise self.wrong(path, "the file is too large or too deep")
        if isinstance(node, CommentedMap):
            for key in node:
                if not isinstance(key, str):
                    raise self.wrong(path, f"the key '{key}' must be text")
                self._places[(*path, key)] = self._line(node.lc.key(key)[0])
            return {key: self._plain(value, (*path, key), depth + 1) for key, value in node.items()}
        if isinstance(node, CommentedSeq):
            for number in range(len(node)):
                self._places[(*path, number)] = self._line(node.lc.item(number)[0])
            return [self._plain(value, (*path, number), depth + 1) for number, value in enumerate(node)]
        if isinstance(node, str):
            return self._filled(str(node), path, depth)
        if node is None or isinstance(node, bool):
            return node
        if isinstance(node, int):
            return int(node)
        if isinstance(node, float):
            return float(node)
        raise self.wrong(path, f"'{node}' is no plain value; put it in quotes")

    def _line(self, line: int) -> str:
        return f"{self.file} line {line + 1}"

    def _filled(self, text: str, path: Path, depth: int) -> Any:
        if (whole := _VARIABLE.fullmatch(text)) is not None:
            return self._value(whole[1], path, depth)

        def piece(found: re.Match[str]) -> str:
            value = self._value(found[1], path, depth)
            if isinstance(value, (dict, list)):
                raise self.wrong(path, f"'{found[0]}' is no text and cannot stand inside one")
            return str(value)

        return _VARIABLE.sub(piece, text)

    def _value(self, name: str, path: Path, depth: int) -> Any:
        """What stands for `${name}`."""
        if (found := _ENV.fullmatch(name)) is not None:
            value = self.env.get(found[2], found[4])
            if value is None:
                raise self.wrong(path, f"the environment variable '{found[2]}' is not set and has no default")
            return value
        first, *rest = name.split(".")
        if first == "this" and path[:1] == ("resources",):
            rest = ["resources", str(path[1]), *rest]
        elif first in ("vars", "resources"):
            rest = [first, *rest]
        else:
            raise self.refused(path, f"${{{name}}}")
        node = self._root
        for part in rest:
            if not isinstance(node, CommentedMap) or part not in node:
                raise self.wrong(path, f"'${{{name}}}' does not exist")
            node = node[part]
        return self._plain(node, path, depth + 1)

    # Errors

    def where(self, path: Path) -> str:
        """File and line of the value at `path`, or of the nearest one around it."""
        while path and path not in self._places:
            path = path[:-1]
        return self._places[path]

    def wrong(self, path: Path, reason: str) -> FcError:
        return FcError("ManifestInvalid", where=self.where(path), reason=reason)

    def refused(self, path: Path, name: str) -> FcError:
        return FcError("NotEmulated", field=f"{name} ({self.where(path)})")

    def skip(self, path: Path, name: str) -> None:
        """A field that is not emulated: an error, or a warning where the learner asked for it."""
        if not self.loose:
            raise self.refused(path, name)
        self.warnings.append(f"{name} ({self.where(path)}) is not emulated and was left out")

    def notice(self, path: Path, name: str, text: str) -> None:
        """Record what a field does on the service that fclocal runs without."""
        self.notices.append(f"{name} ({self.where(path)}): {text}")

    # The meaning

    def outline(self, tree: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
        """Name and props of each resource."""
        self._known(tree, (), _TOP, _TOP_OTHERS)
        if tree.get("edition") != "3.0.0":
            raise self.wrong(("edition",), "edition must be 3.0.0")
        resources = self._map(tree.get("resources"), ("resources",))
        if not resources:
            raise self.wrong(("resources",), "resources must name at least one function")
        found = []
        for name, given in resources.items():
            path: Path = ("resources", name)
            resource = self._map(given, path)
            self._known(resource, path, _RESOURCE, _RESOURCE_OTHERS)
            component = str(resource.get("component")).partition("@")[0].removeprefix("devsapp/")
            if component != "fc3":
                raise self.refused((*path, "component"), f"component: {resource.get('component')}")
            found.append((name, self._map(resource.get("props"), (*path, "props"))))
        return found

    def resource(self, name: str, props: dict[str, Any], overrides: Mapping[str, Any]) -> Resource:
        path: Path = ("resources", name, "props")
        for prop, value in overrides.items():
            self._override(props, path, prop, value)
        for required in ("region", "functionName", "runtime", "code"):
            if props.get(required) in (None, ""):
                raise self.wrong(path, f"'{required}' is missing")
        for other in _OTHERS & props.keys():
            self.skip((*path, other), other)
            del props[other]
        for prop, text in _NOTICES.items():
            if props.pop(prop, None):
                self.notice((*path, prop), prop, text)
        aside = {prop: props.pop(prop) for prop in _ASIDE & props.keys()}
        function = self._checked(FunctionConfig, props, path).wire()
        redis = function["environmentVariables"].get("REDIS_URL")
        if redis is not None and not startup.on_this_machine(redis):
            self.notice((*path, "environmentVariables", "REDIS_URL"), "environmentVariables.REDIS_URL",
                        "names a Redis that is not on this machine; fclocal gives the function the URL of its own")
        triggers = [self._trigger(given, (*path, "triggers", number))
                    for number, given in enumerate(self._list(aside.get("triggers"), (*path, "triggers")))]
        return Resource(
            function=function,
            code=self._code(aside["code"], (*path, "code")),
            where=self.where((*path, "code")),
            triggers=tuple(triggers),
            domains=self._domains(aside.get("customDomain"), (*path, "customDomain"), function["functionName"]),
            concurrency=self._input(wire.ConcurrencyInput, aside, path, "concurrencyConfig"),
            scaling=self._input(wire.ScalingInput, aside, path, "scalingConfig"),
        )

    def _override(self, props: dict[str, Any], path: Path, prop: str, value: Any) -> None:
        *around, last = prop.split(".")
        inside = props
        for part in around:
            path = (*path, part)
            if not isinstance(inside.setdefault(part, {}), dict):
                raise self.wrong(path, f"'{prop}' cannot be set: '{part}' is no map")
            inside = inside[part]
        inside[last] = value
        self._places[(*path, last)] = f"the value given for '{prop}'"

    def _code(self, code: Any, path: Path) -> str:
        if isinstance(code, dict):
            raise self.refused(path, "code in an OSS bucket")
        if not isinstance(code, str):
            raise self.wrong(path, "code must be the path of a folder or zip beside s.yaml")
        return self._inside(code, path, "code")

    def _inside(self, value: Any, path: Path, name: str) -> str:
        """Return a path that stays inside the folder of s.yaml. Raises FcError ManifestInvalid."""
        text = str(value)
        if text.startswith(("/", "~")) or ".." in text.split("/") or re.search(r"[\\\0]|^[A-Za-z]:", text):
            raise self.wrong(path, f"{name} {text!a} must be a relative path inside the folder of s.yaml")
        return text

    def _trigger(self, given: Any, path: Path) -> dict[str, Any]:
        trigger = dict(self._map(given, path))
        config = dict(self._map(trigger.get("triggerConfig"), (*path, "triggerConfig")))
        if trigger.get("triggerType") == "http" and "authType" not in config:
            raise self.wrong((*path, "triggerConfig"), "triggerConfig.authType is missing: anonymous, function or jwt")
        auth = config.get("authConfig")
        trigger["triggerConfig"] = {**config, "authConfig": json.dumps(auth)} if isinstance(auth, dict) else config
        checked = self._checked(wire.TriggerInput, trigger, path)
        self._auth(checked.trigger_config.auth_type, auth, (*path, "triggerConfig"))
        made = checked.trigger_config.wire()
        if "authConfig" in made:  # a JSON string within a JSON string
            made["authConfig"] = json.dumps(made["authConfig"])
        return {**checked.wire(), "triggerConfig": json.dumps(made)}

    def _domains(self, given: Any, path: Path, function: str) -> tuple[dict[str, Any], ...]:
        if given is None:
            return ()
        domain = dict(self._map(given, path))
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
        made = self._checked(wire.DomainInput, domain, path).wire()
        if "authInfo" in made["authConfig"]:
            made["authConfig"]["authInfo"] = json.dumps(made["authConfig"]["authInfo"])
        return (made,)

    def _certificate(self, given: Any, path: Path) -> dict[str, Any] | None:
        """The certificate of a domain as the API takes it, or None with a notice where fclocal cannot have it.

        certificate and privateKey are PEM text, or the path of a PEM file beside s.yaml that the caller reads.
        """
        if given is None:
            return None
        config = self._map(given, path)
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

    def _auth(self, auth_type: auth.AuthType, given: Any, path: Path) -> None:
        try:
            auth.parse(auth_type, json.loads(given) if isinstance(given, str) else given)
        except FcError as error:
            raise self._located(error, path) from None
        except ValueError:
            raise self.wrong(path, "authConfig is neither a map nor the JSON of one") from None

    def _input(self, shape: type[wire.S], aside: dict[str, Any], path: Path, prop: str) -> dict[str, Any] | None:
        if prop not in aside:
            return None
        return self._checked(shape, self._map(aside[prop], (*path, prop)), (*path, prop)).wire()

    def _checked(self, shape: type[wire.S], given: dict[str, Any], path: Path) -> wire.S:
        """`given` as a `shape`; in a loose deployment without the fields that are not emulated."""
        while True:
            sent = {key: json.dumps(value) if key in _TEXTS and isinstance(value, dict) else value
                    for key, value in given.items()}
            try:
                return wire.parse(shape, sent)
            except FcError as error:
                name = str(error.facts.get("field", ""))
                if error.code != "NotEmulated" or not self._drop(given, name.split("."), (*path, *name.split("."))):
                    raise self._located(error, path) from None

    def _drop(self, given: Any, names: list[str], path: Path) -> bool:
        """Take a field that is not emulated out of `given`; False if it is a value rather than a field."""
        for name in names[:-1]:
            given = given.get(name) if isinstance(given, dict) else None
        if not isinstance(given, dict) or names[-1] not in given:
            return False
        self.skip(path, ".".join(names))
        del given[names[-1]]
        return True

    def _located(self, error: FcError, path: Path) -> FcError:
        """An error of the API's own checks, with the line of the field that it names."""
        named = str(error.facts.get("field", "")) or error.message.removeprefix("unknown field ").lstrip("'")
        names = re.findall(r"[\w-]+", re.split("[:' ]", named)[0])
        place = (*path, *(int(name) if name.isdecimal() else name for name in names))
        if error.code == "NotEmulated":
            return self.refused(place, named)
        return self.wrong(place, error.message)

    def _known(self, given: dict[str, Any], path: Path, known: frozenset[str], others: frozenset[str]) -> None:
        for key in list(given):
            if key in others:
                self.skip((*path, key), key)
                del given[key]
            elif key not in known:
                raise self.wrong((*path, key), f"unknown field '{key}'; known here: {', '.join(sorted(known))}")

    def _map(self, value: Any, path: Path) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise self.wrong(path, f"'{path[-1]}' must be a map" if path else "must be a map")
        return value

    def _list(self, value: Any, path: Path) -> list[Any]:
        if value is None:
            return []
        if not isinstance(value, list):
            raise self.wrong(path, f"'{path[-1]}' must be a list")
        return value


def _first_line(text: object) -> str:
    return str(text).strip().partition("\n")[0]
