"""Given the instances: lease one, start one, wait for one, or reject.

The rules are those of "configure the concurrency of a single instance": use the free capacity of running instances
before starting another; start another only when all are full; beyond the limit answer 429 ResourceExhausted.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from fclocal.core.lifecycle import State

_OPEN = (State.ACTIVE, State.IDLE, State.FROZEN)


class Seat(NamedTuple):
    """One instance as dispatch sees it. `load`: requests on it; `started`: seconds since 1970."""

    instance_id: str
    state: State
    load: int
    started: float


@dataclass(frozen=True, slots=True)
class Census:
    """The instances that exist, and their limits.

    of_function: instances of the function, all revisions. reserved: the function's reservedConcurrency (most
    instances). of_region, quota: instances of all functions, and their limit. startable: instances that the scale-out
    speed allows to start now.
    """

    of_function: int
    of_region: int
    reserved: int | None
    quota: int
    startable: float


@dataclass(frozen=True, slots=True)
class Start:
    """Start an instance and wait for it."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Wait for an instance that is already starting and will have capacity."""


@dataclass(frozen=True, slots=True)
class Reject:
    """Reject the request: all instances are full and no other may be started. `reason` is the message of the 429."""

    reason: str


def take(seats: Collection[Seat], concurrency: int) -> str | None:
    """Return the instance that serves one more request, None if all are full. `concurrency`: requests per instance.

    The fullest one is used first, so that the others can drain and be released; of equals the oldest.
    """
    best: Seat | None = None
    for seat in seats:
        if seat.state in _OPEN and seat.load < concurrency and (
            best is None or (seat.load, -seat.started) > (best.load, -best.started)
        ):
            best = seat
    return None if best is None else best.instance_id


def extend(seats: Collection[Seat], census: Census, *, concurrency: int, waiting: int) -> Start | Wait | Reject:
    """Decide about one more request of a revision whose running instances are all full.

    seats: the revision's instances. concurrency: requests per instance. waiting: requests that already wait for
    starting instances.
    """
    starting = sum(seat.state is State.STARTING for seat in seats)
    if starting * concurrency > waiting:
        return Wait()
    if census.reserved is not None and census.of_function >= census.reserved:
        return Reject(f"the function runs on {census.of_function} of at most {census.reserved} instances"
                      " (reservedConcurrency)")
    if census.of_region >= census.quota:
        return Reject(f"{census.of_region} of at most {census.quota} instances of the region are in use")
    if census.startable < 1:
        return Reject("instances cannot be started faster (scale-out speed of the region)")
    return Start()


def startable(left: float, elapsed: float, *, burst: int, per_minute: float) -> float:
    """Return how many instances may be started, `elapsed` seconds after `left` could: a bucket that refills."""
    return min(float(burst), left + elapsed * per_minute / 60)


def surplus(seats: Collection[Seat], *, now: float, release_at: Mapping[str, float], keep: int) -> list[str]:
    """Return the instances to release: their time is over, beyond the `keep` that must stay; the longest due first.

    `release_at`: the time at which each instance may be released, see `core.retention`.
    """
    free = [seat for seat in seats if seat.state in (State.IDLE, State.FROZEN)]
    alive = sum(seat.state in (*_OPEN, State.STARTING) for seat in seats)
    due = sorted(
        (release_at[seat.instance_id], seat.instance_id) for seat in free if now >= release_at[seat.instance_id]
    )
    return [instance_id for _, instance_id in due[: max(0, alive - keep)]]


def backoff(failures: int) -> float:
    """Return the seconds during which a start that failed `failures` times in a row is not tried again."""
    return min(10.0, 0.5 * 2.0 ** (failures - 1)) if failures else 0.0
