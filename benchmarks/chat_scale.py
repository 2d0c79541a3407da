"""How far the chat scales: what a member, a room and a message cost, and what 100,000 members would need.

    python benchmarks/chat_scale.py             # five minutes: the figures of functions/07-chat-durable/SCALING.md
    python benchmarks/chat_scale.py --quick     # three minutes: fewer members, shows the direction only

Method: the instances, their Redis and the load client share this machine. Each set-up has rooms of ten members spread
over all instances. Memory is the resident size of the instances with all members minus the size without members. CPU is
that of the processes during a steady load, kernel work included. The last part extrapolates these figures, and says so.
"""

import argparse
import asyncio
import os
import resource
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
from chat import FUNCTIONS, Kind, Variant, ours
from redis.asyncio import Redis

from fclocal.core.billing import bill
from fclocal.core.metering import meter
from fclocal.core.records import Record
from fclocal.runtime.instances.redis_server import RedisServer

sys.path.insert(0, str(FUNCTIONS.parent / "tests"))
sys.path.insert(0, str(FUNCTIONS.parent / "tests" / "functions"))
from chat_support import Cluster

RATE = 200  # messages per second, all rooms together
SECONDS = 5.0
CROWD, CHANGES = 10_000, 200  # members of the part about presence, and how often one of them joins or leaves
# The extrapolated chat.
MEMBERS, ROOMS, SPEAKING = 100_000, 5_000, 0.2  # SPEAKING: messages per second and room
CONCURRENCY, AT_ONCE, ACCOUNT = 200, 300, 300  # quotas: members on an instance, instances started at once, instances
MEMORY, CPU = 512, 0.35  # of one instance: MB, vCPU
IDLE = 45  # MiB of an instance without members


@dataclass
class Figures:
    """What one set-up cost."""

    what: str
    subscribers: float  # instances of one room
    member: float  # KiB of an instance
    delivery: float  # microseconds of the instances
    message: float  # microseconds of Redis
    commands: float  # of Redis, per message
    undelivered: int

    def __str__(self) -> str:
        return (f"{self.what:<40}{self.member:>8.1f}{self.delivery:>10.1f}{self.message:>10.1f}{self.commands:>10.2f}"
                f"{self.undelivered:>8}")


@asynccontextmanager
async def one_server(folder: Path) -> AsyncIterator[tuple[str, list[str]]]:
    server = RedisServer(folder, {"PATH": os.environ["PATH"]})
    url = await server.start()
    try:
        yield url, [url]
    finally:
        await server.stop()


@asynccontextmanager
async def three_servers(folder: Path) -> AsyncIterator[tuple[str, list[str]]]:
    async with Cluster(folder) as cluster:
        yield cluster.url, [f"redis://127.0.0.1:{port}/0" for port in cluster.ports]


async def counters(urls: list[str]) -> tuple[float, int]:
    """Return the CPU seconds of all Redis servers, and the commands they served."""
    cpu, commands = 0.0, 0
    for url in urls:
        async with Redis.from_url(url) as client:
            info = await client.info()
            cpu += info["used_cpu_user"] + info["used_cpu_sys"]
            commands += sum(stats["calls"] for name, stats in (await client.info("commandstats")).items()
                            if name not in ("cmdstat_info", "cmdstat_hello"))
    return cpu, commands


async def measure(what: str, kind: Kind, cluster: bool) -> Figures:
    """Start a set-up, fill it, load it."""
    with tempfile.TemporaryDirectory() as folder:
        async with (three_servers if cluster else one_server)(Path(folder)) as (url, urls):
            empty = Variant(Kind(kind.name, kind.command, kind.folder, kind.rate, kind.path, kind.hello, kind.say,
                                 kind.joined, members=kind.instances, rooms=1, instances=kind.instances))
            await empty.start(url)
            before = resident(empty)
            empty.stop()
            variant = Variant(kind)
            try:
                await variant.start(url)
                await asyncio.sleep(2)
                memory = resident(variant) - before
                await variant.slice(SECONDS / 2, measured=False)
                cpu, commands = await counters(urls)
                await variant.slice(SECONDS, measured=True)
                cpu_after, commands_after = await counters(urls)
            finally:
                variant.stop()
    sent = SECONDS * kind.rate
    return Figures(what, min(kind.instances, kind.members / kind.rooms), memory / kind.members / 1024, variant.cpu[0],
                   (cpu_after - cpu) / sent * 1e6, (commands_after - commands) / sent, variant.missed)


