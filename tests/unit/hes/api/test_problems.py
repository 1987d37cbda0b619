"""The table of problems, and the page that each one's `type` leads to."""

import pytest

from hes.api.problems import (
    PROBLEMS,
    ProblemError,
    problem_of_error,
    problem_of_status,
)
from hes.domain.errors import LeaseLostError, StorageUnavailableError, UnknownMeterError
from hes.meters import BadCursorError
from tests.unit.hes.api.served import Api


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (StorageUnavailableError("host=10.1.1.1 password=x"), "storage_unavailable"),
        (UnknownMeterError("x"), "meter_not_found"),
        (BadCursorError("x"), "cursor_invalid"),
    ],
)
def test_errors_of_capabilities_have_a_problem(error: Exception, code: str) -> None:
    problem = problem_of_error(error)  # type: ignore[arg-type]
    assert problem is not None
    assert problem.kind.code == code
    assert problem.detail == ""  # the exception's text is for the log


def test_an_error_without_a_row_is_a_fault_of_ours() -> None:
    assert problem_of_error(LeaseLostError("x")) is None


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (404, "not_found"),
        (405, "method_not_allowed"),
        (413, "payload_too_large"),
        (400, "request_malformed"),
        (431, "request_malformed"),
        (500, "internal_error"),
    ],
)
def test_statuses_of_the_server_itself_have_a_problem(status: int, code: str) -> None:
    assert problem_of_status(status).kind.code == code


def test_an_unknown_code_cannot_be_raised() -> None:
    with pytest.raises(KeyError):
        ProblemError("odd")


@pytest.mark.parametrize("code", PROBLEMS)
def test_the_type_of_a_problem_leads_to_its_explanation(api: Api, code: str) -> None:
    answer = api.ask(f"/problems/{code}")
    assert answer.status == 200
    assert PROBLEMS[code].title in answer.body.decode()


def test_temporary_problems_say_when_to_come_back() -> None:
    for kind in PROBLEMS.values():
        assert (kind.status == 503) == (kind.retry_after_s is not None)
        assert kind.title
        assert kind.advice
