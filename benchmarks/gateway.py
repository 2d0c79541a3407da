"""Compare the gateway with nginx, in one run and in front of the same function instances.

    python benchmarks/gateway.py             # about six minutes; exits 1 if a limit of LIMITS is missed
    python benchmarks/gateway.py --quick     # two minutes, fewer rounds: a rough figure
    python benchmarks/gateway.py relay|opens|idle ...   # only these parts

Method: load generator and function run on one core, the gateway under test on another. Each round measures every
variant once, in rotated order, for a short slice. Figures are medians and quartiles of the ratios inside the rounds,
because absolute numbers vary on a shared machine. CPU is nanoseconds from
/proc/PID/task/*/schedstat, kernel work included. "ours" is the whole platform with journal, limits and
byte counts on. nginx proxies to the same instances with one worker, access log off and its default buffers; "big"
is nginx with proxy_buffer_size 256k, which it needs for large messages.
"""

import argparse
import asyncio
import contextlib
import os
import resource
import shutil
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import trustme
import uvloop
from gateway_load import LOAD_CORE, Gateway, Load

import fclocal

HERE = Path(__file__).parent
PARTS = ["relay", "opens", "idle"]
IDLE = 9000  # connections
# CPU of our gateway divided by CPU of nginx, at most: (TLS, largest size in bytes, limit).
LIMITS = ((False, 1024, 1.3), (False, 1 << 20, 0.5), (True, 1024, 1.5), (True, 1 << 20, 0.7))
# Opens, ours divided by nginx: CPU at most, opens per second at least. The rate varies much more than the CPU.
OPENS_LIMITS = {"ws": (3.5, 0.48), "wss": (1.9, 0.9)}
IDLE_LIMIT = 5.2  # KiB per idle connection, at most
BIG = "proxy_buffer_size 256k; proxy_buffers 4 256k; proxy_busy_buffers_size 512k;"
RELAYS = (  # connections, bytes of a message, TLS
    (1, 32, False), (32, 32, False), (32, 1024, False), (500, 32, False), (500, 16384, False),
    (32, 16384, False), (1, 262144, False),
    (1, 32, True), (32, 32, True), (32, 1024, True), (500, 32, True), (32, 16384, True), (1, 262144, True),
)  # fmt: skip


# The parts


async def relay(gateways: list[Gateway], trust: ssl.SSLContext, rounds: int, seconds: float) -> list[str]:
    print("\nRelay: CPU of the gateway per round trip and round trips per second, as a ratio to nginx")
    print(f"{'':26}{'CPU ours':>22}{'CPU nginx big':>22}{'trips/s ours':>22}   ns ours")
    missed = []
    for connections, size, tls in RELAYS:
        loads = [Load(gateway, size, trust if tls else None) for gateway in gateways]
        for load in loads:
            await load.open(connections)
        costs: dict[str, list[float]] = {g.name: [] for g in gateways}
        rates: dict[str, list[float]] = {g.name: [] for g in gateways}
        for number in range(rounds if connections > 1 else 3 * rounds):  # the figures of one connection vary most
            for load in loads[number % len(loads) :] + loads[: number % len(loads)]:
                cost, rate = await load.slice(seconds)
                costs[load.gateway.name].append(cost)
                rates[load.gateway.name].append(rate)
        for load in loads:
            await load.close()
        ours = ratios(costs["ours"], costs["nginx"])
        limit = next(limit for over_tls, up_to, limit in LIMITS if over_tls == tls and size <= up_to)
        label = f"{'wss' if tls else 'ws'} {connections:>4} x {size:>6} B"
        print(
            f"{label:26}{shown(ours):>22}{shown(ratios(costs['big'], costs['nginx'])):>22}"
            f"{shown(ratios(rates['ours'], rates['nginx'])):>22}   {statistics.median(costs['ours']):.0f}"
            f"{'' if ours[1] <= limit else f'   over {limit}'}",
            flush=True,
        )
        if ours[1] > limit:
            missed.append(f"{label}: {ours[1]:.2f} > {limit}")
    return missed


