"""The workshop's main job once, in a terminal: deploy a folder, echo over wss://, see the timeline and the bill.

    python3 start.py tour        (or: workshop tour)

It runs on a platform of its own in a temporary folder and leaves nothing behind. Exit status 0 only if every
step did what it says.
"""

import asyncio
import io
import sys
import tempfile
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout

import psutil
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

import fclocal
from fclocal import App, FcError, Platform, Record
from workshop.views.timeline import timeline
from workshop.workspace import root

STEPS = 5
FOLDER = "functions/01-echo"
PATIENCE = 10.0  # seconds for a step that waits for something
APART = 0.5  # seconds between T1, T2, T3 and T4: long enough to be seen in the picture


class Departure(Exception):
    """A step ran but did not do what it says."""


def main() -> int:
    """Run the tour; 0 if every step succeeded, else 1 after one line that says why."""
    try:
        with tempfile.TemporaryDirectory(prefix="fclocal-tour-") as state:
            _tour(state)
    except FcError as error:
        print(f"\nFAILED  {error.message}\n        {error.cure}", file=sys.stderr)
    except (Departure, WebSocketException, OSError) as error:
        print(f"\nFAILED  {type(error).__name__}: {error}\n        Run: fclocal doctor", file=sys.stderr)
    except KeyboardInterrupt:
        print("\nStopped.", file=sys.stderr)
    else:
        print("The tour is complete. To start the lessons: python3 start.py")
        return 0
    return 1


def _tour(state: str) -> None:
    with _step(1, "Start fclocal, a Function Compute on this machine"):
        fc = fclocal.start(state)
    pids = [fc.at.pid]
    try:
        # What deploy prints comes below, so that the step keeps its line.
        with _step(2, f"Deploy {FOLDER} through the official SDK"), redirect_stdout(io.StringIO()) as notices:
            app = fc.deploy(root() / FOLDER)
        print(f"      {app.url}")
        print(textwrap.indent(notices.getvalue(), " " * 6), end="")
        url = "wss" + app.url.removeprefix("https")
        with _step(3, f"Echo over {url}"):
            asyncio.run(asyncio.wait_for(_talk(url), PATIENCE))
        print("      Two connections that overlap; text and binary came back as sent.")
        pids += [instance["pid"] for instance in fc.instances()]
        with _step(4, "Read the journal: timeline and bill"):
            records = _journal(fc, app, ended=2)
        print(f"\n{timeline(records, function=app.name)}\n{fc.bill(app.name)}")
    finally:
        with _step(STEPS, "Stop; nothing stays behind"):
            fc.stop()
            if left := [pid for pid in pids if psutil.pid_exists(pid)]:
                raise Departure(f"processes {left} still run")


@contextmanager
def _step(number: int, what: str) -> Iterator[None]:
    """Print what the step does before it runs, and how long it took afterwards."""
    print(f"[{number}/{STEPS}] {what} ...", end=" ", flush=True)
    began = time.monotonic()
    try:
        yield
    except BaseException:
        print("did not work", flush=True)
        raise
    print(f"{time.monotonic() - began:.1f} s", flush=True)


async def _talk(url: str) -> None:
    """Open two connections: the first from T1 to T3, the second from T2 to T4."""
    async with connect(url) as first:  # T1
        await _echo(first, "good morning")
        await asyncio.sleep(APART)
        async with connect(url) as second:  # T2
            await _echo(second, bytes(range(256)))
            await asyncio.sleep(APART)
            await first.close()  # T3
            await asyncio.sleep(APART)
        # T4


async def _echo(connection: ClientConnection, message: str | bytes) -> None:
    await connection.send(message)
    if (answer := await connection.recv()) != message:
        raise Departure(f"sent {message!r}, received {answer!r}")


def _journal(fc: Platform, app: App, *, ended: int) -> list[Record]:
    """Return the function's records when `ended` requests have ended: the journal records a close just after it."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        records = list(fc.events(function=app.name))
        if sum(record.kind == "request.end" for record in records) >= ended:
            return records
        time.sleep(0.05)
    raise Departure(f"the journal did not record the end of {ended} connections within {PATIENCE:g} seconds")


if __name__ == "__main__":
    sys.exit(main())
