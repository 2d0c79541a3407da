"""A pool of instances, driven through its public face with processes that only pretend."""

import asyncio
from itertools import count

import pytest
from fake_clock import FakeClock

from fclocal.core.dispatch import Census
from fclocal.core.ending import Ending
from fclocal.core.errors import FcError
from fclocal.core.lifecycle import State
from fclocal.core.model import Code, FunctionConfig, Revision
from fclocal.core.options import Options
from fclocal.runtime.instances.pool import Pool
from fclocal.runtime.state.journal import Journal


class Request:
    """A request as the pool sees it: it has its place on `instance` once it is placed."""

    def __init__(self, pool):
        self.pool, self.aborted = pool, []

    def abort(self, ending):
        self.aborted.append(ending)
        self.pool.release(self)


class Pretended:
    """A process that notes what is done to it."""

    def __init__(self, pid):
        self.pid, self.port, self.did, self.problem = pid, 40000 + pid, [], ""

    def freeze(self):
        self.did.append("freeze")

    def thaw(self):
        self.did.append("thaw")

    def memory(self):
        return 0

    async def probe(self, check):
        self.did.append(check.http_get_url)
        return self.problem

    async def stop(self, grace):
        self.did.append("stop")
        return 0

    def kill(self):
        self.did.append("kill")


class Bench:
    """A pool and the knobs around it: `gate` holds starts back, `failure` makes them fail."""

    def __init__(self, tmp_path, concurrency=2, reserved=None, check=None, **options):
        self.clock = FakeClock()
        self.journal = Journal(tmp_path / "journal", self.clock)
        self.gate, self.failure, self.processes = asyncio.Event(), None, []
        self.gate.set()
        numbers = count(1)
        config = FunctionConfig.model_validate(
            {"functionName": "echo", "runtime": "custom.debian12", "instanceConcurrency": concurrency,
             "customRuntimeConfig": {"healthCheckConfig": check}})
        revision = Revision(generation=1, config=config, code=Code(checksum="0", size=1), created=0.0)
        self.pool = Pool(
            revision, journal=self.journal, clock=self.clock, launch=self.launch,
            census=lambda: Census(len(self.pool.instances), len(self.pool.instances), reserved, 100, 300),
            new_id=lambda: f"c-{next(numbers)}", before_stop=self.before_stop,
            options=Options(**{"freeze_after": 0.0, **options}), sessions_until=lambda instance_id: 0.0)

    async def launch(self, instance):
        await self.gate.wait()
        if self.failure is not None:
            raise self.failure
        self.processes.append(Pretended(len(self.processes) + 1))
        return self.processes[-1]

    async def before_stop(self, instance):
        instance.process.did.append("pre-stop")

    async def place(self):
        """Place one more request; the request, and whether it waited for a cold start."""
        request = Request(self.pool)
        return request, await self.pool.place(request)

    async def pass_time(self, seconds, step=1.0):
        """Let time pass, and after each step let the tasks run that it wakes."""
        while seconds > 0:
            self.clock.advance(step)
            seconds -= step
            for _ in range(5):
                await asyncio.sleep(0)

    def kinds(self):
        return [r.kind for r in self.journal.read()]


def run(work):
    asyncio.run(asyncio.wait_for(work, 10))


@pytest.mark.parity("instance.freeze")
def test_an_instance_freezes_when_its_last_request_ends_and_thaws_for_the_next(tmp_path):
    async def story():
        bench = Bench(tmp_path)
        (one, cold), (two, warm) = await bench.place(), await bench.place()
        assert one.instance is two.instance and cold and not warm
        bench.pool.release(one)
        assert one.instance.state is State.ACTIVE
        bench.pool.release(two)
        assert one.instance.state is State.FROZEN
        await bench.place()
        assert bench.processes[0].did == ["freeze", "thaw"]
        assert bench.kinds() == ["instance.starting", "instance.ready", "instance.frozen", "instance.thawed"]

    run(story())


def test_without_freezing_an_instance_just_idles(tmp_path):
    async def story():
        bench = Bench(tmp_path, freeze=False)
        request, _ = await bench.place()
        bench.pool.release(request)
        assert request.instance.state is State.IDLE and bench.processes[0].did == []

    run(story())


