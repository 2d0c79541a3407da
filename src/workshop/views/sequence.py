"""sequence(): a diagram of what just happened between clients, NAT, gateway, instances and Redis.

    with sequence(fc, app) as picture:
        async with connect(to_wss(app.url)) as ws:
            await ws.send("hello")
            await ws.recv()
    picture                # a notebook shows the diagram; print(picture) gives the text

The gateway records it, so it works for every client, a browser included.
"""

import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, suppress
from types import TracebackType
from typing import Any, Self

from fclocal import App, Platform, Record
from fclocal.core.errors import FcError
from workshop.labs.nat import Nat
from workshop.labs.redis_monitor import RedisMonitor
from workshop.views.drawing import Drawing, Picture, fit, text_width
from workshop.views.plain_text import cut, to_ascii
from workshop.views.sequence_model import Arrow, Diagram, Note, diagram

WIDTH, LEFT, RIGHT, TOP, ROW, NOTE_ROW = 1000, 120, 90, 48, 34, 26
SHOWN = 60  # rows; of a longer sequence the beginning and the end are drawn
LEGEND = {"http": "request and response", "data": "message", "ping": "ping, pong", "redis": "Redis",
          "bad": "rejected, cut, or closed with an error"}
SETTLE = 0.5  # seconds to wait for the end of connections that the block has just closed


def sequence(fc: Platform, app: App | str, *, clients: Sequence[str] = (), nat: Nat | None = None,
             redis: bool = False) -> "Recording":
    """Record what happens to a function from now on, until the `with` block or stop() ends it.

    `clients`: names in the order in which they connect, for example ["Ana", "Bo", "Ana"] if Ana connects again.
    `nat`: the NAT that clients connect through. `redis`: also record what the instances publish and read.
    """
    return Recording(fc, app if isinstance(app, str) else app.name, clients, nat, redis)


class Recording:
    """A sequence that is being recorded. Shown or printed, it is everything that happened until now."""

    def __init__(self, fc: Platform, function: str, clients: Sequence[str], nat: Nat | None, redis: bool) -> None:
        self.function, self.clients = function, clients
        self._fc, self._nat = fc, nat
        self._redis = RedisMonitor(fc, function) if redis else None
        self._nat_from = len(nat.events) if nat else 0
        self._tap: AbstractContextManager[Any] | None = fc.tap(function)
        self._after = self._tap.__enter__().after
        self._records: list[Record] = []

    def stop(self) -> None:
        """End the recording; what was recorded stays."""
        if self._tap:
            until = time.monotonic() + SETTLE
            while _open(self._read()) and time.monotonic() < until:
                time.sleep(0.02)
            tap, self._tap = self._tap, None
            tap.__exit__(None, None, None)
            if self._redis:
                self._redis.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.stop()

    def _read(self) -> list[Record]:
        if self._tap:
            with suppress(FcError):  # the platform has ended: what was read before is shown
                self._records = list(self._fc.events(self._after, function=self.function))
        return self._records

    def picture(self) -> Picture:
        """Return what happened until now as a picture."""
        happened = diagram(
            self._read(), self.function, clients=self.clients,
            nat=self._nat.events[self._nat_from:] if self._nat else (),
            redis=self._redis.commands if self._redis else ())
        return Picture(svg(happened), text(happened))

    def __str__(self) -> str:
        return self.picture().text

    __repr__ = __str__

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, str]:
        return self.picture()._repr_mimebundle_(**kwargs)


def _open(records: list[Record]) -> bool:
    """Return whether a request that began in the recording has not ended."""
    kinds = [record.kind for record in records]
    return kinds.count("request.begin") > kinds.count("request.end")


def svg(happened: Diagram) -> str:
    """Draw the diagram."""
    rows, left_out = _shown(happened)
    heights = [ROW if isinstance(row, Arrow) else NOTE_ROW for row in rows]
    ys = [TOP + 10 + sum(heights[: number + 1]) for number in range(len(rows))]
    bottom = (ys[-1] if ys else TOP) + 22
    kinds = dict.fromkeys(row.kind for row in rows if isinstance(row, Arrow))
    picture = Drawing(WIDTH, bottom + 62, f"Sequence of what happened to {happened.function}", _summary(happened))
    step = (WIDTH - LEFT - RIGHT) / max(1, len(happened.lanes) - 1)
    columns = {lane: LEFT + step * number for number, lane in enumerate(happened.lanes)}
    for lane, (title, subtitle) in happened.lanes.items():
        x, room = columns[lane], min(step - 8, 140)
        picture.line(x, 40, x, bottom, "grid", dash="3 4")
        picture.rect(x - room / 2, 12, room, 28, "lane", edge="edge", radius=6)
        picture.text(x, 31, fit(title, room - 8, 13), size=13, anchor="middle", bold=True)
        if subtitle:
            picture.text(x, TOP + 8, subtitle, "dim", size=11, anchor="middle")
    _draw_lives(picture, happened, rows, ys, columns, bottom)
    written = None
    for number, (row, y) in enumerate(zip(rows, ys, strict=True)):
        if left_out and number == SHOWN // 2:
            picture.text(WIDTH / 2, y - 20, f"{left_out} rows are not drawn", "dim", size=11, anchor="middle")
        if (words := _time(row.at - happened.begin)) != written:
            picture.text(8, y + 4, words, "dim", size=11)
            written = words
        if isinstance(row, Arrow):
            _draw_arrow(picture, row, y, columns, bottom + 24, happened)
        else:
            _draw_note(picture, row, y, columns[row.lane])
    picture.text(8, bottom + 24, "" if rows else "Nothing has happened yet.", "dim")
    picture.legend(bottom + 50, *((kind, LEGEND[kind]) for kind in LEGEND if kind in kinds))
    return picture.svg()


