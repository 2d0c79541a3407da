"""The floors of the code: a module imports from its own floor and those below; core decides and does no I/O."""

import ast
import importlib.metadata
import re
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from workshop import structure

ROOT = Path(__file__).parents[1]
SRC = ROOT / "src"
FLOORS = ("core", "runtime", "edge", "client", "testing", "workshop")

# Input and output, the time of day and chance: core is handed what these would give it.
IO_MODULES = {
    "aiohttp", "asyncio", "concurrent", "fcntl", "ftplib", "glob", "h11", "http.client", "http.server", "httptools",
    "httpx", "logging", "mmap", "multiprocessing", "os", "psutil", "pty", "random", "redis", "requests", "resource",
    "secrets", "select", "selectors", "shutil", "signal", "smtplib", "socket", "socketserver", "sqlite3", "ssl",
    "starlette", "subprocess", "sys", "tempfile", "threading", "trustme", "urllib.request", "uvicorn", "uvloop",
    "websockets",
}  # fmt: skip
IO_CALLS = {"open", "print", "input", "exec", "eval"}
IO_METHODS = {"read_text", "read_bytes", "write_text", "write_bytes", "mkdir", "unlink", "iterdir", "exists", "stat",
              "rglob", "glob", "rename", "touch", "is_file", "is_dir", "resolve"}  # fmt: skip
# What the package itself carries (prices.toml) is part of the code, read once when the module is imported.
PACKAGED_DATA = {"core.prices"}
# The clock's own module is where time may be asked for, and timers set.
CLOCK = "core.clock"


def modules(package: str) -> dict[str, ast.Module]:
    """Every module of `src/package` by its dotted name, parsed."""
    trees = {}
    for path in sorted((SRC / package).rglob("*.py")):
        parts = path.relative_to(SRC).with_suffix("").parts
        if "exercises" not in parts and "preload" not in parts:
            trees[".".join(parts).removesuffix(".__init__")] = ast.parse(path.read_text("utf-8"))
    return trees


MODULES = modules("fclocal") | modules("workshop")


def imports(name: str, *, typing_too: bool = True) -> Iterator[str]:
    """Absolute names of what module `name` imports; `from a import b` gives a.b where that is a module, else a."""
    skip: set[ast.AST] = set()
    for node in ast.walk(MODULES[name]):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test) and not typing_too:
            skip.update(inner for line in node.body for inner in ast.walk(line))
    for node in ast.walk(MODULES[name]):
        if node in skip:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name} line {node.lineno}: relative import; write the whole name"
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if inner in MODULES else str(node.module)


def floor(name: str) -> int:
    """The floor on which a module of ours stands; fclocal itself, its face, stands with the client."""
    parts = name.split(".")
    if parts[0] == "workshop":
        return FLOORS.index("workshop")
    return FLOORS.index(parts[1]) if len(parts) > 1 and parts[1] in FLOORS else FLOORS.index("client")


def ours(names: Iterator[str]) -> set[str]:
    return {name for name in names if name in MODULES}


@pytest.mark.parametrize("name", MODULES)
def test_a_module_imports_from_its_own_floor_and_those_below(name: str) -> None:
    above = {other for other in ours(imports(name)) if floor(other) > floor(name)}
    assert not above, f"{name} imports from a higher floor: {sorted(above)}"


def test_no_two_modules_import_each_other() -> None:
    graph = {name: ours(imports(name, typing_too=False)) - {name} for name in MODULES}
    TopologicalSorter(graph).prepare()


def test_the_workshop_uses_fclocal_through_its_client() -> None:
    """Records and bills are plain values of core and may be held; machinery may not."""
    for name in MODULES:
        if name.startswith("workshop"):
            inside = {other for other in ours(imports(name)) if re.match(r"fclocal\.(runtime|edge)\b", other)}
            assert not inside, f"{name} reaches into fclocal: {sorted(inside)}"


CORE = [name for name in MODULES if name.startswith("fclocal.core")]


