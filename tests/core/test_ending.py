"""Why a request ended, and what follows: the error, the log text, the close code, the bill."""

import pytest

from fclocal.core import ending
from fclocal.core.ending import TABLE, Ending

# reason -> status and code of the error, text in the log, close code
EXPECTED = {
    Ending.CLIENT: (499, "ClientClosedRequest", "Invocation canceled by client", None),
    Ending.FUNCTION: (502, "BadResponse", "", 1006),
    Ending.TIMEOUT: (502, "FunctionTimeout", "Function time out after 3 seconds", 1006),
    Ending.INSTANCE: (502, "BadResponse", "Process exited unexpectedly before completing request", 1006),
    Ending.FAULT: (502, "BadResponse", "Connection cut by an injected fault", 1006),
    Ending.SHUTDOWN: (503, "ResourceThrottled", "the platform is shutting down", 1001),
    Ending.DISABLED: (403, "AccessDenied", "invocation of the function was disabled", 1006),
}


@pytest.mark.parametrize("reason", EXPECTED)
def test_what_follows_from_a_reason(reason: Ending) -> None:
    status, code, log, close_code = EXPECTED[reason]
    error = ending.error(reason, 3.0)
    assert (error.status, error.code) == (status, code)
    assert ending.log_text(reason, 3.0) == log
    assert TABLE[reason].close_code == close_code


def test_a_timeout_names_its_seconds_without_a_trailing_zero() -> None:
    assert ending.error(Ending.TIMEOUT, 60.0).message == "Function time out after 60 seconds"


def test_every_reason_has_its_row() -> None:
    assert set(TABLE) == set(Ending) == {Ending.DONE, *EXPECTED}
    assert (TABLE[Ending.DONE].close_code, ending.log_text(Ending.DONE, 3.0)) == (None, "")


def test_clients_without_an_answer_get_the_error_unless_they_have_left_or_are_cut() -> None:
    assert {reason for reason in Ending if not TABLE[reason].answers} == {Ending.CLIENT, Ending.FAULT}


@pytest.mark.parametrize("reason", Ending)
@pytest.mark.parametrize("status", [101, 200, 403, 429, 499, 500, 502, 503, 504])
def test_only_what_the_platform_failed_itself_costs_nothing(reason: Ending, status: int) -> None:
    failed = reason in ("instance", "fault", "shutdown") and status in (429, 500, 503)
    assert ending.is_billed(reason, status) is not failed