@pytest.mark.parity("instance.freeze")
def test_what_a_program_does_at_the_end_of_a_request_is_not_cut_short(tmp_path):
    async def story():
        bench = Bench(tmp_path, freeze_after=0.05)
        request, _ = await bench.place()
        bench.pool.release(request)
        bench.clock.advance(0.04)
        assert request.instance.state is State.IDLE
        again, _ = await bench.place()  # within the time: nothing to thaw
        bench.clock.advance(1)
        assert again.instance is request.instance and bench.processes[0].did == []
        bench.pool.release(again)
        bench.clock.advance(0.05)
        assert bench.processes[0].did == ["freeze"]

    run(story())


@pytest.mark.parity("dispatch.cold-start-shared")
def test_five_requests_during_a_cold_start_share_three_instances(tmp_path):
    async def story():
        bench = Bench(tmp_path)
        bench.gate.clear()
        seats = [asyncio.ensure_future(bench.place()) for _ in range(5)]
        await asyncio.sleep(0)
        bench.gate.set()
        got = [request.instance.instance_id for request, _ in await asyncio.gather(*seats)]
        assert sorted(got) == ["c-1", "c-1", "c-2", "c-2", "c-3"]

    run(story())


def test_a_place_that_becomes_free_goes_to_one_who_waits(tmp_path):
    async def story():
        bench = Bench(tmp_path, concurrency=1)
        first, _ = await bench.place()
        bench.gate.clear()  # the second start hangs
        second = asyncio.ensure_future(bench.place())
        await asyncio.sleep(0)
        bench.pool.release(first)
        assert (await second)[0].instance is first.instance and first.instance.load == 1
        bench.gate.set()

    run(story())


def test_a_client_that_leaves_while_it_waits_takes_no_place(tmp_path):
    async def story():
        bench = Bench(tmp_path, concurrency=1)
        bench.gate.clear()
        gone = asyncio.ensure_future(bench.place())
        await asyncio.sleep(0)
        gone.cancel()
        await asyncio.wait([gone])
        bench.gate.set()
        request, _ = await bench.place()
        assert request.instance.load == 1 and len(bench.processes) == 1

    run(story())


@pytest.mark.parity("instance.start-backoff")
def test_a_start_that_fails_tells_all_who_waited_and_is_not_repeated_at_once(tmp_path):
    async def story():
        bench = Bench(tmp_path)
        bench.failure = FcError("CAExited", reason="boom")
        bench.gate.clear()
        seats = [asyncio.ensure_future(bench.place()) for _ in range(3)]
        await asyncio.sleep(0)
        bench.gate.set()
        errors = await asyncio.gather(*seats, return_exceptions=True)
        assert [getattr(e, "code", e) for e in errors] == ["CAExited"] * 3
        starts = bench.kinds().count("instance.starting")
        with pytest.raises(FcError, match="boom"):
            await bench.place()
        assert bench.kinds().count("instance.starting") == starts
        bench.clock.advance(11)
        bench.failure = None
        await bench.place()

    run(story())


@pytest.mark.parity("dispatch.reserved-concurrency")
def test_beyond_the_cap_requests_are_rejected(tmp_path):
    async def story():
        bench = Bench(tmp_path, concurrency=1, reserved=1)
        await bench.place()
        with pytest.raises(FcError) as caught:
            await bench.place()
        assert (caught.value.code, caught.value.status) == ("ResourceExhausted", 429)

    run(story())


def test_an_exit_aborts_the_requests_on_the_instance_and_the_next_gets_a_new_one(tmp_path):
    async def story():
        bench = Bench(tmp_path)
        request, _ = await bench.place()
        bench.pool.exited(request.instance, 1)
        assert request.aborted == [Ending.INSTANCE]
        assert (request.instance.state, request.instance.load) == (State.STOPPED, 0)
        fresh, cold = await bench.place()
        assert fresh.instance is not request.instance and cold

    run(story())


@pytest.mark.parity("instance.update")
def test_a_retired_pool_drains_the_busy_and_stops_the_idle(tmp_path):
    async def story():
        bench = Bench(tmp_path, concurrency=1)
        busy, _ = await bench.place()
        idle, _ = await bench.place()
        bench.pool.release(idle)
        bench.pool.retire()
        assert idle.instance.state is State.STOPPING and busy.instance.state is State.ACTIVE
        bench.pool.release(busy)
        await bench.pool.close()
        assert not bench.pool.instances
        stopped = [r.data["why"] for r in bench.journal.read(kinds=("instance.stopped",))]
        assert stopped == ["update", "update"]

    run(story())


