"""Every behaviour of fclocal has a row that says how sure we are of it, and a test that proves it."""

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

TESTS = Path(__file__).parent
TABLE = TESTS.parent / "src" / "fclocal" / "parity.toml"
STATUSES = {"documented", "measured", "guessed", "different"}

ROWS: list[dict[str, Any]] = tomllib.loads(TABLE.read_text("utf-8"))["row"]


def marks() -> Iterator[tuple[str, str]]:
    """(row id, where) for each `pytest.mark.parity(...)` in the tests, found without importing them."""
    for path in sorted(TESTS.rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.mark.parity":
                where = f"{path.relative_to(TESTS)}:{node.lineno}"
                assert node.args and not node.keywords, f"{where}: name at least one row"
                for arg in node.args:
                    assert isinstance(arg, ast.Constant) and isinstance(arg.value, str), f"{where}: write the id out"
                    yield arg.value, where


def check(row: dict[str, Any]) -> None:
    """Raise AssertionError for a row that is not complete, or whose source is not of the kind its status needs."""
    assert set(row) <= {"id", "behaviour", "status", "source", "note"}, row
    assert re.fullmatch(r"[a-z0-9]+\.[a-z0-9-]+", row["id"]), row["id"]
    assert row["status"] in STATUSES, row["id"]
    assert len(row["behaviour"]) >= 20 and row["behaviour"].endswith("."), row["id"]
    assert row["source"], f"{row['id']}: say where this is from"
    if row["status"] in ("documented", "different"):
        assert is_page(row["source"]), f"{row['id']}: name the URL of the page that says it"
    if row["status"] == "different":
        assert row.get("note"), f"{row['id']}: say how the real service differs, and why"


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["id"])
def test_every_row_is_complete(row: dict[str, Any]) -> None:
    check(row)


GOOD = {"id": "gateway.example", "behaviour": "An example of a behaviour.", "status": "documented",
        "source": "https://help.aliyun.com/document_detail/440324.html"}


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"source": "The page on health checks says so."}, "name the URL"),
        ({"source": ""}, "where this is from"),
        ({"source": "https://help.aliyun.com/zh/functioncompute"}, "name the URL"),
        ({"status": "different", "source": "A guess."}, "name the URL"),
        ({"status": "different"}, "how the real service differs"),
        ({"status": "certain"}, "gateway.example"),
        ({"behaviour": "It works."}, "gateway.example"),
    ],
)
def test_a_row_whose_source_is_not_what_its_status_needs_is_refused(change: dict[str, str], problem: str) -> None:
    check(GOOD)
    with pytest.raises(AssertionError, match=problem):
        check(GOOD | change)


def is_page(source: str) -> bool:
    """Return whether `source` is nothing but the URL of one page: the root of a site or of a product is none."""
    path = re.fullmatch(r"https://[^/\s]+(/\S*)", source)
    names = path[1].partition("#")[0].strip("/").split("/") if path else [""]
    return names[-1] not in ("", "help", "zh", "en", "fc", "functioncompute", "function-compute", "latest")


@pytest.mark.parametrize(
    ("source", "page"),
    [
        ("https://www.alibabacloud.com/help/en/functioncompute/", False),
        ("https://help.aliyun.com/zh/functioncompute (page Pay-as-you-go, 2025-12-13)", False),
        ("https://help.aliyun.com", False),
        ("The page on health checks says so.", False),
        ("https://www.alibabacloud.com/help/en/functioncompute/error-codes", True),
        ("https://help.aliyun.com/document_detail/440324.html", True),
    ],
)
def test_the_root_of_a_site_is_not_a_page(source: str, page: bool) -> None:
    assert is_page(source) is page


def test_no_two_rows_share_an_id() -> None:
    ids = [row["id"] for row in ROWS]
    assert sorted(set(ids)) == sorted(ids)


def test_every_row_has_a_test() -> None:
    missing = {row["id"] for row in ROWS} - {row for row, _ in marks()}
    assert not missing, f"rows that no test proves: {sorted(missing)}"


def test_every_test_names_rows_that_exist() -> None:
    known = {row["id"] for row in ROWS}
    unknown = [f"{where}: {row}" for row, where in marks() if row not in known]
    assert not unknown, "\n".join(unknown)
