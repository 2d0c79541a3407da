"""functions/06-billing: a connection stays as long as it asks."""

import asyncio
import json

import pytest
from awaited import awaited
from functions.standalone import running
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosedError


@awaited
async def test_it_holds_as_long_as_asked_and_closes_with_1000():
    async with running("06-billing") as program:
        begin = asyncio.get_running_loop().time()
        async with connect(program.url + "?seconds=0.5") as one, connect(program.url) as two:
            assert json.loads(await one.recv())["here"] == 1
            assert json.loads(await two.recv())["here"] == 2
            await one.send("talking does not prolong it")
            await one.wait_closed()
            assert 0.45 <= asyncio.get_running_loop().time() - begin < 3
            assert (one.close_code, one.close_reason) == (1000, "time is up")
            assert two.state.name == "OPEN"


@awaited
@pytest.mark.parametrize("asked", ["soon", "1e"])
async def test_nonsense_is_refused_with_a_reason(asked):
    async with running("06-billing") as program, connect(f"{program.url}?seconds={asked}") as ws:
        with pytest.raises(ConnectionClosedError, match="seconds must be a number"):
            await ws.recv()
        assert ws.close_code == 1008
