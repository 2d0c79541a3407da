"""functions/04-keepalive: dead peers are dropped, live ones are kept."""

import asyncio
import json
import urllib.request

import pytest
from awaited import awaited
from functions.standalone import Program, running
from websockets.asyncio.client import connect

from workshop.labs.nat import Nat


async def peers(program: Program) -> dict[str, float]:
    def read() -> dict[str, float]:
        with urllib.request.urlopen(program.url.replace("ws", "http") + "peers", timeout=10) as answer:
            return json.load(answer)
    return await asyncio.to_thread(read)


@awaited
async def test_a_dead_peer_is_dropped_within_two_intervals_and_a_live_one_kept():
    async with running("04-keepalive", PING_SECONDS="0.3") as program:
        with Nat(program.url, forget_after=None) as nat:
            async with connect(program.url) as alive:
                lost = await connect(nat.url, ping_interval=None, close_timeout=0.1)
                begin = asyncio.get_running_loop().time()
                nat.forget()
                assert "keepalive ping timeout" in await program.printed('"event": "dropped"')
                assert asyncio.get_running_loop().time() - begin < 2 * 0.3 + 1 + 1  # close_timeout, a busy machine
                assert (await peers(program)) | {"awakeSeconds": 0} == {"open": 1, "dropped": 1, "awakeSeconds": 0}
                await alive.send("still here")
                assert await alive.recv() == "still here"
                await lost.close()


@awaited
async def test_the_servers_pings_keep_a_silent_connection_alive_in_a_nat():
    async with running("04-keepalive", PING_SECONDS="0.2") as program:
        with Nat(program.url, forget_after=0.6) as nat:
            async with connect(nat.url, ping_interval=None) as ws:
                assert not await asyncio.to_thread(nat.wait_forgotten, 1, 1.5)
                await ws.send("still here")
                assert await ws.recv() == "still here"


@awaited
async def test_a_page_gets_beats():
    async with running("04-keepalive", PING_SECONDS="0.1") as program, connect(program.url + "?beat") as ws:
        assert [json.loads(await ws.recv())["beat"] for _ in range(3)] == [1, 2, 3]


@awaited
@pytest.mark.parametrize(("path", "status"), [("", 200), ("page.js", 200), ("style.css", 200), ("main.py", 404)])
async def test_only_its_own_pages_are_served(path, status):
    async with running("04-keepalive") as program:
        def ask() -> int:
            try:
                return urllib.request.urlopen(program.url.replace("ws", "http") + path, timeout=10).status
            except urllib.error.HTTPError as refused:
                refused.close()
                return refused.code
        assert await asyncio.to_thread(ask) == status
