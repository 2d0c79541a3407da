"""A storm: many clients cut in one moment, and what their coming back does to the service.

    print(await reconnect_storm(clients=200))

It runs on a platform of its own, so that its scale-out speed can be as small as a laptop: what the real service does
beyond 300 instances happens here beyond one.
"""

import asyncio
import random
import tempfile
from collections import Counter
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus

from fclocal import App, Platform
from fclocal.client import daemon
from workshop.labs.urls import to_wss

STEP = 0.1      # seconds per column of the picture
REFILL = 0.4    # seconds after which the platform may start one more instance
FIRST = 0.2     # seconds of the first wait without jitter, after trying at once; doubled with each failure
SPREAD = 1.4    # seconds from which the first wait is drawn with jitter; doubled with each failure
SERVER = "functions/05-reconnect"


@dataclass(frozen=True, slots=True)
class Wave:
    """One storm. `tries`: (seconds after the cut, HTTP status or 101) of every attempt to come back."""

    jitter: bool
    clients: int
    tries: tuple[tuple[float, int], ...]

    @property
    def throttled(self) -> int:
        """How many attempts were answered with 429."""
        return sum(status == 429 for _, status in self.tries)

    @property
    def over(self) -> float:
        """When the last client was back, in seconds after the cut."""
        return max((at for at, status in self.tries if status == 101), default=0.0)

    def columns(self) -> list[Counter[int]]:
        """Attempts per column of time, by status."""
        columns = [Counter[int]() for _ in range(int(max(at for at, _ in self.tries) / STEP) + 1)]
        for at, status in self.tries:
            columns[int(at / STEP)][status] += 1
        return columns


@dataclass(frozen=True, slots=True, repr=False)
class Storm:
    """The same storm without and with jitter; printed as text, shown as a picture."""

    waves: tuple[Wave, ...]

    def __str__(self) -> str:
        lines = []
        for wave in self.waves:
            lines.append(f"{'with' if wave.jitter else 'without'} jitter: {wave.clients} clients, "
                         f"{wave.throttled} answers 429, all back after {wave.over:.1f} s")
            columns = wave.columns()
            most = max(column.total() for column in columns)
            for number, column in enumerate(columns):
                if column:
                    back, refused = (round(50 * column[status] / most) for status in (101, 429))
                    lines.append(f"  {number * STEP:>5.2f} s  {'=' * back}{'x' * refused}  {column.total()}")
        return "\n".join([*lines, "= connected   x rejected with 429"])

    __repr__ = __str__

    def _repr_svg_(self) -> str:
        width, height, gap = 720, 100, 56
        longest = max(len(wave.columns()) for wave in self.waves)
        most = max(column.total() for wave in self.waves for column in wave.columns())
        bar = (width - 60) / longest
        parts = []
        for index, wave in enumerate(self.waves):
            base = (index + 1) * (height + gap)
            words = (f"{'With' if wave.jitter else 'Without'} jitter: {wave.throttled} answers 429, "
                     f"all {wave.clients} back after {wave.over:.1f} s")
            parts.append(f'<text class="i" x="40" y="{base - height - 8}" font-weight="700">{escape(words)}</text>')
            for number, column in enumerate(wave.columns()):
                y = float(base)
                for status, kind in ((101, "y"), (429, "n")):
                    tall = column[status] / most * height
                    y -= tall
                    parts.append(f'<rect class="{kind}" x="{40 + number * bar:.1f}" y="{y:.1f}" width="{bar - 1:.1f}" '
                                 f'height="{tall:.1f}"><title>{number * STEP:.2f} s: {column[status]} x {status}'
                                 "</title></rect>")
            parts.append(f'<path class="g" d="M40 {base}H{width - 20}"/>'
                         f'<text class="d" x="40" y="{base + 14}">0 s</text>'
                         f'<text class="d" x="{width - 20}" y="{base + 14}" text-anchor="end">'
                         f"{longest * STEP:.1f} s</text>")
        total = len(self.waves) * (height + gap) + 54
        return (f'<svg xmlns="http://www.w3.org/2000/svg" class="storm" viewBox="0 0 {width} {total}" '
                f'width="100%" style="max-width:{width}px" role="img" '
                f'aria-label="{escape(str(self))}" font-family="system-ui, sans-serif" font-size="12"><style>'
                ".storm .b{fill:#fff}.storm .i{fill:#1b1f24}.storm .d{fill:#59636e}.storm .g{stroke:#8c959f}"
                ".storm .y{fill:#2f6fbf}.storm .n{fill:#b4235a}@media(prefers-color-scheme:dark){"
                ".storm .b{fill:#0d1117}.storm .i{fill:#e6edf3}.storm .d{fill:#9198a1}.storm .y{fill:#6aa5e8}"
                ".storm .n{fill:#f0719f}}</style>"
                f'<rect class="b" width="{width}" height="{total}"/>{"".join(parts)}'
                f'<rect class="y" x="40" y="{total - 24}" width="12" height="12"/>'
                f'<text class="i" x="58" y="{total - 14}">connected</text>'
                f'<rect class="n" x="140" y="{total - 24}" width="12" height="12"/>'
                f'<text class="i" x="158" y="{total - 14}">rejected with 429</text></svg>')


