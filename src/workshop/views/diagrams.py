"""Fixed diagrams: what cannot be recorded, drawn from text in this module.

    files()           the name and the SVG text of each diagram in notebooks/images
    write(folder)     write those that differ

`workshop build` writes them; a test compares the files in the repository with what this module draws. Each diagram
has a title that serves as alternative text, follows the theme of the page, and uses no font or file from elsewhere.
"""

from collections.abc import Iterator
from html import escape
from pathlib import Path

from workshop.views import example_timeline
from workshop.views.drawing import css

LESSONS = ("Echo server", "HTTP trigger", "https to wss", "Keep alive", "Reconnect", "Billing", "Chat on Redis",
           "Errors", "Go live")

STYLE = f"""
svg{{color-scheme:light dark;font:14px system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}}
.page{{fill:{css("paper")}}}
.ink{{fill:{css("ink")}}}.dim{{fill:{css("dim")};font-size:12px}}
.head{{font-weight:600}}.mono{{font-family:ui-monospace,Menlo,Consolas,monospace;font-size:12.5px}}
.box{{fill:{css("lane")};stroke:{css("edge")}}}
.busy{{fill:{css("data-soft")};stroke:{css("data")}}}
.rest{{fill:{css("frozen")};stroke:{css("edge")};stroke-dasharray:4 3}}
.good{{fill:{css("good-soft")};stroke:{css("good")}}}
.line{{stroke:{css("http")};fill:none;stroke-width:2}}
.data{{stroke:{css("data")};fill:none;stroke-width:2}}
.redis{{stroke:{css("redis")};fill:none;stroke-width:2}}
.cut{{stroke:{css("bad")};fill:none;stroke-width:2}}
.cutink{{fill:{css("bad")}}}.dataink{{fill:{css("data")}}}
.goodink{{fill:{css("good")}}}
.badge{{fill:{css("data")}}}.number{{fill:{css("paper")};font-weight:700;font-size:13px}}
.lit{{fill:none;stroke:{css("bill")};stroke-width:3}}.litbadge{{fill:{css("bill")}}}
"""


class Diagram:
    """Collects elements; `svg()` returns the whole picture. Lengths in pixels."""

    def __init__(self, width: int, height: int, title: str) -> None:
        self.width, self.height, self.title = width, height, title
        self._parts: list[str] = []

    def text(self, x: float, y: float, words: str, style: str = "ink", anchor: str = "middle") -> None:
        self._parts.append(f'<text class="{style}" x="{x:g}" y="{y:g}" text-anchor="{anchor}">{escape(words)}</text>')

    def heading(self, x: float, y: float, head: str, note: str) -> None:
        """Draw a heading with a dim note behind it."""
        self._parts.append(f'<text class="ink head" x="{x:g}" y="{y:g}">{escape(head)}'
                           f'<tspan class="dim" dx="10" font-weight="400">{escape(note)}</tspan></text>')

    def box(self, x: float, y: float, width: float, height: float, style: str = "box", *, radius: float = 8) -> None:
        self._parts.append(
            f'<rect class="{style}" x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="{radius:g}"/>'
        )

    def labelled(
        self, x: float, y: float, width: float, height: float, head: str, *lines: str, style: str = "box"
    ) -> None:
        """Draw a box with a heading and dim lines, centred."""
        self.box(x, y, width, height, style)
        top = y + height / 2 - 8.5 * len(lines) + 5
        self.text(x + width / 2, top, head, "ink head")
        for number, line in enumerate(lines, 1):
            self.text(x + width / 2, top + 17 * number, line, "dim")

    def arrow(
        self, points: tuple[float, ...], style: str = "line", *, both: bool = False, dashed: bool = False
    ) -> None:
        """A line through points x1, y1, x2, y2, ... with a head at its end, or at both ends."""
        pairs = " ".join(f"{x:g},{y:g}" for x, y in zip(points[::2], points[1::2], strict=True))
        extra = ' stroke-dasharray="5 4"' if dashed else ""
        start = f' marker-start="url(#{style})"' if both else ""
        self._parts.append(f'<polyline class="{style}" points="{pairs}" marker-end="url(#{style})"{start}{extra}/>')

    def stroke(self, x1: float, y1: float, x2: float, y2: float, style: str = "line", dashed: bool = False) -> None:
        extra = ' stroke-dasharray="5 4"' if dashed else ""
        self._parts.append(f'<line class="{style}" x1="{x1:g}" y1="{y1:g}" x2="{x2:g}" y2="{y2:g}"{extra}/>')

    def cross(self, x: float, y: float, size: float = 7) -> None:
        self.stroke(x - size, y - size, x + size, y + size, "cut")
        self.stroke(x - size, y + size, x + size, y - size, "cut")

    def badge(self, x: float, y: float, number: str, style: str = "badge") -> None:
        self._parts.append(f'<circle class="{style}" cx="{x:g}" cy="{y:g}" r="12"/>')
        self.text(x, y + 4.5, number, "number")

    def svg(self) -> str:
        markers = "".join(
            f'<marker id="{style}" viewBox="0 0 8 8" refX="6.5" refY="4" markerWidth="8" markerHeight="8" '
            f'markerUnits="userSpaceOnUse" orient="auto-start-reverse"><path class="{style}" style="stroke-width:1" '
            f'fill="context-stroke" d="M1,1L7,4L1,7Z"/></marker>'
            for style in ("line", "data", "redis", "cut")
        )
        body = "\n".join(self._parts)
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.width} {self.height}" width="{self.width}" '
            f'height="{self.height}" role="img" aria-labelledby="title">\n'
            f'<title id="title">{escape(self.title)}</title>\n'
            f"<style>{STYLE}</style>\n<defs>{markers}</defs>\n"
            f'<rect class="page" width="{self.width}" height="{self.height}" rx="6"/>\n{body}\n</svg>\n'
        )