async def opens(gateways: list[Gateway], trust: ssl.SSLContext, rounds: int, seconds: float) -> list[str]:
    print("\nOpens: connect, handshake, 101, close; 32 at a time")
    missed = []
    for tls in (None, trust):
        rates: dict[str, list[float]] = {g.name: [] for g in gateways}
        costs: dict[str, list[float]] = {g.name: [] for g in gateways}
        for number in range(rounds):
            for gateway in gateways[number % len(gateways) :] + gateways[: number % len(gateways)]:
                cpu, began = gateway.cpu(), time.perf_counter()
                done = sum(await asyncio.gather(*(opening(gateway, tls, began + seconds) for _ in range(32))))
                rates[gateway.name].append(done / (time.perf_counter() - began))
                await asyncio.sleep(0.2)  # the work after the close is part of the cost
                costs[gateway.name].append((gateway.cpu() - cpu) / done)
        faster, dearer = ratios(rates["ours"], rates["nginx"]), ratios(costs["ours"], costs["nginx"])
        name = "wss" if tls else "ws"
        print(
            f"{name:5} opens/s ours/nginx {shown(faster)}, CPU {shown(dearer)}; "
            f"ours {statistics.median(rates['ours']):.0f}/s, {statistics.median(costs['ours']) / 1000:.0f} us"
        )
        most, least = OPENS_LIMITS[name]
        if dearer[1] > most:
            missed.append(f"CPU per open, {name}: {dearer[1]:.2f} > {most}")
        if faster[1] < least:
            missed.append(f"opens per second, {name}: {faster[1]:.2f} < {least}")
    return missed


async def opening(gateway: Gateway, tls: ssl.SSLContext | None, until: float) -> int:
    """Open and abort WebSockets, one at a time, until `until`. Return their number."""
    count = 0
    while time.perf_counter() < until:
        load = Load(gateway, 32, tls)
        await load.open(1)
        load.peers[0].transport.abort()  # type: ignore[attr-defined]
        count += 1
    return count


async def idle(gateway: Gateway, cycles: int) -> list[str]:
    figures, left, lost = [], [], 0
    start = gateway.memory()
    for _ in range(cycles):
        load = Load(gateway, 32, None)
        await load.open(IDLE)
        await asyncio.sleep(2)
        figures.append((gateway.memory() - start) / IDLE)
        await load.slice(1.0)  # every connection still carries a message
        lost += load.lost
        await load.close()
        await asyncio.sleep(3)
        left.append(gateway.memory() / 1024)
    per = " ".join(f"{figure:.2f}" for figure in figures)
    rest = " ".join(f"{mib:.0f}" for mib in left)
    print(f"{gateway.name:6} {per}; lost {lost}; MiB after each cycle: {rest}", flush=True)
    missed = []
    if gateway.name == "ours":
        if max(figures) > IDLE_LIMIT:
            missed.append(f"idle: {max(figures):.2f} KiB > {IDLE_LIMIT}")
        if left[-1] > left[0] * 1.1:
            missed.append(f"idle: memory grows, {rest} MiB")
    return [*missed, *([f"idle: {lost} connections of {gateway.name} lost"] if lost else [])]


def ratios(ours: list[float], theirs: list[float]) -> tuple[float, float, float]:
    """Return the quartiles of the ratios of all rounds."""
    each = [a / b for a, b in zip(ours, theirs, strict=True)]
    low, middle, high = statistics.quantiles(each, n=4) if len(each) > 1 else each * 3
    return low, middle, high


def shown(quartiles: tuple[float, float, float]) -> str:
    low, middle, high = quartiles
    tie = " tie" if low <= 1 <= high else ""
    return f"{middle:.2f} [{low:.2f} {high:.2f}]{tie}"


# Set-up


@contextlib.contextmanager
def nginx(name: str, folder: Path, plain: int, tls: int, upstreams: list[int], more: str = "") -> Iterator[Gateway]:
    servers = "".join(f"server 127.0.0.1:{port};" for port in upstreams)
    (folder / "logs").mkdir(parents=True)
    config = folder / "nginx.conf"
    config.write_text(
        f"""
        daemon off; worker_processes 1; worker_rlimit_nofile {limit_nofile()};
        pid {folder}/pid; error_log {folder}/error crit;
        events {{ worker_connections 65536; multi_accept on; }}
        http {{
          access_log off; client_body_temp_path {folder}/b; proxy_temp_path {folder}/p;
          fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
          upstream function {{ {servers} }}
          server {{
            listen 127.0.0.1:{plain} backlog=4096; listen 127.0.0.1:{tls} ssl backlog=4096;
            ssl_certificate {folder.parent}/cert.pem; ssl_certificate_key {folder.parent}/key.pem;
            ssl_protocols TLSv1.2 TLSv1.3;
            location / {{
              proxy_pass http://function; proxy_http_version 1.1; proxy_read_timeout 1d; proxy_send_timeout 1d;
              proxy_set_header Host $http_host; proxy_set_header Upgrade $http_upgrade;
              proxy_set_header Connection upgrade; proxy_set_header X-Forwarded-For $remote_addr; {more}
            }}
          }}
        }}"""
    )
    process = subprocess.Popen([shutil.which("nginx") or "/usr/sbin/nginx", "-p", str(folder), "-c", str(config)])
    try:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        wait_for(lambda: bool(children.read_text().split()))
        yield Gateway(name, plain, tls, [int(pid) for pid in children.read_text().split()])
    finally:
        process.terminate()
        process.wait(10)


