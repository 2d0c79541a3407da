"""Routes and rewrites of custom domains: the documented tables, and patterns made to hang."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fclocal.core import routes
from fclocal.core.errors import FcError
from fclocal.core.model import Rewrite, RewriteRule, Route


def route(path: str, function: str = "f", rewrite: Rewrite | None = None) -> Route:
    return Route(path=path, function_name=function, rewrite_config=rewrite)


def rules(kind: str, *pairs: tuple[str, str]) -> Route:
    made = tuple(RewriteRule(match=match, replacement=replacement) for match, replacement in pairs)
    return route("/*", rewrite=Rewrite(**{f"{kind}_rules": made}))


@pytest.mark.parity("domain.route-order")
def test_the_exact_path_wins_then_the_longest_prefix() -> None:
    known = [route("/*", "all"), route("/api/*", "api"), route("/api/v1*", "v1"), route("/api/v1", "exact")]
    for order in (known, known[::-1]):
        for path, function in (("/", "all"), ("/api", "all"), ("/api/", "api"), ("/api/x", "api"), ("/api/v1", "exact"),
                               ("/api/v1/x", "v1"), ("/api/v12", "v1"), ("/API/x", "all")):
            found = routes.find(order, path)
            assert found and found.function_name == function, path
    assert routes.find([route("/a")], "/a/") is None


@pytest.mark.parity("domain.rewrite-equal")
@pytest.mark.parametrize(("match", "replacement", "before", "after"), [
    ("/old", "/new", "/old", "/new"), ("/old", "/new", "/test/old", "/test/old"),
    ("/serviceName.Qualifier", "/serviceA", "/serviceName.Qualifier", "/serviceA")])
def test_equal_rules(match: str, replacement: str, before: str, after: str) -> None:
    assert routes.rewrite(rules("equal", (match, replacement)), before) == after


@pytest.mark.parity("domain.rewrite-wildcard")
@pytest.mark.parametrize(("match", "replacement", "before", "after"), [
    ("/old", "/new", "/old", "/new"), ("/old", "/new", "/test/old", "/new"), ("^/old", "/new", "/old", "/new"),
    ("^/old", "/new", "/test/old", "/test/old"), ("/api/*", "/$1", "/api/getFunctionName", "/getFunctionName"),
    ("/api/*", "/$1", "/api/getFunctionName&Version=1", "/getFunctionName&Version=1"),
    ("/css/*", "/public/static/css/$1", "/css/style.css", "/public/static/css/style.css"),
    ("/ServiceName/*/FunctionName/*/Qualifier/*", "/$1.$3/$2", "/ServiceName/svc-a/FunctionName/func-a/Qualifier/1",
     "/svc-a.1/func-a"), ("/f..c", "/helloworld", "/f..c", "/helloworld"), ("/f..c", "/helloworld", "/func", "/func")])
def test_wildcard_rules(match: str, replacement: str, before: str, after: str) -> None:
    assert routes.rewrite(rules("wildcard", (match, replacement)), before) == after


@pytest.mark.parity("domain.rewrite-regex")
@pytest.mark.parametrize(("match", "replacement", "before", "after"), [
    ("^/old/[a-z]+/", "/new", "/old/ab/", "/new"), ("^/old/[a-z]+/", "/new", "/test/a-b/", "/test/a-b/"),
    ("^/api/.+?/(.*)", "/api/v2/$1", "/api/v1/test", "/api/v2/test"), ("^/(a)?(b)?$", "/$1-$2", "/b", "/-b")])
def test_regex_rules(match: str, replacement: str, before: str, after: str) -> None:
    assert routes.rewrite(rules("regex", (match, replacement)), before) == after


@pytest.mark.parity("domain.rewrite-query")
def test_the_query_stays_and_the_first_rule_wins() -> None:
    one = rules("wildcard", ("/room/*", "/chat?room=$1"), ("/room/tea", "/never"))
    assert routes.rewrite(one, "/room/tea?name=ana") == "/chat?room=tea&name=ana"
    assert routes.rewrite(one, "/room/tea") == "/chat?room=tea"
    assert routes.rewrite(one, "/other?next=/room/x") == "/other?next=/room/x"
    assert routes.rewrite(route("/*"), "/x?y") == "/x?y"
    kinds = route("/*", rewrite=Rewrite(
        equal_rules=(RewriteRule(match="/a", replacement="/equal"),),
        wildcard_rules=(RewriteRule(match="^/*", replacement="/wildcard"),),
        regex_rules=(RewriteRule(match=".", replacement="/regex"),)))
    assert [routes.rewrite(kinds, path) for path in ("/a", "/b")] == ["/equal", "/wildcard"]


@pytest.mark.parity("domain.rewrite-bounded")
@pytest.mark.parametrize("pattern", ["(a+)+$", "(a|aa)+$", "(.*)*x", "^(([a-z])+.)+[A-Z]([a-z])+$", "(a?){40}a{40}"])
def test_no_pattern_hangs(pattern: str) -> None:
    began = time.perf_counter()
    routes.rewrite(rules("regex", (pattern, "/x")), "/" + "a" * 4000 + "!")
    assert time.perf_counter() - began < 0.5


@pytest.mark.parity("domain.rewrite-bounded")
@pytest.mark.parametrize(("one", "field"), [
    (rules("regex", ("(", "/")), "regexRules[0].match"), (rules("regex", (r"(a)\1", "/")), "regexRules[0].match"),
    (rules("regex", ("(?=a)", "/")), "regexRules[0].match"), (rules("regex", ("a{9999}", "/")), "regexRules[0].match"),
    (rules("regex", ("(a)", "/$2")), "regexRules[0].replacement"), (rules("regex", ("a", "/$0")), "replacement"),
    (rules("wildcard", ("/ok", "/x"), ("/*", "/$2")), "wildcardRules[1].replacement"),
    (rules("equal", ("/a", "b")), "equalRules[0].replacement"),
    (rules("equal", ("/a", "/b\r\nx: y")), "equalRules[0].replacement"), (route("/a*b"), "routes[0].path")])
def test_errors_of_rules_name_the_field(one: Route, field: str) -> None:
    with pytest.raises(FcError) as caught:
        routes.check([one])
    assert caught.value.code == "InvalidArgument" and field in caught.value.message
    assert caught.value.message.isprintable()


def test_a_path_given_twice_is_refused_and_good_routes_pass() -> None:
    with pytest.raises(FcError, match=r"routes\[1\].path: '/a' is given twice"):
        routes.check([route("/a"), route("/a", "g")])
    routes.check([route("/"), route("/a*"), rules("regex", ("^/api/.+?/(.*)", "/api/v2/$1"))])


@given(st.text(max_size=20), st.text(max_size=40))
def test_a_wildcard_rule_is_literal_but_for_star_and_caret(match: str, path: str) -> None:
    routes.check([rules("wildcard", (match, "/x"))])
    hit = routes.rewrite(rules("wildcard", (match, "/hit")), "/" + path.replace("?", "")) == "/hit"
    if not set(match) & set("*^\n"):
        assert hit == (match in "/" + path.replace("?", ""))