def _shown(happened: Diagram) -> tuple[list[Arrow | Note], int]:
    rows = happened.rows
    if len(rows) <= SHOWN:
        return rows, 0
    return [*rows[: SHOWN // 2], *rows[-SHOWN // 2:]], len(rows) - SHOWN


def _draw_lives(picture: Drawing, happened: Diagram, rows: list[Arrow | Note], ys: list[int],
                columns: dict[str, float], bottom: float) -> None:
    """Draw when each instance was starting, running and frozen."""
    def place(at: float | None, otherwise: float) -> float:
        if at is None:
            return otherwise
        return next((float(y) for row, y in zip(rows, ys, strict=True) if row.at >= at - 1e-6), bottom)

    colours = {"starting": "ping-soft", "running": "data-soft", "frozen": "frozen"}
    for instance, lives in happened.lives.items():
        first = TOP + 14.0 if happened.lanes[instance][1] else TOP - 4.0  # below the subtitle
        for life in lives:
            top, end = place(life.begin, first), place(life.end, bottom)
            if end > top:
                picture.rect(columns[instance] - 6, top, 12, end - top, colours[life.state], radius=3,
                             tip=f"instance {instance}: {life.state}")


def _draw_arrow(picture: Drawing, row: Arrow, y: float, columns: dict[str, float], status: float,
                happened: Diagram) -> None:
    start, end = columns[row.start], columns[row.end]
    forward = end > start
    gap = 8 if forward else -8
    room = abs(end - start) - 24
    label = fit(row.label, room, 13)
    note = fit(row.note, room - text_width(label, 13) - 6, 11)
    if len(note) < min(6, len(row.note)):
        note = ""
    where = f"{happened.lanes[row.start][0]} to {happened.lanes[row.end][0]}"
    tip = f"{_time(row.at - happened.begin)}, {where}: {row.details}"
    with picture.group(tip, focus=True):
        picture.rect(min(start, end), y - 22, abs(end - start), 32, "hover")
        picture.arrow(start + gap, y - 1, end - gap * (0 if row.lost else 1), y + 5, row.kind)
        if row.lost:
            picture.cross(end, y + 5)
        picture.text(start + gap * 1.5, y - 6, label, size=13, anchor="start" if forward else "end", note=note,
                     halo=True)
        picture.text(8, status, fit(tip, WIDTH - 16), "dim", detail=True)


def _draw_note(picture: Drawing, row: Note, y: float, x: float) -> None:
    left = x + 14 + text_width(row.text, 11) > WIDTH
    picture.circle(x, y, 3.5, "dim")
    picture.text(x - 12 if left else x + 12, y + 4, row.text, "dim", size=11, anchor="end" if left else "start",
                 halo=True)


def _time(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds < 0.9995 else f"{seconds:.2f} s"


def _summary(happened: Diagram) -> str:
    """Say in sentences what the diagram shows, without repeating each row."""
    arrows = [row for row in happened.rows if isinstance(row, Arrow)]
    if not arrows:
        return "Nothing has happened yet"
    listed = "; ".join(f"{happened.lanes[row.start][0]} to {happened.lanes[row.end][0]}: {row.label}"
                     + " (lost)" * row.lost for row in arrows[:12])
    return f"{listed}{'; and more' if len(arrows) > 12 else ''}"


def text(happened: Diagram) -> str:
    """Write the diagram as lines of at most 76 ASCII columns."""
    lines = [f"SEQUENCE  {happened.function}"]
    rows, left_out = _shown(happened)
    titles = {lane: title for lane, (title, _) in happened.lanes.items()}
    wide = max((len(titles[row.start]) for row in rows if isinstance(row, Arrow)), default=0)
    far = max((len(titles[row.end]) for row in rows if isinstance(row, Arrow)), default=0)
    for number, row in enumerate(rows):
        if left_out and number == SHOWN // 2:
            lines.append(f"           ... {left_out} more ...")
        at = f"{row.at - happened.begin:9.3f}"
        if isinstance(row, Arrow):
            sign = "-x" if row.lost else "->"
            line = f"{at}  {titles[row.start]:<{wide}} {sign} {titles[row.end]:<{far}}  {row.label}  {row.note}"
        else:
            line = f"{at}  {titles[row.lane]}: {row.text}"
        lines.append(cut(to_ascii(line.rstrip())))
    return "\n".join(lines if rows else [*lines, "Nothing has happened yet."])
