"""The /local API of a real platform: input that it must refuse readably."""

from collections.abc import Iterator

import pytest

from fclocal import FcError, Platform
from fclocal.testing import running_platform


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """One platform for all tests of this module, which change nothing that lasts."""
    with running_platform(tmp_path_factory.mktemp("state")) as fc:
        yield fc


@pytest.mark.parity("api.bounded-input")
@pytest.mark.parametrize(("path", "query"), [
    ("/events", {"after": "9" * 30}), ("/events", {"after": "9" * 5000}), ("/events", {"after": "-1"}),
    ("/events", {"kinds": ",".join(["log"] * 2000)}), ("/bill", {"function": "x", "currency": "EUR"}),
])
def test_a_query_out_of_bounds_is_refused(shared: Platform, path: str, query: dict[str, str]) -> None:
    with pytest.raises(FcError, match="InvalidArgument"):
        list(shared.at.lines(path, query))


@pytest.mark.parity("api.bounded-input")
@pytest.mark.parametrize("body", [[], "text", {"what": "reject", "status": 10**400}, {"what": {"a": 1}},
                                  {"what": "reject", "status": []}, {"what": "kill", "after": 10**400},
                                  {"what": "kill", "times": 10**400}])
def test_a_body_out_of_bounds_is_refused(shared: Platform, body: object) -> None:
    with pytest.raises(FcError, match="InvalidArgument"):
        shared.at.call("POST", "/faults", body=body)
