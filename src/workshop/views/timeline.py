"""The instance timeline: one lane per instance, drawn from journal records.

    timeline(fc.events(), function="echo")     a picture, light and dark, with title, description and tool tips;
                                               printed, it is the same in 76 columns of ASCII

A lane shows the cold start, connections as bars with their close code, pings as ticks,
freezes, faults and, below, what is billed, with T1 to T4 where connections overlap.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from html import escape
from zlib import crc32

from fclocal.core.metering import Span
from fclocal.core.records import Record
from workshop.views.drawing import Picture
from workshop.views.timeline_model import Bar, Lane, Mark, Scene, scene

GUTTER, PAD, TOP = 168, 24, 58
ROW, LANE_ROWS = 20, 240          # height of a connection's row; most that all rows of a lane may take
LINE = 16                         # height of a line of marks
STYLE = """
.{i} .bg{fill:#fff}.{i} .ink{fill:#1b1f24}.{i} .dim{fill:#59636e}.{i} .grid{stroke:#d1d9e0}.{i} .lane{fill:#f6f8fa}
.{i} .conn{fill:#cfe3fb;stroke:#2f6fbf}.{i} .bill{fill:#a85400}.{i} .t{stroke:#a85400}.{i} .frz{fill:#dfe5ec}
.{i} .cold{fill:#ffe9b0;stroke:#9a6700}.{i} .bad{fill:#b4235a}.{i} .ping{stroke:#2f6fbf}
@media(prefers-color-scheme:dark){.{i} .bg{fill:#0d1117}.{i} .ink{fill:#e6edf3}.{i} .dim{fill:#9198a1}
.{i} .grid{stroke:#3d444d}.{i} .lane{fill:#161b22}.{i} .conn{fill:#1c3a60;stroke:#6aa5e8}.{i} .bill{fill:#e39a44}
.{i} .t{stroke:#e39a44}.{i} .frz{fill:#2a313c}.{i} .cold{fill:#4a3a10;stroke:#d4a72c}.{i} .bad{fill:#f0719f}
.{i} .ping{stroke:#8cbcf2}}"""
LEGEND = (("cold", "cold start"), ("conn", "connection, with its close code"), ("frz", "frozen"), ("bill", "billed"),
          ("bad", "cut, refused or fault"))
STEPS = tuple(base * 10 ** power for power in range(-3, 7) for base in (1, 2, 5))

Placed = tuple[Mark, str, float, float, int]    # mark, words, its column, column and line of the words


def timeline(records: Iterable[Record], *, function: str | None = None, now: float | None = None) -> Picture:
    """Return the timeline of journal records as a picture. `function` and `now` as in `svg`."""
    records = list(records)
    return Picture(svg(records, function=function, now=now), text(records, function=function, now=now))


def svg(records: Iterable[Record], *, function: str | None = None, now: float | None = None, width: int = 900) -> str:
    """The timeline as one SVG element.

    `function` picks one function's lanes; `now` (seconds since 1970) is where running requests are drawn to;
    default: the newest record. `width` in pixels; the height follows from the lanes.
    """
    drawn = scene(records, function, now)
    canvas = _Canvas(drawn, width)
    for lane in drawn.lanes:
        canvas.lane(lane)
    canvas.door(drawn.door)
    return canvas.finish()


def text(records: Iterable[Record], *, function: str | None = None, now: float | None = None) -> str:
    """The timeline as plain ASCII, at most 76 columns."""
    return "\n".join(_text(scene(records, function, now))) + "\n"


class _Canvas:
    """Collects the elements of one picture from top to bottom."""

    def __init__(self, drawn: Scene, width: int) -> None:
        self.scene = drawn
        self.width = width
        self.scale = (width - GUTTER - PAD) / (drawn.end - drawn.begin)
        self.y = float(TOP)
        self.parts: list[str] = []

    def x(self, at: float) -> float:
        """The column of a moment, kept inside the picture."""
        return GUTTER + (min(max(at, self.scene.begin), self.scene.end) - self.scene.begin) * self.scale

    def rect(self, kind: str, begin: float, end: float | None, y: float, height: float, tip: str,
             extra: str = "") -> None:
        left, right = self.x(begin), self.x(self.scene.end if end is None else end)
        self.parts.append(f'<rect class="{kind}" x="{left:.1f}" y="{y:.1f}" width="{max(1.0, right - left):.1f}" '
                          f'height="{height:.1f}"{extra}><title>{escape(tip)}</title></rect>')

    def write(self, kind: str, x: float, y: float, words: str, extra: str = "") -> None:
        self.parts.append(f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}"{extra}>{escape(words)}</text>')

    def seconds(self, at: float) -> str:
        return f"{at - self.scene.begin:.3f} s"

    def lane(self, lane: Lane) -> None:
        row = min(ROW, LANE_ROWS / lane.rows)
        top, placed = self.y, self.place(lane.marks)
        height = 8 + row * lane.rows + 38 + LINE * _levels(placed)
        self.parts.append(f'<rect class="lane" x="{GUTTER}" y="{top:.1f}" width="{self.width - GUTTER - PAD}" '
                          f'height="{height:.1f}"/>')
        self.write("ink", 10, top + 20, lane.name, ' font-weight="600"')
        self.write("dim", 10, top + 36, lane.note)
        for begin, end in lane.cold:
            self.rect("cold", begin, end, top + 7, min(row, 16), f"cold start, {_length(begin, end)}", ' rx="3"')
        for begin, end in lane.frozen:
            end = lane.stopped if end is None else end
            self.rect("frz", begin, end, top + 7, row * lane.rows - 3, f"frozen from {self.seconds(begin)}", ' rx="3"')
        labels = [self.bar(bar, top + 7 + row * bar.row, row, self.x(following)) for bar, following in _followed(lane)]
        for begin, end in lane.frozen:
            right = self.x(lane.stopped or self.scene.end if end is None else end)
            left = max([self.x(begin), *(until for until in labels if self.x(begin) < until < right)])
            if right - left > 48 and row >= 14:
                self.write("dim", left + 6, top + 20, "frozen")
        base = top + 18 + row * lane.rows
        self.spans(lane.spans, top, base)
        self.marks(placed, base + 34)
        self.y = top + height + 10

    def bar(self, bar: Bar, y: float, row: float, following: float) -> float:
        """Draw one request; its label in the bar, else behind it if that ends before column `following`, else only as
        tool tip. Returns the column where bar and label end."""
        height = row - 4 if row > 8 else row * 0.8
        tip = (f"{bar.protocol} request {bar.request}: {bar.label}, from {self.seconds(bar.begin)}, "
               f"{_length(bar.begin, bar.end)}")
        self.rect("conn", bar.begin, bar.end, y, height, tip, ' rx="3"' if row > 8 else "")
        left, right = self.x(bar.begin), self.x(self.scene.end if bar.end is None else bar.end)
        if bar.broken:
            self.parts.append(f'<rect class="bad" x="{right - 3:.1f}" y="{y:.1f}" width="4" height="{height:.1f}"/>')
        for at, name in bar.pings:
            x = self.x(at)
            self.parts.append(f'<line class="ping" x1="{x:.1f}" x2="{x:.1f}" y1="{y + height * .4:.1f}" '
                              f'y2="{y + height:.1f}"><title>{name} at {self.seconds(at)}</title></line>')
        if row >= 14:
            room = 7 * len(bar.label) + 10
            inside = right - left > room
            if inside or following - right > room:
                self.write("ink", left + 5 if inside else right + 5, y + 12, bar.label, ' font-size="11"')
                return right if inside else right + room
        return right

    def spans(self, spans: list[Span], top: float, base: float) -> None:
        """The billed stretches under the bars, and T1, T2 ... where at most three requests share one."""
        written = 0.0
        for span in spans:
            billed = f"billed {span.ms / 1000:.3f} s" + " so far" * span.running
            self.rect("bill", span.begin, span.end, base, 6, f"{billed}, requests: {span.requests}")
            left, right = self.x(span.begin), self.x(span.end)
            words = f"{billed}: first in to last out" if span.requests > 1 and right - left > 190 else billed
            start = min(left, self.width - 6.2 * len(words))     # at the right edge it ends there
            if start > written:
                self.write("dim", start, base + 20, words, ' font-size="11"')
                written = start + 6.2 * len(words)
        for name, at, column in _named_moments(self.scene, spans, self.x):
            self.parts.append(f'<line class="t" x1="{self.x(at):.1f}" x2="{self.x(at):.1f}" y1="{top + 3:.1f}" '
                              f'y2="{base + 6:.1f}" stroke-dasharray="2 2"/>')
            self.write("bill", column + 2, base - 1, name, ' font-size="11" font-weight="700"')

    def place(self, marks: list[Mark]) -> list[Placed]:
        """Where each mark and its words go: words that would run into others move a line down."""
        written: list[float] = []
        placed = []
        for mark, many in _grouped(marks, 4 / self.scale):
            words = mark.text + (f" x {many}" if many > 1 else "") + ", not billed" * (mark.what == "rejected")
            x, room = self.x(mark.at), 6.3 * len(words)
            start = x + 10 if x + 10 + room < self.width else x - 10 - room
            level = next((number for number, until in enumerate(written) if until < min(start, x - 6)), len(written))
            written[level:level + 1] = [max(start + room, x + 8)]
            placed.append((mark, words, x, start, level))
        return placed

    def marks(self, placed: list[Placed], y: float) -> None:
        for mark, words, x, start, level in placed:
            row = y + LINE * level
            self.parts.append(f'<path class="bad" d="M{x:.1f} {row - 6:.1f}l6 6-6 6-6-6z">'
                              f"<title>{escape(words)} at {self.seconds(mark.at)}</title></path>")
            self.write("ink", start, row + 4, words, ' font-size="11"')

    def door(self, marks: list[Mark]) -> None:
        if marks:
            placed = self.place(marks)
            self.write("ink", 10, self.y + 18, "at the gateway", ' font-weight="600"')
            self.marks(placed, self.y + 14)
            self.y += 14 + LINE * _levels(placed)

    def finish(self) -> str:
        drawn, height = self.scene, self.y + 34
        grid = []
        for at, name in _ticks(drawn):
            x = self.x(at)
            grid.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP - 8}" y2="{self.y:.1f}"/>'
                        f'<text class="dim" x="{x:.1f}" y="{TOP - 14}" text-anchor="middle">'
                        f"{name} s</text>")
        x, legend = 10.0, []
        for kind, words in LEGEND:
            legend.append(f'<rect class="{kind}" x="{x:.0f}" y="{self.y + 10:.1f}" width="16" height="11"/>'
                          f'<text class="ink" x="{x + 22:.0f}" y="{self.y + 20:.1f}">{words}</text>')
            x += 46 + 6.4 * len(words)
        ident = f"timeline-{crc32(chr(10).join(self.parts).encode()):08x}"
        heading = f"{drawn.function}, {drawn.end - drawn.begin:.1f} s from {_clock(drawn.begin)} UTC"
        # JupyterLab shows it as an <img>: only a relative width fits a narrow column.
        return (f'<svg xmlns="http://www.w3.org/2000/svg" class="{ident}" viewBox="0 0 {self.width} {height:.0f}" '
                f'width="100%" style="max-width:{self.width}px" '
                f'role="img" aria-labelledby="{ident}-t {ident}-d" '
                f'font-family="system-ui, sans-serif" font-size="12">\n'
                f'<title id="{ident}-t">Instance timeline of {escape(heading)}</title>\n'
                f'<desc id="{ident}-d">{escape(drawn.summary())}</desc>\n<style>{STYLE.replace("{i}", ident)}</style>\n'
                f'<rect class="bg" width="{self.width}" height="{height:.0f}"/>'
                f'<text class="ink" x="10" y="20" font-weight="700" font-size="13">{escape(heading)}</text>\n'
                + "\n".join((*_below(self.parts, grid), *legend)) + "\n</svg>")


def _below(parts: list[str], grid: list[str]) -> Iterator[str]:
    """The lanes' backgrounds, the grid on them, then everything else."""
    yield from (part for part in parts if 'class="lane"' in part)
    yield from grid
    yield from (part for part in parts if 'class="lane"' not in part)


def _followed(lane: Lane) -> list[tuple[Bar, float]]:
    """Each bar with the moment when the next one of its row begins."""
    begins: dict[int, float] = {}
    found = []
    for bar in reversed(lane.bars):
        found.append((bar, begins.get(bar.row, math.inf)))
        begins[bar.row] = bar.begin
    return found[::-1]


def _levels(placed: list[Placed]) -> int:
    return 1 + max((level for *_, level in placed), default=-1)


def _clock(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%H:%M:%S")


def _length(begin: float, end: float | None) -> str:
    return "not over yet" if end is None else f"{end - begin:.3f} s"


def _ticks(drawn: Scene) -> list[tuple[float, str]]:
    """Round moments and how many seconds after the beginning they are, ten or so."""
    length = drawn.end - drawn.begin
    step = next((step for step in STEPS if length / step <= 10), STEPS[-1])
    return [(drawn.begin + number * step, f"{number * step:.6g}") for number in range(int(length / step) + 1)]


def _named_moments(drawn: Scene, spans: list[Span],
                   x: Callable[[float], float]) -> Iterator[tuple[str, float, float]]:
    """(T1.., moment, column of its name) for spans in which two or three requests overlap."""
    lane = {span.instance for span in spans}
    bars = [bar for one in drawn.lanes if one.instance in lane for bar in one.bars]
    for span in spans:
        if not 2 <= span.requests <= 3:
            continue
        inside = [bar for bar in bars if bar.begin >= span.begin - 1e-6 and bar.begin <= span.end]
        moments = sorted([bar.begin for bar in inside] + [bar.end for bar in inside if bar.end is not None])
        column = 0.0
        for number, at in enumerate(moments, 1):
            column = max(x(at), column + 17)
            yield f"T{number}", at, column


def _grouped(marks: list[Mark], near: float) -> Iterator[tuple[Mark, int]]:
    """Marks with the same words that lie on top of each other, as one with its number."""
    first, many, last = None, 0, 0.0
    for mark in marks:
        if first is not None and mark.text == first.text and mark.at - last <= near:
            many, last = many + 1, mark.at
            continue
        if first is not None:
            yield first, many
        first, many, last = mark, 1, mark.at
    if first is not None:
        yield first, many


# The same in ASCII: 19 columns of words, 57 of time.
WORDS, COLUMNS, SHOWN = 19, 57, 12


def _text(drawn: Scene) -> Iterator[str]:
    length = drawn.end - drawn.begin
    yield f"TIMELINE  {drawn.function}, {length:.1f} s from {_clock(drawn.begin)} UTC"[:76]
    if not drawn.lanes and not drawn.door:
        yield "Nothing has happened yet."
        return

    def column(at: float) -> int:
        return min(COLUMNS - 1, max(0, int((at - drawn.begin) / length * COLUMNS)))

    def strip(*stretches: tuple[float, float | None, str], points: Iterable[tuple[float, str]] = ()) -> str:
        cells = [" "] * COLUMNS
        for begin, end, sign in stretches:
            for number in range(column(begin), column(drawn.end if end is None else end) + 1):
                cells[number] = sign
        for at, sign in points:
            cells[column(at)] = sign
        return "".join(cells)

    ruler = [" "] * (COLUMNS + 8)
    last = -2
    for at, words in _ticks(drawn):
        name, start = f"{words}s", column(at)
        if start > last + 1 and start + len(name) <= COLUMNS:
            ruler[start:start + len(name)] = name
            last = start + len(name)
    yield f"{'':<{WORDS}}{''.join(ruler).rstrip()}"
    for lane in drawn.lanes:
        yield f"{lane.name}  {lane.note}"[:76]
        if lane.cold:
            yield _row("  cold start", strip(*((*cold, "~") for cold in lane.cold)))
        for bar in lane.bars[:SHOWN]:
            points = sorted(((at, "i" if name.startswith("ping") else "o") for at, name in bar.pings),
                            key=lambda point: point[1], reverse=True)    # a ping covers its pong
            if bar.end is not None:
                points.append((bar.end, "x" if bar.broken else "]"))
            yield _row(f"  {bar.label}", strip((bar.begin, bar.end, "="), points=[(bar.begin, "["), *points]))
        if rest := Counter(bar.label for bar in lane.bars[SHOWN:]):
            listed = ", ".join(f"{label} x {count}" for label, count in rest.most_common())
            yield f"  and {rest.total()} more: {listed}"[:76]
        if lane.frozen:
            frozen = ((begin, lane.stopped if end is None else end, ".") for begin, end in lane.frozen)
            yield _row("  frozen", strip(*frozen))
        yield _row(f"  billed {lane.billed:.3f} s", strip(*((span.begin, span.end, "$") for span in lane.spans)))
        for mark in lane.marks:
            yield _row("  " + mark.text, strip(points=[(mark.at, "!")]))
    if drawn.door:
        yield _row("at the gateway", strip(points=[(mark.at, "!") for mark in drawn.door]))
        for what, count in Counter((mark.text, mark.what) for mark in drawn.door).items():
            yield f"  {count} x {what[0]}" + ", not billed" * (what[1] == "rejected")
    yield "~ cold start  [==] connection  x cut  i ping  o pong  . frozen  $ billed"


def _row(words: str, cells: str) -> str:
    return f"{words[:WORDS - 1]:<{WORDS}}{cells}".rstrip()
