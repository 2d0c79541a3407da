"""Custom domains: which route a path takes."""

from collections.abc import Sequence

from fclocal.core.errors import invalid
from fclocal.core.model import Route


def find(routes: Sequence[Route], path: str) -> Route | None:
    """Return the route for `path` (as sent, not decoded): the exact one, else the longest prefix (a path with *)."""
    best: Route | None = None
    for route in routes:
        if route.path == path:
            return route
        if route.path.endswith("*") and path.startswith(route.path[:-1]) and (
                best is None or len(route.path) > len(best.path)):
            best = route
    return best


def check(routes: Sequence[Route]) -> None:
    """Raise FcError InvalidArgument, naming the field, for routes that cannot work."""
    seen: set[str] = set()
    for number, route in enumerate(routes):
        field = f"routeConfig.routes[{number}].path"
        if route.path in seen:
            raise invalid(field, f"'{route.path}' is given twice")
        if "*" in route.path[:-1]:
            raise invalid(field, "* is allowed at the end only")
        seen.add(route.path)
