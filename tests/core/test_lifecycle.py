"""The states of an instance, walked through the table."""

import pytest

from fclocal.core.lifecycle import TABLE, Effect, Event, State, step


def test_a_life_with_one_freeze():
    state, seen = State.STARTING, []
    twice = (Event.LEASE, Event.DRAIN, Event.FREEZE, Event.LEASE, Event.DRAIN)
    for event in (Event.READY, *twice, Event.STOP, Event.EXIT):
        state, effects = step(state, event)
        seen += effects
    assert state is State.STOPPED
    assert seen == [Effect.FREEZE, Effect.THAW]


def test_a_frozen_instance_is_thawed_before_it_is_stopped():
    assert step(State.FROZEN, Event.STOP) == (State.STOPPING, (Effect.THAW,))


def test_an_event_without_a_row_names_state_and_event():
    with pytest.raises(ValueError, match="stopped cannot take the event lease"):
        step(State.STOPPED, Event.LEASE)


def test_every_living_state_can_exit_and_be_stopped():
    for state in set(State) - {State.STOPPED}:
        assert TABLE[state, Event.EXIT][0] is State.STOPPED
        assert TABLE[state, Event.STOP][0] is State.STOPPING
    assert not [row for row in TABLE if row[0] is State.STOPPED]
