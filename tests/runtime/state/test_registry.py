"""A change of a function: which watchers are called, what is stored, which ports survive a restart."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from awaited import awaited
from fake_clock import FakeClock
from management import FakePorts, package

from fclocal.core import wire
from fclocal.core.errors import FcError
from fclocal.core.model import FunctionConfig, HttpTriggerConfig, RouteConfig
from fclocal.core.request import Entry
from fclocal.runtime.state.journal import Journal
from fclocal.runtime.state.registry import Registry
from fclocal.runtime.state.store import Store


class Bench:
    """A registry over a state directory, its clock, ports, and the changes that its watchers received."""

    def __init__(self, state: Path, ports: FakePorts | None = None) -> None:
        self.clock = FakeClock()
        self.ports = ports or FakePorts()
        self.store = Store(state / "state.sqlite")
        self.journal = Journal(state / "journal.sqlite", self.clock)
        self.registry = Registry(self.store, self.journal, self.clock, self.ports)
        self.changed: list[str] = []
        self.registry.watch(self.changed.append)

    def close(self) -> None:
        self.store.close()
        self.journal.close()

    def records(self) -> list[tuple[str, dict[str, Any]]]:
        return [(record.kind, dict(record.data)) for record in self.journal.read()]

    async def echo(self, name: str = "echo") -> None:
        await self.registry.create_function(FunctionConfig(function_name=name, runtime="custom"), package())

    async def create_trigger(self, name: str, qualifier: str = "LATEST", function: str = "echo") -> int:
        trigger = await self.registry.create_trigger(function, wire.TriggerInput(
            trigger_name=name, trigger_type="http", qualifier=qualifier,
            trigger_config=HttpTriggerConfig(auth_type="anonymous", methods=("GET",))))
        return trigger.port


Make = Callable[..., Bench]


@pytest.fixture
def make(tmp_path: Path) -> Any:
    benches: list[Bench] = []

    def bench(ports: FakePorts | None = None) -> Bench:
        for earlier in benches:
            earlier.close()
        benches.append(Bench(tmp_path, ports))
        return benches[-1]

    yield bench
    benches[-1].close()


def code(refused: pytest.ExceptionInfo[FcError]) -> str:
    return refused.value.code


@awaited
async def test_a_generation_counts_updates_and_watchers_are_called_for_each(make: Make) -> None:
    bench = make()
    await bench.echo()
    created = bench.registry.function("echo")
    bench.clock.advance(10)
    updated = await bench.registry.update_function("echo", {"timeout": 9}, None)
    assert (created.latest.generation, updated.latest.generation) == (1, 2)
    assert updated.modified - updated.created == 10 and updated.function_id == created.function_id
    assert updated.latest.code == created.latest.code and updated.latest.config.timeout == 9
    again = await bench.registry.update_function("echo", {}, package({"other": "1"}))
    assert again.latest.code != created.latest.code and again.latest.generation == 3
    await bench.registry.delete_function("echo")
    assert bench.changed == ["echo"] * 4
    assert bench.records() == [("function.created", {"generation": 1}), ("function.updated", {"generation": 2}),
                               ("function.updated", {"generation": 3}), ("function.deleted", {})]


@awaited
async def test_a_refused_change_changes_nothing(make: Make) -> None:
    bench = make()
    await bench.echo()
    before = bench.registry.function("echo")
    for config in ({"timeout": 0}, {"nope": 1}, {"functionName": "other"}, {"role": "r"}):
        with pytest.raises(FcError):
            await bench.registry.update_function("echo", config, None)
    with pytest.raises(FcError):
        await bench.registry.update_function("echo", {"timeout": 5}, b"no zip")
    assert bench.registry.function("echo") is before and bench.changed == ["echo"]


@awaited
async def test_a_port_that_cannot_be_stored_is_closed_again(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = make()
    await bench.echo()

    def full(_: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(bench.store, "save", full)
    with pytest.raises(OSError, match="no space"):
        await bench.create_trigger("t")
    assert not bench.ports.open_ports and not bench.registry.function("echo").triggers


@pytest.mark.parity("api.version-numbers", "api.version-snapshot")
@awaited
async def test_a_version_is_a_snapshot_and_its_number_is_never_used_again(make: Make) -> None:
    bench = make()
    await bench.echo()
    await bench.create_trigger("t")
    first = await bench.registry.publish("echo", "the first")
    await bench.registry.update_function("echo", {"timeout": 77}, package({"new": "1"}))
    second = await bench.registry.publish("echo", "")
    function = bench.registry.function("echo")
    assert (first.version_id, second.version_id) == ("1", "2")
    assert function.versions["1"].config.timeout == 3 and function.versions["2"].config.timeout == 77
    assert function.versions["1"].code != function.versions["2"].code
    await bench.registry.delete_version("echo", "2")
    assert (await bench.registry.publish("echo", "")).version_id == "3"
    assert make().registry.function("echo").last_version == 3


@awaited
async def test_two_changes_at_once_both_count(make: Make) -> None:
    bench = make()
    await bench.echo()
    changes = [bench.registry.update_function("echo", {"environmentVariables": {"N": str(n)}}, package({str(n): ""}))
               for n in range(10)]
    await asyncio.gather(*changes, *(bench.registry.publish("echo", str(n)) for n in range(10)))
    function = bench.registry.function("echo")
    assert function.latest.generation == 11 and function.last_version == 10
    with pytest.raises(FcError) as refused:
        await asyncio.gather(*(bench.echo("twin") for _ in range(2)))
    assert code(refused) == "FunctionAlreadyExists"


@pytest.mark.parity("api.ports-stable")
@awaited
async def test_triggers_and_domains_keep_their_ports_over_a_restart(make: Make) -> None:
    bench = make()
    await bench.echo()
    await bench.echo("other")
    ports = [await bench.create_trigger("t"), await bench.create_trigger("t", function="other")]
    domain = await bench.registry.create_domain(wire.DomainInput(domain_name="a.example.com"))
    assert len({*ports, domain.port}) == 3

    again = make()
    await again.registry.restore()
    assert again.ports.open_ports == bench.ports.open_ports
    assert not [kind for kind, _ in again.records()[len(bench.changed) + 1:]], "nothing changed, nothing is written"


@awaited
async def test_only_the_trigger_whose_port_is_taken_gets_another(make: Make) -> None:
    bench = make()
    await bench.echo()
    first = await bench.create_trigger("first")
    await bench.registry.publish("echo", "")
    second = await bench.create_trigger("second", "1")
    domain = await bench.registry.create_domain(wire.DomainInput(domain_name="a.example.com"))

    again = make(FakePorts({first, domain.port}))
    count = len(again.records())
    await again.registry.restore()
    moved = again.registry.trigger("echo", "first")
    assert again.registry.trigger("echo", "second").port == second
    assert moved.port not in (first, second) and moved.url == f"https://localhost:{moved.port}"
    elsewhere = again.registry.domain("a.example.com")
    assert elsewhere.port not in (domain.port, moved.port, second)
    assert set(again.ports.open_ports.values()) == {moved.port, second, elsewhere.port}
    assert again.records()[count:] == [
        ("trigger.changed", {"trigger": "first", "url": moved.url, "qualifier": "LATEST"}),
        ("domain.changed", {"domain": "a.example.com", "url": elsewhere.url})]
    assert again.changed == ["echo"]


@awaited
async def test_the_port_of_a_deleted_trigger_is_closed(make: Make) -> None:
    bench = make()
    await bench.echo()
    await bench.create_trigger("t")
    await bench.registry.create_domain(wire.DomainInput(domain_name="a.example.com"))
    await bench.registry.delete_trigger("echo", "t")
    assert list(bench.ports.open_ports) == [Entry("domain", "", "a.example.com")]
    await bench.registry.delete_domain("a.example.com")
    assert not bench.ports.open_ports
    assert [kind for kind, _ in bench.records()][-2:] == ["trigger.deleted", "domain.deleted"]


@awaited
async def test_a_domain_leads_to_functions_that_exist(make: Make) -> None:
    bench = make()
    routes = RouteConfig.model_validate({"routes": [{"path": "/*", "functionName": "echo"}]})
    with pytest.raises(FcError) as refused:
        await bench.registry.create_domain(wire.DomainInput(domain_name="a.example.com", route_config=routes))
    assert code(refused) == "FunctionNotFound" and not bench.ports.open_ports
    await bench.echo()
    await bench.registry.create_domain(wire.DomainInput(domain_name="a.example.com", route_config=routes))


@awaited
async def test_minimum_instances_follow_their_alias(make: Make) -> None:
    bench = make()
    await bench.echo()
    await bench.registry.publish("echo", "")
    await bench.registry.create_alias("echo", wire.AliasInput(alias_name="prod", version_id="1"))
    await bench.registry.keep_instances("echo", "prod", 2)
    function = await bench.registry.keep_instances("echo", "LATEST", 1)
    assert function.min_instances == {"prod": 2, "LATEST": 1}
    await bench.registry.delete_alias("echo", "prod")
    assert bench.registry.function("echo").min_instances == {"LATEST": 1}
    await bench.registry.keep_instances("echo", "LATEST", None)
    assert not bench.registry.function("echo").min_instances
