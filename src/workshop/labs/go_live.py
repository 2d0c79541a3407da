"""Before a function goes live: a checklist of its folder, and its packages put beside the program.

    folder = with_packages("functions/09-live")
    print(go_live_checklist(folder, fc, decided=["auth"]))

Each rule checks a documented or a measured fact, and names its source.
"""

import importlib.metadata
import io
import json
import re
import shutil
import textwrap
import zipfile
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from ruamel.yaml import YAML

from fclocal import Platform
from fclocal.client import deploy
from fclocal.core import startup
from fclocal.core.errors import FcError
from fclocal.core.manifest import Resource
from fclocal.core.records import Record
from workshop.views.html import badge, block, prose
from workshop.views.plain_text import WIDTH
from workshop.workspace import root, state

INDENT = 21
# The machine of an instance, without the version of its Python.
SERVICE = {"sys_platform": "linux", "os_name": "posix", "platform_system": "Linux", "platform_machine": "x86_64",
           "implementation_name": "cpython", "platform_python_implementation": "CPython"}
SUITS = r"({own}-{own}|cp3\d+-abi3|py3-none|py2\.py3-none)-(any|(manylinux\w+|linux)_x86_64)$"
PRIVATE = re.compile(r"(^|/)(\.env|\.netrc|credentials\.json|[^/]+\.(pem|key|p12))$")
LARGEST = 100 * 1024 * 1024  # of a package that comes through the API, encoded (page "Limits", 2026-02)
INSTALL = "Install for the service's Python, as the README of functions/09-live shows."


@dataclass(frozen=True, slots=True)
class Point:
    """One line of the list. `word`: OK, FIX (it will not work), or DECIDE (it works; do you want it?)."""

    topic: str
    word: str
    text: str


@dataclass(frozen=True, slots=True)
class Checklist:
    """The points of one folder, printed as a table of at most 76 ASCII columns."""

    name: str
    points: tuple[Point, ...]

    def open(self) -> list[str]:
        """Return the topics that are not OK."""
        return [point.topic for point in self.points if point.word != "OK"]

    def __str__(self) -> str:
        rows = [textwrap.fill(f"{point.topic:<13}{point.word:<8}{point.text}", WIDTH, subsequent_indent=" " * INDENT,
                              break_long_words=False, break_on_hyphens=False) for point in self.points]
        count = len(self.open())
        return "\n".join([f"CHECKLIST  {self.name}", *rows, f"{count} to do." if count else "Ready to go live."])

    __repr__ = __str__

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, str]:
        rows = "".join(f"<dt>{badge(point.word)}</dt><dd><b>{escape(point.topic)}</b> {prose(point.text)}</dd>"
                       for point in self.points)
        last = str(self).splitlines()[-1]
        card = f'<div class="card"><b>Checklist: {escape(self.name)}</b><dl style="gap:4px 12px">{rows}</dl>' \
               f"{escape(last)}</div>"
        return {"text/html": block(card, f"Checklist of {self.name}"), "text/plain": str(self)}


@dataclass(frozen=True, slots=True)
class Candidate:
    """What the rules look at: the folder, its first resource, what fclocal left out of it, and where it runs."""

    folder: Path
    resource: Resource
    left_out: tuple[str, ...]
    region: str
    fc: Platform | None

    @property
    def code(self) -> Path:
        return self.folder / self.resource.code

    @property
    def props(self) -> dict[str, Any]:
        return self.resource.function

    @property
    def python(self) -> str:
        """Return the full version of the instance's python3.

        custom.debian12 has 3.11.2, custom.debian11 has 3.12.4 in a folder for PATH (page "Custom runtimes", 2025-09).
        """
        path = self.props.get("environmentVariables", {}).get("PATH", "")
        return "3.12.4" if "/var/fc/lang/python3.12" in path else "3.11.2"

    def names(self, field: str) -> bool:
        """Return whether s.yaml has a field that only the real service uses."""
        return any(text.startswith((f"{field} ", f"customDomain.{field} ")) for text in self.left_out)


