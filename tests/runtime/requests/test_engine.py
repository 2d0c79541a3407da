"""The engine: leases are released after every failure, and everything that depends on time follows the clock."""

import asyncio
from collections import Counter
from collections.abc import Coroutine
from typing import Any

import pytest
from engine_bench import Bench, Client
from hypothesis import given, settings
from hypothesis import strategies as st

from fclocal.core.ending import Ending
from fclocal.core.errors import FcError
from fclocal.core.lifecycle import State
from fclocal.core.model import AffinityConfig, InvocationRestriction
from fclocal.core.options import Options
from fclocal.runtime.requests import invocation


def run(story: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(story, 30))


ACTIONS = st.one_of(
    st.tuples(
        st.sampled_from(["open", "settle", "update", "remove", "disable", "close gate", "open gate"]), st.just(0)
    ),
    st.tuples(st.sampled_from(["switch", "close", "cancel", "kill", "exit", "fail", "cut"]), st.integers(0, 20)),
    st.tuples(st.just("advance"), st.sampled_from([1, 5, 59, 61])),
    st.tuples(st.just("open"), st.just(0)),
    st.tuples(st.sampled_from(["settle", "turn"]), st.just(0)),
)


async def act(bench: Bench, clients: list[Client], what: str, number: int) -> None:
    client = clients[number % len(clients)] if clients else None
    processes = bench.starter.processes
    match what:
        case "open":
            clients.append(Client(bench))
        case "turn":  # of the event loop: an action may come between a grant and the waking of its request
            await asyncio.sleep(0)
        case "settle":
            await bench.settle()
        case "update":
            if bench.catalogue.functions:
                bench.catalogue.update(instance_concurrency=2)
                bench.engine.changed("echo")
        case "remove":
            kept = dict(bench.catalogue.functions)
            bench.catalogue.functions.clear()
            bench.engine.changed("echo")
            bench.catalogue.functions.update(kept)
        case "disable":
            bench.engine.abort("echo", Ending.DISABLED)
        case "close gate":
            bench.starter.gate.clear()
        case "open gate":
            bench.starter.gate.set()
        case "fail":
            bench.starter.failure = FcError("CAExited", reason="boom") if number % 2 else None
        case "advance":
            await bench.advance(number)
        case "switch" if client:
            client.switch()
        case "close" if client:
            client.close()
        case "cancel" if client:
            client.task.cancel()
        case "cut" if client and client.lease:
            client.lease.abort(Ending.FAULT)
        case "kill" if processes and (instances := bench.engine.instances()):
            bench.engine.kill(instances[number % len(instances)], "fault")
        case "exit" if processes:
            processes[number % len(processes)].exit(1)


@settings(max_examples=300)
@given(st.lists(ACTIONS, max_size=40), st.integers(1, 3))
def test_whatever_happens_every_place_is_given_back(actions: list[tuple[str, int]], concurrency: int) -> None:
    """Requests open, switch, end, are cancelled, cut and timed out; instances start, fail, exit and are replaced.

    At the end nothing is held and nothing waits, and each request that began has ended once.
    """

    async def story() -> None:
        bench = Bench(instance_concurrency=concurrency)
        clients: list[Client] = []
        seen, pools = set(), set()
        for what, number in actions:
            await act(bench, clients, what, number)
            seen.update(bench.engine.instances())
            pools.update(bench.engine._pools.values())
            for instance in seen:
                assert instance.load <= instance.revision.config.concurrency
                assert instance.state is not State.STOPPED or what != "settle" or not instance.load
            if what == "settle":
                waiting = sum(len(pool._waiting) for pool in pools)
                assert waiting == sum(client.lease is None and not client.task.done() for client in clients)
        bench.starter.gate.set()
        await bench.settle()
        for client in clients:
            client.close()
            if client.switched is False:
                client.task.cancel()
        await bench.settle()
        seen.update(bench.engine.instances())
        assert [instance.load for instance in seen] == [0] * len(seen)
        assert not [lease for pool in pools for lease in pool._waiting]
        begun = Counter(data["request"] for data in bench.journal.of("request.begin"))
        ended = Counter(data["request"] for data in bench.journal.of("request.end"))
        assert begun == ended and set(begun.values()) <= {1}
        assert len(begun) + len(bench.journal.of("request.rejected")) == len(
            {*begun, *(data["request"] for data in bench.journal.of("request.rejected"))}
        )
        await bench.engine.close()
        assert not bench.engine.instances()
        assert not [process for process in bench.starter.processes if process.running]
        for client in clients:
            await asyncio.wait([client.task])

    run(story())


