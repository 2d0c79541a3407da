"""The instance timeline: one lane per instance, drawn from journal records.

    timeline(fc.events(), function="echo")     a picture, light and dark, with title, description and tool tips;
                                               printed, it is the same in 76 columns of ASCII

A lane shows the cold start, connections as bars with their close code, pings as ticks,
freezes, faults and, below, what is billed, with T1 to T4 where connections overlap.
"""

import math
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

from fclocal.core.records import Record
from fclocal.core.usage import Span
from workshop.views.drawing import Drawing, Picture, text_width
from workshop.views.plain_text import WIDTH
from workshop.views.time_axis import TimeAxis, duration
from workshop.views.timeline_model import Bar, Lane, Mark, Scene, scene

GUTTER, PAD, TOP, FOLD = 168, 24, 62, 56
ROW, LANE_ROWS = 20, 240          # height of a connection's row; most that all rows of a lane may take
LINE = 16                         # height of a line of marks
LEGEND = (("ping-soft", "cold start"), ("data-soft", "connection, with its close code"), ("ping", "ping"),
          ("frozen", "frozen"), ("bill", "billed"), ("bad", "cut, rejected or fault"))

Placed = tuple[Mark, str, float, float, int]    # mark, words, its column, column and line of the words


def timeline(records: Iterable[Record], *, function: str | None = None, now: float | None = None,
             last: float | None = None) -> Picture:
    """Return the timeline of journal records as a picture.

    `function` picks one function's lanes; `now` (seconds since 1970) is where running requests are drawn to;
    default: the newest record. `last`: show only the last so many seconds.
    """
    shown = scene(records, function, now)
    shown = shown if last is None else shown.last(last)
    return Picture(svg(shown), text(shown))


def svg(shown: Scene, width: int = 900) -> str:
    """Draw the scene; the height follows from the lanes."""
    canvas = _Canvas(shown, width)
    for lane in shown.lanes:
        canvas.lane(lane)
    canvas.at_gateway(shown.at_gateway)
    return canvas.finish()