def go_live_checklist(folder: str | Path, fc: Platform | None = None, *, decided: Collection[str] = ()) -> Checklist:
    """Judge the folder of a function. `decided`: topics whose DECIDE you have answered; `fc`: where it was tried.

    Raises nothing for what is wrong with the folder: that is a point of the list.
    """
    folder = Path(folder)
    try:
        manifest = deploy.read(folder, overrides={}, loose=True)
    except FcError as error:
        return Checklist(folder.name, (Point("s.yaml", "FIX", f"{error.message}. {error.cure}"),))
    candidate = Candidate(folder, manifest.resources[0], manifest.warnings + manifest.notices, _region(folder), fc)
    points = [rule(candidate) for rule in RULES]
    return Checklist(candidate.resource.name, tuple(
        Point(point.topic, "OK", f"decided. {point.text}")
        if point.word == "DECIDE" and point.topic in decided else point for point in points))


def with_packages(folder: str | Path) -> Path:
    """Copy a function's folder and put its packages beside the program, as `pip install --target .` would.

    The packages come from this environment: no network is needed, and like pip's they suit this machine's Python.
    The copy replaces the last one of that folder.
    """
    source = root() / folder
    copy = state(root()) / "live" / source.name
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(source, copy, ignore=shutil.ignore_patterns("__pycache__", ".venv"))
    for name in _closure(_requirements(source), importlib.metadata.distribution, {}):
        distribution = importlib.metadata.distribution(name)
        for file in distribution.files or ():
            if ".." not in file.parts and file.suffix != ".pyc" and (path := Path(str(file.locate()))).is_file():
                (copy / file).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, copy / file)
    return copy


# The rules, in the order of the list

def _place(candidate: Candidate) -> Point:
    mainland = candidate.region.startswith("cn-") and candidate.region != "cn-hongkong"
    if mainland:
        return Point("region", "DECIDE",
                     f"{candidate.region}: near your users? A custom domain there needs an ICP filing.")
    return Point("region", "OK", candidate.region)


def _runtime(candidate: Candidate) -> Point:
    runtime = str(candidate.props["runtime"])
    program = (candidate.props["customRuntimeConfig"].get("command") or ["bootstrap"])[0]
    path = candidate.props.get("environmentVariables", {}).get("PATH", "")
    if program.startswith("python") and runtime != "custom.debian12" and "/var/fc/lang/python" not in path:
        return Point("runtime", "FIX", f"{runtime} does not have a recent python3 on PATH; custom.debian12 has 3.11.2.")
    if program == "node" and "/var/fc/lang/nodejs" not in path:
        return Point("runtime", "FIX", "node is not on PATH: custom.debian10 keeps Node.js 20 in "
                                       "/var/fc/lang/nodejs20/bin; add it in environmentVariables.")
    return Point("runtime", "OK", f"{runtime} starts {program}")


def _packages(candidate: Candidate) -> Point:
    """The packages of Python and of Node.js: a folder can have both, such as a server in Python with a page."""
    points = [_python_packages(candidate)] if (candidate.folder / "requirements.txt").is_file() else []
    if (candidate.code / "package.json").is_file():
        points.append(_node_packages(candidate))
    word = "FIX" if any(point.word == "FIX" for point in points) else "OK"
    return Point("packages", word, " ".join(point.text for point in points if point.word == word) or "none needed")


def _node_packages(candidate: Candidate) -> Point:
    wanted = json.loads((candidate.code / "package.json").read_text("utf-8")).get("dependencies", {})
    missing = [name for name in wanted if not (candidate.code / "node_modules" / name).is_dir()]
    if missing:
        return Point("packages", "FIX", f"not in the folder: {', '.join(missing)}. Run: npm ci")
    return Point("packages", "OK", f"In node_modules: {', '.join(wanted)}.")


