"""Dispatch: fill what runs, share what starts, start when all are full, reject at the limit."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fclocal.core.dispatch import Census, Reject, Seat, Start, Wait, backoff, extend, startable, surplus, take
from fclocal.core.lifecycle import State
from fclocal.core.options import Options


def where(seats, *, concurrency=2, waiting=0, reserved=None, quota=100, startable=1):
    """The instance that is used, else the decision about another one."""
    census = Census(len(seats), len(seats), reserved, quota, startable)
    return take(seats, concurrency) or extend(seats, census, concurrency=concurrency, waiting=waiting)


@pytest.mark.parity("dispatch.fill-first")
def test_the_fullest_instance_with_room_is_taken():
    seats = [Seat("a", State.ACTIVE, 1, 1.0), Seat("b", State.FROZEN, 0, 0.0), Seat("c", State.ACTIVE, 2, 2.0)]
    assert where(seats) == "a"


def test_of_equals_the_oldest():
    assert where([Seat("young", State.IDLE, 0, 9.0), Seat("old", State.FROZEN, 0, 1.0)]) == "old"


@pytest.mark.parity("dispatch.fill-first")
def test_a_new_instance_only_when_all_are_full():
    assert where([]) == Start()
    assert where([Seat("a", State.ACTIVE, 2, 0.0)]) == Start()


@pytest.mark.parity("dispatch.cold-start-shared")
def test_a_cold_start_is_shared_by_as_many_as_fit():
    starting = [Seat("a", State.STARTING, 0, 0.0)]
    assert where(starting, waiting=1) == Wait()
    assert where(starting, waiting=2) == Start()


def test_an_instance_that_is_stopping_gets_no_request():
    assert where([Seat("a", State.STOPPING, 0, 0.0)]) == Start()


@pytest.mark.parity("dispatch.reserved-concurrency")
def test_reserved_concurrency_caps():
    full = [Seat("a", State.ACTIVE, 2, 0.0)]
    assert isinstance(where(full, reserved=1), Reject)
    assert where([Seat("a", State.FROZEN, 0, 0.0)], reserved=1) == "a"


@pytest.mark.parity("dispatch.instance-quota")
def test_the_quota_of_the_region():
    assert Options().instance_quota == 100
    assert isinstance(where([Seat("a", State.ACTIVE, 2, 0.0)], quota=1), Reject)


SEATS = st.lists(st.builds(Seat, st.uuids().map(str), st.sampled_from(State), st.integers(0, 3),
                           st.sampled_from([0.0, 1.0, 9.0])))


@given(SEATS, st.integers(1, 3), st.integers(0, 5))
def test_a_full_or_stopped_instance_gets_no_request(seats, concurrency, waiting):
    decision = where(seats, concurrency=concurrency, waiting=waiting)
    if isinstance(decision, str):
        seat = next(s for s in seats if s.instance_id == decision)
        assert seat.load < concurrency and seat.state in (State.ACTIVE, State.IDLE, State.FROZEN)
    else:
        assert not [s for s in seats if s.state in (State.ACTIVE, State.IDLE, State.FROZEN) and s.load < concurrency]


@given(SEATS, st.integers(1, 3))
def test_the_fullest_and_of_equals_the_oldest_and_of_twins_the_first_is_taken(seats, concurrency):
    running = (State.ACTIVE, State.IDLE, State.FROZEN)
    free = [seat for seat in seats if seat.state in running and seat.load < concurrency]
    best = min(free, key=lambda seat: (-seat.load, seat.started), default=None)
    assert take(seats, concurrency) == (best and best.instance_id)


@pytest.mark.parity("instance.idle-release", "instance.minimum")
def test_surplus_releases_the_longest_idle_and_keeps_the_minimum():
    seats = [Seat(name, State.FROZEN, 0, 0.0) for name in "abc"] + [Seat("d", State.ACTIVE, 1, 0.0)]
    due = {"a": 90.0, "b": 70.0, "c": 159.0, "d": 60.0}
    assert surplus(seats, now=100.0, release_at=due, keep=0) == ["b", "a"]
    assert surplus(seats, now=100.0, release_at=due, keep=3) == ["b"]


@pytest.mark.parity("instance.start-backoff")
def test_fifty_tries_in_ten_seconds_start_few_instances():
    starts, failures, blocked_until = 0, 0, 0.0
    for tenth in range(0, 100, 2):
        now = tenth / 10
        if now >= blocked_until:
            starts, failures = starts + 1, failures + 1
            blocked_until = now + backoff(failures)
    assert starts <= 10


@pytest.mark.parity("dispatch.scale-out")
def test_the_scale_out_speed_limits_starts_only():
    assert (Options().scale_burst, Options().scale_per_minute) == (300, 300)
    assert isinstance(where([], startable=0), Reject)
    assert where([Seat("a", State.ACTIVE, 1, 0.0)], startable=0) == "a"
    assert where([Seat("a", State.STARTING, 0, 0.0)], startable=0, waiting=1) == Wait()


@pytest.mark.parity("dispatch.scale-out")
@pytest.mark.parametrize(("left", "elapsed", "may"), [(300, 0, 300), (0, 1, 5), (299, 60, 300), (-1, 0.4, 1)])
def test_the_burst_refills_at_its_rate(left, elapsed, may):
    assert startable(left, elapsed, burst=300, per_minute=300) == may


def test_a_rejection_names_its_limit():
    full = [Seat("a", State.ACTIVE, 2, 0.0)]
    assert [where(full, reserved=1), where(full, quota=1), where(full, startable=0.5)] == [
        Reject("the function runs on 1 of at most 1 instances (reservedConcurrency)"),
        Reject("1 of at most 1 instances of the region are in use"),
        Reject("instances cannot be started faster (scale-out speed of the region)"),
    ]


@pytest.mark.parity("instance.idle-release")
def test_an_instance_is_surplus_from_the_second_its_time_is_over():
    seats = [Seat("a", State.IDLE, 0, 0.0), Seat("new", State.IDLE, 0, 0.0)]
    due = {"a": 100.0, "new": 150.0}
    assert surplus(seats, now=100.0, release_at=due, keep=0) == ["a"]
    assert surplus(seats, now=99.9, release_at=due, keep=0) == []
    assert surplus(seats, now=100.0, release_at=due, keep=2) == []
    assert surplus(seats, now=100.0, release_at=due, keep=3) == []


@pytest.mark.parity("instance.start-backoff")
def test_backoff_doubles_from_half_a_second_to_ten():
    assert [backoff(failures) for failures in range(8)] == [0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 10.0, 10.0]