@pytest.mark.parametrize("retired", [False, True])
def test_an_instance_with_open_requests_is_stopped_once(tmp_path, retired):
    """An abort releases its place at once: the stop that asked for it must not be begun again by the release."""
    async def story():
        bench = Bench(tmp_path)
        requests = [(await bench.place())[0] for _ in range(2)]
        instance = requests[0].instance
        if retired:
            bench.pool.retire()
        bench.pool.stop(instance, "deleted")
        assert [request.aborted for request in requests] == [[Ending.INSTANCE]] * 2
        await bench.pool.close()
        assert bench.processes[0].did.count("pre-stop") == bench.processes[0].did.count("stop") == 1
        assert [r.data["why"] for r in bench.journal.read(kinds=("instance.stopping",))] == ["deleted"]
        assert bench.kinds().count("instance.stopped") == 1 and instance.load == 0

    run(story())


@pytest.mark.parity("instance.idle-release", "instance.minimum")
def test_reclaim_releases_idle_instances_and_fills_up_to_the_minimum(tmp_path):
    async def story():
        bench = Bench(tmp_path, concurrency=1)
        for request in [(await bench.place())[0] for _ in range(3)]:
            bench.pool.release(request)
        bench.clock.advance(59)
        bench.pool.reclaim()
        assert len(bench.pool.instances) == 3
        bench.clock.advance(2)
        bench.pool.keep = 1
        bench.pool.reclaim()
        assert [i.state for i in bench.pool.instances.values()].count(State.STOPPING) == 2
        await bench.pool.close()
        bench.pool.reclaim()
        assert [i.why for i in bench.pool.instances.values()] == ["minimum"]
        await bench.pool.close()

    run(story())


@pytest.mark.parity("instance.canceled-request")
def test_a_replaced_instance_gets_no_request_and_a_waiting_request_gets_the_new_one(tmp_path):
    async def story():
        bench = Bench(tmp_path, concurrency=1, reserved=1)
        request, _ = await bench.place()
        bench.gate.clear()
        bench.pool.replace(request.instance)
        assert request.instance.state is State.STOPPING
        waiting = asyncio.ensure_future(bench.place())
        await asyncio.sleep(0)
        bench.gate.set()
        again, cold = await waiting
        assert again.instance is not request.instance and cold
        await bench.pool.close()
        (starting, _), stopped = bench.journal.read(kinds=("instance.starting",)), bench.journal.read(
            kinds=("instance.stopped",))
        assert starting.data["why"] == "request" and next(iter(stopped)).data["why"] == "canceled"

    run(story())


def test_stopping_calls_the_pre_stop_hook_on_a_thawed_instance(tmp_path):
    async def story():
        bench = Bench(tmp_path)
        request, _ = await bench.place()
        bench.pool.release(request)
        await bench.pool.close()
        assert bench.processes[0].did == ["freeze", "thaw", "pre-stop", "stop"]

    run(story())


def test_close_cancels_a_start_and_fails_the_waiting_requests(tmp_path):
    async def story():
        bench = Bench(tmp_path)
        bench.gate.clear()
        seat = asyncio.ensure_future(bench.place())
        await asyncio.sleep(0)
        await bench.pool.close()
        with pytest.raises(FcError) as caught:
            await seat
        assert caught.value.code == "ResourceThrottled" and not bench.pool.instances

    run(story())


def test_a_start_that_succeeds_while_it_is_stopped_is_stopped(tmp_path):
    async def story():
        bench = Bench(tmp_path)
        process = Pretended(1)
        begun = asyncio.Event()

        async def too_late_to_cancel(instance):
            begun.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                return process

        bench.pool._launch = too_late_to_cancel
        seat = asyncio.ensure_future(bench.place())
        await begun.wait()
        await bench.pool.close()
        with pytest.raises(FcError):
            await seat
        assert "stop" in process.did and not bench.pool.instances
        assert "instance.ready" not in bench.kinds()

    run(story())


