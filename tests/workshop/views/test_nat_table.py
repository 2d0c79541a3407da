"""The table of a NAT, driven by a real relay."""

import asyncio
from pathlib import Path

from awaited import until
from websockets.asyncio.client import connect

from fclocal.client.platform import Platform
from workshop import Nat, to_wss
from workshop.views.nat_table import NatTable, table

ROOT = Path(__file__).parents[3]


def test_rows_drain_refill_and_are_removed_at_the_limit_of_the_slider(fc: Platform) -> None:
    app = fc.deploy(ROOT / "functions" / "01-echo")

    async def talk() -> None:
        ws = await connect(to_wss(nat.url), ping_interval=None)
        await ws.send("hello")
        await ws.recv()
        assert await asyncio.to_thread(until, lambda: "open, carried" in view.rows.value)
        assert "animation:drain" in view.rows.value
        assert not nat.flows[0].forgotten
        view.slider.value = 0.2                         # from an hour to a fifth of a second
        assert await asyncio.to_thread(nat.wait_forgotten)
        assert await asyncio.to_thread(until, lambda: "removed, carried" in view.rows.value)
        ws.transport.abort()

    with Nat(app.url, forget_after=3600) as nat:
        view = NatTable(nat)
        assert "No connection yet." in view.rows.value
        asyncio.run(talk())
        assert set(nat._repr_mimebundle_()) >= {"application/vnd.jupyter.widget-view+json", "text/plain"}
    assert "application/vnd.jupyter.widget-view+json" not in nat._repr_mimebundle_()
    assert "removed" in table(nat)
