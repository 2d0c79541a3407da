"""The chat functions beside python-socketio, Django Channels and Node ws: CPU per delivery and latency.

    pip install -r benchmarks/requirements.txt && npm install --prefix benchmarks
    python benchmarks/chat.py            # about ten minutes; exits 1 if a limit is missed
    python benchmarks/chat.py --quick    # one minute: shows the direction only

Method: two server processes run on one core. The load client and one Redis (the kit's: AOF, fsync always) run on the
other core. 200 members are in one room, half of them on each server. Messages of 64 bytes are sent at a steady rate,
each by another member. The rows with 500 rooms have 5,000 members, ten in each room, on four server processes.

The variants of a group run in turns: after a warm-up, each round measures every variant for a slice of time, in rotated
order. Each variant gets a rate near its limit, because a chat is measured when it is busy. For our chat the same rates
are printed too. CPU is nanoseconds from /proc/PID/task/*/schedstat of the servers, kernel work included, divided by the
messages delivered. Figures are medians with quartiles over the rounds; ratios are taken inside a round. The latency
that is promised in milliseconds is measured alone: the pings and timers of the other variants add 2 ms.

Our chat has all its features on: presence, limits, answers to the sender. The peers run the examples of their manuals,
without these features. In a busy room our chat writes to a member every 20 ms, with all messages in one write; the
peers write each message separately. This saves CPU and adds latency, so compare CPU and p99 together.
"""

import argparse
import asyncio
import contextlib
import itertools
import json
import os
import random
import resource
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO

from fclocal.runtime.instances.redis_server import RedisServer

HERE = Path(__file__).parent
FUNCTIONS = HERE.parent / "functions"
LOAD_CORE, SERVER_CORE = (sorted(os.sched_getaffinity(0)) * 2)[:2]
MEMBERS = 200
BYTES = 64
PATIENCE = 10  # seconds that the last messages of a slice may take
HEAD = (b"GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13"
        b"\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
MARK = b"@@"  # begins a message of this benchmark: @@<nanoseconds>@@xxxx


def masked(text: bytes) -> bytes:
    """A client's text frame. A mask of zeros is a valid mask and costs the load client nothing."""
    length = bytes([0x80 | len(text)]) if len(text) < 126 else b"\xfe" + len(text).to_bytes(2, "big")
    return b"\x81" + length + b"\0\0\0\0" + text


@dataclass(frozen=True)
class Kind:
    """A variant: how to start one server, and what its clients send."""

    name: str
    command: list[str]
    folder: Path
    rate: int  # messages per second
    path: Callable[[int], bytes] = lambda number: b"/"
    hello: Callable[[int], bytes] = lambda number: b""
    say: Callable[[str, int], bytes] = lambda text, ref: text.encode()
    joined: bytes = b""  # part of the message that confirms the join; without it, an open connection is
    members: int = MEMBERS
    rooms: int = 1
    instances: int = 2
    ping: float = 20  # seconds between two pings of a member
    group: str = "one room"  # the variants of a group run in turns
    check: tuple[str, ...] = ()  # a command that fails where the packages of a peer are missing

    def installed(self) -> bool:
        return not self.check or subprocess.run(self.check, env=environment(), capture_output=True).returncode == 0


def environment() -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "NODE_PATH": str(HERE / "node_modules")}


def ours(name: str, folder: str, rate: int, members: int = MEMBERS, rooms: int = 1, instances: int = 2,
         ping: float = 20) -> Kind:
    return Kind(name, [sys.executable, "main.py"], FUNCTIONS / folder, rate, members=members, rooms=rooms,
                instances=instances, ping=ping, joined=b'"type":"members"', hello=lambda n: json.dumps(
                    {"type": "join", "room": f"{name} {n % rooms}", "name": f"member {n}"}).encode(),
                say=lambda text, ref: json.dumps({"type": "say", "ref": ref, "text": text}).encode())


def node(name: str, rate: int, members: int = MEMBERS, rooms: int = 1, instances: int = 2) -> Kind:
    return Kind(name, ["node", "node_ws.js"], HERE / "chat_peers", rate, members=members, rooms=rooms,
                instances=instances, path=lambda n: f"/{name.replace(' ', '-')}-{n % rooms}".encode(),
                check=("node", "-e", "require('ws'), require('ioredis')"))