def _python_packages(candidate: Candidate) -> Point:
    have = {canonicalize_name(one.name): one for one in importlib.metadata.distributions(path=[str(candidate.code)])}
    missing = []

    def look(name: str) -> importlib.metadata.Distribution | None:
        if (distribution := have.get(canonicalize_name(name))) is None:
            missing.append(name)
        return distribution

    minor = candidate.python.rpartition(".")[0]
    service = {**SERVICE, "python_version": minor, "python_full_version": candidate.python}
    names = _closure(_requirements(candidate.folder), look, service)
    if missing:
        return Point("packages", "FIX", f"not in the folder: {', '.join(missing)}. {INSTALL}")
    foreign = [name for name in names if not _suits(have[canonicalize_name(name)], minor)]
    if foreign:
        return Point("packages", "FIX", f"built for another machine: {', '.join(foreign)}. {INSTALL}")
    return Point("packages", "OK", f"In the folder: {', '.join(sorted(names)) or 'none needed'}.")


def _package(candidate: Candidate) -> Point:
    try:
        data = deploy.pack(candidate.code)
    except FcError as error:
        return Point("package", "FIX", f"{error.message}. {error.cure}")
    names = zipfile.ZipFile(io.BytesIO(data)).namelist()
    private = [name for name in names if PRIVATE.search(name) and not name.startswith("certifi/")]
    if private:
        return Point("package", "FIX", f"would be uploaded: {', '.join(private[:3])}. Name it in .fcignore.")
    size = len(data) * 4 / 3  # it travels as base64
    return Point("package", "OK" if size <= LARGEST else "FIX",
                 f"{len(names)} files, {size / 2**20:.1f} MB as sent (at most 100 through the API)")


def _records(candidate: Candidate, kind: str) -> list[Record]:
    """Return the records of this kind since the function's last change on fclocal."""
    records = list[Record]()
    if candidate.fc is None:
        return records
    kinds = f"function.created,function.updated,{kind}"
    for record in candidate.fc.events(function=candidate.resource.name, kinds=kinds):
        if record.kind == kind:
            records.append(record)
        else:
            records.clear()
    return records


def _tried(candidate: Candidate) -> Point:
    served = len(_records(candidate, "request.begin"))
    if not served:
        return Point("tried", "FIX", "deploy it on fclocal and connect: 127.0.0.1 or a wrong port would show there.")
    return Point("tried", "OK", f"requests that it served on fclocal since its last change: {served}")


def _keep_alive(candidate: Candidate) -> Point:
    if any(record.data["text"] == startup.CLOSED_IDLE for record in _records(candidate, "log")):
        return Point("keep-alive", "FIX", "it closed a connection that the platform keeps for the next request, so a "
                     "POST gets 502. Answer with 'Connection: close', or keep idle connections for over 15 minutes.")
    count = sum(record.data["protocol"] == "http" for record in _records(candidate, "request.begin"))
    return Point("keep-alive", "OK", f"HTTP requests on fclocal: {count}. None met a connection that it had closed.")


def _timeout(candidate: Candidate) -> Point:
    seconds = candidate.props["timeout"]
    text = f"{seconds} s is the longest life of a connection (at most 86400); clients must reconnect."
    return Point("timeout", "OK" if seconds >= 60 else "DECIDE", text)


def _concurrency(candidate: Candidate) -> Point:
    number = candidate.props["instanceConcurrency"]
    if number == 1:
        return Point("concurrency", "DECIDE", "1: every connection pays for an instance of its own.")
    return Point("concurrency", "OK", f"{number} connections share an instance")


def _auth(candidate: Candidate) -> Point:
    configs = [json.loads(one["triggerConfig"]) for one in candidate.resource.triggers]
    if not configs and not candidate.resource.domains:
        return Point("auth", "FIX", "without a trigger or a custom domain, clients cannot connect.")
    if any("GET" not in one["methods"] for one in configs):
        return Point("auth", "FIX", "a WebSocket begins with GET, and methods does not contain it.")
    kinds = {one["authType"] for one in configs}
    if "anonymous" in kinds:
        return Point("auth", "DECIDE", "anonymous: everyone with the URL can connect, at your cost. "
                                       "Use jwt for browsers and function for programs.")
    return Point("auth", "OK", ", ".join(sorted(kinds)))


