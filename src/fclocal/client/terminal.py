"""What the command line prints: wrapped sentences with a hanging indent, and colour on a terminal.

rich leaves colour out where the output is not a terminal or NO_COLOR is set. Every colour repeats a word.
"""

import os
import sys
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, TextIO

from rich.console import Console
from rich.table import Table
from rich.text import Text

from fclocal.core.records import Record

MAX_WIDTH = 120  # columns; longer lines are hard to read

_KIND_STYLES = {
    "request.rejected": "yellow", "request": "cyan", "instance.failed": "red", "instance": "blue", "fault": "magenta",
    "log": "dim", "tap": "dim", "platform": "bold",
}
_STATUS_STYLES = {
    "DOCUMENTED": "green", "MEASURED": "cyan", "GUESSED": "yellow", "DIFFERENT": "magenta",
}


def console(file: TextIO | None = None) -> Console:
    """Return a console as wide as the terminal, at most `MAX_WIDTH`; 120 columns without a terminal."""
    console = Console(file=file or sys.stdout, highlight=False)
    console.width = min(MAX_WIDTH, console.width) if console.is_terminal or "COLUMNS" in os.environ else MAX_WIDTH
    return console


def table(*columns: str) -> Table:
    """Return a table without lines; a cell that is too wide is wrapped inside its column."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def hanging(head: Text, indent: int, *paragraphs: str, width: int, bold: str = "") -> Text:
    """Return `head`, padded to `indent` columns, and the paragraphs wrapped between words to the right of it.

    A word that is wider than a line, such as a URL, is not broken: a terminal keeps it one link. `bold` is the
    beginning of the first paragraph that is printed bold.
    """
    lines = [line for paragraph in paragraphs for line in textwrap.wrap(
        paragraph, max(width - indent, 20), break_long_words=False, break_on_hyphens=False)]
    text = head.copy()
    text.pad_right(max(indent - head.cell_len, 1))
    for number, line in enumerate(lines):
        if number:
            text.append("\n" + " " * indent)
        elif line.startswith(bold):
            text.append(bold, "bold")
            line = line[len(bold):]
        text.append(line)
    return text


def record_row(record: Record, width: int) -> Text:
    """Return a record of the journal as `fclocal watch` prints it: time, kind, function and instance, facts."""
    style = _KIND_STYLES.get(record.kind) or _KIND_STYLES.get(record.kind.partition(".")[0], "")
    origin = " ".join(part for part in (record.function, record.instance[-8:]) if part)
    facts = " ".join(f"{name}={value}" for name, value in record.data.items() if value not in ("", None))
    head = Text.assemble(clock(record), " ", (f"{record.kind:<19}", style))
    return hanging(head, 33, f"{origin} {facts}".strip(), width=width, bold=origin)


def parity_rows(rows: Iterable[Mapping[str, Any]], width: int) -> Iterator[Text]:
    """Yield the rows of the parity table, each with its status, behaviour, source and note."""
    for row in rows:
        status = row["status"].upper()
        more = [f"{name}: {row[name]}" for name in ("source", "note") if row.get(name)]
        head = Text(status, _STATUS_STYLES.get(status, ""))
        yield hanging(head, 12, row["id"], row["behaviour"], *more, width=width, bold=row["id"])


def metric_rows(metrics: Sequence[Mapping[str, Any]]) -> Table:
    """Return the metrics of a function: name, value, unit, meaning."""
    rows = table("METRIC", "VALUE", "UNIT", "MEANING")
    rows.columns[0].overflow, rows.columns[0].no_wrap = "fold", True
    rows.columns[1].justify = "right"
    for metric in metrics:
        value = "-" if metric["value"] is None else f"{metric['value']:g}"
        rows.add_row(metric["metricName"], value, metric["unit"], metric["description"])
    return rows


def clock(record: Record) -> str:
    """Return the time of a record on this machine's clock: 12:34:56.789."""
    return datetime.fromtimestamp(record.at).strftime("%H:%M:%S.%f")[:12]
