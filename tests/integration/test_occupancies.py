"""Who lives at a usage point: one at a time, and personal data print as nothing."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from uuid import UUID

import psycopg
import pytest

from hes.storage.database import Database
from hes.storage.occupancies import at_usage_point, move_in, move_out

MARCH, MAY, JULY = (datetime(2026, month, 1, tzinfo=UTC) for month in (3, 5, 7))
PERSON = {"name": "Ada Ö", "phone": "1"}


@pytest.fixture
def point(add_meter: Callable[..., UUID], database: Database) -> int:
    add_meter("S1", site="X")
    with database.connection() as connection:
        row = connection.execute("SELECT usage_point_id FROM usage_point").fetchone()
    assert row is not None
    return int(row[0])


def test_who_moves_in_ends_who_was_there(database: Database, point: int) -> None:
    with database.connection() as connection:
        move_in(connection, point, MARCH, contract="K1", person=PERSON)
        move_in(connection, point, MAY, contract="K2")
        assert move_out(connection, point, JULY)
        assert not move_out(connection, point, JULY)
        second, first = at_usage_point(connection, point)
    assert (first.contract, first.person, first.since, first.until) == ("K1", PERSON, MARCH, MAY)
    assert (second.contract, second.person, second.until) == ("K2", None, JULY)
    assert "Ada" not in repr(first)


@pytest.mark.parametrize("since", [MARCH, MAY])
def test_nobody_moves_in_where_somebody_is_or_comes_later(
    database: Database, point: int, since: datetime
) -> None:
    with database.connection() as connection:
        move_in(connection, point, MAY)
    with pytest.raises(psycopg.errors.ExclusionViolation), database.connection() as connection:
        move_in(connection, point, since)
