"""The bill of what really happened, through the platform: `fc.bill`, `fclocal bill`, and the timeline beside it."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable

import pytest
from functions.standalone import FUNCTIONS
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from fclocal import App, Platform
from fclocal.core.billing import bill
from fclocal.core.metering import meter
from fclocal.testing import wait_for
from workshop.views.timeline import timeline

Start = Callable[..., Platform]


async def visit(app: App, arrives: float, stays: float) -> int | None:
    await asyncio.sleep(arrives)
    async with connect(f"{app.url.replace('https', 'wss')}/?seconds={stays}") as ws:
        await ws.wait_closed()
    return ws.close_code


async def together(*visits: tuple[App, float, float]) -> list[int | None]:
    return await asyncio.wait_for(asyncio.gather(*(visit(*one) for one in visits)), 60)


@pytest.fixture
def app(fc: Platform) -> App:
    app = fc.deploy(FUNCTIONS / "06-billing")
    assert asyncio.run(together((app, 0, 0))) == [1000]     # an instance is there
    return app


@pytest.mark.parity("bill.first-in-last-out", "bill.rounded-to-1-ms")
def test_two_overlapping_connections_are_billed_from_first_in_to_last_out(fc: Platform, app: App) -> None:
    assert asyncio.run(together((app, 0, 0.8), (app, 0.4, 0.8))) == [1000, 1000]
    data = fc.bill(app.name).data
    span = data["spans"][-1]
    assert span["requests"] == 2
    assert 800 < span["billedMs"] < 1600       # more than the longest, less than the sum
    records = list(fc.events(function=app.name))
    assert bill(meter(records)).seconds * 1000 == sum(one["billedMs"] for one in data["spans"])
    assert f"billed {sum(one['billedMs'] for one in data['spans']) / 1000:.3f} s" in timeline(records).text


@pytest.mark.parity("bill.open-to-close")
def test_with_concurrency_one_each_is_billed_for_itself(fc: Platform, app: App) -> None:
    one = fc.deploy(FUNCTIONS / "06-billing", instanceConcurrency=1)
    asyncio.run(together((one, 0, 0.5), (one, 0, 0.5)))
    last = fc.bill(one.name).data["spans"][-2:]
    assert [span["requests"] for span in last] == [1, 1]
    assert len({span["instance"] for span in last}) == 2


@pytest.mark.parity("bill.timeout", "bill.not-billed")
def test_a_timeout_bills_to_the_limit_and_a_refusal_nothing(fc: Platform, app: App) -> None:
    cut = fc.deploy(FUNCTIONS / "06-billing", timeout=1)
    assert asyncio.run(together((cut, 0, 60))) == [1006]
    wait_for(fc, "request.end", function=cut.name, why="timeout")
    with fc.fault("reject", function=cut.name, status=503, times=1), pytest.raises(InvalidStatus):
        asyncio.run(together((cut, 0, 1)))
    data = fc.bill(cut.name).data
    assert 1000 <= data["spans"][-1]["billedMs"] <= 1500
    assert data["notBilled"] == [{"reason": "503 ResourceThrottled, before the function", "requests": 1}]


def test_the_command_prints_the_invoice_and_its_json(fc: Platform, app: App) -> None:
    def run(*arguments: str) -> str:
        command = [sys.executable, "-m", "fclocal.client.cli", "--state", str(fc.at.state), "bill", app.name]
        done = subprocess.run([*command, *arguments], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout
    printed = run()
    assert printed.startswith("BILL  billing") and "Check the current price" in printed
    assert max(map(len, printed.splitlines())) <= 76
    assert json.loads(run("--json"))["total"] == fc.bill(app.name).data["total"]


def test_what_a_killed_platform_left_open_does_not_run_on(fc: Platform, app: App, platform_factory: Start) -> None:
    after = fc.status()["journal"]

    async def killed() -> None:
        async with connect(app.url.replace("https", "wss")) as ws:
            await ws.recv()
            await asyncio.to_thread(wait_for, fc, "request.begin", after=after)
            os.kill(fc.at.pid, signal.SIGKILL)
            await ws.wait_closed()

    asyncio.run(asyncio.wait_for(killed(), 60))
    again = platform_factory()
    assert not any(span["running"] for span in again.bill(app.name).data["spans"])


def test_the_bill_survives_a_restart_of_the_platform(fc: Platform, app: App, platform_factory: Start) -> None:
    before = fc.bill(app.name).data["spans"]
    fc.stop()
    again = platform_factory()
    assert again.bill(app.name).data["spans"] == before
