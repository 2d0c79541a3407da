"""parity(): what the real service does where a lesson touches a difference."""

import textwrap
import tomllib
from importlib import resources

from workshop.checking.verdict import WIDTH
from workshop.course.catalog import find_lesson


def parity(number: int) -> None:
    """Print the rows of the parity table that a lesson touches: what the real service does, and how sure that is."""
    table = tomllib.loads(resources.files("fclocal").joinpath("parity.toml").read_text("utf-8"))
    rows = {row["id"]: row for row in table.get("row", [])}
    print("On the real platform (documented, measured, guessed, or different here):")
    for name in find_lesson(number).parity:
        row = rows[name]
        note = f" {row['note']}" if row.get("note") else ""
        print(textwrap.fill(f"{row['status']:<10} {row['behaviour']}{note}", WIDTH, subsequent_indent=" " * 11,
                            break_on_hyphens=False))
