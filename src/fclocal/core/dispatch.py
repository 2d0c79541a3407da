"""Given the instances: lease one, start one, wait for one, or reject.

The rules are those of "configure the concurrency of a single instance": fill the instances that run before
starting another; start another only when all are full; past the limit answer 429 ResourceExhausted.
"""

from collections.abc import Collection
from dataclasses import dataclass

from fclocal.core.lifecycle import State

_OPEN = (State.ACTIVE, State.IDLE, State.FROZEN)


@dataclass(frozen=True, slots=True)
class Seat:
    """What dispatch needs to know of one instance. `load`: requests on it; `started`: seconds since 1970."""

    instance_id: str
    state: State
    load: int
    started: float


@dataclass(frozen=True, slots=True)
class Take:
    """Give the request to this instance."""

    instance_id: str


@dataclass(frozen=True, slots=True)
class Start:
    """Start an instance and wait for it."""


@dataclass(frozen=True, slots=True)
class Wait:
    """An instance that is already starting will have room."""


@dataclass(frozen=True, slots=True)
class Reject:
    """No room and no instance may be started; `reason` is the message of the 429."""

    reason: str


Decision = Take | Start | Wait | Reject


def decide(
    seats: Collection[Seat],
    *,
    concurrency: int,
    waiting: int,
    running: int,
    reserved: int | None,
    in_region: int,
    quota: int,
    startable: int,
) -> Decision:
    """Where one more request of a revision goes.

    seats: the revision's instances. concurrency: requests one instance takes. waiting: requests that already
    wait for starting instances. running: instances of the function, all revisions. reserved: the function's
    reservedConcurrency (most instances; 0 blocks all calls). in_region, quota: instances of all functions,
    and the most there may be. startable: instances that the scale-out speed lets start now.
    """
    if reserved == 0:
        return Reject("reservedConcurrency of the function is 0: all calls are blocked")
    room = [seat for seat in seats if seat.state in _OPEN and seat.load < concurrency]
    if room:
        # The fullest first, so that the others can drain and be released; of equals the oldest.
        return Take(max(room, key=lambda seat: (seat.load, -seat.started)).instance_id)
    starting = sum(seat.state is State.STARTING for seat in seats)
    if starting * concurrency > waiting:
        return Wait()
    if reserved is not None and running >= reserved:
        return Reject(f"the function runs on {running} of at most {reserved} instances (reservedConcurrency)")
    if in_region >= quota:
        return Reject(f"{in_region} of at most {quota} instances of the region are in use")
    if startable < 1:
        return Reject("instances cannot be started faster (scale-out speed of the region)")
    return Start()


def startable(left: float, elapsed: float, *, burst: int, per_minute: float) -> float:
    """How many instances may be started, `elapsed` seconds after `left` were: a bucket of `burst` that refills."""
    return min(float(burst), left + elapsed * per_minute / 60)


def surplus(seats: Collection[Seat], *, now: float, idle_since: dict[str, float], keep: int, idle: float) -> list[str]:
    """Instances to release: without a request for `idle` seconds, beyond the `keep` that must stay.

    `idle_since` says since when an instance has had no request. The longest idle go first.
    """
    free = [seat for seat in seats if seat.state in (State.IDLE, State.FROZEN)]
    alive = sum(seat.state in (*_OPEN, State.STARTING) for seat in seats)
    due = sorted(
        (idle_since[seat.instance_id], seat.instance_id)
        for seat in free
        if now - idle_since.get(seat.instance_id, now) >= idle
    )
    return [instance_id for _, instance_id in due[: max(0, alive - keep)]]


def backoff(failures: int) -> float:
    """Seconds during which a start that failed `failures` times in a row is not tried again."""
    return min(10.0, 0.5 * 2.0 ** (failures - 1)) if failures else 0.0