def files() -> Iterator[tuple[str, str]]:
    """Yield (file name, SVG text) of each fixed diagram."""
    yield "map.svg", system_map()
    for lesson in range(1, 10):
        yield f"map-{lesson:02}.svg", system_map(lesson)
    yield "polling-and-websocket.svg", polling_and_websocket()
    yield "trigger-stages.svg", trigger_stages()
    yield "two-lives.svg", two_lives()
    yield "resume.svg", resume()
    yield "publish-subscribe.svg", publish_subscribe()
    yield "alias-and-versions.svg", alias_and_versions()
    yield "timeline.svg", example_timeline.svg()


# Where each lesson's subject is on the map: the box or line that it concerns, as x, y, width, height, and its badge.
_PLACES = {
    1: ((692, 24, 168, 74), (692, 24)),
    2: ((424, 50, 186, 64), (424, 50)),
    3: ((20, 88, 152, 92), (20, 88)),
    4: ((228, 88, 134, 92), (228, 88)),
    5: ((172, 118, 56, 32), (200, 112)),
    6: ((692, 206, 168, 62), (692, 206)),
    7: ((904, 88, 140, 92), (904, 88)),
    8: ((424, 118, 186, 44), (610, 120)),
    9: ((424, 166, 186, 52), (424, 214)),
}
_ABOUT = {
    0: "the whole system",
    1: "the instance that runs your echo server",
    2: "the HTTP trigger at the gateway",
    3: "the client and its wss URL",
    4: "the network between client and gateway",
    5: "the connection that the client opens again",
    6: "the frozen instance and the bill",
    7: "Redis, which connects the instances",
    8: "the gateway, which answers with errors",
    9: "versions and alias at the gateway",
}


