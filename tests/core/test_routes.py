"""Routes of custom domains."""

import pytest

from fclocal.core import routes
from fclocal.core.errors import FcError
from fclocal.core.model import Route


def route(path: str, function: str = "f") -> Route:
    return Route(path=path, function_name=function)


@pytest.mark.parity("domain.route-order")
def test_the_exact_path_wins_then_the_longest_prefix() -> None:
    known = [route("/*", "all"), route("/api/*", "api"), route("/api/v1*", "v1"), route("/api/v1", "exact")]
    for order in (known, known[::-1]):
        for path, function in (("/", "all"), ("/api", "all"), ("/api/", "api"), ("/api/x", "api"), ("/api/v1", "exact"),
                               ("/api/v1/x", "v1"), ("/api/v12", "v1"), ("/API/x", "all")):
            matched = routes.find(order, path)
            assert matched and matched.function_name == function, path
    assert routes.find([route("/a")], "/a/") is None


def test_routes_that_cannot_work_are_refused_and_good_ones_pass() -> None:
    with pytest.raises(FcError, match=r"routeConfig.routes\[1\].path: '/a' is given twice"):
        routes.check([route("/a"), route("/a", "g")])
    with pytest.raises(FcError, match=r"routeConfig.routes\[0\].path: \* is allowed at the end only"):
        routes.check([route("/a*b")])
    routes.check([route("/"), route("/a"), route("/a*"), route("/a/*")])
