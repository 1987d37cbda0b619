"""What the writer notes for the roll-ups: few rows, nobody waits, gone with its transaction."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from hes.domain.readings import microseconds
from hes.storage import rollups
from hes.storage.database import Database

DAY = datetime(2026, 3, 28, tzinfo=UTC)
HOUR = microseconds(DAY) // 3_600_000_000


def mark(database: Database, rows: list[tuple[int, datetime]]) -> None:
    with database.connection() as connection:
        rollups.mark_dirty(
            connection,
            np.array([series_id for series_id, _ in rows], np.int32),
            np.array([microseconds(at) for _, at in rows], np.int64),
        )


def places(database: Database) -> list[tuple[int, int, int]]:
    with database.connection() as connection:
        return connection.execute(
            "SELECT place.* FROM dirty_bucket, unnest(series_ids, first_hours, last_hours)"
            " WITH ORDINALITY AS place (series_id, first_hour, last_hour, n)"
            " ORDER BY dirty_id, n"
        ).fetchall()


def rows(database: Database) -> int:
    with database.connection() as connection:
        return connection.execute("SELECT count(*) FROM dirty_bucket").fetchone()[0]


def test_one_place_per_series_and_utc_day_in_whatever_order_the_rows_come(database) -> None:
    mark(
        database,
        [
            (7, DAY + timedelta(hours=23, minutes=59)),
            (2, DAY + timedelta(hours=24)),
            (7, DAY + timedelta(hours=1)),
            (2, DAY + timedelta(hours=5)),
            (7, DAY + timedelta(hours=3)),
            (2, datetime(1969, 12, 31, 23, 30, tzinfo=UTC)),
        ],
    )
    assert [place[:3] for place in places(database)] == [
        (2, -1, -1),
        (2, HOUR + 4, HOUR + 5),
        # A full hour may end the bucket before it.
        (2, HOUR + 23, HOUR + 24),
        (7, HOUR, HOUR + 23),
    ]


def test_nothing_written_marks_nothing(database) -> None:
    mark(database, [])
    assert rows(database) == 0


@pytest.mark.parametrize("series", [128, 129, 1000])
def test_a_batch_of_many_series_is_a_few_rows(database, series: int) -> None:
    mark(database, [(number, DAY) for number in range(1, series + 1)])
    assert rows(database) == -(-series // 128)
    assert [place[0] for place in places(database)] == list(range(1, series + 1))


def test_writers_of_the_same_series_do_not_wait_for_each_other(migrated_url: str) -> None:
    with Database(migrated_url, lock_timeout_s=0.2) as database:
        with database.connection() as other:
            rollups.mark_dirty(
                other, np.array([1, 2], np.int32), np.full(2, microseconds(DAY), np.int64)
            )
            mark(database, [(2, DAY), (1, DAY)])
            assert rows(database) == 1
        assert rows(database) == 2


def test_a_mark_goes_with_its_transaction(database) -> None:
    with database.connection() as connection:
        rollups.mark_dirty(
            connection, np.array([1], np.int32), np.array([microseconds(DAY)], np.int64)
        )
        connection.rollback()
    assert rows(database) == 0
