"""The drawing toolkit under every picture of the workshop: one palette, text widths, alternative text.

    drawing = Drawing(600, 120, "Two lives of a connection", "A connection is open for 2 s, then it is cut.")
    drawing.rect(20, 40, 200, 18, "data-soft", edge="data", radius=3, tip="open for 2 s")
    drawing.text(28, 53, "1006", "ink", size=11)
    drawing.arrow(220, 49, 400, 49, "data")
    Picture(drawing.svg(), "open for 2 s, then cut with 1006")

Coordinates are pixels. A colour is a name of `PALETTE`; its light or dark value follows the page around the picture
(the theme of JupyterLab), and the system's preference where the picture stands alone in a file.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from html import escape
from typing import Any, Literal

# name -> (light, dark). The "-soft" colours are for areas, with ink on them; the others for lines and small marks.
PALETTE = {
    "paper": ("#ffffff", "#111417"),
    "ink": ("#1b1f24", "#e6e8eb"),
    "dim": ("#59636e", "#a3adb8"),
    "grid": ("#d1d9e0", "#3a424c"),
    "lane": ("#f3f6fa", "#1b2026"),
    "edge": ("#8195aa", "#5f6e7e"),
    "data": ("#0b5fb3", "#6cb1ff"),
    "data-soft": ("#cfe3fb", "#1d3a57"),
    "http": ("#4d5761", "#b4bdc7"),
    "ping": ("#7a5f00", "#e0c04a"),
    "ping-soft": ("#ffe9b0", "#4a3a10"),
    "redis": ("#8a1f7a", "#e58fd6"),
    "bill": ("#a85400", "#e39a44"),
    "bad": ("#b3261e", "#ff8a80"),
    "bad-soft": ("#fbdcd9", "#5c2320"),
    "good": ("#1a7f37", "#4cc38a"),
    "good-soft": ("#d3f3dc", "#173d26"),
    "frozen": ("#dfe5ec", "#2f3741"),
}
FONT = "system-ui, -apple-system, 'Segoe UI', sans-serif"
Anchor = Literal["start", "middle", "end"]

# Widths of characters in thousandths of the font size, from a wide sans-serif face, so that text never overflows.
_NARROW, _MIDDLE, _WIDE = dict.fromkeys("ijlI|.,:;'!()[]{} ", 360), dict.fromkeys("frt-/\\\"*`", 450), \
    dict.fromkeys("mwMW@%", 950)
_WIDTHS = _NARROW | _MIDDLE | _WIDE | dict.fromkeys("ABCDEFGHKNOPQRSUVXYZ", 700)


def css(name: str) -> str:
    """Return a colour of the palette as a CSS value that follows light and dark."""
    return "light-dark({},{})".format(*PALETTE[name])


def text_width(words: str, size: float = 12, *, bold: bool = False) -> float:
    """Return the pixels that a line of text takes at most."""
    return sum(_WIDTHS.get(letter, 620) for letter in words) * size / 1000 * (1.08 if bold else 1.0)


def fit(words: str, width: float, size: float = 12) -> str:
    """Return `words`, shortened with an ellipsis if they are wider than `width` pixels; "" if nothing fits."""
    if text_width(words, size) <= width:
        return words
    while words and text_width(words + "…", size) > width:
        words = words[:-1]
    return f"{words.rstrip()}…" if words else ""


def style() -> str:
    """Return the style sheet of all pictures: a class `f-NAME` fills and `s-NAME` strokes with a colour."""
    rules = [f".wp .f-{name}{{fill:{css(name)}}}.wp .s-{name}{{stroke:{css(name)}}}" for name in PALETTE]
    # An element that can be focused shows it; a picture in a file of its own follows the system.
    return ("svg.wp:root{color-scheme:light dark}.wp .none,.wp .f-hover{fill:none;pointer-events:all}"
            f".wp .halo{{paint-order:stroke;stroke-width:3;stroke:{css('paper')}}}"
            ".wp .detail{visibility:hidden}.wp g[tabindex]:focus{outline:none}"
            ":is(.wp g[tabindex]:focus,.wp g[tabindex]:hover) :is(.hit,.detail){stroke-width:3;visibility:visible}"
            + "".join(rules))


class Drawing:
    """One SVG picture. Elements appear in the order of the calls.

    `title` names the picture; `description` says what it shows, for screen readers. `height` may be set
    later: it is read by `svg()`.
    """

    def __init__(self, width: float, height: float, title: str, description: str = "") -> None:
        self.width, self.height, self.title, self.description = width, height, title, description
        self._role = "img"
        self._parts: list[str] = []

    def rect(self, x: float, y: float, width: float, height: float, fill: str, *, edge: str = "", radius: float = 0,
             tip: str = "") -> None:
        """Draw a rectangle; `edge` is the colour of its border, `tip` a text shown on hover."""
        shape = f'<rect class="{_classes(fill, edge)}" x="{x:.1f}" y="{y:.1f}" width="{max(width, 1):.1f}" ' \
                f'height="{height:.1f}"' + (f' rx="{radius:g}"' if radius else "")
        self._parts.append(f"{shape}><title>{escape(tip)}</title></rect>" if tip else f"{shape}/>")

    def line(self, x1: float, y1: float, x2: float, y2: float, colour: str, *, width: float = 1, dash: str = "",
             tip: str = "") -> None:
        """Draw a straight line; `dash` as in SVG, for example "3 4"."""
        shape = f'<line class="s-{colour} hit" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" ' \
                f'stroke-width="{width:g}"' + (f' stroke-dasharray="{dash}"' if dash else "")
        self._parts.append(f"{shape}><title>{escape(tip)}</title></line>" if tip else f"{shape}/>")

    def path(self, commands: str, *, fill: str = "", edge: str = "", width: float = 1, dash: str = "",
             tip: str = "") -> None:
        """Draw an SVG path, for example "M0 0L10 10"."""
        shape = f'<path class="{_classes(fill, edge)}" d="{commands}" stroke-width="{width:g}"' + (
            f' stroke-dasharray="{dash}"' if dash else "")
        self._parts.append(f"{shape}><title>{escape(tip)}</title></path>" if tip else f"{shape}/>")

    def circle(self, x: float, y: float, radius: float, fill: str = "", *, edge: str = "", width: float = 1,
               tip: str = "") -> None:
        """Draw a circle."""
        shape = f'<circle class="{_classes(fill, edge)}" cx="{x:.1f}" cy="{y:.1f}" r="{radius:g}" ' \
                f'stroke-width="{width:g}"'
        self._parts.append(f"{shape}><title>{escape(tip)}</title></circle>" if tip else f"{shape}/>")

    def text(self, x: float, y: float, words: str, colour: str = "ink", *, size: float = 12, bold: bool = False,
             anchor: Anchor = "start", note: str = "", halo: bool = False, detail: bool = False) -> None:
        """Write one line, perhaps with a dim, smaller `note` behind it; `y` is its base line.

        `halo` keeps it readable on lines; a `detail` of a group is seen while the group has the focus or the pointer.
        """
        kinds = f"f-{colour}" + " halo" * halo + " detail" * detail
        extra = (' font-weight="650"' if bold else "") + (f' text-anchor="{anchor}"' if anchor != "start" else "")
        self._parts.append(f'<text class="{kinds}" x="{x:.1f}" y="{y:.1f}" font-size="{size:g}"{extra}>'
                           f"{escape(words)}"
                           + (f'<tspan class="f-dim" font-size="11" dx="6">{escape(note)}</tspan>' if note else "")
                           + "</text>")

    def arrow(self, x1: float, y1: float, x2: float, y2: float, colour: str, *, width: float = 1.8,
              dash: str = "") -> None:
        """Draw a line with a head at its second end."""
        length = max(((x2 - x1) ** 2 + (y2 - y1) ** 2) ** 0.5, 0.1)
        dx, dy = (x2 - x1) / length, (y2 - y1) / length
        self.line(x1, y1, x2 - 7 * dx, y2 - 7 * dy, colour, width=width, dash=dash)
        back, up = (x2 - 9 * dx, y2 - 9 * dy), (-4 * dy, 4 * dx)
        self.path(f"M{x2:.1f} {y2:.1f}L{back[0] + up[0]:.1f} {back[1] + up[1]:.1f}"
                  f"L{back[0] - up[0]:.1f} {back[1] - up[1]:.1f}Z", fill=colour)

    def cross(self, x: float, y: float, colour: str = "bad", size: float = 5) -> None:
        """Draw a cross: something ends here."""
        self.path(f"M{x - size:.1f} {y - size:.1f}L{x + size:.1f} {y + size:.1f}M{x + size:.1f} {y - size:.1f}"
                  f"L{x - size:.1f} {y + size:.1f}", edge=colour, width=2)

    @contextmanager
    def group(self, tip: str, *, focus: bool = False) -> Iterator[None]:
        """Draw what the block draws as one element with a text on hover; `focus`: the Tab key reaches it."""
        self._role = "group" if focus else self._role  # an "img" may not hold what can be focused
        start = '<g tabindex="0" role="img"' if focus else '<g role="img"'
        self._parts.append(f'{start} aria-label="{escape(tip)}"><title>{escape(tip)}</title>')
        yield
        self._parts.append("</g>")

    def add(self, other: "Drawing") -> None:
        """Draw what `other` has collected, on top."""
        self._parts += other._parts

    def legend(self, y: float, *entries: tuple[str, str], x: float = 10) -> None:
        """Draw (colour, words) side by side."""
        for colour, words in entries:
            self.rect(x, y - 9, 16, 10, colour, radius=2)
            self.text(x + 22, y, words, "dim")
            x += 46 + text_width(words)

    def svg(self) -> str:
        """Return the picture as one SVG element, at most `width` pixels wide and never wider than its column."""
        label = escape(". ".join(part.rstrip(".") for part in (self.title, self.description) if part))
        return (f'<svg xmlns="http://www.w3.org/2000/svg" class="wp" viewBox="0 0 {self.width:g} {self.height:.0f}" '
                f'width="100%" style="max-width:{self.width:g}px" role="{self._role}" aria-label="{label}" '
                f'font-family="{FONT}" font-size="12">\n<style>{style()}</style>\n'
                f'<rect class="f-paper" width="{self.width:g}" height="{self.height:.0f}" rx="6"/>\n'
                + "\n".join(self._parts) + "\n</svg>")


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture with its text form: a notebook shows the SVG, `print` gives the text."""

    svg: str
    text: str

    def __str__(self) -> str:
        return self.text

    __repr__ = __str__

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, str]:
        # As HTML, not as image/svg+xml: JupyterLab makes an <img> of that, where neither hover nor focus works.
        return {"text/html": self.svg, "text/plain": self.text}


def _classes(fill: str, edge: str) -> str:
    return (f"f-{fill}" if fill else "none") + (f" s-{edge} hit" if edge else "")
