"""Shared by all tests."""

from pathlib import Path

# hypothesis' pytest plugin imports it at the end of a run if no test did; on CPython 3.11 that late import can
# fail with "AST constructor recursion depth mismatch", so it is imported here, early.
import hypothesis
import pytest

pytest_plugins = ["fclocal.testing"]

# How long an example takes says more about the machine's other work than about the code.
hypothesis.settings.register_profile("kit", deadline=None)
hypothesis.settings.load_profile("kit")

# Rules without processes, and the state of the repository: what a change breaks most often, in under a minute.
# The job on macOS runs these, so what is particular to macOS is among them.
FAST = ("core", "test_floors.py", "test_parity.py", "test_repo.py", "test_start.py", "notebooks/test_static.py",
        "edge/test_descriptor_limit.py", "runtime/instances/test_orphans.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the fast tests, so that `-m fast` selects them."""
    here = Path(__file__).parent
    for item in items:
        if str(item.path.relative_to(here)).startswith(FAST) and not item.get_closest_marker("nightly"):
            item.add_marker("fast")
