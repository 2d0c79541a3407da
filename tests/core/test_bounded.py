"""Numbers and JSON from outside: what is accepted, and that nothing else raises anything but ValueError."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fclocal.core.bounded import JSON_DEPTH, LARGEST, parse_integer, parse_json


@given(st.integers(min_value=0, max_value=LARGEST), st.integers(min_value=0, max_value=5_000))
def test_a_number_is_read_whatever_its_leading_zeros(number: int, zeros: int) -> None:
    assert parse_integer("0" * zeros + str(number)) == number
    assert parse_integer(b"0" * zeros + str(number).encode()) == number


@pytest.mark.parametrize("text", ["", " 1", "1 ", "+1", "-1", "1_0", "0x10", "1.0", "1\n", "١", "²", "1" * 5_000])
def test_what_is_not_a_bounded_number_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse_integer(text)


def test_the_maximum_is_inclusive() -> None:
    assert parse_integer("100", maximum=100) == 100
    with pytest.raises(ValueError, match="larger than 100"):
        parse_integer("101", maximum=100)
    with pytest.raises(ValueError, match="larger than"):
        parse_integer(str(LARGEST + 1))


_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-LARGEST, LARGEST)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(_VALUES)
def test_json_of_everyday_use_is_read_as_json_loads_reads_it(value: object) -> None:
    assert parse_json(json.dumps(value)) == value


@given(st.text() | st.binary())
def test_json_from_anybody_raises_nothing_but_value_error(text: str | bytes) -> None:
    try:
        parse_json(text)
    except ValueError:
        return


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        "[" * 100_000 + "]" * 100_000,
        '{"a":' * 100_000,
        "1" * 5_000,
        "-" + "9" * 30,
        "1e999",
        "NaN",
        "-Infinity",
        "[" * (JSON_DEPTH + 1) + "]" * (JSON_DEPTH + 1),
        '{"a":' * (JSON_DEPTH + 1) + "1" + "}" * (JSON_DEPTH + 1),
    ],
    ids=lambda text: text[:8],
)
def test_json_beyond_its_bounds_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse_json(text)


def test_the_depth_is_inclusive() -> None:
    text = "[" * JSON_DEPTH + "]" * JSON_DEPTH
    assert parse_json(text) == json.loads(text)
