"""Cursors are passed back unread, or refused."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hes.api.cursors import seal, unseal
from hes.api.problems import ProblemError

Position = tuple[int, datetime]


@given(
    st.integers(0, 2**62),
    st.datetimes(timezones=st.just(UTC), min_value=datetime(1970, 1, 2)),
)
def test_a_position_comes_back(channel: int, at: datetime) -> None:
    assert unseal("readings", seal("readings", (channel, at)), Position) == (channel, at)


def test_no_cursor_is_no_position() -> None:
    assert unseal("readings", None, Position) is None


@given(st.text(max_size=600) | st.binary(max_size=64).map(lambda octets: octets.hex()))
def test_nonsense_is_refused(cursor: str) -> None:
    with pytest.raises(ProblemError) as caught:
        unseal("readings", cursor, Position)
    assert caught.value.kind.code == "cursor_invalid"


def test_a_cursor_of_another_list_is_refused() -> None:
    with pytest.raises(ProblemError, match="another list"):
        unseal("quarantine", seal("readings", 5), int)
    with pytest.raises(ProblemError):
        unseal("quarantine", seal("quarantine", "five"), int)


def test_a_cursor_needs_no_escaping_in_an_address() -> None:
    for number in range(500):
        assert seal("quarantine", number).replace("-", "").replace("_", "").isalnum()
