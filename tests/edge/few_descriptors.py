"""A gateway with 96 descriptors and 100 clients that open WebSockets; prints what became of them as JSON."""

import json
import multiprocessing
import os
import resource
import socket
import sys
import time
from collections import Counter
from multiprocessing.connection import Connection
from pathlib import Path

from gateway_kit import LIMIT, Platform, read_head

UPGRADE = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
SWITCHED = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"


def gateway(state: str, pipe: Connection, function_port: int) -> None:
    """The process under test."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (96, 96))
    platform = Platform(Path(state))
    platform.engine.port = function_port
    pipe.send(platform.port)
    while pipe.recv() == "cpu":
        pipe.send(time.process_time())
    platform.close()


def echo(server: socket.socket) -> None:
    """The function: answers 101 and echoes."""
    import threading

    def one(sock: socket.socket) -> None:
        with sock:
            read_head(sock)
            sock.sendall(SWITCHED)
            while data := sock.recv(100):
                sock.sendall(data)

    while True:
        threading.Thread(target=one, args=(server.accept()[0],), daemon=True).start()


def ask(port: int) -> tuple[str, socket.socket | None]:
    sock = socket.create_connection(("127.0.0.1", port), timeout=LIMIT)
    try:
        sock.sendall(UPGRADE)
        status = read_head(sock).split()[1].decode()
    except (ConnectionError, AssertionError):
        status = "closed"
    if status == "101":
        return status, sock
    sock.close()
    return status, None


def main() -> None:
    context = multiprocessing.get_context("spawn")
    server = socket.create_server(("127.0.0.1", 0), backlog=512)
    function = context.Process(target=echo, args=(server,), daemon=True)
    function.start()
    ours, theirs = context.Pipe()
    under_test = context.Process(target=gateway, args=(sys.argv[1], theirs, server.getsockname()[1]), daemon=True)
    under_test.start()
    port = ours.recv()
    silent = [socket.create_connection(("127.0.0.1", port), timeout=LIMIT) for _ in range(5)]
    answers = [ask(port) for _ in range(100)]
    alive = [sock for _, sock in answers if sock is not None]
    ours.send("cpu")
    before, began = ours.recv(), time.monotonic()
    waiting = [socket.create_connection(("127.0.0.1", port), timeout=LIMIT) for _ in range(100)]
    time.sleep(1)
    ours.send("cpu")
    cpu = (ours.recv() - before) / (time.monotonic() - began)
    for sock in alive:
        sock.sendall(b"x")
    others_alive = all(sock.recv(1) == b"x" for sock in alive)
    for sock in (*alive, *waiting, *silent):
        sock.close()
    after = 0
    until = time.monotonic() + LIMIT
    while after != 101 and time.monotonic() < until:
        status, sock = ask(port)
        after = int(status) if status.isdigit() else 0
        if sock is not None:
            sock.close()
    statuses = Counter(status for status, _ in answers)
    refused = statuses["503"]
    report = {"statuses": statuses, "refused": refused, "cpu": cpu, "others_alive": others_alive, "after": after}
    print(json.dumps(report), flush=True)
    ours.send("stop")
    under_test.join(LIMIT)
    function.kill()
    os._exit(0)


if __name__ == "__main__":
    main()
