"""show(): a part of a real file, with its line numbers."""

import ast
import re
from pathlib import Path

from workshop.errors import UserError
from workshop.views.code_listing import listing
from workshop.views.html import present
from workshop.workspace import root


def lines_of(text: str, region: str, suffix: str = ".py") -> tuple[int, int]:
    """Return the first and the last line (from 1) of a region of a file.

    A region is the first that fits of: "12-20"; a part between comments "region NAME" and "endregion"; in
    Python a function, class, method ("Class.method") or top-level name; in YAML a key; in JavaScript and CSS the block
    that begins on the line holding the name. Raises UserError if there is none.
    """
    lines = text.splitlines()
    if span := re.fullmatch(r"(\d+)-(\d+)", region):
        return int(span[1]), min(int(span[2]), len(lines))
    for number, line in enumerate(lines, 1):
        if re.search(rf"(?:#|//|/\*|<!--)\s*region {re.escape(region)}\b", line):
            end = next((n for n, later in enumerate(lines[number:], number + 1) if "endregion" in later),
                       len(lines) + 1)
            return number + 1, end - 1
    block = _python(text, region) if suffix == ".py" else _block(lines, region, suffix in (".yaml", ".yml"))
    if block is None:
        raise UserError(f'There is no region "{region}" in that file.')
    return block


def _python(text: str, region: str) -> tuple[int, int] | None:
    scope: list[ast.stmt] = ast.parse(text).body
    node: ast.stmt | None = None
    for name in region.split("."):
        node = next((node for node in scope if name in _names(node)), None)
        if node is None:
            return None
        scope = getattr(node, "body", [])
    first = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", []))]) if node else 0
    return (first, node.end_lineno or first) if node else None


def _names(node: ast.stmt) -> set[str]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return {node.name}
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    return {name.id for target in targets for name in ast.walk(target) if isinstance(name, ast.Name)}


def _block(lines: list[str], region: str, yaml: bool) -> tuple[int, int] | None:
    pattern = rf"^\s*(?:- )?{re.escape(region)}\s*:" if yaml else rf"(?<!\w){re.escape(region)}(?!\w).*[{{(\[]\s*$"
    start = next((n for n, line in enumerate(lines) if re.search(pattern, line)), None)
    if start is None:
        return None
    depth = len(lines[start]) - len(lines[start].lstrip())
    end = start
    for number in range(start + 1, len(lines)):
        line = lines[number]
        if line.strip() and len(line) - len(line.lstrip()) <= depth and not (yaml and line.lstrip().startswith("- ")
                                                                           and line.find("-") > depth):
            closing = not yaml and line.strip()[:1] in "})]"
            return start + 1, number + 1 if closing else end + 1
        end = number if line.strip() else end
    return start + 1, end + 1


def excerpt(path: str, region: str | None = None, project: Path | None = None) -> tuple[list[str], int]:
    """Return the lines of a region of a file and the number of the first line. Raises UserError if it is not there."""
    file = (project or root()) / path
    if not file.is_file():
        raise UserError(f"There is no file {path}.")
    text = file.read_text(encoding="utf-8")
    first, last = lines_of(text, region, file.suffix) if region else (1, len(text.splitlines()))
    return text.splitlines()[first - 1: last], first


def shown(path: str, region: str | None = None, project: Path | None = None) -> str:
    """Return the text form that `show` prints. Raises UserError for a file or region that is not there."""
    lines, first = excerpt(path, region, project)
    last = first + len(lines) - 1
    return "\n".join([f"{path}, lines {first} to {last}", *(f"{number:>{len(str(last))}}  {line}".rstrip()
                                                           for number, line in enumerate(lines, first))])


def show(path: str, region: str | None = None) -> None:
    """Show a part of a real file of the project; `region` as in `lines_of`, None for all of it."""
    try:
        lines, first = excerpt(path, region)
        present(shown(path, region), listing(path, lines, first))
    except UserError as error:
        print(error.message, error.cure)
