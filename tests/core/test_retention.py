"""What becomes of an instance without requests."""

import pytest
from pydantic import ValidationError

from fclocal.core.ending import Ending
from fclocal.core.model import FunctionConfig
from fclocal.core.retention import Rest, is_quiet, is_replaced, kept_until, release_at, rest


def config(**fields: object) -> FunctionConfig:
    return FunctionConfig.model_validate({"functionName": "f", "runtime": "custom.debian12", **fields})


@pytest.mark.parity("instance.minimum-active", "instance.background-work")
@pytest.mark.parametrize(("idle_timeout", "why", "minimum_active", "expected"), [
    (None, "request", True, Rest.HIBERNATING),
    (300, "request", True, Rest.BY_CPU),
    (300, "minimum", True, Rest.ACTIVE),
    (300, "minimum", False, Rest.HIBERNATING),
])
def test_how_an_instance_rests(idle_timeout: int | None, why: str, minimum_active: bool, expected: Rest) -> None:
    assert rest(config(idleTimeout=idle_timeout), why, minimum_active=minimum_active) is expected


@pytest.mark.parity("instance.delayed-release", "instance.kept-by-sessions")
@pytest.mark.parametrize(("idle_timeout", "sessions", "released"), [
    (None, 0.0, 1060.0),        # the release minute
    (300, 0.0, 1300.0),
    (None, 2800.0, 2800.0),     # the last session
    (300, 2800.0, 2800.0),      # the later of the two
    (3600, 2800.0, 4600.0),
    (None, 1010.0, 1060.0),
])
def test_when_an_instance_is_released(idle_timeout: int | None, sessions: float, released: float) -> None:
    assert release_at(1000.0, 60.0, kept_until(1000.0, idle_timeout, sessions)) == released


@pytest.mark.parity("instance.idle-timeout-unit")
@pytest.mark.parametrize("seconds", [299, 3601, 0])
def test_idle_timeout_is_5_to_60_minutes(seconds: int) -> None:
    with pytest.raises(ValidationError, match="idleTimeout"):
        config(idleTimeout=seconds)
    assert config(idleTimeout=3600).idle_timeout == 3600


@pytest.mark.parity("instance.background-work")
def test_quiet_is_a_small_share_of_its_own_cpu() -> None:
    assert is_quiet(0.008, 0.5, 0.35) and not is_quiet(0.009, 0.5, 0.35)
    assert is_quiet(0.04, 0.5, 2.0)


CHECKED = {"customRuntimeConfig": {"healthCheckConfig": {"httpGetUrl": "/ready"}}}


@pytest.mark.parity("instance.canceled-request", "instance.canceled-websocket")
@pytest.mark.parametrize(("fields", "ending", "status", "websocket_cancel", "replaced"), [
    ({}, Ending.CLIENT, 499, True, True),
    ({}, Ending.CLIENT, 101, True, True),
    ({}, Ending.CLIENT, 101, False, False),
    ({}, Ending.CLIENT, 200, False, True),
    ({}, Ending.DONE, 101, True, False),
    ({}, Ending.TIMEOUT, 504, True, False),
    (CHECKED, Ending.CLIENT, 499, True, False),
    ({"customRuntimeConfig": {"healthCheckConfig": {}}}, Ending.CLIENT, 499, True, True),
    ({"instanceConcurrency": 2}, Ending.CLIENT, 499, True, False),
    ({"sessionAffinity": "GENERATED_COOKIE"}, Ending.CLIENT, 499, True, False),
])
def test_which_canceled_request_replaces_its_instance(
    fields: dict[str, object], ending: Ending, status: int, websocket_cancel: bool, replaced: bool
) -> None:
    assert is_replaced(config(**fields), ending, status, websocket_cancel=websocket_cancel) is replaced
