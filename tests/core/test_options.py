"""The options of the platform: every one is explained, and a wrong value is an error that names it."""

from dataclasses import fields
from typing import Any

import pytest

from fclocal.core.errors import FcError
from fclocal.core.options import Options, parse


def test_defaults_and_values_of_the_right_type() -> None:
    assert parse({}) == Options()
    assert parse({"freeze": False, "idle_release": 5, "instance_quota": 2}) == Options(
        freeze=False, idle_release=5.0, instance_quota=2)
    assert isinstance(parse({"idle_release": 5}).idle_release, float)
    assert parse({"idle_release": 0, "instance_quota": 1, "start_limit": 0.01})


def test_every_option_has_a_sentence() -> None:
    assert all(len(option.metadata["text"]) > 10 for option in fields(Options))


@pytest.mark.parametrize(("values", "says"), [
    ({"frezze": False}, "unknown option 'frezze'; the options are freeze, freeze_after"),
    ({"freeze": 0}, "option freeze: must be True or False"),
    ({"idle_release": -0.1}, "option idle_release: must be a number of at least 0"),
    ({"idle_release": True}, "option idle_release: must be a number"),
    ({"idle_release": "5"}, "option idle_release: must be a number"),
    ({"idle_release": float("nan")}, "option idle_release: must be a number"),
    ({"idle_release": float("inf")}, "option idle_release: must be a number"),
    ({"instance_quota": 1.5}, "option instance_quota: must be a whole number of at least 1"),
    ({"instance_quota": 0}, "option instance_quota: must be a whole number of at least 1"),
])
def test_a_wrong_option_is_named(values: dict[str, Any], says: str) -> None:
    with pytest.raises(FcError) as caught:
        parse(values)
    assert caught.value.code == "InvalidArgument" and caught.value.message.startswith(says)
