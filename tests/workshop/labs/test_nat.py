"""The NAT, between real WebSocket peers over loopback."""

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator

import pytest
from awaited import awaited
from websockets.asyncio.client import connect
from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosedError, InvalidMessage

from workshop.labs.nat import Nat


@contextlib.asynccontextmanager
async def echo() -> AsyncIterator[str]:
    async def handler(ws):
        async for message in ws:
            await ws.send(message)

    async with serve(handler, "127.0.0.1", 0, ping_interval=None) as server:
        yield f"ws://localhost:{server.sockets[0].getsockname()[1]}"


async def forgotten(nat: Nat) -> None:
    assert await asyncio.to_thread(nat.wait_forgotten)


@awaited
async def test_it_carries_every_byte_while_something_moves():
    async with echo() as url:
        with Nat(url) as nat:
            async with connect(nat.url + "/room?a=1") as ws:
                for message in ("hello", random.randbytes(300_000), "good bye"):
                    await ws.send(message)
                    assert await ws.recv() == message
            assert ws.close_code == 1000
            assert nat.flows[0].carried > 600_000


@awaited
async def test_a_silent_connection_is_forgotten_and_neither_side_notices():
    async with echo() as url:
        with Nat(url, forget_after=0.2) as nat:
            ws = await connect(nat.url, ping_interval=None, close_timeout=0.1)
            await forgotten(nat)
            await ws.send("is anybody there?")
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(ws.recv(), 0.3)
            assert ws.state.name == "OPEN"
            assert nat.flows[0].swallowed > 0
            assert "removed 1; bytes dropped" in str(nat)
            await ws.close()


@awaited
async def test_with_reset_the_next_message_breaks_the_connection():
    async with echo() as url:
        with Nat(url, forget_after=0.2, then="reset") as nat:
            async with connect(nat.url, ping_interval=None) as ws:
                await forgotten(nat)
                await ws.send("is anybody there?")
                with pytest.raises(ConnectionClosedError):
                    await asyncio.wait_for(ws.recv(), 5)
                assert ws.close_code == 1006


@awaited
async def test_pings_within_the_limit_keep_it_alive():
    async with echo() as url:
        with Nat(url, forget_after=0.4) as nat:
            async with connect(nat.url, ping_interval=0.1) as ws:
                assert not await asyncio.to_thread(nat.wait_forgotten, 1, 1.0)
                await ws.send("still there")
                assert await ws.recv() == "still there"


@awaited
async def test_pings_beyond_the_limit_reveal_it():
    async with echo() as url:
        with Nat(url, forget_after=0.2) as nat:
            async with connect(nat.url, ping_interval=0.5, ping_timeout=0.2, close_timeout=0.1) as ws:
                with pytest.raises(ConnectionClosedError, match="keepalive ping timeout"):
                    await asyncio.wait_for(ws.recv(), 5)
                assert nat.flows[0].forgotten


@awaited
async def test_all_flows_can_be_forgotten_at_once():
    async with echo() as url:
        with Nat(url, forget_after=None) as nat:
            many = [await connect(nat.url, ping_interval=None, close_timeout=0.1) for _ in range(3)]
            nat.forget()
            assert nat.wait_forgotten(3)
            await asyncio.gather(*(ws.close() for ws in many))


@awaited
async def test_delay_and_loss_slow_down_and_keep_order():
    async with echo() as url:
        with Nat(url, delay=0.05, loss=0.3, seed=1) as nat:
            async with connect(nat.url) as ws:
                begin = time.perf_counter()
                await ws.send("there and back")
                await ws.recv()
                assert time.perf_counter() - begin >= 0.1
                for number in range(20):
                    await ws.send(str(number))
                assert [await ws.recv() for _ in range(20)] == [str(number) for number in range(20)]


@awaited
async def test_an_unreachable_target_closes_the_client():
    async with echo() as url:
        pass
    with Nat(url) as nat, pytest.raises((OSError, InvalidMessage)):
        await asyncio.wait_for(connect(nat.url), 5)


def test_scheme_and_path_stay_and_anything_else_is_refused():
    with Nat("wss://localhost:9443/chat/tea?after=17") as nat:
        assert nat.url.startswith("wss://localhost:") and nat.url.endswith("/chat/tea?after=17")
        assert ":9443" not in nat.url
    nat.stop()
    with pytest.raises(ValueError, match="a NAT needs an http"):
        Nat("localhost:9443")