@pytest.mark.parametrize("name", CORE)
def test_core_does_no_io(name: str) -> None:
    short = name.removeprefix("fclocal.")
    forbidden = IO_MODULES - {"asyncio"} if short == CLOCK else IO_MODULES | {"time"}
    for module in imports(name):
        assert not {module, module.split(".")[0]} & forbidden, f"{name} imports {module}"
    for node in ast.walk(MODULES[name]):
        if not isinstance(node, ast.Call):
            continue
        if isinstance(node.func, ast.Name):
            assert node.func.id not in IO_CALLS, f"{name} line {node.lineno}: {node.func.id}()"
        elif isinstance(node.func, ast.Attribute):
            asks_time = ast.unparse(node.func) in ("datetime.now", "datetime.utcnow", "datetime.today", "date.today")
            assert not asks_time or node.args, f"{name} line {node.lineno}: takes the time from {node.func.attr}()"
            if short not in PACKAGED_DATA:
                assert node.func.attr not in IO_METHODS, f"{name} line {node.lineno}: .{node.func.attr}()"


def plain(name: str) -> str:
    """A distribution's name as the package index compares it."""
    return re.sub("[._]", "-", name.lower())


def test_every_library_we_import_is_one_we_ask_for() -> None:
    """A library that is there only because another one needs it may go any day."""
    lines = (ROOT / "requirements.txt").read_text("utf-8").splitlines()
    asked = {plain(re.split(r"[\[<>=; ]", line)[0]) for line in lines if line[:1].isalpha()}
    # What "jupyter", the official SDK and PyJWT[crypto] stand for, and what fclocal/testing.py is for.
    asked |= {"ipython", "ipykernel", "jupyter-client", "nbclient", "nbformat", "nbconvert", "traitlets",
              "pytest"}
    asked |= {"alibabacloud-tea", "alibabacloud-tea-openapi", "alibabacloud-tea-util", "darabonba-core", "cryptography"}
    owners = importlib.metadata.packages_distributions()
    uses = {(name, module.split(".")[0]) for name in MODULES for module in imports(name)}
    unasked = [f"{name} imports {top}" for name, top in sorted(uses)
               if top not in sys.stdlib_module_names | {"fclocal", "workshop"}
               and not asked & {plain(owner) for owner in owners.get(top, [top])}]
    assert not unasked, "name it in requirements.txt: " + ", ".join(unasked)


@pytest.mark.parametrize("folder", ["functions", "solutions", "exercises"])
def test_what_is_deployed_needs_nothing_of_the_kit(folder: str) -> None:
    for path in sorted((ROOT / folder).rglob("*.py")):
        if "node_modules" in path.parts:
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else (
                [str(node.module)] if isinstance(node, ast.ImportFrom) else [])
            assert not {n.split(".")[0] for n in names} & {"fclocal", "workshop"}, f"{path} imports the kit"


@pytest.mark.parametrize("name", MODULES)
def test_a_module_can_be_read_in_one_sitting(name: str) -> None:
    path = SRC / name.replace(".", "/")
    source = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    assert len(source.read_text("utf-8").splitlines()) <= 600


def test_the_pictures_of_the_structure_are_those_of_the_code() -> None:
    assert structure.readme(ROOT) == (ROOT / structure.README).read_text("utf-8"), "run: workshop build"


def test_the_picture_of_the_floors_has_no_arrow_upwards() -> None:
    floors = list(structure.FLOORS)
    arrows = re.findall(r"(\w+) --> (\w+)", structure.floors(ROOT))
    assert len(arrows) > 3
    assert all(floors.index(user) < floors.index(used) for user, used in arrows)


def test_the_modules_that_the_readme_names_exist() -> None:
    text = (ROOT / structure.README).read_text("utf-8")
    named = re.findall(r"`((?:core|runtime|edge|client)/[\w/.]+?)/?`", text)
    assert len(named) > 20
    assert not [name for name in named if not (SRC / "fclocal" / name).exists()]