@dataclass
class Presence:
    """What the presence of many members costs, while nothing changes and for each join or leave."""

    what: str
    idle: float  # milliseconds of CPU per second, all instances
    idle_commands: float  # of Redis, per second
    change: float  # milliseconds of CPU of all instances
    change_redis: float  # microseconds of Redis
    change_commands: float  # of Redis

    def __str__(self) -> str:
        return (f"{self.what:<40}{self.idle:>12.1f}{self.idle_commands:>12.1f}{self.change:>12.2f}"
                f"{self.change_redis:>12.0f}{self.change_commands:>12.2f}")


async def measure_presence(what: str, kind: Kind) -> Presence:
    """Fill the rooms and say nothing; then let members leave and join again, a few per second."""
    with tempfile.TemporaryDirectory() as folder:
        async with one_server(Path(folder)) as (url, urls):
            variant = Variant(kind)
            try:
                await variant.start(url)
                await asyncio.sleep(5)  # the last announcements are written
                (_, commands), instances = await counters(urls), variant.nanoseconds()
                await asyncio.sleep(SECONDS)
                idle = (variant.nanoseconds() - instances) / SECONDS / 1e6
                (cpu, idle_commands), instances = await counters(urls), variant.nanoseconds()
                for member in variant.members[:CHANGES // 2]:
                    member.leave()
                    await asyncio.sleep(0.05)
                    member.join()
                    await asyncio.sleep(0.05)
                await asyncio.sleep(2)
                seconds = CHANGES * 0.05 + 2
                busy = (variant.nanoseconds() - instances) / 1e6 - idle * seconds
                cpu_after, commands_after = await counters(urls)
            finally:
                variant.stop()
    per_second = (idle_commands - commands) / SECONDS
    return Presence(what, idle, per_second, busy / CHANGES, (cpu_after - cpu) / CHANGES * 1e6,
                    (commands_after - idle_commands - per_second * seconds) / CHANGES)


async def presence(members: int) -> None:
    """Print the cost of presence: one room with all members, and one room for each member."""
    print(f"\nPresence: {members:,} members on 4 instances\n"
          f"{'':<40}{'idle, ms':>12}{'commands':>12}{'ms per':>12}{'Redis, us':>12}{'commands':>12}\n"
          f"{'':<40}{'per s':>12}{'per s':>12}{'change':>12}{'per change':>12}{'per change':>12}")
    for what, rooms in (("one room", 1), (f"{members:,} rooms", members)):
        print(await measure_presence(what, ours("presence", "07-chat-durable", RATE, members, rooms, 4, ping=3600)),
              flush=True)


def resident(variant: Variant) -> int:
    return sum(psutil.Process(process.pid).memory_info().rss for process in variant.processes)


def hour(instances: int, members: int) -> Iterator[Record]:
    """One hour of a chat: each instance serves its members from the first second to the last."""
    start, seq = 1_795_356_000.0, 0
    for number in range(instances):
        name = f"c-{number}"
        yield Record(seq, start, "instance.starting", "chat", name, "", {
            "version": "", "generation": 1, "concurrency": CONCURRENCY, "cpu": CPU, "memorySize": MEMORY,
            "diskSize": 512, "why": "request"})
        seq += 1
    for moment in (start, start + 3600):
        for member in range(members):
            name, request = f"c-{member % instances}", f"1-{member:08x}"
            if moment == start:
                yield Record(seq, moment, "request.begin", "chat", name, request, {
                    "protocol": "websocket", "method": "GET", "path": "/", "trigger": "http", "qualifier": "LATEST",
                    "version": "", "client": "127.0.0.1", "cold": False, "waited": 0.0})
            else:
                yield Record(seq, moment, "request.end", "chat", name, request, {
                    "status": 101, "closeCode": 1000, "why": "done", "error": "", "bytesIn": 0, "bytesOut": 0})
            seq += 1


def extrapolate(rows: list[Figures], room: float) -> None:
    """Apply the slopes to the large chat. `room` is the KiB that a room costs an instance."""
    one, four = rows[0], rows[2]
    slope = max(0.0, (four.message - one.message) / (four.subscribers - one.subscribers))
    instances, in_room, messages = -(-MEMBERS // CONCURRENCY), MEMBERS / ROOMS, ROOMS * SPEAKING
    subscribers = min(instances, in_room)
    redis = one.message + slope * (subscribers - 1)
    memory = IDLE + CONCURRENCY * (four.member + room) / 1024  # nearly each member of an instance is in another room
    deliveries = messages * in_room / instances
    money = bill(meter(hour(instances, MEMBERS)))
    lines = [
        ("instances", f"{instances} with {CONCURRENCY} members each; quotas: {AT_ONCE} at once, {ACCOUNT} in all"),
        ("an instance", f"{memory:.0f} MiB of {MEMORY}; {deliveries:.0f} deliveries per second,"
                        f" {deliveries * four.delivery / 1e4 / CPU:.1f} % of its {CPU:g} vCPU"),
        ("Redis", f"{messages:,.0f} messages per second, each to {subscribers:.0f} instances, {redis:.0f} us each:"
                  f" {messages * redis / 1e4:.0f} % of a core"),
        ("connections", f"up to {9 * instances:,} to one Redis, and to each node of a cluster"),
        ("bill", f"{money.total:,.2f} {money.currency} per hour ({money.cu:,} CU), without Redis and traffic"),
    ]
    print(f"\nExtrapolated, not measured: {MEMBERS:,} members in {ROOMS:,} rooms,"
          f" {SPEAKING:g} messages per second and room")
    for name, text in lines:
        print(f"  {name:<13}{text}")


async def run(quick: bool) -> int:
    members, rooms = (1000, 100) if quick else (5000, 500)
    figures = []
    print(f"{members:,} members in {rooms:,} rooms of 10, durable chat\n"
          f"{'':<40}{'KiB per':>8}{'us per':>10}{'Redis, us':>10}{'commands':>10}{'un-':>8}\n"
          f"{'':<40}{'member':>8}{'delivery':>10}{'per msg':>10}{'per msg':>10}{'deliv.':>8}")
    for instances in (1, 2, 4):
        kind = ours("scale", "07-chat-durable", RATE, members, rooms, instances)
        figures.append(await measure(f"{instances} instance{'s' if instances > 1 else ''}, one Redis", kind, False))
        print(figures[-1], flush=True)
    figures.append(await measure("4 instances, a cluster of three", kind, True))
    print(figures[-1], flush=True)
    spread = await measure("4 instances, each member in a room alone",
                           ours("alone", "07-chat-durable", RATE, members, members, 4), False)
    print(spread, flush=True)
    # Ten members share a room in the third row, and each instance has members of all its rooms.
    per_member = min(1.0, rooms * 4 / members)  # rooms of an instance for each of its members, third row
    room = max(0.0, (spread.member - figures[2].member) / (1 - per_member))
    print(f"\nA room costs an instance about {room:.1f} KiB: from the third and the last row.")
    await presence(CROWD // 10 if quick else CROWD)
    extrapolate(figures, room)
    return int(any(row.undelivered for row in (*figures, spread)))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="1,000 members instead of 5,000")
    args = parser.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return asyncio.run(run(args.quick))


if __name__ == "__main__":
    sys.exit(main())