def system_map(lesson: int = 0) -> str:
    """Draw the system with each lesson's number at its place; with `lesson`, smaller and with that place lit."""
    title = (
        "Map of the system. A client reaches the gateway through the network. The HTTP trigger at the gateway passes "
        "connections to instances of your program. The instances share messages through Redis. "
    )
    title += "Numbers 1 to 9 mark what each lesson is about." if not lesson else f"Lesson {lesson}: {_ABOUT[lesson]}."
    diagram = Diagram(1060, 366 if not lesson else 292, title)
    diagram.labelled(20, 88, 152, 92, "client", "browser, Python,", "Node.js")
    diagram.labelled(228, 88, 134, 92, "network", "NAT, proxies,", "load balancers")
    diagram.box(416, 24, 202, 244)
    diagram.text(517, 43, "gateway", "ink head")
    diagram.labelled(424, 50, 186, 64, "HTTP trigger", "method, signature, token", style="busy")
    diagram.text(517, 145, "time limit, throttling", "dim")
    diagram.labelled(424, 166, 186, 52, "alias and versions", "which code answers", style="box")
    diagram.text(517, 250, "one URL for https and wss", "dim")
    diagram.labelled(692, 24, 168, 74, "instance", "your program, port 9000", "2 connections", style="busy")
    diagram.labelled(692, 115, 168, 74, "instance", "your program, port 9000", "1 connection", style="busy")
    diagram.labelled(692, 206, 168, 62, "instance", "frozen: billed little", style="rest")
    diagram.labelled(904, 88, 140, 92, "Redis", "what must survive", "an instance")
    diagram.arrow((172, 134, 226, 134), "data", both=True)
    diagram.arrow((362, 134, 414, 134), "data", both=True)
    for start, end in ((86, 48), (106, 76), (150, 152)):  # two connections of one instance, one of the other
        diagram.arrow((620, start, 690, end), "data", both=True)
    diagram.arrow((862, 61, 902, 112), "redis", both=True)
    diagram.arrow((862, 152, 902, 148), "redis", both=True)
    if lesson:
        (x, y, width, height), badge = _PLACES[lesson]
        diagram.box(x - 3, y - 3, width + 6, height + 6, "lit", radius=10)
        diagram.badge(*badge, str(lesson), "litbadge")
        diagram.text(20, 284, f"Lesson {lesson}: {_ABOUT[lesson]}", "ink head", "start")
        return diagram.svg()
    for number, (_, badge) in _PLACES.items():
        diagram.badge(*badge, str(number))
    for number, name in enumerate(LESSONS, 1):
        x, y = 32 + 208 * ((number - 1) % 5), 308 + 32 * ((number - 1) // 5)
        diagram.badge(x, y, str(number))
        diagram.text(x + 20, y + 5, name, "ink", "start")
    return diagram.svg()


def polling_and_websocket() -> str:
    """Draw a page that asks every two seconds above a page with one open connection."""
    diagram = Diagram(1060, 392, (
        "Two timelines of ten seconds. Above, polling: the page asks every two seconds, five of six answers are empty, "
        "and a bus that arrives at second 4.3 is shown at second 6. Below, a WebSocket: the page opens one connection, "
        "and the bus is shown at second 4.3."
    ))
    left, scale = 150, 80

    def lanes(top: float, name: str, note: str) -> None:
        diagram.heading(24, top - 26, name, note)
        diagram.text(138, top + 5, "page", "ink", "end")
        diagram.text(138, top + 85, "server", "ink", "end")
        diagram.stroke(left, top, left + 10.8 * scale, top)
        diagram.stroke(left, top + 80, left + 10.8 * scale, top + 80)

    lanes(62, "Polling", "the page asks again and again, and the server can only answer")
    for second in range(0, 11, 2):
        x = left + second * scale
        news = second == 6
        diagram.arrow((x, 62, x + 22, 141), "line")
        diagram.arrow((x + 26, 141, x + 48, 63), "data" if news else "line")
        diagram.text(x + 8, 131, "?", "dim")
        diagram.text(x + 46, 104, "bus 12!" if news else "no", "dataink head" if news else "dim", "start")
    lanes(238, "WebSocket", "one connection stays open; both sides send")
    diagram.arrow((left, 238, left + 22, 317), "line")
    diagram.arrow((left + 26, 317, left + 48, 239), "line")
    diagram.text(left + 54, 282, "open once", "dim", "start")
    diagram.box(left + 48, 232, 10.8 * scale - 48, 12, "busy", radius=4)
    diagram.box(left + 48, 312, 10.8 * scale - 48, 12, "busy", radius=4)
    bus = left + 4.3 * scale
    diagram.stroke(bus, 142, bus, 362, "cut", dashed=True)
    diagram.text(bus + 8, 186, "second 4.3: bus 12 arrives", "cutink", "start")
    diagram.arrow((bus, 311, bus + 12, 246), "data")
    diagram.text(bus + 18, 284, "bus 12! after milliseconds", "dataink head", "start")
    diagram.text(left + 6 * scale + 46, 121, "1.7 s late", "cutink", "start")
    for second in range(0, 11):
        diagram.text(left + second * scale, 356, f"{second} s", "dim")
    words = "1,000 open pages: 500 requests a second above, none below while nothing happens."
    diagram.text(24, 380, words, "ink", "start")
    return diagram.svg()


_STAGES = (
    ("form", "is the head within", "the limits?", "400"),
    ("trigger", "does the function", "have one?", "404"),
    ("public URL", "is it enabled?", "", "403"),
    ("method", "is it allowed? GET", "for a WebSocket", "403"),
    ("authentication", "is the signature or", "the token valid?", "400, 403"),
    ("capacity", "can an instance", "take the request?", "429, 503"),
)


def trigger_stages() -> str:
    """Draw the stages that a request passes at the trigger, each with the status that it answers with."""
    diagram = Diagram(1060, 250, (
        "The stages of a request at the HTTP trigger, from left to right: size and form, trigger, public URL, method, "
        "authentication, capacity. A request that fails a stage is answered there with 400, 404, 403, 403, 400 or 403, "
        "429 or 503. A request that passes all of them starts your program."
    ))
    step, width = 148, 128
    diagram.text(16, 30, "request", "ink head", "start")
    diagram.arrow((44, 36, 44, 57), "data")
    for number, (name, *notes, status) in enumerate(_STAGES):
        x = 16 + step * number
        diagram.labelled(x, 60, width, 72, name, *filter(None, notes))
        diagram.arrow((x + width, 96, x + step - 2, 96), "data")
        diagram.arrow((x + width / 2, 132, x + width / 2, 176), "cut")
        diagram.text(x + width / 2, 198, status, "cutink head")
    x = 16 + step * len(_STAGES)
    diagram.labelled(x, 56, 140, 80, "your program", "runs, and is billed", style="good")
    words = "A rejected request is answered at its stage: your program does not run and nothing is billed."
    diagram.text(16, 232, words, "dim", "start")
    return diagram.svg()


def two_lives() -> str:
    """Draw the two lives of a connection: an HTTP request until the 101, a WebSocket afterwards."""
    diagram = Diagram(1060, 300, (
        "The two lives of a connection. Before the handshake is complete it is an HTTP request: errors are status "
        "codes such as 403, 412, 429 or 503, and the platform answers. After 101 it is a WebSocket: errors are close "
        "codes such as 1006 or 1011, and the cause is in your program or its log."
    ))
    diagram.box(20, 50, 420, 150)
    diagram.box(520, 50, 520, 150, "busy")
    diagram.text(230, 36, "first life: an HTTP request", "ink head")
    diagram.text(780, 36, "second life: a WebSocket", "ink head")
    diagram.text(230, 82, "Errors are status codes", "ink")
    diagram.text(230, 112, "400   403   404   412   429   500   502   503", "ink mono")
    diagram.text(230, 146, "The platform answers, usually before", "dim")
    diagram.text(230, 163, "your program runs. Read the body: Code, Message.", "dim")
    diagram.text(780, 82, "Errors are close codes", "ink")
    diagram.text(780, 112, "1000   1001   1006   1008   1009   1011", "ink mono")
    diagram.text(780, 146, "Your program, a time limit or the network ends it.", "dim")
    diagram.text(780, 163, "Read the log of the function.", "dim")
    diagram.arrow((440, 125, 518, 125), "data")
    diagram.text(479, 108, "101", "dataink head")
    diagram.text(479, 146, "handshake", "dim")
    diagram.text(479, 162, "complete", "dim")
    diagram.text(230, 224, "The client's library raises InvalidStatus.", "ink")
    diagram.text(780, 224, "The client's library raises ConnectionClosed.", "ink")
    diagram.text(230, 246, "A browser shows only 1006.", "dim")
    diagram.text(780, 246, "A browser's close event has the code.", "dim")
    diagram.stroke(20, 270, 440, 270)
    diagram.stroke(520, 270, 1040, 270, "data")
    diagram.text(230, 290, "T0: request sent", "dim")
    diagram.text(780, 290, "billed while it is open", "dim")
    return diagram.svg()


def resume() -> str:
    """Draw a client whose first connection is cut, and that names its last message when it connects again."""
    diagram = Diagram(1060, 272, (
        "A client connects to instance A with after=0 and receives the messages 1 to 9. The connection is cut with "
        "1006. The client connects again, reaches instance B, and sends after=9. It receives the messages 10 to 12."
    ))
    diagram.labelled(20, 24, 120, 224, "client", "stores the", "number of its", "last message")
    for top, name, after, numbers in ((24, "A", 0, range(1, 10)), (150, "B", 9, range(10, 13))):
        diagram.labelled(890, top, 150, 98, f"instance {name}", style="busy")
        diagram.arrow((140, top + 28, 888, top + 28), "line")
        diagram.text(156, top + 20, f"connect, ?after={after}", "ink", "start")
        diagram.arrow((888, top + 74, 142, top + 74), "data")
        for number in numbers:
            x = 850 - 50 * (number - numbers[0])
            diagram.box(x - 17, top + 61, 34, 26, "busy", radius=6)
            diagram.text(x, top + 79, str(number), "dataink head")
    diagram.cross(166, 136)
    diagram.text(184, 141, "the connection ends: 1006", "cutink", "start")
    return diagram.svg()


def publish_subscribe() -> str:
    """Draw one message on its way through Redis to the members on two instances."""
    diagram = Diagram(1060, 190, (
        "Ana sends a message to instance A. Instance A publishes it once, on the channel room:tea in Redis. Redis "
        "sends it to each subscriber, instance A and instance B. Instance A sends it to Ana, instance B to Bo."
    ))
    diagram.labelled(20, 66, 90, 52, "Ana")
    diagram.labelled(190, 62, 150, 60, "instance A", style="busy")
    diagram.labelled(470, 52, 160, 80, "Redis", "channel room:tea")
    diagram.arrow((110, 92, 188, 92), "data")
    diagram.arrow((340, 92, 468, 92), "redis")
    diagram.text(404, 84, "publish, once", "dim")
    for y, instance, member in ((52, "instance A", "Ana"), (132, "instance B", "Bo")):
        diagram.labelled(760, y - 30, 150, 60, instance, style="busy")
        diagram.labelled(970, y - 26, 70, 52, member)
        diagram.arrow((630, 92, 758, y), "redis")
        diagram.arrow((910, y, 968, y), "data")
    diagram.text(676, 56, "to each", "dim")
    diagram.text(676, 140, "subscriber", "dim")
    return diagram.svg()


def alias_and_versions() -> str:
    """Draw an alias that points to one version and sends a part of the connections to another."""
    diagram = Diagram(1060, 300, (
        "A trigger points to the alias prod. The alias sends 90 percent of new connections to version 1 and 10 percent "
        "to version 2. LATEST is the code that you change; publishing it makes a version that never changes."
    ))
    diagram.labelled(20, 110, 140, 72, "HTTP trigger", "qualifier: prod")
    diagram.labelled(240, 110, 150, 72, "alias prod", "a name you move", style="busy")
    diagram.labelled(560, 40, 190, 72, "version 1", "never changes", "the code of last week", style="good")
    diagram.labelled(560, 180, 190, 72, "version 2", "never changes", "the canary", style="good")
    diagram.labelled(850, 180, 190, 72, "LATEST", "changes with each deploy", style="rest")
    diagram.arrow((160, 146, 238, 146), "data")
    diagram.arrow((390, 138, 558, 78), "data")
    diagram.arrow((390, 154, 558, 214), "data", dashed=True)
    diagram.text(462, 92, "90 %", "dataink head")
    diagram.text(462, 208, "10 %", "dataink head")
    diagram.arrow((850, 216, 752, 216), "line")
    diagram.text(801, 206, "publish", "dim")
    words = "Only new connections follow the alias. A connection that is open stays with its version until it ends."
    diagram.text(20, 280, words, "ink", "start")
    return diagram.svg()


def write(folder: Path) -> list[str]:
    """Write the diagrams that differ from the files in the folder; return their paths."""
    changed = [folder / name for name, svg in files() if not _same(folder / name, svg)]
    folder.mkdir(parents=True, exist_ok=True)
    for path in changed:
        path.write_text(dict(files())[path.name], "utf-8")
    return [str(path) for path in changed]


def _same(path: Path, text: str) -> bool:
    return path.is_file() and path.read_text("utf-8") == text