class _Canvas:
    """Draws one timeline from top to bottom."""

    def __init__(self, shown: Scene, width: int) -> None:
        self.scene, self.width = shown, width
        self.axis = TimeAxis(shown.begin, shown.end, shown.busy(), GUTTER, width - PAD, FOLD)
        self.x = self.axis.position
        self.y = float(TOP)
        heading = _heading(shown)
        self.lanes = Drawing(width, 0, f"Instance timeline of {heading}", shown.summary())
        self.lanes.text(10, 20, heading, size=13, bold=True)
        self.front = Drawing(width, 0, "")
        self.used = {"data-soft"}

    def rect(self, colour: str, begin: float, end: float | None, y: float, height: float, tip: str, *,
             edge: str = "", radius: float = 3) -> None:
        left, right = self.x(begin), self.x(self.scene.end if end is None else end)
        self.used.add(colour)
        self.front.rect(left, y, right - left, height, colour, edge=edge, radius=radius, tip=tip)

    def seconds(self, at: float) -> str:
        return f"{at - self.scene.begin:.3f} s"

    def lane(self, lane: Lane) -> None:
        row = min(ROW, LANE_ROWS / lane.rows)
        top, placed = self.y, self.place(lane.marks)
        height = 8 + row * lane.rows + 38 + LINE * _levels(placed)
        self.lanes.rect(GUTTER, top, self.width - GUTTER - PAD, height, "lane")
        self.front.text(10, top + 20, lane.name, bold=True)
        self.front.text(10, top + 36, lane.note, "dim")
        for begin, end in lane.cold:
            self.rect("ping-soft", begin, end, top + 7, min(row, 16), f"cold start, {_length(begin, end)}", edge="ping")
        for begin, end in lane.frozen:
            end = lane.stopped if end is None else end
            self.rect("frozen", begin, end, top + 7, row * lane.rows - 3, f"frozen from {self.seconds(begin)}")
        labels = [self.bar(bar, top + 7 + row * bar.row, row, self.x(following)) for bar, following in _followed(lane)]
        for begin, end in lane.frozen:
            right = self.x(lane.stopped or self.scene.end if end is None else end)
            left = max([self.x(begin), *(until for until in labels if self.x(begin) < until < right)])
            if right - left > 48 and row >= 14:
                self.front.text(left + 6, top + 20, "frozen", "dim")
        base = top + 18 + row * lane.rows
        self.spans(lane, top, base)
        self.marks(placed, base + 34)
        self.y = top + height + 10

    def bar(self, bar: Bar, y: float, row: float, following: float) -> float:
        """Draw one request; its label in the bar, else behind it if that ends before column `following`, else only as
        tool tip. Returns the column where bar and label end."""
        height = row - 4 if row > 8 else row * 0.8
        tip = (f"{bar.protocol} request {bar.request}: {bar.label}, from {self.seconds(bar.begin)}, "
               f"{_length(bar.begin, bar.end)}")
        self.rect("data-soft", bar.begin, bar.end, y, height, tip, edge="data", radius=3 if row > 8 else 0)
        left, right = self.x(bar.begin), self.x(self.scene.end if bar.end is None else bar.end)
        if bar.broken:
            self.used.add("bad")
            self.front.rect(right - 3, y, 4, height, "bad")
        for at, name in bar.pings:
            if at >= self.scene.begin:
                self.used.add("ping")
                self.front.line(self.x(at), y + height * .8, self.x(at), y + height, "ping", width=2,
                                tip=f"{name} at {self.seconds(at)}")
        if row >= 14:
            room = text_width(bar.label, 11) + 10
            inside = right - left > room
            if inside or following - right > room:
                self.front.text(left + 5 if inside else right + 5, y + 12, bar.label, size=11)
                return right if inside else right + room
        return right

    def spans(self, lane: Lane, top: float, base: float) -> None:
        """Draw the billed stretches under the bars, and T1, T2 ... where two or three requests share one."""
        written: list[tuple[float, float]] = []
        for span in sorted(lane.spans, key=lambda span: -span.ms):     # the longest get their words first
            billed = f"billed {span.ms / 1000:.3f} s" + " so far" * span.running
            self.rect("bill", span.begin, span.end, base, 6, f"{billed}, requests: {span.requests}", radius=0)
            left, right = self.x(span.begin), self.x(span.end)
            words = f"{billed}: first in to last out" if span.requests > 1 and right - left > 190 else billed
            start = min(left, self.width - 6 - text_width(words, 11))     # at the right edge it ends there
            end = start + text_width(words, 11) + 6
            if all(start > until or end < since for since, until in written):
                self.front.text(start, base + 20, words, "dim", size=11)
                written.append((start, end))
            free = 0.0
            for number, at in enumerate(_moments(lane, span), 1):
                x = self.x(at)
                place = min(max(x, free), self.width - PAD - 18)       # beside the name before it, not on top
                if at < self.scene.begin or not free <= place <= x + 21:
                    continue                                          # no room: the line would be without its name
                free = place + 19
                self.front.line(x, top + 3, x, base + 6, "bill", dash="2 2", tip=f"T{number} at {self.seconds(at)}")
                self.front.text(place + 2, base - 1, f"T{number}", "bill", size=11, bold=True,
                                halo=True)

    def place(self, marks: list[Mark]) -> list[Placed]:
        """Return where each mark and its words go: words that would run into others move a line down."""
        written: list[float] = []
        placed = []
        for mark, many in _grouped(marks, 4 / self.axis.scale):
            words = mark.text + (f" x {many}" if many > 1 else "") + ", not billed" * (mark.what == "rejected")
            x, room = self.x(mark.at), text_width(words, 11)
            start = x + 10 if x + 10 + room < self.width else x - 10 - room
            level = next((number for number, until in enumerate(written) if until < min(start, x - 6)), len(written))
            written[level:level + 1] = [max(start + room, x + 8)]
            placed.append((mark, words, x, start, level))
        return placed

    def marks(self, placed: list[Placed], y: float) -> None:
        for mark, words, x, start, level in placed:
            row, tip = y + LINE * level, f"{words} at {self.seconds(mark.at)}"
            if mark.what == "stopped":
                self.front.rect(x - 4, row - 4, 8, 8, "dim", tip=tip)
            else:
                self.used.add("bad")
                self.front.path(f"M{x:.1f} {row - 6:.1f}l6 6-6 6-6-6z", fill="bad", tip=tip)
            self.front.text(start, row + 4, words, size=11)

    def at_gateway(self, marks: list[Mark]) -> None:
        if marks:
            placed = self.place(marks)
            self.front.text(10, self.y + 18, "at the gateway", bold=True)
            self.marks(placed, self.y + 14)
            self.y += 14 + LINE * _levels(placed)

    def finish(self) -> str:
        for at, name in self.axis.ticks(64):
            self.lanes.line(self.x(at), TOP - 8, self.x(at), self.y, "grid")
            self.lanes.text(self.x(at), TOP - 14, name, "dim", anchor="middle")
        for fold in self.axis.folds:
            idle = duration(fold.end - fold.begin)
            self.lanes.rect(fold.left, TOP - 8, fold.right - fold.left, self.y - TOP + 8, "paper",
                            tip=f"{idle} without a request are folded")
            self.lanes.text((fold.left + fold.right) / 2, TOP - 28, idle, "dim", size=10, anchor="middle")
            self.lanes.text((fold.left + fold.right) / 2, TOP - 14, "⋯", "dim", anchor="middle")
        self.lanes.height = self.y + 34
        self.lanes.add(self.front)
        if not self.scene.lanes and not self.scene.at_gateway:
            self.lanes.text(10, TOP - 6, "Nothing has happened yet.", "dim")
        self.lanes.legend(self.y + 20, *(entry for entry in LEGEND if entry[0] in self.used))
        return self.lanes.svg()


