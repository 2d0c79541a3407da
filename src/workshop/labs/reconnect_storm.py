"""A storm: many clients cut in one moment, and what their coming back does to the service.

    print(await reconnect_storm(clients=200))

It runs on a platform of its own, so that its scale-out speed can be as small as a laptop: what the real service does
beyond 300 instances happens here beyond one.
"""

import asyncio
import math
import random
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus

from fclocal import App, Platform
from fclocal.client import daemon
from workshop.labs.urls import to_wss
from workshop.views.drawing import Drawing, Picture
from workshop.views.progress_line import working

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
        """Return how many attempts were answered with 429."""
        return sum(status == 429 for _, status in self.tries)

    @property
    def over(self) -> float:
        """Return when the last client was connected again, in seconds after the cut."""
        return max((at for at, status in self.tries if status == 101), default=0.0)

    def columns(self) -> list[Counter[int]]:
        """Return the attempts per column of time, by status."""
        columns = [Counter[int]() for _ in range(int(max(at for at, _ in self.tries) / STEP) + 1)]
        for at, status in self.tries:
            columns[int(at / STEP)][status] += 1
        return columns


@dataclass(frozen=True, slots=True)
class Storm:
    """The same storm without and with jitter; printed as text, shown as a picture. Both have one scale per figure."""

    waves: tuple[Wave, ...]

    @property
    def most(self) -> int:
        """Return the largest number of attempts in one column of both waves."""
        return max(column.total() for wave in self.waves for column in wave.columns())

    def __str__(self) -> str:
        lines = []
        for wave in self.waves:
            lines.append(f"{_heading(wave)}")
            for number, column in enumerate(wave.columns()):
                if column:
                    accepted, rejected = (math.ceil(50 * column[status] / self.most) for status in (101, 429))
                    lines.append(f"  {number * STEP:>5.2f} s  {'=' * accepted}{'x' * rejected}  {column.total()}")
        return "\n".join([*lines, "= connected   x rejected with 429"])

    __repr__ = __str__

    def _repr_mimebundle_(self, **kwargs: object) -> dict[str, str]:
        return Picture(self.svg(), str(self))._repr_mimebundle_()

    def svg(self) -> str:
        """Draw both waves with the same axes."""
        left, right, height, gap = 56, 700, 110, 66
        longest = max(len(wave.columns()) for wave in self.waves)
        bar = (right - left) / longest
        picture = Drawing(720, len(self.waves) * (height + gap) + 40, "Attempts to reconnect after a cut",
                          " ".join(f"{_heading(wave)}." for wave in self.waves))
        for index, wave in enumerate(self.waves):
            base = (index + 1) * (height + gap) - 26
            picture.text(left, base - height - 16, _heading(wave), bold=True)
            for value in (0, self.most // 2, self.most):
                y = base - value / self.most * height
                picture.line(left, y, right, y, "grid")
                picture.text(left - 6, y + 4, str(value), "dim", size=11, anchor="end")
            for number, column in enumerate(wave.columns()):
                y = float(base)
                for status, colour in ((101, "data"), (429, "bad")):
                    if column[status]:
                        tall = column[status] / self.most * height
                        y -= tall
                        picture.rect(left + number * bar, y, bar - 1, tall, colour,
                                     tip=f"{number * STEP:.2f} s: {column[status]} x {status}")
            for number in range(0, longest + 1, max(1, round(0.5 / STEP) * math.ceil(longest / 60))):
                picture.text(left + number * bar, base + 16, f"{number * STEP:g} s", "dim", size=11, anchor="middle")
        picture.text(right, picture.height - 10, f"attempts in each {STEP:g} s", "dim", size=11, anchor="end")
        picture.legend(picture.height - 10, ("data", "connected"), ("bad", "rejected with 429"), x=left)
        return picture.svg()


def _heading(wave: Wave) -> str:
    return (f"{'With' if wave.jitter else 'Without'} jitter: {wave.throttled} of {len(wave.tries)} attempts rejected, "
            f"all {wave.clients} back after {wave.over:.1f} s")


async def reconnect_storm(clients: int = 200) -> Storm:
    """Cut `clients` connections at once, without and with jitter, and watch them come back.

    One instance holds half of them, and another may be started 0.4 s after the first instance. Without jitter a client
    tries at once, then after 0.2, 0.4, 0.8 ... s; with jitter it draws its first wait from 1.4 s.
    """
    with tempfile.TemporaryDirectory(prefix="storm-") as state, working("Starting another platform ...") as say:
        attachment = await asyncio.to_thread(daemon.spawn, Path(state), keep=False, options={
            "scale_burst": 1, "scale_per_minute": 60 / REFILL})
        # Not attached by fclocal.attach(): the trust of this process stays with the lesson's own platform.
        fc = Platform(attachment)
        try:
            app = await asyncio.to_thread(lambda: fc.deploy(
                SERVER, instanceConcurrency=-(-clients // 2), environmentVariables={"SECONDS_PER_MESSAGE": "60"}))
            waves = []
            for jitter in (False, True):
                say(f"Cutting {clients} connections, {'with' if jitter else 'without'} jitter ...")
                waves.append(await _wave(fc, app, clients, jitter))
            return Storm(tuple(waves))
        finally:
            await asyncio.to_thread(fc.stop)


def pause(failures: int, random_number: float, jitter: bool) -> float:
    """Return the seconds that a client waits after its connection was cut (failures 0) or its attempt was rejected."""
    if jitter:
        return random_number * SPREAD * 2.0 ** failures
    return FIRST * 2.0 ** (failures - 1) if failures else 0.0


async def _wave(fc: Platform, app: App, clients: int, jitter: bool) -> Wave:
    # Plain ws: the certificate of this platform is not one that this process trusts.
    url = to_wss(app.url).replace("wss", "ws", 1)
    generator, tries = random.Random(1), list[tuple[float, int]]()
    loop = asyncio.get_running_loop()

    async def attempt() -> ClientConnection:
        return await connect(url, ping_interval=None, proxy=None, open_timeout=30)

    async def come_back(began: float) -> ClientConnection:
        failures = 0
        while True:
            await asyncio.sleep(pause(failures, generator.random(), jitter))
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
    await asyncio.gather(*(ws.close() for ws in back))      # a client keeps its connection until all are connected
    return Wave(jitter, clients, tuple(sorted(tries)))
