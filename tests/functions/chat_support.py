"""What the chat's tests share: instances as processes, a Redis, the durable client, and the figures of a run."""

import asyncio
import contextlib
import importlib.util
import os
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from awaited import eventually
from free_port import free_port
from redis.asyncio import Redis
from redis.crc import key_slot
from redis.exceptions import RedisError

from fclocal.runtime.instances.redis_server import RedisServer, find_program

FUNCTIONS = Path(__file__).parents[2] / "functions"

_spec = importlib.util.spec_from_file_location("chat_client", FUNCTIONS / "07-chat-durable" / "client.py")
assert _spec and _spec.loader
_module = importlib.util.module_from_spec(_spec)
sys.modules["chat_client"] = _module
sys.path.insert(0, str(FUNCTIONS / "07-chat-durable"))  # what it imports is beside it
_spec.loader.exec_module(_module)
sys.path.remove(str(FUNCTIONS / "07-chat-durable"))
Client = _module.Client


class Instance:
    """One process of a chat function, as the platform would start it, on a port of its own."""

    def __init__(self, folder: str, redis_url: str, env: dict[str, str] | None = None) -> None:
        self.folder, self.redis_url, self.port, self.env = folder, redis_url, 0, env or {}
        self.process: asyncio.subprocess.Process | None = None
        self._log: asyncio.Task[None] | None = None
        self.lines: list[str] = []

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        assert self.process
        return self.process.pid

    async def start(self) -> None:
        """Start, on the same port as before if there was one; returns when it listens."""
        self.port = self.port or free_port()
        self.process = await asyncio.create_subprocess_exec(
            sys.executable, "main.py", cwd=FUNCTIONS / self.folder,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
            env={"PATH": os.environ["PATH"], "FC_SERVER_PORT": str(self.port), "REDIS_URL": self.redis_url,
                 "FC_INSTANCE_ID": f"c-{free_port()}", **self.env})
        listening = asyncio.Event()
        self._log = asyncio.create_task(self._read(listening))
        async with asyncio.timeout(20):
            await listening.wait()

    async def _read(self, listening: asyncio.Event) -> None:
        assert self.process and self.process.stdout
        async for line in self.process.stdout:
            self.lines.append(line.decode())
            if b"on port" in line or b'"event": "ready"' in line:
                listening.set()

    async def kill(self, number: int = signal.SIGKILL) -> None:
        if self.process:
            with contextlib.suppress(ProcessLookupError):
                self.process.send_signal(signal.SIGCONT)
                self.process.send_signal(number)
            await self.process.wait()
            if self._log:
                await self._log


@asynccontextmanager
async def redis_server(tmp_path: Path, path: str = os.environ["PATH"]) -> AsyncIterator[RedisServer]:
    """The kit's Redis, with its data in `tmp_path`. An empty `path` has it take the Valkey of the wheel."""
    server = RedisServer(tmp_path, {"PATH": path})
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


async def answers(client: Redis) -> bool:
    """Return whether Redis answers a PING."""
    with contextlib.suppress(RedisError, OSError):
        return bool(await client.ping())
    return False


async def both_listed(client: Redis) -> bool:
    """Return whether the room "tea" has two members."""
    return bool(await client.hlen("chat:{tea}:members") == 2)


async def is_complete(client: Redis) -> bool:
    """Return whether a node of a cluster sees all slots served."""
    return bool((await client.execute_command("CLUSTER INFO"))["cluster_state"] == "ok")