CHECK = {"httpGetUrl": "/ready", "periodSeconds": 2, "failureThreshold": 2, "successThreshold": 2}


@pytest.mark.parity("instance.health-check-later", "instance.unhealthy")
def test_an_unhealthy_instance_keeps_its_requests_and_is_replaced(tmp_path):
    async def story():
        bench = Bench(tmp_path, check=CHECK)
        one, _ = await bench.place()
        first = bench.processes[0]
        first.problem = "answered 500"
        await bench.pass_time(2)
        same, cold = await bench.place()
        assert (same.instance, cold) == (one.instance, False), "one failure is below failureThreshold"
        bench.pool.release(same)
        await bench.pass_time(2)
        assert one.instance.state is State.UNHEALTHY
        other, cold = await bench.place()
        assert other.instance is not one.instance and cold
        assert not one.aborted, "its open request goes on"
        bench.pool.release(one)
        await bench.pass_time(1)
        assert first.did[-2:] == ["pre-stop", "stop"]
        assert [r.data["why"] for r in bench.journal.read() if r.kind == "instance.stopped"] == ["unhealthy"]
        logs = [r.data["text"] for r in bench.journal.read() if r.kind == "log"]
        assert logs == ["Function instance health check failed: GET /ready answered 500"]
        await bench.pool.close()
    run(story())


@pytest.mark.parity("instance.health-check-error")
def test_without_a_replacement_for_an_unhealthy_instance_the_request_gets_the_reason(tmp_path):
    async def story():
        bench = Bench(tmp_path, check=CHECK, reserved=1)
        one, _ = await bench.place()
        bench.processes[0].problem = "answered 500"
        await bench.pass_time(4)
        assert one.instance.state is State.UNHEALTHY
        with pytest.raises(FcError) as caught:
            await bench.place()
        assert (caught.value.code, caught.value.status) == ("FunctionNotStarted", 412)
        assert caught.value.message == "Function instance health check failed on port 9000: GET /ready answered 500."
        bench.processes[0].problem = ""
        await bench.pass_time(4)
        await bench.place()
        with pytest.raises(FcError, match="reservedConcurrency"):
            await bench.place()
        await bench.pool.close()
    run(story())


@pytest.mark.parity("instance.health-check-later")
def test_an_instance_that_recovers_gets_requests_again(tmp_path):
    async def story():
        bench = Bench(tmp_path, check=CHECK)
        one, _ = await bench.place()
        first = bench.processes[0]
        first.problem = "took more than 1 s"
        await bench.pass_time(4)
        assert one.instance.state is State.UNHEALTHY
        first.problem = ""
        await bench.pass_time(2)
        assert one.instance.state is State.UNHEALTHY, "one success is below successThreshold"
        await bench.pass_time(2)
        assert one.instance.state is State.ACTIVE
        two, cold = await bench.place()
        assert two.instance is one.instance and not cold
        assert [kind for kind in bench.kinds() if "healthy" in kind] == ["instance.unhealthy", "instance.healthy"]
        await bench.pool.close()
    run(story())


@pytest.mark.parity("instance.health-check-frozen")
def test_a_frozen_instance_is_not_checked_and_failures_before_do_not_count(tmp_path):
    async def story():
        bench = Bench(tmp_path, check=CHECK)
        one, _ = await bench.place()
        first = bench.processes[0]
        first.problem = "answered 500"
        await bench.pass_time(2)
        bench.pool.release(one)
        await bench.pass_time(20)
        assert first.did == ["/ready", "freeze"]
        two, cold = await bench.place()
        await bench.pass_time(2)
        assert (two.instance.state, cold) == (State.ACTIVE, False)
        await bench.pass_time(2)
        assert two.instance.state is State.UNHEALTHY
        await bench.pool.close()
    run(story())


def test_an_unhealthy_instance_does_not_count_as_a_minimum_instance(tmp_path):
    async def story():
        bench = Bench(tmp_path, check=CHECK)
        bench.pool.keep = 1
        one, _ = await bench.place()
        bench.processes[0].problem = "answered 500"
        await bench.pass_time(4)
        bench.pool.reclaim()
        assert len(bench.pool.instances) == 2 and one.instance.load == 1
        await bench.pool.close()
    run(story())
