"""The states of one instance, as a table.

An event that has no row for the present state is a bug and raises; the effects are what the engine must do to
the process when the row is taken.
"""

from enum import StrEnum


class State(StrEnum):
    """Where an instance stands."""

    STARTING = "starting"  # process launched, port not yet open or initializer running
    ACTIVE = "active"  # at least one request
    IDLE = "idle"  # running, no request (only where freezing is off)
    FROZEN = "frozen"  # no request, process stopped with SIGSTOP
    STOPPING = "stopping"  # told to end
    STOPPED = "stopped"  # gone


class Event(StrEnum):
    """What happens to an instance."""

    READY = "ready"  # it listens, the initializer has succeeded
    LEASE = "lease"  # a request is given to it
    DRAIN = "drain"  # its last request has ended
    FREEZE = "freeze"  # the platform freezes it
    STOP = "stop"  # the platform no longer wants it
    EXIT = "exit"  # its process has ended, wanted or not


class Effect(StrEnum):
    """What the row asks of the process."""

    THAW = "thaw"
    FREEZE = "freeze"
    STOP = "stop"


Row = tuple[State, tuple[Effect, ...]]

TABLE: dict[tuple[State, Event], Row] = {
    (State.STARTING, Event.READY): (State.IDLE, ()),
    (State.STARTING, Event.STOP): (State.STOPPING, (Effect.STOP,)),
    (State.STARTING, Event.EXIT): (State.STOPPED, ()),
    (State.IDLE, Event.LEASE): (State.ACTIVE, ()),
    (State.IDLE, Event.FREEZE): (State.FROZEN, (Effect.FREEZE,)),
    (State.IDLE, Event.STOP): (State.STOPPING, (Effect.STOP,)),
    (State.IDLE, Event.EXIT): (State.STOPPED, ()),
    (State.ACTIVE, Event.LEASE): (State.ACTIVE, ()),
    (State.ACTIVE, Event.DRAIN): (State.IDLE, ()),
    (State.ACTIVE, Event.STOP): (State.STOPPING, (Effect.STOP,)),
    (State.ACTIVE, Event.EXIT): (State.STOPPED, ()),
    (State.FROZEN, Event.LEASE): (State.ACTIVE, (Effect.THAW,)),
    (State.FROZEN, Event.STOP): (State.STOPPING, (Effect.THAW, Effect.STOP)),
    (State.FROZEN, Event.EXIT): (State.STOPPED, ()),
    (State.STOPPING, Event.STOP): (State.STOPPING, ()),
    (State.STOPPING, Event.EXIT): (State.STOPPED, ()),
}


def step(state: State, event: Event) -> Row:
    """The next state and the effects of `event`. Raises ValueError where the table has no row."""
    try:
        return TABLE[state, event]
    except KeyError:
        raise ValueError(f"an instance that is {state} cannot take the event {event}") from None
