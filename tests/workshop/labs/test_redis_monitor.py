"""The recorder of what instances say to Redis."""

import time

import pytest
import redis

from fclocal import Platform
from workshop.labs.redis_monitor import RedisMonitor


def test_the_end_waits_for_commands_that_were_sent_before_it(fc: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    monitor = RedisMonitor(fc, "chat")

    def slow(address: str) -> str:
        time.sleep(0.02)  # a busy machine: the search for the sender takes its time
        return "c-1"

    monkeypatch.setattr(monitor, "_instance", slow)
    with redis.Redis.from_url(fc.redis()) as client:
        for number in range(20):
            client.publish("tea", str(number))
    monitor.close()
    assert [command.text for command in monitor.commands] == [str(number) for number in range(20)]


def test_an_entry_keeps_its_blanks(fc: Platform) -> None:
    monitor = RedisMonitor(fc, "chat")
    with redis.Redis.from_url(fc.redis()) as client:
        client.xadd("tea", {"text": "One or two?"}, maxlen=10, approximate=True)
    monitor.close()
    (command,) = monitor.commands
    assert (command.name, command.key, command.text) == ("XADD", "tea", "One or two?")
