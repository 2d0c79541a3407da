"""The text of s.yaml as plain values: variables filled in, and the line of every value known."""

import re
from collections.abc import Mapping
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from fclocal.core.errors import FcError

MAX_SIZE = 256 * 1024  # characters of the file
MAX_NODES = 20_000  # values in it, aliases counted each time
MAX_DEPTH = 40

Path = tuple[str | int, ...]
"""The position of a value: ("resources", "echo", "props", "timeout")."""

_VARIABLE = re.compile(r"\$\{\s*([^{}]*?)\s*\}")
_ENV = re.compile(r"""env\(\s*(['"])(\w+)\1\s*(?:,\s*(['"])(.*?)\3\s*)?\)""")


class ManifestSource:
    """One s.yaml. `file` is its name in messages, `env` the environment for `${env(...)}`."""

    def __init__(self, file: str, env: Mapping[str, str]) -> None:
        self.file = file
        self._env = env
        self._places: dict[Path, str] = {}
        self._root: Any = None
        self._nodes = 0

    def load(self, text: str) -> dict[str, Any]:
        """Return the values of the file. Raises FcError ManifestInvalid or NotEmulated."""
        if len(text) > MAX_SIZE:
            raise FcError("ManifestInvalid", where=self.file, reason=f"is larger than {MAX_SIZE} characters")
        try:
            self._root = YAML(typ="rt", pure=True).load(text)
        except MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            where = f"{self.file} line {mark.line + 1}" if mark else self.file
            raise FcError("ManifestInvalid", where=where, reason=_first_line(error.problem or "is not YAML")) from None
        except (YAMLError, ValueError, RecursionError) as error:
            raise FcError("ManifestInvalid", where=self.file, reason=f"is not YAML: {_first_line(error)}") from None
        if not isinstance(self._root, CommentedMap):
            raise FcError("ManifestInvalid", where=self.file, reason="must be a map with edition, name and resources")
        self._places[()] = f"{self.file} line 1"
        tree: dict[str, Any] = self._plain(self._root, ())
        return tree

    def _plain(self, node: Any, path: Path, depth: int = 0) -> Any:
        """Return `node` as plain Python with variables filled in, and keep the line of each value."""
        self._nodes += 1
        if self._nodes > MAX_NODES or depth > MAX_DEPTH:
            raise self.invalid(path, "the file is too large or too deep")
        if isinstance(node, CommentedMap):
            for key in node:
                if not isinstance(key, str):
                    raise self.invalid(path, f"the key '{key}' must be text")
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
        raise self.invalid(path, f"'{node}' is not a plain value; put it in quotes")

    def _line(self, line: int) -> str:
        return f"{self.file} line {line + 1}"

    def _filled(self, text: str, path: Path, depth: int) -> Any:
        if (whole := _VARIABLE.fullmatch(text)) is not None:
            return self._value(whole[1], path, depth)

        def replacement(variable: re.Match[str]) -> str:
            value = self._value(variable[1], path, depth)
            if isinstance(value, (dict, list)):
                raise self.invalid(path, f"'{variable[0]}' is not text, so it cannot be part of a text")
            return str(value)

        return _VARIABLE.sub(replacement, text)

    def _value(self, name: str, path: Path, depth: int) -> Any:
        """Return the value of the variable `${name}`."""
        if (variable := _ENV.fullmatch(name)) is not None:
            value = self._env.get(variable[2], variable[4])
            if value is None:
                raise self.invalid(path, f"the environment variable '{variable[2]}' is not set and has no default")
            return value
        first, *rest = name.split(".")
        if first == "this" and path[:1] == ("resources",):
            rest = ["resources", str(path[1]), *rest]
        elif first in ("vars", "resources"):
            rest = [first, *rest]
        else:
            raise self.not_emulated(path, f"${{{name}}}")
        node = self._root
        for part in rest:
            if not isinstance(node, CommentedMap) or part not in node:
                raise self.invalid(path, f"'${{{name}}}' does not exist")
            node = node[part]
        return self._plain(node, path, depth + 1)

    def where(self, path: Path) -> str:
        """Return file and line of the value at `path`, or of the nearest value around it."""
        while path and path not in self._places:
            path = path[:-1]
        return self._places[path]

    def override(self, path: Path, prop: str) -> None:
        """Record that the value at `path` comes from the command line, not from a line of the file."""
        self._places[path] = f"the value given for '{prop}'"

    def invalid(self, path: Path, reason: str) -> FcError:
        """Return the error of a value that is wrong, with its line."""
        return FcError("ManifestInvalid", where=self.where(path), reason=reason)

    def not_emulated(self, path: Path, name: str) -> FcError:
        """Return the error of a field that fclocal does not emulate, with its line."""
        return FcError("NotEmulated", field=f"{name} ({self.where(path)})")


def _first_line(text: object) -> str:
    return str(text).strip().partition("\n")[0]
