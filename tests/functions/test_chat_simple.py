"""The simplest chat across instances: one room on two processes, separate rooms, and how it ends."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from awaited import eventually
from chat_support import FUNCTIONS, Instance, instances, redis_server
from redis.asyncio import Redis
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from fclocal import Platform

FOLDER = "07-chat-simple"


async def join(url: str, name: str, room: str = "tea") -> ClientConnection:
    """Connect, and wait until the room has announced this member."""
    member = await connect(f"{url}/{room}?name={name}")
    await received(member, f"{name} joined")
    return member


async def received(member: ClientConnection, text: str) -> list[str]:
    """Everything that the member receives up to `text`."""
    texts: list[str] = []
    async with asyncio.timeout(10):
        while text not in texts:
            texts.append(str(await member.recv()))
    return texts


async def close_code(member: ClientConnection) -> int | None:
    with pytest.raises(ConnectionClosed):
        async with asyncio.timeout(10):
            while True:
                await member.recv()
    return member.close_code


def test_it_stays_short() -> None:
    """The lesson shows the whole program, and the pattern fits on one screen."""
    lines = (FUNCTIONS / FOLDER / "main.py").read_text("utf-8").splitlines()
    begin, end = lines.index("# region pattern"), lines.index("# endregion")
    assert len(lines) <= 60 and sum(bool(line.strip()) for line in lines[begin + 1:end]) <= 15


def test_a_room_spans_instances_and_rooms_are_separate(tmp_path: Path) -> None:
    async def main() -> None:
        async with redis_server(tmp_path) as redis, instances(FOLDER, redis.url) as (one, two):
            ana, bo = await join(one.url, "Ana"), await join(two.url, "Bo")
            cy = await join(two.url, "Cy", "coffee")
            await received(ana, "Bo joined")
            await ana.send("Tea?")
            for member in (ana, bo):
                await received(member, "Ana: Tea?")
            await bo.send("With milk.")
            for member in (ana, bo):
                await received(member, "Bo: With milk.")
            await cy.send("Nobody here?")
            assert await received(cy, "Cy: Nobody here?") == ["Cy: Nobody here?"]
            for member in (ana, bo, cy):
                await member.close()
            async with Redis.from_url(redis.url) as client:
                async def no_subscriber() -> bool:
                    return not await client.pubsub_channels()

                await eventually(no_subscriber)
    asyncio.run(main())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_closes_connections_with_1001(number: int, tmp_path: Path) -> None:
    async def main() -> None:
        async with redis_server(tmp_path) as redis, instances(FOLDER, redis.url, 1) as [one]:
            ana = await join(one.url, "Ana")
            one.process.send_signal(number)
            assert await close_code(ana) == 1001
            assert await asyncio.wait_for(one.process.wait(), 10) == 0
    asyncio.run(main())


def test_a_failure_of_redis_closes_the_connection(tmp_path: Path) -> None:
    """The connection is closed instead of staying silent, and the log has one line with the reason."""
    async def main() -> None:
        one = Instance(FOLDER, "redis://127.0.0.1:1/0")
        await one.start()
        try:
            ana = await connect(f"{one.url}/tea?name=Ana")
            assert await close_code(ana) == 1011
        finally:
            await one.kill()
        assert any("Redis failed" in line for line in one.lines) and not any("Traceback" in line for line in one.lines)
    asyncio.run(main())


def test_a_client_that_disappears_leaves_no_traceback(tmp_path: Path) -> None:
    async def main() -> None:
        async with redis_server(tmp_path) as redis, instances(FOLDER, redis.url, 1) as [one]:
            for _ in range(5):
                ana = await join(one.url, "Ana")
                ana.transport.abort()
            bo = await join(one.url, "Bo")
            await bo.close()
    asyncio.run(main())


def test_without_redis_url_one_line_explains() -> None:
    result = subprocess.run([sys.executable, "main.py"], cwd=FUNCTIONS / FOLDER, env={"PATH": os.environ["PATH"]},
                            capture_output=True, text=True, timeout=20)
    assert result.returncode and result.stderr.startswith("REDIS_URL is not set.") and result.stderr.count("\n") == 1


def test_it_runs_on_fclocal_with_one_member_per_instance(fc: Platform) -> None:
    app = fc.deploy(FUNCTIONS / FOLDER, instanceConcurrency=1)
    url = app.url.replace("https:", "wss:")

    async def main() -> None:
        ana, bo = await join(url, "Ana"), await join(url, "Bo")
        await bo.send("Here?")
        await received(ana, "Bo: Here?")
        for member in (ana, bo):
            await member.close()
    asyncio.run(main())
    assert len(fc.instances(app.name)) == 2
