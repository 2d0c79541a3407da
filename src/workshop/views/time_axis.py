"""A time axis that folds idle gaps, so that what happened keeps its room."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

FOLD_FROM, MARGIN, MOST_FOLDS = 5.0, 0.5, 6  # seconds of a gap that is folded, kept on its sides; number of folds
STEPS = tuple(base * 10 ** power for power in range(-3, 7) for base in (1, 2, 5))


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of time and where it is drawn. `folded`: an idle gap, drawn in a fixed width."""

    begin: float
    end: float
    left: float
    right: float
    folded: bool = False


class TimeAxis:
    """Maps moments from `begin` to `end` to positions from `left` to `right`.

    `busy`: intervals in which something happens; a longer gap between them is drawn `fold` wide.
    """

    def __init__(self, begin: float, end: float, busy: Iterable[tuple[float, float]], left: float, right: float,
                 fold: float) -> None:
        gaps = _gaps(begin, end, busy)
        folded = sum(until - since for since, until in gaps)
        self.scale = (right - left - fold * len(gaps)) / max(end - begin - folded, 1e-6)
        self.begin, self.end = begin, end
        self.segments: list[Segment] = []
        at, x = begin, left
        for since, until in [*gaps, (end, end)]:
            self.segments.append(Segment(at, since, x, x + (since - at) * self.scale))
            x += (since - at) * self.scale
            if until > since:
                self.segments.append(Segment(since, until, x, x + fold, True))
                x += fold
            at = until

    def position(self, at: float) -> float:
        """Return where a moment is drawn, kept inside the axis."""
        at = min(max(at, self.begin), self.end)
        segment = next((one for one in self.segments if at <= one.end), self.segments[-1])
        share = (at - segment.begin) / (segment.end - segment.begin) if segment.end > segment.begin else 0.0
        return segment.left + share * (segment.right - segment.left)

    def ticks(self, apart: float) -> Iterator[tuple[float, str]]:
        """Yield round moments and their names in seconds after the beginning, at least `apart` from each other."""
        step = next((step for step in STEPS if step * self.scale >= apart), STEPS[-1])
        last = -apart
        for segment in self.segments:
            number = -int(-(segment.begin - self.begin) // step)
            while not segment.folded and self.begin + number * step <= segment.end + 1e-9:
                at = self.begin + number * step
                if self.position(at) - last >= apart * 0.9:
                    last = self.position(at)
                    yield at, f"{number * step:.6g} s"
                number += 1

    @property
    def folds(self) -> list[Segment]:
        """Return the idle gaps that are folded."""
        return [segment for segment in self.segments if segment.folded]


def duration(seconds: float) -> str:
    """Return a length of time in words, for example "2 min 10 s"."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    return f"{int(seconds // 60)} min" + (f" {int(seconds % 60)} s" if seconds % 60 >= 1 else "")


def _gaps(begin: float, end: float, busy: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return the longest idle gaps in the order of time, without their margins."""
    gaps: list[tuple[float, float]] = []
    until = begin
    for since, later in sorted([*busy, (end, end)]):
        if since - until >= FOLD_FROM:
            gaps.append((until + MARGIN, min(since, end) - MARGIN))
        until = max(until, later)
    gaps.sort(key=lambda gap: gap[0] - gap[1])
    return sorted(gap for gap in gaps[:MOST_FOLDS] if gap[1] > gap[0])