async def reconnect_storm(clients: int = 200) -> Storm:
    """Cut `clients` connections at once, without and with jitter, and watch them come back.

    One instance holds half of them, and a second one may be started 0.4 s after the first. Without jitter a client
    tries at once, then after 0.2, 0.4, 0.8 ... s; with jitter it draws its first wait from 1.4 s.
    """
    with tempfile.TemporaryDirectory(prefix="storm-") as state:
        found = await asyncio.to_thread(daemon.spawn, Path(state), keep=False, options={
            "scale_burst": 1, "scale_per_minute": 60 / REFILL})
        # Not attached by fclocal.attach(): the trust of this process stays with the lesson's own platform.
        fc = Platform(found)
        try:
            app = await asyncio.to_thread(lambda: fc.deploy(
                SERVER, instanceConcurrency=-(-clients // 2), environmentVariables={"SECONDS_PER_MESSAGE": "60"}))
            return Storm(tuple([await _wave(fc, app, clients, jitter) for jitter in (False, True)]))
        finally:
            await asyncio.to_thread(fc.stop)


def pause(failures: int, draw: float, jitter: bool) -> float:
    """Seconds that a client waits after its connection was cut (failures 0) or its attempt refused."""
    if jitter:
        return draw * SPREAD * 2 ** failures
    return FIRST * 2 ** (failures - 1) if failures else 0.0


async def _wave(fc: Any, app: App, clients: int, jitter: bool) -> Wave:
    # Plain ws: the certificate of this platform is not one that this process trusts.
    url = to_wss(app.url).replace("wss", "ws", 1)
    draw, tries = random.Random(1), list[tuple[float, int]]()
    loop = asyncio.get_running_loop()

    async def attempt() -> ClientConnection:
        return await connect(url, ping_interval=None, proxy=None, open_timeout=30)

    async def come_back(began: float) -> ClientConnection:
        failures = 0
        while True:
            await asyncio.sleep(pause(failures, draw.random(), jitter))
            at = loop.time() - began
            try:
                ws = await attempt()
            except InvalidStatus as refused:
                tries.append((at, refused.response.status_code))
                failures += 1
            else:
                tries.append((at, 101))
                return ws

    connections: list[ClientConnection] = []
    for part in (clients - clients // 2, clients // 2):     # people come one after the other ...
        connections += await asyncio.gather(*(attempt() for _ in range(part)))
        await asyncio.sleep(REFILL)
    for instance in await asyncio.to_thread(fc.instances, app.name):
        await asyncio.to_thread(fc.kill, instance["instanceId"])
    await asyncio.gather(*(ws.wait_closed() for ws in connections))
    began = loop.time()                                     # ... and are cut in one moment
    async with asyncio.timeout(60):
        back = await asyncio.gather(*(come_back(began) for _ in connections))
    await asyncio.gather(*(ws.close() for ws in back))      # who is back keeps its place until all are
    return Wave(jitter, clients, tuple(sorted(tries)))