class Cluster:
    """A Redis Cluster of three servers on loopback, each with a third of the slots and its data on disk."""

    def __init__(self, directory: Path, path: str = os.environ["PATH"]) -> None:
        self.ports = [free_port() for _ in range(3)]
        self._directory, self._program = directory, find_program({"PATH": path})
        self._processes: dict[int, asyncio.subprocess.Process] = {}
        self._bus = {port: free_port() for port in self.ports}

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.ports[-1]}/0"

    async def start_node(self, port: int) -> None:
        folder = self._directory / str(port)
        folder.mkdir(exist_ok=True)
        self._processes[port] = await asyncio.create_subprocess_exec(
            self._program, "--port", str(port), "--cluster-port", str(self._bus[port]), "--bind", "127.0.0.1",
            "--cluster-enabled", "yes", "--cluster-node-timeout", "1500", "--dir", str(folder), "--appendonly", "yes",
            "--appendfsync", "always", "--save", "", stdout=asyncio.subprocess.DEVNULL)
        async with Redis(port=port) as client:
            await eventually(lambda: answers(client))

    async def kill_node(self, port: int) -> None:
        self._processes[port].kill()
        await self._processes[port].wait()

    async def __aenter__(self) -> "Cluster":
        await asyncio.gather(*(self.start_node(port) for port in self.ports))
        bounds = [0, 5461, 10923, 16384]
        for number, port in enumerate(self.ports):
            async with Redis(port=port) as client:
                await client.execute_command("CLUSTER ADDSLOTSRANGE", bounds[number], bounds[number + 1] - 1)
                for other in self.ports[:number]:
                    await client.execute_command("CLUSTER MEET", "127.0.0.1", other, self._bus[other])
        for port in self.ports:
            async with Redis(port=port) as client:
                await eventually(lambda client=client: is_complete(client), 20)
        return self

    async def __aexit__(self, *error: object) -> None:
        for port in self.ports:
            if self._processes[port].returncode is None:
                await self.kill_node(port)

    def port_of(self, room: str) -> int:
        """Return the server that has a room."""
        return self.ports[key_slot(f"chat:{{{room}}}".encode()) * 3 // 16384]


@asynccontextmanager
async def instances(folder: str, redis_url: str, count: int = 2, **env: str) -> AsyncIterator[list[Instance]]:
    """`count` instances of a chat function; none is left afterwards and none logged an error."""
    started = [Instance(folder, redis_url, env) for _ in range(count)]
    try:
        await asyncio.gather(*(instance.start() for instance in started))
        yield started
    finally:
        await asyncio.gather(*(instance.kill() for instance in started))
        print("".join(line for instance in started for line in instance.lines))  # pytest shows it after a failure
    errors = [line for instance in started for line in instance.lines if "Traceback" in line or "ERROR" in line]
    assert not errors, "".join(line for instance in started for line in instance.lines)


@asynccontextmanager
async def clients(urls: list[str], room: str = "tea") -> AsyncIterator[list[Any]]:
    """One client per URL, all in the room."""
    people = [Client(url, room, f"p{number}") for number, url in enumerate(urls)]
    tasks = [asyncio.create_task(person.run()) for person in people]
    try:
        async with asyncio.timeout(20):
            await asyncio.gather(*(person.joined() for person in people))
        yield people
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def under_way(people: list[Any]) -> None:
    """Wait until the chat has confirmed three messages of every member."""
    await eventually(lambda: all(person.acked >= 3 for person in people))


class Figures:
    """Count the messages that each member received, against the answers that the senders received."""

    def __init__(self, people: list[Any]) -> None:
        refused = {text for person in people for text in person.refused}
        unsure = {text for person in people for text in person.unsure}
        missed = {text for person in people for text in person.missed}
        self.missed = len(missed)
        self.said = sum(person._last for person in people)
        self.refused, self.unsure = len(refused), len(unsure)
        accepted = [f"{person.name} {ref}" for person in people for ref in range(1, person.acked + 1)]
        self.accepted = [text for text in accepted if text not in refused | unsure]
        lost: set[str] = set()
        self.delivered = self.lost = self.duplicated = self.disordered = 0
        for person in people:
            texts = [message["text"] for message in person.messages]
            counts = Counter(texts)
            self.delivered += len(counts)
            self.duplicated += len(texts) - len(counts)
            self.lost += sum(text not in counts for text in self.accepted)
            lost |= {text for text in self.accepted if text not in counts}
            latest: dict[str, int] = {}
            for text in texts:
                name, ref = text.split()
                self.disordered += int(ref) < latest.get(name, 0)
                latest[name] = max(int(ref), latest.get(name, 0))
        self.untold = len(lost - missed)  # lost for a member although the sender received a confirmation
        orders = [[[*map(int, message["id"].split("-"))] for message in person.messages if "id" in message]
                  for person in people]
        self.same_order = all(order == sorted(order) for order in orders)

    def __str__(self) -> str:
        return (f"said {self.said}, accepted {len(self.accepted)}, refused {self.refused}, uncertain {self.unsure},"
                f" told incomplete {self.missed}, delivered {self.delivered},"
                f" lost {self.lost} (of {self.untold} untold),"
                f" duplicated {self.duplicated}, out of order {self.disordered}")


async def talk(people: list[Any], seconds: float, every: float = 0.1) -> None:
    """Everybody says "name number" every `every` seconds for `seconds`."""
    async def one(person: Any, delay: float) -> None:
        await asyncio.sleep(delay)
        end = asyncio.get_running_loop().time() + seconds
        while asyncio.get_running_loop().time() < end:
            await person.say(f"{person.name} {person._last + 1}")
            await asyncio.sleep(every)
    await asyncio.gather(*(one(person, every * number / len(people)) for number, person in enumerate(people)))