def kinds(python: str, quick: bool) -> list[Kind]:
    """Return all variants, each at a rate that it can sustain. Ours also runs at the lower rates of the peers."""
    peers = HERE / "chat_peers"
    variants = [
        ours("ours", "07-chat", 400),
        ours("ours, durable", "07-chat-durable", 400),
        node("Node ws", 400),
        Kind("python-socketio", [python, "socketio_chat.py"], peers, 100,
             path=lambda n: b"/socket.io/?EIO=4&transport=websocket", hello=lambda n: b"40",
             say=lambda text, ref: b"42" + json.dumps(["say", text]).encode(),
             check=(python, "-c", "import socketio, uvicorn")),
        Kind("Django Channels", [python, "channels_chat.py"], peers, 20,
             check=(python, "-c", "import channels_redis, django, uvicorn")),
    ]
    if not quick:
        variants += [ours("ours at 100/s", "07-chat", 100), ours("ours at 20/s", "07-chat", 20),
                  ours("10 members", "07-chat", 20, 10), ours("2000 members", "07-chat", 20, 2000),
                  replace(ours("ours alone", "07-chat", 20), group="alone"),
                  *(replace(kind, group="many rooms") for kind in (
                      ours("ours, 500 rooms", "07-chat", 400, 5000, 500, 4),
                      ours("durable, 500 rooms", "07-chat-durable", 400, 5000, 500, 4),
                      node("Node ws, 500 rooms", 400, 5000, 500, 4)))]
    return variants


class Member(asyncio.Protocol):
    """One member of the load client: counts the messages it receives; every 20th also takes the time."""

    def __init__(self, variant: "Variant", number: int) -> None:
        self.variant, self.number, self.ref = variant, number, 0
        self.buffer = bytearray()
        self.open = False
        self.clock = number % 20 == 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.write(HEAD % self.variant.kind.path(self.number))

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        if not self.open:
            end = self.buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            assert self.buffer.startswith(b"HTTP/1.1 101"), bytes(self.buffer[:200])
            del self.buffer[:end + 4]
            self.open = True
            self.variant.ready += not self.variant.kind.joined
            self.join()
        at, buffer, size = 0, self.buffer, len(self.buffer)
        while size - at >= 2:
            length, head = buffer[at + 1] & 127, 2
            if length == 126:
                length, head = int.from_bytes(buffer[at + 2:at + 4], "big"), 4
            elif length == 127:
                length, head = int.from_bytes(buffer[at + 2:at + 10], "big"), 10
            if at + head + length > size:
                break
            self.frame(buffer[at] & 15, at + head, at + head + length)
            at += head + length
        del buffer[:at]

    def frame(self, opcode: int, begin: int, end: int) -> None:
        if opcode == 9:
            self.transport.write(b"\x8a" + bytes([0x80 | end - begin]) + b"\0\0\0\0" + self.buffer[begin:end])
        elif opcode == 8:
            raise ConnectionError(bytes(self.buffer[begin:end]))
        elif (mark := self.buffer.find(MARK, begin, end)) >= 0:
            self.variant.delivered += 1
            if self.clock:
                sent = int(self.buffer[mark + 2:self.buffer.find(MARK, mark + 2)])
                self.variant.late.append(time.perf_counter_ns() - sent)
        elif self.variant.kind.joined and self.buffer.find(self.variant.kind.joined, begin, end) >= 0:
            self.variant.ready += 1
        elif self.buffer[begin:end] == b"2":  # engine.io's own ping
            self.transport.write(masked(b"3"))

    def join(self) -> None:
        if hello := self.variant.kind.hello(self.number):
            self.transport.write(masked(hello))

    def leave(self) -> None:
        self.transport.write(masked(b'{"type":"leave"}'))

    def say(self) -> None:
        self.ref += 1
        text = f"@@{time.perf_counter_ns()}@@".ljust(BYTES, "x")
        self.transport.write(masked(self.variant.kind.say(text, self.ref)))