@pytest.mark.parity("timeout.websocket-1006")
def test_the_execution_timeout_ends_the_request_at_its_second() -> None:
    async def story() -> None:
        bench = Bench(timeout=5)
        client = await bench.open()
        await bench.advance(4.999)
        assert client.ending is None
        await bench.advance(0.001)
        assert client.ending is Ending.TIMEOUT
        await bench.engine.close()

    run(story())


@pytest.mark.parity("instance.freeze", "instance.idle-release")
def test_an_instance_freezes_after_its_pause_and_is_released_after_a_minute() -> None:
    async def story() -> None:
        bench = Bench()  # the default of the option
        client = await bench.open()
        client.close()
        await bench.settle()
        (instance,) = bench.engine.instances()
        assert instance.state is State.IDLE
        await bench.advance(0.05)
        assert instance.state is State.FROZEN
        await bench.advance(59)
        assert instance.state is State.FROZEN
        await bench.advance(2)
        assert instance.state is State.STOPPED
        await bench.engine.close()

    run(story())


@pytest.mark.parity("instance.freeze-pause")
def test_with_no_pause_an_instance_freezes_at_once() -> None:
    async def story() -> None:
        bench = Bench(options=Options(freeze_after=0.0))
        (await bench.open()).close()
        await bench.settle()
        (instance,) = bench.engine.instances()
        assert instance.state is State.FROZEN and bench.starter.processes[0].done == ["freeze"]
        await bench.engine.close()

    run(story())


@pytest.mark.parity("instance.delayed-release", "instance.background-work")
def test_with_idle_timeout_an_instance_works_then_hibernates_and_is_released_at_its_time() -> None:
    async def story() -> None:
        bench = Bench(idle_timeout=300)
        (await bench.open()).close()
        await bench.settle()
        (instance,) = bench.engine.instances()
        for _ in range(20):  # ten seconds of background work
            bench.starter.processes[0].used += 0.1
            await bench.advance(0.5)
            assert instance.state is State.IDLE
        await bench.advance(1)
        assert instance.state is State.FROZEN
        await bench.advance(288)
        assert instance.state is State.FROZEN
        await bench.advance(1)
        assert instance.state is State.STOPPED
        (kept,) = bench.journal.of("instance.kept")
        assert kept["until"] == instance.idle_since + 300
        await bench.engine.close()

    run(story())


@pytest.mark.parity("instance.minimum-active")
@pytest.mark.parametrize(("active", "state"), [(True, State.IDLE), (False, State.FROZEN)])
def test_a_minimum_instance_keeps_its_cpu_unless_an_option_says_otherwise(active: bool, state: State) -> None:
    async def story() -> None:
        bench = Bench(options=Options(minimum_active=active))
        bench.catalogue.functions["echo"] = bench.catalogue.functions["echo"].model_copy(
            update={"min_instances": {"LATEST": 1}})
        bench.engine.changed("echo")
        await bench.settle()
        await bench.advance(600)
        (instance,) = bench.engine.instances()
        assert instance.state is state
        assert bench.journal.of("instance.starting")[0]["rest"] == ("active" if active else "hibernating")
        await bench.engine.close()

    run(story())


@pytest.mark.parity("api.disable")
def test_a_disabled_function_loses_its_minimum_instances_and_keeps_its_requests() -> None:
    async def story() -> None:
        bench = Bench(instance_concurrency=1)
        client = await bench.open()
        bench.catalogue.functions["echo"] = bench.catalogue.functions["echo"].model_copy(
            update={"min_instances": {"LATEST": 2}})
        bench.engine.changed("echo")
        await bench.settle()
        assert len(bench.engine.instances()) == 2
        bench.catalogue.functions["echo"] = bench.catalogue.functions["echo"].model_copy(
            update={"disabled": InvocationRestriction(reason="", since=0.0)})
        bench.engine.changed("echo")
        await bench.settle()
        assert client.lease is not None
        assert bench.engine.instances() == [client.lease.instance] and client.ending is None
        assert [data["why"] for data in bench.journal.of("instance.stopped")] == ["disabled"]
        client.close()
        await bench.engine.close()

    run(story())


SESSION = {"session_affinity": "HEADER_FIELD",
           "session_affinity_config": AffinityConfig(affinity_header_field_name="my-session")}


def of(session: bytes) -> tuple[tuple[bytes, bytes], ...]:
    return ((b"my-session", session),)


