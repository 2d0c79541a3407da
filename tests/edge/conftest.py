"""Shared by the tests of the edge."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from management import Management, management


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Management]:
    """A management API with a state directory of its own."""
    with management(tmp_path) as running:
        yield running