def _domain(candidate: Candidate) -> Point:
    if not candidate.resource.domains:
        return Point("domain", "DECIDE", "none: the default URL is for tests, and browsers download its pages.")
    name, protocol = candidate.resource.domains[0]["domainName"], candidate.resource.domains[0].get("protocol", "HTTP")
    if name.endswith(".devsapp.net"):
        return Point("domain", "DECIDE", "auto is a temporary name for tests, without TLS; write the name of a "
                                         "domain of yours that points to the service.")
    certified = "certConfig" in candidate.resource.domains[0] or candidate.names("certConfig")
    if "HTTPS" not in protocol or not certified:
        return Point("domain", "FIX", f"{name}: wss needs protocol HTTPS and a certificate (certConfig).")
    return Point("domain", "OK", name)


def _variables(candidate: Candidate) -> Point:
    variables = candidate.props.get("environmentVariables", {})
    local = [name for name, value in variables.items() if re.search(r"localhost|127\.0\.0\.1|\[::1\]", value)]
    if local:
        return Point("variables", "FIX", f"{', '.join(local)} points to the instance itself.")
    if "REDIS_URL" in variables and not candidate.names("vpcConfig"):
        return Point("variables", "FIX", "REDIS_URL names a host in your VPC, which the function cannot reach without "
                                         "vpcConfig. fclocal uses a Redis of its own.")
    return Point("variables", "OK", ", ".join(variables) or "none")


def _logs(candidate: Candidate) -> Point:
    if candidate.names("logConfig"):
        return Point("logs", "OK", "logConfig is set; fclocal keeps logs anyhow")
    return Point("logs", "FIX", "logConfig is missing: it names the log store that logs go to. Write logConfig: auto.")


RULES: tuple[Callable[[Candidate], Point], ...] = (
    _place, _runtime, _packages, _package, _tried, _keep_alive, _timeout, _concurrency, _auth, _domain, _variables,
    _logs)


def _region(folder: Path) -> str:
    """Return the region of s.yaml, with `${vars.x}` filled in: fclocal has only one region and drops it."""
    file = next(folder / name for name in deploy.NAMES if (folder / name).is_file())
    tree = YAML(typ="safe", pure=True).load(file.read_text("utf-8"))
    region = str(next(iter(tree["resources"].values()))["props"]["region"])
    return re.sub(r"\$\{vars\.(\w+)\}", lambda match: str(tree["vars"][match[1]]), region)


def _requirements(folder: Path) -> list[Requirement]:
    file = folder / "requirements.txt"
    lines = file.read_text("utf-8").splitlines() if file.is_file() else []
    return [Requirement(line.partition("#")[0]) for line in lines if line.partition("#")[0].strip()]


def _closure(wanted: Iterable[Requirement], look: Callable[[str], importlib.metadata.Distribution | None],
             where: dict[str, str]) -> list[str]:
    """Return the names of the distributions that `wanted` needs on the machine `where` ({}: this one)."""
    queue, seen = [(one, "") for one in wanted], dict[str, None]()
    while queue:
        requirement, extra = queue.pop(0)
        name = canonicalize_name(requirement.name)
        if name in seen or (requirement.marker and not requirement.marker.evaluate({**where, "extra": extra})):
            continue
        seen[name] = None
        if distribution := look(requirement.name):
            queue += _needs(distribution, requirement.extras)
    return list(seen)


def _needs(distribution: importlib.metadata.Distribution, extras: Collection[str]) -> Iterator[tuple[Requirement, str]]:
    for line in distribution.requires or ():
        for extra in ("", *extras):
            yield Requirement(line), extra


def _suits(distribution: importlib.metadata.Distribution, python: str) -> bool:
    """Return whether the wheel suits this minor version of Python on Linux x86_64.

    A package without tags was built on this machine, so it does not.
    """
    tags = re.findall(r"^Tag: (\S+)", distribution.read_text("WHEEL") or "", re.MULTILINE)
    pattern = SUITS.format(own=f"cp{python.replace('.', '')}")
    return any(re.match(pattern, tag) for tag in tags)