@dataclass
class Variant:
    """A running variant and what it has measured."""

    kind: Kind
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)
    errors: IO[bytes] = field(default_factory=tempfile.TemporaryFile)  # what the servers print there
    members: list[Member] = field(default_factory=list)
    ready = 0  # members that have joined
    delivered = 0
    turn = 0
    late: list[int] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)  # microseconds per delivery, by round
    p99: list[float] = field(default_factory=list)  # milliseconds, by round
    missed = 0

    async def start(self, redis_url: str) -> None:
        ports = [free_port() for _ in range(self.kind.instances)]
        for port in ports:
            env = environment() | {"REDIS_URL": redis_url, "FC_SERVER_PORT": str(port), "FC_INSTANCE_ID": f"c-{port}",
                                   "PING_SECONDS": str(self.kind.ping)}
            self.processes.append(subprocess.Popen(  # noqa: ASYNC220 - starting takes no time that matters here
                ["taskset", "-c", str(SERVER_CORE), *self.kind.command], cwd=self.kind.folder, env=env,
                stdout=subprocess.DEVNULL, stderr=self.errors))
        loop = asyncio.get_running_loop()
        for number in range(self.kind.members):
            while True:
                try:
                    _, member = await loop.create_connection(lambda n=number: Member(self, n), "127.0.0.1",
                                                             ports[number // self.kind.rooms % len(ports)])
                    break
                except ConnectionRefusedError:
                    self.check()
                    await asyncio.sleep(0.1)
            self.members.append(member)
            if number % 20 == 0:
                await asyncio.sleep(0.02)
            async with asyncio.timeout(60):
                while self.ready < number - 100:  # noqa: ASYNC110 - joins are not what is measured
                    await asyncio.sleep(0.01)
        async with asyncio.timeout(60):
            while self.ready < self.kind.members:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        await asyncio.sleep(1)

    def check(self) -> None:
        """End the benchmark with the error of a server that has ended."""
        if any(process.poll() is not None for process in self.processes):
            self.errors.seek(0)
            sys.exit(f"{self.kind.name} has ended:\n{self.errors.read().decode()[-2000:]}")

    async def slice(self, seconds: float, *, measured: bool) -> None:
        """Send at the variant's rate, then wait until every message has arrived."""
        self.delivered, before = 0, self.nanoseconds()
        self.late.clear()
        begin, sent = time.perf_counter(), 0
        while (elapsed := time.perf_counter() - begin) < seconds:
            while sent < elapsed * self.kind.rate:
                self.members[self.turn % len(self.members)].say()
                self.turn += 7  # coprime to 10, 200, 2000 and 5000: members take turns over all servers
                sent += 1
            await asyncio.sleep(1 / self.kind.rate / 2)
        wanted, deadline = sent * len(self.members) // self.kind.rooms, time.perf_counter() + PATIENCE
        while self.delivered < wanted and time.perf_counter() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
        self.check()
        if measured:
            self.missed += wanted - self.delivered
            self.cpu.append((self.nanoseconds() - before) / max(1, self.delivered) / 1000)
            late = sorted(self.late) or [PATIENCE * 1_000_000_000]  # nothing arrived: at least that late
            self.p99.append(late[len(late) * 99 // 100] / 1e6)

    def nanoseconds(self) -> int:
        return sum(int((task / "schedstat").read_text().split()[0]) for process in self.processes
                   for task in Path(f"/proc/{process.pid}/task").iterdir())

    def stop(self) -> None:
        for member in self.members:
            member.transport.abort()
        for process in self.processes:
            process.kill()
            process.wait()


def free_port() -> int:
    """Return a port below those that the kernel gives to outgoing connections: the load client has 18,000 of them."""
    while True:
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port := random.randint(10_000, 32_000)))
            return port


@contextlib.contextmanager
def state() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp())
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def spread(values: list[float], unit: str = "") -> str:
    low, middle, high = statistics.quantiles(values, n=4)
    return f"{middle:8.2f}{unit}  ({low:.2f} to {high:.2f})"


async def measure(args: argparse.Namespace) -> list[Variant]:
    """Measure all variants, one group after the other."""
    wanted = [kind for kind in kinds(args.python, args.quick) if not args.only or kind.name in args.only]
    for kind in wanted:
        if not kind.installed():
            print(f"{kind.name}: left out, because its packages are missing; see python benchmarks/chat.py --help")
    variants = [Variant(kind) for kind in wanted if kind.installed()]
    for _, group in itertools.groupby(variants, lambda variant: variant.kind.group):
        await measure_group(list(group), args)
    return variants


async def measure_group(variants: list[Variant], args: argparse.Namespace) -> None:
    """Start these variants, measure them in turns, and stop them."""
    with state() as folder:
        server = RedisServer(folder)
        url = await server.start()
        try:
            for variant in variants:
                await variant.start(url)
                await variant.slice(args.seconds, measured=False)
                print(f"{variant.kind.name}: {len(variant.members)} members", flush=True)
            for turn in range(args.rounds):
                for number in range(len(variants)):
                    await variants[(turn + number) % len(variants)].slice(args.seconds, measured=True)
        finally:
            for variant in variants:
                variant.stop()
            await server.stop()


def report(variants: list[Variant]) -> int:
    """Print the table. Return 1 if a limit is missed."""
    by_name = {variant.kind.name: variant for variant in variants}
    print(f"\n{'':<20}{'msg/s':>6}  {'CPU per delivery, us':<28}{'p99, ms':<28}undelivered")
    for name, variant in by_name.items():
        print(f"{name:<20}{variant.kind.rate:>6}  {spread(variant.cpu):<28}{spread(variant.p99):<28}{variant.missed}")
    print()

    def ratios(name: str, other: str) -> list[float]:
        if name not in by_name or other not in by_name:
            return []
        return [theirs / mine for theirs, mine in zip(by_name[name].cpu, by_name[other].cpu, strict=True)]

    broken = 0

    def promise(text: str, values: list[float], limit: float, *, least: bool = False) -> None:
        """Print values beside a limit, and count it if their median breaks it."""
        nonlocal broken
        if values:
            middle = statistics.median(values)
            broken += (bad := middle < limit if least else middle > limit)
            print(f"{text}: {spread(values)}, promised {'>=' if least else '<='} {limit:g}{'  MISSED' if bad else ''}")

    for name, limit in (("Node ws", 1.75), ("python-socketio", 7.6), ("Django Channels", 23.0)):
        promise(f"{name} / ours, both busy", ratios(name, "ours"), limit, least=True)
    for name, other in (("python-socketio", "ours at 100/s"), ("Django Channels", "ours at 20/s")):
        if values := ratios(name, other):
            print(f"{name} / {other}, same rate: {spread(values)} (one system call per delivery is in both)")
    promise("ours, durable / ours", ratios("ours, durable", "ours"), 1.48)
    if "ours alone" in by_name:
        promise("ours alone, p99 in ms", by_name["ours alone"].p99, 6)
    for name in ("ours, 500 rooms", "durable, 500 rooms"):
        if values := ratios("Node ws, 500 rooms", name):
            print(f"Node ws / {name}, 5,000 members on 4 instances: {spread(values)}")
    if "2000 members" in by_name and "10 members" in by_name and "ours at 20/s" in by_name:
        few, some, many = [[cost * by_name[name].kind.members for cost in by_name[name].cpu]
                           for name in ("10 members", "ours at 20/s", "2000 members")]
        promise("one more member, from 200 to 2000 / from 10 to 200",
                [((c - b) / 1800) / ((b - a) / 190) for a, b, c in zip(few, some, many, strict=True)], 1.25)
    for name in by_name:
        if by_name[name].missed and FUNCTIONS in by_name[name].kind.folder.parents:
            broken += 1
            print(f"{name}: {by_name[name].missed} messages did not arrive, promised 0  MISSED")
    return 1 if broken else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer rounds, fewer variants")
    parser.add_argument("--rounds", type=int, help="default: 15, quick: 4")
    parser.add_argument("--seconds", type=float, default=2.0, help="length of a slice")
    parser.add_argument("--python", default=sys.executable, help="the Python that has the peers' packages")
    parser.add_argument("--only", action="append", help="only the variant of this name; may be repeated")
    args = parser.parse_args()
    args.rounds = args.rounds or (4 if args.quick else 15)
    os.sched_setaffinity(0, {LOAD_CORE})
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return report(asyncio.run(measure(args)))


if __name__ == "__main__":
    sys.exit(main())
