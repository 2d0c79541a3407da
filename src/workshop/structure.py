"""The pictures in src/fclocal/README.md, drawn from the code: its floors from the imports, the states from the table.

`workshop build` writes them between the marks in the file; a test compares.
"""

import ast
import re
from collections import defaultdict
from functools import partial
from pathlib import Path

from fclocal.core import lifecycle
from workshop.workspace import root

README = Path("src") / "fclocal" / "README.md"
FLOORS = {
    "client": "what a person or a notebook holds",
    "edge": "what talks to the network",
    "runtime": "what carries decisions out",
    "core": "what decides, without I/O",
}


def floors(project: Path) -> str:
    """Return a Mermaid flowchart of the floors; an arrow means that a module imports from the other floor."""
    arrows: set[tuple[str, str]] = set()
    for path in (project / "src" / "fclocal").rglob("*.py"):
        parts = path.relative_to(project / "src" / "fclocal").parts
        if parts[0] not in FLOORS or "preload" in parts:
            continue
        used = {name.split(".")[1] for name in _imports(path) if name.startswith("fclocal.")}
        arrows |= {(parts[0], floor) for floor in used if floor in FLOORS and floor != parts[0]}
    lines = [f'    {name}["<b>{name}</b><br/>{about}"]' for name, about in FLOORS.items()]
    lines += [f"    {user} --> {used}" for user, used in sorted(arrows)]
    return "\n".join(["```mermaid", "flowchart TD", *lines, "```"])


def _imports(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def states() -> str:
    """Return a Mermaid state diagram of an instance's life."""
    events: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for (state, event), (following, effects) in lifecycle.TABLE.items():
        events[state, following].append(f"{event} ({', '.join(effects)})" if effects else str(event))
    lines = ["    [*] --> starting"]
    lines += [f"    {state} --> {following}: {', '.join(names)}" for (state, following), names in events.items()]
    return "\n".join(["```mermaid", "stateDiagram-v2", *lines, "    stopped --> [*]", "```"])


def _between(picture: str, marks: re.Match[str]) -> str:
    return f"{marks[1]}{picture}{marks[2]}"


def readme(project: Path) -> str:
    """Return the text of the README with both pictures as the code has them now."""
    text = (project / README).read_text("utf-8")
    for name, picture in (("floors", floors(project)), ("states", states())):
        marked = rf"(<!-- {name}, written by workshop build -->\n).*?(\n<!-- end -->)"
        text, count = re.subn(marked, partial(_between, picture), text, flags=re.S)
        if count != 1:
            raise ValueError(f"{README} needs one place for {name}, and has {count}")
    return text


def write(project: Path | None = None) -> list[str]:
    """Bring the pictures up to date; return the path of the README if it has changed."""
    project = project or root()
    if not (project / README).is_file():  # a copy of the kit without its sources
        return []
    text = readme(project)
    if text == (project / README).read_text("utf-8"):
        return []
    (project / README).write_text(text, "utf-8")
    return [README.as_posix()]
