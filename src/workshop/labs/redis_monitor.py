"""What the instances of a function say to Redis: the commands that publish, subscribe and read streams."""

import secrets
import threading
from contextlib import suppress
from typing import Any

import psutil
import redis

from fclocal import Platform
from workshop.views.sequence_model import RedisCommand

COMMANDS = {"PUBLISH", "XADD", "SUBSCRIBE", "UNSUBSCRIBE", "XREAD", "XREADGROUP"}
CATCH_UP = 3.0  # seconds that close() waits for commands that were sent before it


class RedisMonitor:
    """Follows the kit's Redis with its command MONITOR, in a thread of its own, until close()."""

    def __init__(self, fc: Platform, function: str) -> None:
        self.commands: list[RedisCommand] = []
        self._fc, self._function = fc, function
        self._instances: dict[str, str] = {}  # address of a connection -> instance id
        self._url = fc.redis()
        self._mark, self._caught_up = secrets.token_hex(8), threading.Event()
        self._client = redis.Redis.from_url(self._url)
        self._monitor = self._client.monitor()  # type: ignore[no-untyped-call]
        self._monitor.__enter__()
        self._closed = False
        threading.Thread(target=self._follow, name="workshop-redis-monitor", daemon=True).start()

    def close(self) -> None:
        """Stop following, after the commands that were sent until now."""
        with suppress(redis.RedisError), redis.Redis.from_url(self._url, socket_timeout=CATCH_UP) as client:
            client.echo(self._mark)
            self._caught_up.wait(CATCH_UP)
        self._closed = True
        self._client.close()
        with suppress(OSError, redis.RedisError, AttributeError):
            self._monitor.connection.disconnect()

    def _follow(self) -> None:
        evaluating = ""
        try:
            for seen in self._monitor.listen():
                words = str(seen["command"]).split(" ")
                name = words[0].upper()
                address = f"{seen['client_address']}:{seen['client_port']}"
                if name in ("EVAL", "EVALSHA", "FCALL"):
                    evaluating = self._instance(address)  # what its script does is reported as client "lua"
                elif words[-1] == self._mark:
                    self._caught_up.set()
                elif name in COMMANDS:
                    sender = evaluating if seen["client_type"] == "lua" else self._instance(address)
                    self.commands += _commands(float(seen["time"]), sender, name, words[1:])
        except (OSError, ValueError, AttributeError, redis.RedisError):
            if not self._closed:
                raise

    def _instance(self, address: str) -> str:
        """Return the id of the instance that holds the connection `address`, "" if none does."""
        if address not in self._instances:
            self._instances[address] = next(
                (row["instanceId"] for row in self._fc.instances(self._function)
                 if address in _addresses(row["pid"])), "")
        return self._instances[address]


def _addresses(pid: int) -> set[str]:
    """Return the local addresses of the TCP connections of a process and its children."""
    addresses: set[str] = set()
    with suppress(psutil.Error):
        process = psutil.Process(pid)
        for one in (process, *process.children(recursive=True)):
            addresses |= {f"{c.laddr.ip}:{c.laddr.port}" for c in one.net_connections(kind="tcp") if c.laddr}
    return addresses


def _commands(at: float, instance: str, name: str, words: list[Any]) -> list[RedisCommand]:
    if name in ("XREAD", "XREADGROUP"):
        upper = [word.upper() for word in words]
        keys = words[upper.index("STREAMS") + 1:] if "STREAMS" in upper else []
        return [RedisCommand(at, instance, "XREAD", key) for key in keys[: len(keys) // 2]]
    if name == "PUBLISH":
        return [RedisCommand(at, instance, name, words[0], " ".join(words[1:]))]
    if name == "XADD":
        entry = words[words.index("*") + 2:] if "*" in words else words[-1:]  # after the id and the first field's name
        return [RedisCommand(at, instance, name, words[0], " ".join(entry))]
    return [RedisCommand(at, instance, name, key) for key in words]