def wait_for(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 10
    while not condition():
        if time.monotonic() > until:
            raise TimeoutError
        time.sleep(0.01)


def limit_nofile() -> int:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for sock in sockets:
            sock.bind(("127.0.0.1", 0))
        return [sock.getsockname()[1] for sock in sockets]


@contextlib.contextmanager
def ours(folder: Path) -> Iterator[tuple[Gateway, fclocal.Platform]]:
    platform = fclocal.start(folder / "state", freeze=False, idle_release=86400.0)
    try:
        port = int(platform.deploy(HERE / "gateway_echo").url.rpartition(":")[2])
        yield Gateway("ours", port, port, [platform.status()["pid"]]), platform
    finally:
        platform.stop()


def instances(platform: fclocal.Platform) -> list[int]:
    """Move the function's instances to the load generator's core and return their ports."""
    ready = list(platform.events(function="echo", kinds="instance.ready"))
    for record in ready:
        os.sched_setaffinity(record.data["pid"], {LOAD_CORE})
    return [record.data["port"] for record in ready]


def certificate(folder: Path) -> ssl.SSLContext:
    """Write a certificate for nginx into `folder`. Return a context that trusts it and the platform's."""
    local = trustme.CA()
    leaf = local.issue_cert("localhost", key_type=trustme.KeyType.ECDSA)
    (folder / "cert.pem").write_bytes(b"".join(pem.bytes() for pem in leaf.cert_chain_pems))
    (folder / "key.pem").write_bytes(leaf.private_key_pem.bytes())
    trust = ssl.create_default_context(cafile=str(folder / "state" / "ca" / "ca.pem"))
    local.configure_trust(trust)
    return trust


async def run(parts: list[str], quick: bool) -> list[str]:
    os.sched_setaffinity(0, {LOAD_CORE})
    missed = []
    if {"relay", "opens"} & set(parts):
        with contextlib.ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gateway-")))
            own, platform = stack.enter_context(ours(folder))
            warm = Load(own, 32, None)
            await warm.open(600)
            await warm.close()
            upstreams, trust, ports = instances(platform), certificate(folder), free_ports(4)
            gateways = [
                own,
                stack.enter_context(nginx("nginx", folder / "nginx", ports[0], ports[1], upstreams)),
                stack.enter_context(nginx("big", folder / "big", ports[2], ports[3], upstreams, BIG)),
            ]
            if "relay" in parts:
                missed += await relay(gateways, trust, 3 if quick else 9, 0.3)
            if "opens" in parts:
                missed += await opens(gateways[:2], trust, 3 if quick else 7, 1.0)
    if "idle" in parts:
        print(f"\nIdle: {IDLE} WebSockets, private memory per connection (KiB) in each cycle")
        with contextlib.ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gateway-")))
            own, platform = stack.enter_context(ours(folder))
            missed += await idle(own, 3)
            certificate(folder)
            ports = free_ports(2)
            peer = stack.enter_context(nginx("nginx", folder / "nginx", ports[0], ports[1], instances(platform)))
            await idle(peer, 3)
    return missed


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", metavar="|".join(PARTS), help="default: all parts")
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    if unknown := set(options.parts) - set(PARTS):
        parser.error(f"unknown part: {', '.join(sorted(unknown))}")
    limit_nofile()
    missed = uvloop.run(run(options.parts or PARTS, options.quick))
    print("\nAll limits met." if not missed else "\nLimits missed:\n  " + "\n  ".join(missed))
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
