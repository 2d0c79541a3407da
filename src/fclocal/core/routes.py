"""Custom domains: which route a path takes, and how its rewrite rules change path and query.

Source: the service's page "Configure a rewrite policy". Patterns are matched by RE2, whose time grows with the
length of the path only: no rule, however written, can hold up the platform. (RE2 has no back-references and no
look-around; a rule with one is refused when the domain is created.)
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import re2  # type: ignore[import-untyped]

from fclocal.core.errors import FcError
from fclocal.core.model import RewriteRule, Route

_QUIET = re2.Options()
_QUIET.log_errors = False
_REFERENCE = re.compile(r"\$(\d+)")
_TARGET = re.compile(r"/[!-\"$-~]*")


def find(routes: Sequence[Route], path: str) -> Route | None:
    """The route for `path` (as sent, not decoded): the exact one, else the longest prefix (a path ending in *)."""
    best: Route | None = None
    for route in routes:
        if route.path == path:
            return route
        if route.path.endswith("*") and path.startswith(route.path[:-1]) and (
                best is None or len(route.path) > len(best.path)):
            best = route
    return best


def rewrite(route: Route, target: str) -> str:
    """`target` ("/path?query") after the first rule that matches its path: equal rules, then wildcard, then regex.

    The replacement takes the place of the whole path; the query stays, after one that the replacement brings.
    """
    rules = route.rewrite_config
    if rules is None:
        return target
    path, mark, query = target.partition("?")
    for rule in rules.equal_rules:
        if rule.match == path:
            return _with_query(rule.replacement, query if mark else None)
    patterns = [*((_wildcard(rule.match), rule) for rule in rules.wildcard_rules),
                *((rule.match, rule) for rule in rules.regex_rules)]
    for pattern, rule in patterns:
        if (found := _compiled(pattern).search(path)) is not None:
            groups = [text or "" for text in found.groups()]
            return _with_query(_expanded(rule.replacement, groups), query if mark else None)
    return target


def check(routes: Sequence[Route]) -> None:
    """Raise FcError InvalidArgument, naming the field, for routes that could not work."""
    seen: set[str] = set()
    for number, route in enumerate(routes):
        field = f"routeConfig.routes[{number}]"
        if route.path in seen:
            raise _wrong(f"{field}.path", f"'{route.path}' is given twice")
        if "*" in route.path[:-1]:
            raise _wrong(f"{field}.path", "* may stand at the end only")
        seen.add(route.path)
        if (config := route.rewrite_config) is not None:
            for index, rule in enumerate(config.equal_rules):
                _check_replacement(f"{field}.rewriteConfig.equalRules[{index}]", rule, 0)
            for index, rule in enumerate(config.wildcard_rules):
                _check_replacement(f"{field}.rewriteConfig.wildcardRules[{index}]", rule, rule.match.count("*"))
            for index, rule in enumerate(config.regex_rules):
                where = f"{field}.rewriteConfig.regexRules[{index}]"
                try:
                    groups = _compiled(rule.match).groups
                except re2.error as error:
                    raise _wrong(f"{where}.match", error.args[0].decode("utf-8", "replace")) from None
                _check_replacement(where, rule, groups)


def _wildcard(match: str) -> str:
    """A wildcard rule as a pattern: * is any string, ^ at the front the beginning, all else itself."""
    anchor, rest = ("^", match[1:]) if match.startswith("^") else ("", match)
    return anchor + "(.*)".join(re2.escape(part) for part in rest.split("*"))


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> Any:
    return re2.compile(pattern, _QUIET)


def _expanded(replacement: str, groups: Sequence[str]) -> str:
    return _REFERENCE.sub(lambda number: groups[int(number[1]) - 1], replacement)


def _with_query(target: str, query: str | None) -> str:
    return target if query is None else f"{target}{'&' if '?' in target else '?'}{query}"


def _check_replacement(field: str, rule: RewriteRule, groups: int) -> None:
    if not _TARGET.fullmatch(rule.replacement):
        raise _wrong(f"{field}.replacement", "must be a path: begin with /, ASCII without blanks and #")
    if bad := next((n for n in _REFERENCE.findall(rule.replacement) if not 1 <= int(n) <= groups), None):
        raise _wrong(f"{field}.replacement", f"${bad} stands for nothing: match has {groups} group(s)")


def _wrong(field: str, why: str) -> FcError:
    return FcError("InvalidArgument", reason=f"{field}: {why}")