@pytest.mark.parity("instance.kept-by-sessions", "affinity.lifetime")
@pytest.mark.parametrize(("idle_timeout", "seconds"), [(None, 1800), (300, 1800), (3600, 3600)])
def test_an_instance_with_a_live_session_hibernates_until_it_ends(idle_timeout: int | None, seconds: int) -> None:
    async def story() -> None:
        bench = Bench(idle_timeout=idle_timeout, **SESSION)
        for session in (b"a", b"b"):
            (await bench.open(of(session))).close()
            await bench.advance(100)
        (instance,) = bench.engine.instances()
        await bench.advance(seconds - 101)
        assert instance.state is State.FROZEN
        again = await bench.open(of(b"b"))
        assert again.lease is not None and again.lease.instance is instance
        again.close()
        await bench.settle()
        await bench.advance(seconds - 1)
        assert instance.state is State.FROZEN
        await bench.advance(2)
        assert instance.state is State.STOPPED
        assert bench.journal.of("instance.kept")[-1]["until"] == instance.idle_since + seconds
        await bench.engine.close()

    run(story())


@pytest.mark.parity("instance.kept-by-sessions")
def test_an_instance_whose_session_is_deleted_is_released_after_its_minute() -> None:
    async def story() -> None:
        bench = Bench(**SESSION)
        (await bench.open(of(b"a"))).close()
        await bench.settle()
        await bench.advance(30)
        (instance,) = bench.engine.instances()
        bench.engine.sessions.delete("echo", "a")
        await bench.advance(29)
        assert instance.state is State.FROZEN
        await bench.advance(1)
        assert instance.state is State.STOPPED
        kept = [data["until"] - instance.idle_since for data in bench.journal.of("instance.kept")]
        assert kept[0] == 1800 and kept[-1] <= 31
        await bench.engine.close()

    run(story())


@pytest.mark.parity("instance.start-backoff")
def test_a_start_that_fails_is_tried_again_after_a_growing_pause() -> None:
    async def story() -> None:
        bench = Bench()
        bench.starter.failure = FcError("CAExited", reason="boom")
        for pause in (0.5, 1.0, 2.0, 4.0, 8.0, 10.0, 10.0):
            assert (await bench.open()).error is not None
            starts = len(bench.journal.of("instance.starting"))
            await bench.advance(pause - 0.01)
            assert (await bench.open()).error is not None
            assert len(bench.journal.of("instance.starting")) == starts
            await bench.advance(0.01)
        bench.starter.failure = None
        assert (await bench.open()).error is None
        await bench.engine.close()

    run(story())


def test_a_lease_that_fails_to_begin_holds_no_place() -> None:
    async def story() -> None:
        bench = Bench()
        append = bench.journal.append

        def full(kind: str, **facts: Any) -> None:
            if kind == "request.begin":
                raise OSError("disk full")
            append(kind, **facts)

        bench.journal.append = full  # type: ignore[method-assign]
        client = await bench.open()
        with pytest.raises(OSError, match="disk full"):
            await client.task
        assert [instance.load for instance in bench.engine.instances()] == [0]
        await bench.engine.close()

    run(story())


@pytest.mark.parametrize(
    ("reason", "status", "code"),
    [
        (Ending.TIMEOUT, 502, "FunctionTimeout"),
        (Ending.SHUTDOWN, 503, "ResourceThrottled"),
        (Ending.INSTANCE, 502, "BadResponse"),
        (Ending.FAULT, 502, "BadResponse"),
        (Ending.DISABLED, 403, "AccessDenied"),
    ],
)
def test_an_invocation_ends_for_its_caller_as_the_journal_says(
    monkeypatch: pytest.MonkeyPatch, reason: Ending, status: int, code: str
) -> None:
    """The table of endings decides both: a timed-out call was recorded as 502, a shutdown answered with 502."""

    async def never(*_: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(invocation.hooks, "invoke", never)

    async def story() -> None:
        bench = Bench(timeout=5)
        call = asyncio.create_task(invocation.invoke(bench.engine, "echo", "LATEST", b"event"))
        await bench.settle()
        if reason is Ending.TIMEOUT:
            await bench.advance(5)
        else:
            bench.engine.abort("echo", reason)
        with pytest.raises(FcError) as caught:
            await call
        assert (caught.value.status, caught.value.code) == (status, code)
        (end,) = bench.journal.of("request.end")
        assert (end["status"], end["why"], end["bytesIn"]) == (status, reason, 5)
        await bench.engine.close()

    run(story())


def test_an_invocation_whose_caller_leaves_is_recorded_as_499(monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(*_: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(invocation.hooks, "invoke", never)

    async def story() -> None:
        bench = Bench()
        call = asyncio.create_task(invocation.invoke(bench.engine, "echo", "LATEST", b""))
        await bench.settle()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        (end,) = bench.journal.of("request.end")
        assert (end["status"], end["why"]) == (499, "client")
        await bench.engine.close()

    run(story())
