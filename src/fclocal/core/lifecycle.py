"""The states of one instance, as a table.

An event without a row for the present state is a bug and raises. The effects are what the pool does to the process
when it takes the row.
"""

from enum import StrEnum


class State(StrEnum):
    """The state of an instance."""

    STARTING = "starting"  # process launched, port not yet open or initializer running
    ACTIVE = "active"  # at least one request
    UNHEALTHY = "unhealthy"  # its health check fails: it keeps its requests and gets no new one
    IDLE = "idle"  # running, no request (only where freezing is off)
    FROZEN = "frozen"  # no request, process stopped with SIGSTOP
    STOPPING = "stopping"  # PreStop hook and end of the process under way
    STOPPED = "stopped"  # the process has ended


class Event(StrEnum):
    """An event in the life of an instance."""

    READY = "ready"  # it listens, the initializer has succeeded
    LEASE = "lease"  # it gets a request
    DRAIN = "drain"  # its last request has ended
    FREEZE = "freeze"  # the platform freezes it
    FAIL = "fail"  # its health check has failed too often
    RECOVER = "recover"  # its health check succeeds again
    STOP = "stop"  # the platform stops it
    EXIT = "exit"  # its process has ended


class Effect(StrEnum):
    """What the pool does to the process."""

    THAW = "thaw"
    FREEZE = "freeze"


Row = tuple[State, tuple[Effect, ...]]

TABLE: dict[tuple[State, Event], Row] = {
    (State.STARTING, Event.READY): (State.IDLE, ()),
    (State.STARTING, Event.STOP): (State.STOPPING, ()),
    (State.STARTING, Event.EXIT): (State.STOPPED, ()),
    (State.IDLE, Event.LEASE): (State.ACTIVE, ()),
    (State.IDLE, Event.FREEZE): (State.FROZEN, (Effect.FREEZE,)),
    (State.IDLE, Event.STOP): (State.STOPPING, ()),
    (State.IDLE, Event.EXIT): (State.STOPPED, ()),
    (State.ACTIVE, Event.LEASE): (State.ACTIVE, ()),
    (State.ACTIVE, Event.DRAIN): (State.IDLE, ()),
    (State.ACTIVE, Event.FAIL): (State.UNHEALTHY, ()),
    (State.ACTIVE, Event.STOP): (State.STOPPING, ()),
    (State.ACTIVE, Event.EXIT): (State.STOPPED, ()),
    (State.UNHEALTHY, Event.RECOVER): (State.ACTIVE, ()),
    (State.UNHEALTHY, Event.STOP): (State.STOPPING, ()),
    (State.UNHEALTHY, Event.EXIT): (State.STOPPED, ()),
    (State.FROZEN, Event.LEASE): (State.ACTIVE, (Effect.THAW,)),
    (State.FROZEN, Event.STOP): (State.STOPPING, (Effect.THAW,)),
    (State.FROZEN, Event.EXIT): (State.STOPPED, ()),
    (State.STOPPING, Event.STOP): (State.STOPPING, ()),
    (State.STOPPING, Event.EXIT): (State.STOPPED, ()),
}


def step(state: State, event: Event) -> Row:
    """Return the next state and the effects of `event`. Raises ValueError for an event without a row."""
    try:
        return TABLE[state, event]
    except KeyError:
        raise ValueError(f"an instance that is {state} cannot take the event {event}") from None
