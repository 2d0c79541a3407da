"""Use the platform in every way at once for some minutes; its memory, descriptors and journal must stay flat.

    python benchmarks/mixed_load.py                 # ten minutes; exits 1 if a limit is missed
    python benchmarks/mixed_load.py --minutes 2

Five clients deploy, open, echo, kill, remove and publish versions of functions of their own until the time is over.
Each part of the time (a tenth) ends with a measurement. The first two parts are the warm-up.
"""

import argparse
import asyncio
import random
import sys
import tempfile
import time
from pathlib import Path

import psutil
from alibabacloud_fc20230330 import models
from Tea.exceptions import TeaException
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

import fclocal
from fclocal import FcError

FUNCTION = Path(__file__).parents[1] / "functions" / "01-echo"
CLIENTS = 5
MEMORY = 1.2  # resident memory of the platform at the end, as a multiple of that after the warm-up
DESCRIPTORS = 20  # more of them in the last three parts than in the three after the warm-up, at the lowest count
JOURNAL = 64  # MB


async def client(fc: fclocal.Platform, number: int, until: float, counts: dict[str, int]) -> None:
    """Do one random thing after another to one function."""
    name, chance, url = f"load-{number}", random.Random(number), ""
    while time.monotonic() < until:
        what = chance.choices(("deploy", "echo", "hold", "kill", "publish", "remove"), (2, 20, 4, 2, 1, 1))[0]
        try:
            if what == "deploy" or not url:
                app = await asyncio.to_thread(fc.deploy, FUNCTION, functionName=name, instanceConcurrency=5)
                url = app.url.replace("https", "wss")
            elif what == "echo":
                await echo(url, 20)
            elif what == "hold":
                await asyncio.gather(*(echo(url, 3) for _ in range(8)))
            elif what == "kill":
                for instance in await asyncio.to_thread(fc.instances, name):
                    await asyncio.to_thread(fc.kill, instance["instanceId"])
            elif what == "publish":
                request = models.PublishFunctionVersionRequest(body=models.PublishVersionInput())
                await asyncio.to_thread(fc.sdk.publish_function_version, name, request)
            else:
                await asyncio.to_thread(fc.remove, name)
                url = ""
            counts[what] = counts.get(what, 0) + 1
        except (ConnectionClosed, InvalidStatus, FcError, OSError, TeaException):
            counts["rejected or cut"] = counts.get("rejected or cut", 0) + 1


async def echo(url: str, messages: int) -> None:
    async with connect(url, open_timeout=30) as connection:
        for number in range(messages):
            await connection.send(f"message {number}")
            await connection.recv()


def measure(fc: fclocal.Platform, state: Path) -> tuple[float, int, float]:
    """Return the platform's memory in MB, its descriptors, and the size of its journal in MB."""
    process = psutil.Process(fc.at.pid)
    journal = sum(path.stat().st_size for path in state.glob("journal*"))
    return process.memory_info().rss / 1e6, process.num_fds(), journal / 1e6


async def run(minutes: float) -> list[str]:
    """Run the load; return the limits that were missed."""
    with tempfile.TemporaryDirectory() as folder:
        state = Path(folder) / "state"
        with fclocal.start(state) as fc:
            counts: dict[str, int] = {}
            until = time.monotonic() + minutes * 60
            clients = [asyncio.create_task(client(fc, number, until, counts)) for number in range(CLIENTS)]
            measured = []
            for part in range(1, 11):
                await asyncio.sleep(max(0.0, until - minutes * 60 + part * minutes * 6 - time.monotonic()))
                measured.append(measure(fc, state))
                print(f"{part * minutes * 6:6.0f} s   {measured[-1][0]:6.1f} MB   {measured[-1][1]:4} descriptors   "
                      f"journal {measured[-1][2]:5.1f} MB   {counts}", flush=True)
            await asyncio.gather(*clients)
            fc.stop()
        log = (state / "platform.log").read_text("utf-8", "replace")
    (warm, _, _), (memory, _, journal) = measured[1], measured[-1]
    # One count includes the connections that are open at that moment; a leak raises the lowest one too.
    descriptors, at_end = (min(count for _, count, _ in parts) for parts in (measured[1:4], measured[-3:]))
    missed = []
    if memory > warm * MEMORY:
        missed.append(f"memory grew from {warm:.1f} to {memory:.1f} MB")
    if at_end > descriptors + DESCRIPTORS:
        missed.append(f"descriptors grew from {descriptors} to {at_end}")
    if journal > JOURNAL:
        missed.append(f"the journal has {journal:.1f} MB")
    if tracebacks := log.count("Traceback"):
        missed.append(f"{tracebacks} tracebacks in the platform's log:\n{log[-3000:]}")
    return missed


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10.0)
    missed = asyncio.run(run(parser.parse_args().minutes))
    print("\n".join(f"MISSED: {line}" for line in missed) or "All limits held.")
    return bool(missed)


if __name__ == "__main__":
    sys.exit(main())
