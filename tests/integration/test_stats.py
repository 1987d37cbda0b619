"""The counts of the live line: settled batches are summed once, young ones every time."""

from __future__ import annotations

import pytest

from hes.storage import epochs
from hes.storage.database import Database
from hes.storage.stats import StatsStore

_BATCH = """
INSERT INTO batch (batch_key, source_kind, received_at, stored_at, stored, duplicates, revised,
                   quarantined)
VALUES (gen_random_uuid(), 'push', now(), now() - make_interval(secs => %s), %s, 0, 0, 0)
"""


def _store(database: Database, age_s: int, rows: int) -> None:
    with database.connection() as connection:
        connection.execute(_BATCH, (age_s, rows))


def test_readings_are_counted_once_however_often_they_are_asked_for(database: Database) -> None:
    stats = StatsStore(database)
    assert stats.read().readings == 0
    _store(database, 3600, 10)
    _store(database, 1800, 20)
    _store(database, 5, 3)
    for _ in range(3):
        assert stats.read().readings == 33
    _store(database, 0, 4)
    assert stats.read().readings == 37
    with database.connection() as connection:
        connection.execute("UPDATE batch SET stored_at = stored_at - interval '2 minutes'")
    assert stats.read().readings == 37
    _store(database, 0, 1)
    assert stats.read().readings == 38
    assert StatsStore(database).read().readings == 38


def test_what_a_restore_has_lost_is_no_more_counted(database: Database) -> None:
    stats = StatsStore(database)
    _store(database, 3600, 10)
    _store(database, 3600, 20)
    assert stats.read().readings == 30
    with database.connection() as connection:
        connection.execute("DELETE FROM batch WHERE stored = 20")
        connection.execute("SELECT setval('batch_batch_id_seq', max(batch_id)) FROM batch")
    epochs.begin(database)
    _store(database, 3600, 5)
    assert stats.read().readings == 15


@pytest.mark.parametrize(
    ("age_s", "per_s", "per_minute"), [(2, 0.1, 1), (30, 0.0, 1), (90, 0.0, 0)]
)
def test_sessions_are_counted_over_ten_seconds_and_a_minute(
    database: Database, add_meter: object, age_s: int, per_s: float, per_minute: int
) -> None:
    meter_id = add_meter("HES1")  # type: ignore[operator]
    with database.connection() as connection:
        columns = connection.execute(
            "SELECT column_name FROM information_schema.columns WHERE table_name = 'session'"
        ).fetchall()
        assert ("ended_at",) in columns
        connection.execute(
            "INSERT INTO session (session_id, meter_id, inbound, started_at, ended_at, phase,"
            " outcome, octets_in, octets_out) VALUES (gen_random_uuid(), %s, false, now(),"
            " now() - make_interval(secs => %s), 'done', 'ok', 0, 0)",
            (meter_id, age_s),
        )
    stats = StatsStore(database).read()
    assert stats.meters == 1
    assert stats.sessions_per_s == per_s
    assert stats.sessions_last_minute == per_minute
