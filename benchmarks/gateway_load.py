"""The load generator of gateway.py: WebSocket clients in a closed loop, and the CPU and memory of a gateway."""

import asyncio
import os
import ssl
import time
from pathlib import Path

LOAD_CORE, GATEWAY_CORE = (sorted(os.sched_getaffinity(0)) * 2)[:2]
KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
HEAD = (
    b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"User-Agent: benchmark\r\nOrigin: https://localhost\r\nSec-WebSocket-Extensions: permessage-deflate\r\n"
    b"Sec-WebSocket-Key: " + KEY + b"\r\n\r\n"
)


class Gateway:
    """One variant of the gateway: its ports and its processes."""

    def __init__(self, name: str, plain: int, tls: int, pids: list[int]) -> None:
        self.name, self.ports, self.pids = name, {False: plain, True: tls}, pids
        for pid in pids:
            for task in Path(f"/proc/{pid}/task").iterdir():
                os.sched_setaffinity(int(task.name), {GATEWAY_CORE})

    def cpu(self) -> int:
        """Return the CPU time of all threads so far, in nanoseconds."""
        threads = (path for pid in self.pids for path in Path(f"/proc/{pid}/task").glob("*/schedstat"))
        return sum(int(path.read_text().split()[0]) for path in threads)

    def memory(self) -> float:
        """Return the private memory in KiB."""
        total = 0
        for pid in self.pids:
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Private_"):
                    total += int(line.split()[1])
        return total


class Peer(asyncio.Protocol):
    """A client connection: opens the WebSocket, then sends a message each time the previous one has returned."""

    def __init__(self, load: "Load") -> None:
        self.load, self.head, self.missing = load, b"", 0
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        transport.write(HEAD)  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        if not self.ready.done():
            self.head += data
            if b"\r\n\r\n" in self.head:
                if self.head.startswith(b"HTTP/1.1 101 "):
                    self.ready.set_result(None)
                else:
                    self.ready.set_exception(RuntimeError(self.head[-600:].decode()))
                self.head = b""
            return
        self.missing -= len(data)
        if self.missing == 0:
            self.load.trips += 1
            if self.load.running:
                self.send()

    def send(self) -> None:
        self.missing = len(self.load.message)
        self.transport.write(self.load.message)  # type: ignore[attr-defined]

    def connection_lost(self, exc: Exception | None) -> None:
        self.load.lost += 1
        if not self.ready.done():
            self.ready.set_exception(exc or ConnectionResetError())


class Load:
    """Connections through one gateway, all sending messages of one size."""

    def __init__(self, gateway: Gateway, size: int, tls: ssl.SSLContext | None) -> None:
        self.gateway, self.tls = gateway, tls
        self.message = frame(size)
        self.peers: list[Peer] = []
        self.running, self.trips, self.lost = False, 0, 0

    async def open(self, count: int, at_once: int = 100) -> None:
        loop = asyncio.get_running_loop()
        port = self.gateway.ports[self.tls is not None]
        for start in range(0, count, at_once):
            name = "localhost" if self.tls else None
            opened = await asyncio.gather(
                *(
                    loop.create_connection(lambda: Peer(self), "127.0.0.1", port, ssl=self.tls, server_hostname=name)
                    for _ in range(min(at_once, count - start))
                )
            )
            await asyncio.gather(*(peer.ready for _, peer in opened))
            self.peers += [peer for _, peer in opened]

    async def slice(self, seconds: float) -> tuple[float, float]:
        """Return the CPU of the gateway per round trip (ns), and round trips per second."""
        self.running = True
        for peer in self.peers:
            peer.send()
        await asyncio.sleep(seconds / 4)  # warm-up
        trips, cpu, began = self.trips, self.gateway.cpu(), time.perf_counter()
        await asyncio.sleep(seconds)
        trips, cpu, took = self.trips - trips, self.gateway.cpu() - cpu, time.perf_counter() - began
        self.running = False
        deadline = time.perf_counter() + 10
        while any(peer.missing for peer in self.peers):
            await asyncio.sleep(0.005)
            if time.perf_counter() > deadline:
                raise RuntimeError(f"{self.gateway.name}: a message did not return")
        if not trips:
            raise RuntimeError(f"{self.gateway.name}: no round trip")
        return cpu / trips, trips / took

    async def close(self) -> None:
        for peer in self.peers:
            peer.transport.abort()  # type: ignore[attr-defined]
        self.peers = []
        await asyncio.sleep(0.1)


def frame(size: int) -> bytes:
    """Return a masked binary frame of `size` bytes, its head included."""
    for head in (6, 8, 14):
        payload = size - head
        if head == 6 and payload < 126:
            return bytes([0x82, 0x80 | payload]) + b"mask" + bytes(payload)
        if head == 8 and payload < 65536:
            return b"\x82\xfe" + payload.to_bytes(2) + b"mask" + bytes(payload)
    return b"\x82\xff" + payload.to_bytes(8) + b"mask" + bytes(payload)
