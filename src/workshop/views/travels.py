"""How what one member says travels to the others: drawn from the frames that a tap has seen.

    with fc.tap(app) as tap: ...
    travels(tap.frames)       one lane per instance; a line from where it was said to each place where it was heard;
                              printed, it is the same in words
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from html import escape

from fclocal.core.records import Record
from workshop.views.drawing import Picture

WIDTH, LANE, TOP, GUTTER = 900, 90, 46, 190
STYLE = """
.travels .bg{fill:#fff}.travels .ink{fill:#1b1f24}.travels .dim{fill:#59636e}.travels .lane{fill:#f0f3f6}
.travels .said{fill:#a85400}.travels .heard{fill:#2f6fbf}.travels .way{stroke:#2f6fbf;stroke-width:1.5}
@media(prefers-color-scheme:dark){.travels .bg{fill:#0d1117}.travels .ink{fill:#e6edf3}.travels .dim{fill:#9198a1}
.travels .lane{fill:#161b22}.travels .said{fill:#e39a44}.travels .heard{fill:#6aa5e8}.travels .way{stroke:#6aa5e8}}"""

# A tap shows the beginning of a frame, so it may be no whole JSON.
_KIND = re.compile(r'"type": ?"(say|message)"')
_WORDS = re.compile(r'"text": ?"([^"]*)"')


@dataclass(slots=True)
class Travel:
    """One message: where and when it was said, and (when, instance, request) for each member that heard it."""

    words: str
    at: float
    instance: str
    heard: list[tuple[float, str, str]] = field(default_factory=list)


def messages(frames: Iterable[Record]) -> list[Travel]:
    """The messages of the chat among the frames, in the order in which they were said."""
    found: list[Travel] = []
    for frame in frames:
        kind, words = _KIND.search(frame.data["preview"]), _WORDS.search(frame.data["preview"])
        if not kind or not words:
            continue  # a Ping, a Close, or nothing that somebody said
        if kind[1] == "say":
            found.append(Travel(words[1], frame.at, frame.instance))
        elif mine := next((travel for travel in reversed(found) if travel.words == words[1]), None):
            mine.heard.append((frame.at, frame.instance, frame.request))
    return found


def travels(frames: Iterable[Record]) -> Picture:
    """Return how the chat's messages travelled as a picture."""
    frames = list(frames)
    return Picture(svg(frames), text(frames))


def text(frames: Iterable[Record]) -> str:
    """Each message, then one line per instance: how many heard it there, and when the last one did."""
    told, lines = messages(frames), []
    names = _names(told)
    for travel in told:
        lines.append(f'"{travel.words}" said at {names[travel.instance]}')
        for instance, name in names.items():
            times = [at - travel.at for at, where, _ in travel.heard if where == instance]
            late = f", {max(times) * 1000:.1f} ms later" if times else ""
            lines.append(f"    {name}: heard by {len(times)}{late}")
    return "\n".join(lines) + "\n"


def svg(frames: Iterable[Record]) -> str:
    """The same as one SVG element, light and dark, with a title and tool tips."""
    told = messages(frames)
    names = _names(told)
    lanes = {instance: TOP + row * LANE for row, instance in enumerate(names)}
    # Messages stand side by side, each with a clock of its own: milliseconds matter, the pauses between do not.
    column = (WIDTH - GUTTER) / max(1, len(told))
    parts = [f'<rect class="bg" width="{WIDTH}" height="{TOP + LANE * len(lanes) + 10}"/>']
    for instance, y in lanes.items():
        parts += [f'<rect class="lane" x="8" y="{y}" width="{WIDTH - 16}" height="{LANE - 12}" rx="6"/>',
                  f'<text class="ink" x="20" y="{y + 34}">{names[instance]}</text>',
                  f'<text class="dim" x="20" y="{y + 54}" font-size="11">{escape(instance[-12:])}</text>']
    for number, travel in enumerate(told):
        left = GUTTER + number * column + 20
        longest = max([at - travel.at for at, _, _ in travel.heard] or [0.001])
        x0, y0 = left, lanes[travel.instance] + 39
        parts.append(f'<text class="ink" x="{left - 10:.0f}" y="26">"{escape(travel.words[:24])}"</text>')
        rows: dict[str, int] = {}
        for at, instance, _ in travel.heard:
            row = rows[instance] = rows.get(instance, -1) + 1
            x = left + 30 + (at - travel.at) / longest * (column - 90)
            y = lanes[instance] + 14 + row * 14 % (LANE - 30)
            parts.append(f'<line class="way" x1="{x0:.1f}" y1="{y0}" x2="{x:.1f}" y2="{y}"/><circle class="heard" '
                         f'cx="{x:.1f}" cy="{y}" r="5"><title>heard {(at - travel.at) * 1000:.1f} ms later'
                         "</title></circle>")
        parts.append(f'<circle class="said" cx="{x0:.1f}" cy="{y0}" r="7"><title>said</title></circle>')
    height = TOP + LANE * len(lanes) + 10
    return (f'<svg xmlns="http://www.w3.org/2000/svg" class="travels" role="img" width="100%" '
            f'style="max-width:{WIDTH}px" viewBox="0 0 {WIDTH} {height}" '
            f'font-family="system-ui,sans-serif" font-size="13"><title>'
            f"{len(told)} messages over {len(lanes)} instances</title><style>{STYLE}</style>{''.join(parts)}</svg>")


def _names(told: list[Travel]) -> dict[str, str]:
    """Instances in order of appearance, as "instance 1" and so on."""
    seen = dict.fromkeys(instance for t in told for instance in (t.instance, *(where for _, where, _ in t.heard)))
    return {instance: f"instance {number}" for number, instance in enumerate(seen, 1)}
