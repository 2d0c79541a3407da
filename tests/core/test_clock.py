"""Clocks: real timers, and fake ones that fire in order when a test advances them."""

import asyncio

import pytest
from fake_clock import FakeClock
from hypothesis import given
from hypothesis import strategies as st

from fclocal.core.clock import Clock, SystemClock, timeout


@given(st.lists(st.integers(0, 20), max_size=10), st.lists(st.integers(0, 8), max_size=8))
def test_fake_timers_fire_once_in_order_at_their_time(delays: list[int], steps: list[int]) -> None:
    clock, fired = FakeClock(0.0), list[tuple[float, int]]()
    for number, delay in enumerate(delays):
        clock.call_later(delay, lambda number=number: fired.append((clock.now(), number)))
    for step in steps:
        clock.advance(step)
    passed = sum(steps)
    due = [(delay, number) for number, delay in enumerate(delays) if steps and delay <= passed]
    assert fired == sorted(due)
    assert clock.now() == passed


def test_a_fake_timer_may_set_another_that_is_due_too() -> None:
    clock, times = FakeClock(0.0), list[float]()

    def tick() -> None:
        times.append(clock.now())
        clock.call_later(1, tick)

    clock.call_later(1, tick)
    clock.advance(3.5)
    assert times == [1, 2, 3]


def test_a_cancelled_timer_does_not_fire() -> None:
    clock, fired = FakeClock(), list[int]()
    timer = clock.call_later(1, fired.append, 1)
    assert clock.pending == 1
    timer.cancel()
    assert clock.pending == 0
    clock.advance(2)
    assert not fired


def test_the_wall_clock_jumps_without_time_passing() -> None:
    clock = FakeClock(100.0)
    clock.jump(-50)
    assert (clock.now(), clock.wall()) == (100.0, 50.0)
    with pytest.raises(ValueError, match="backwards"):
        clock.advance(-1)


def test_sleep_on_a_fake_clock_lasts_until_it_is_advanced() -> None:
    async def story() -> None:
        clock = FakeClock()
        sleeper = asyncio.create_task(clock.sleep(5))
        await asyncio.sleep(0)
        clock.advance(4.9)
        await asyncio.sleep(0)
        assert not sleeper.done()
        clock.advance(0.1)
        await sleeper

    asyncio.run(story())


@pytest.mark.parametrize("seconds", [4.9, 5.0])
def test_a_timeout_follows_the_clock(seconds: float) -> None:
    async def story() -> str:
        clock = FakeClock()

        async def work() -> str:
            try:
                async with timeout(clock, 5):
                    await asyncio.sleep(0)
                    clock.advance(seconds)
                    await asyncio.sleep(0)
                    await asyncio.sleep(0)
                    return "done"
            except TimeoutError:
                return "timeout"

        return await work()

    assert asyncio.run(story()) == ("done" if seconds < 5 else "timeout")


@pytest.mark.parametrize("clock", [SystemClock(), FakeClock()])
def test_a_timeout_does_not_hide_other_errors_nor_cancellation(clock: Clock) -> None:
    async def story() -> None:
        with pytest.raises(KeyError):
            async with timeout(clock, 60):
                raise KeyError

        async def wait() -> None:
            async with timeout(clock, 60):
                await asyncio.Event().wait()

        task = asyncio.create_task(wait())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(story())


def test_real_timers() -> None:
    async def story() -> None:
        clock, fired = SystemClock(), asyncio.Event()
        clock.call_later(0.001, fired.set)
        await fired.wait()
        with pytest.raises(TimeoutError):
            async with timeout(clock, 0.001):
                await asyncio.Event().wait()
        before = clock.now()
        await clock.sleep(0.001)
        assert clock.now() - before >= 0.001

    asyncio.run(story())