def _heading(shown: Scene) -> str:
    return f"{shown.function}, {shown.end - shown.begin:.1f} s from {_clock(shown.begin)} UTC"


def _followed(lane: Lane) -> list[tuple[Bar, float]]:
    """Return each bar with the moment when the next one of its row begins."""
    begins: dict[int, float] = {}
    pairs = []
    for bar in reversed(lane.bars):
        pairs.append((bar, begins.get(bar.row, math.inf)))
        begins[bar.row] = bar.begin
    return pairs[::-1]


def _levels(placed: list[Placed]) -> int:
    return 1 + max((level for *_, level in placed), default=-1)


def _clock(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%H:%M:%S")


def _length(begin: float, end: float | None) -> str:
    return "not over yet" if end is None else f"{end - begin:.3f} s"


def _moments(lane: Lane, span: Span) -> list[float]:
    """Return when requests begin and end in a billed span that two or three requests share: T1, T2, ..."""
    if not 2 <= span.requests <= 3:
        return []
    inside = [bar for bar in lane.bars if span.begin - 1e-6 <= bar.begin <= span.end]
    return sorted([bar.begin for bar in inside] + [bar.end for bar in inside if bar.end is not None])


def _grouped(marks: list[Mark], near: float) -> Iterator[tuple[Mark, int]]:
    """Yield marks with the same words that lie on top of each other as one, with their number."""
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


def text(shown: Scene) -> str:
    """Write the scene as plain ASCII, at most 76 columns."""
    return "\n".join(_lines(shown)) + "\n"


def _lines(drawn: Scene) -> Iterator[str]:
    axis = TimeAxis(drawn.begin, drawn.end, drawn.busy(), 0, COLUMNS, 3)
    yield f"TIMELINE  {_heading(drawn)}"[:WIDTH]
    if not drawn.lanes and not drawn.at_gateway:
        yield "Nothing has happened yet."
        return

    def column(at: float) -> int:
        return min(COLUMNS - 1, max(0, int(axis.position(at))))

    def strip(*stretches: tuple[float, float | None, str], points: Iterable[tuple[float, str]] = ()) -> str:
        cells = [" "] * COLUMNS
        for begin, end, sign in stretches:
            for number in range(column(begin), column(drawn.end if end is None else end) + 1):
                cells[number] = sign
        for at, sign in points:
            cells[column(at)] = sign
        return "".join(cells)

    ruler = [" "] * (COLUMNS + 8)
    for at, name in axis.ticks(7):
        if column(at) + len(name) <= COLUMNS:
            ruler[column(at):column(at) + len(name)] = name
    for fold in axis.folds:
        ruler[int(fold.left):int(fold.left) + 2] = "//"
    yield f"{'':<{WORDS}}{''.join(ruler).rstrip()}"
    for lane in drawn.lanes:
        yield f"{lane.name}  {lane.note}"[:WIDTH]
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
            yield f"  and {rest.total()} more: {listed}"[:WIDTH]
        if lane.frozen:
            frozen = ((begin, lane.stopped if end is None else end, ".") for begin, end in lane.frozen)
            yield _row("  frozen", strip(*frozen))
        yield _row(f"  billed {lane.billed:.3f} s", strip(*((span.begin, span.end, "$") for span in lane.spans)))
        for mark in lane.marks:
            yield _row("  " + mark.text, strip(points=[(mark.at, "!")]))
    if drawn.at_gateway:
        yield _row("at the gateway", strip(points=[(mark.at, "!") for mark in drawn.at_gateway]))
        for what, count in Counter((mark.text, mark.what) for mark in drawn.at_gateway).items():
            yield f"  {count} x {what[0]}" + ", not billed" * (what[1] == "rejected")
    if axis.folds:
        idle = ", ".join(duration(fold.end - fold.begin) for fold in axis.folds)
        yield f"// idle and folded: {idle}"[:WIDTH]
    yield "~ cold start  [==] connection  x cut  i ping  o pong  . frozen  $ billed"


def _row(words: str, cells: str) -> str:
    return f"{words[:WORDS - 1]:<{WORDS}}{cells}".rstrip()
