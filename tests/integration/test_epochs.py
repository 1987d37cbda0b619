"""A database that finds itself elsewhere leaps before it gives anything out."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from hes.domain.errors import PermanentError
from hes.storage import epochs
from hes.storage.counters import CounterStore
from hes.storage.database import Database
from hes.storage.epochs import BURST, COUNTER_MAX, LEAP_PER_S
from hes.storage.leases import LeaseStore
from hes.storage.migrations import migrate, shipped

AddMeter = Callable[..., UUID]

EK, OTHER_EK, AK = "00" * 16, "11" * 16, "22" * 16
LEAP = 2 * BURST


@pytest.fixture
def counters(database: Database) -> CounterStore:
    return CounterStore(database)


@pytest.fixture
def meter_id(add_meter: AddMeter) -> UUID:
    return add_meter("S1", ek=EK, ak=AK, address="127.0.0.1", port=4059, mechanism="gmac")


def run(database: Database, statement: str) -> None:
    with database.connection() as connection:
        connection.execute(statement.encode())


def moved(database: Database) -> None:
    """As a restore leaves it: the same rows on another timeline."""
    run(
        database,
        "UPDATE database_epoch SET identity = 'elsewhere'"
        " WHERE epoch_id = (SELECT max(epoch_id) FROM database_epoch)",
    )


def leapt(database: Database) -> list[tuple[str, int]]:
    with database.connection() as connection:
        rows = connection.execute("SELECT reason, leap FROM database_epoch ORDER BY epoch_id")
        return list(rows.fetchall())


def test_the_first_use_begins_the_first_epoch_and_leaps_over_nothing(
    counters: CounterStore, meter_id: UUID, database: Database
) -> None:
    assert not epochs.look(database).moved
    assert counters.reserve(meter_id, 1, size=8).first == 1
    assert leapt(database) == [("first", 0)]
    assert epochs.settle(database) is None
    assert counters.reserve(meter_id, 1, size=8).first == 9


def test_counters_leap_by_what_can_have_been_sent_since(
    counters: CounterStore, meter_id: UUID, database: Database
) -> None:
    counters.reserve(meter_id, 1, size=8)
    counters.reserve(meter_id, 1, size=4, above=1000)
    run(database, "UPDATE own_counter SET counted_at = counted_at - interval '1 hour'")
    run(database, "UPDATE database_epoch SET began_at = began_at - interval '1 day'")
    moved(database)
    place = epochs.look(database)
    assert place.moved
    assert 0 <= place.leap - (LEAP + LEAP_PER_S * 3600) < LEAP_PER_S * 60
    block = counters.reserve(meter_id, 1, size=8)
    assert 0 <= block.first - (1004 + place.leap) < LEAP_PER_S * 60


def use_up(counters: CounterStore, meter_id: UUID) -> int:
    """As many counters as are given out at once; the last of them."""
    last = 0
    for size in (512, 64, 8):
        with suppress(PermanentError):
            while True:
                last = counters.reserve(meter_id, 1, size=size).last
    return last


def test_attempts_to_restore_the_same_backup_lie_apart(
    counters: CounterStore, meter_id: UUID, add_meter: AddMeter, database: Database
) -> None:
    """The first one came out at the wrong point: its counters are known to nobody but meters."""
    counters.reserve(meter_id, 1, size=8)
    new_key = add_meter("S2", ek=OTHER_EK, ak=AK)
    moved(database)
    with database.connection() as connection:
        backup = connection.execute("SELECT * FROM own_counter").fetchall()
    used = [use_up(counters, one) for one in (meter_id, new_key)]
    assert used[0] > LEAP
    # The same backup a minute later.
    run(database, "DELETE FROM own_counter")
    run(database, "DELETE FROM database_epoch WHERE reason <> 'first'")
    with database.connection() as connection:
        cells = ", ".join(["%s"] * len(backup[0]))
        connection.cursor().executemany(f"INSERT INTO own_counter VALUES ({cells})", backup)
    run(database, "UPDATE own_counter SET counted_at = counted_at - interval '60 s'")
    run(database, "UPDATE database_epoch SET began_at = began_at - interval '60 s'")
    again = [counters.reserve(one, 1, size=8).first for one in (meter_id, new_key)]
    assert again[0] > used[0]
    assert again[1] > used[1]
    # Told in addition, it leaps over an attempt of which nothing else can be known.
    moved(database)
    assert epochs.begin(database).leap >= 2 * LEAP


def test_keys_of_which_nothing_is_known_begin_above_the_leap(
    counters: CounterStore, meter_id: UUID, add_meter: AddMeter, database: Database
) -> None:
    """A key that was first used after the backup, perhaps of a meter that came after it, too."""
    counters.reserve(meter_id, 1, size=8)
    moved(database)
    other = add_meter("S2", ek=OTHER_EK, ak=AK)
    first = counters.reserve(other, 1, size=8).first
    assert first > LEAP
    # And again: what began above the first leap may be lost too.
    moved(database)
    third = add_meter("S3", ek="33" * 16, ak=AK)
    assert counters.reserve(third, 1, size=8).first > 2 * LEAP
    fourth = add_meter("S4", ek="44" * 16, ak=AK)
    assert counters.reserve(fourth, 1, size=8, above=5).first > 2 * LEAP


def test_a_counter_that_cannot_leap_is_used_up(
    counters: CounterStore, meter_id: UUID, database: Database
) -> None:
    counters.reserve(meter_id, 1, size=8)
    run(database, f"UPDATE own_counter SET reserved_to = {COUNTER_MAX - 100}")
    moved(database)
    with pytest.raises(Exception, match="change the key"):
        counters.reserve(meter_id, 1, size=8)


def test_many_at_once_leap_once(counters: CounterStore, meter_id: UUID, database: Database) -> None:
    counters.reserve(meter_id, 1, size=8)
    moved(database)
    with ThreadPoolExecutor(8) as threads:
        blocks = list(threads.map(lambda _: counters.reserve(meter_id, 1, size=5), range(40)))
    assert len({block.first for block in blocks}) == 40
    assert min(block.first for block in blocks) > LEAP
    assert [reason for reason, _ in leapt(database)] == ["first", "moved"]
    with database.connection() as connection:
        events = connection.execute("SELECT code FROM security_event").fetchall()
    assert events == [("database-restored",)]


def test_lease_tokens_leap_before_one_is_given_out(meter_id: UUID, database: Database) -> None:
    leases = LeaseStore(database)
    (before,) = leases.take(holder="a", limit=1, lease_s=60)
    leases.release([before])
    moved(database)
    (after,) = leases.take(holder="b", limit=1, lease_s=60)
    assert after.meter.meter_id == before.meter.meter_id
    assert after.token > before.token + 2**31


def test_a_restore_that_cannot_be_seen_is_told(
    counters: CounterStore, meter_id: UUID, database: Database
) -> None:
    last = counters.reserve(meter_id, 1, size=8).last
    epoch = epochs.begin(database)
    assert epoch.reason == "restored"
    assert counters.reserve(meter_id, 1, size=8).first == last + epoch.leap + 1
    a_day_ago = datetime.now(UTC) - timedelta(days=1)
    assert epochs.begin(database, known_until=a_day_ago).leap >= LEAP + 86_400 * LEAP_PER_S
    # What is told shortens nothing.
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    assert epochs.begin(database, known_until=tomorrow).leap >= LEAP


@pytest.mark.parametrize(
    ("known", "timelines"),
    [
        (None, 1),
        ("unknown", 1),
        ("7:0000000A:5:9", 1),
        ("7:00000009:5:9", 1),
        ("7:00000008:5:9", 2),
        ("8:00000001:5:9", 1),
        ("7:00000001:5:9", 8),
    ],
)
def test_further_timelines_count_as_far_as_keys_can_bear(known: str | None, timelines: int) -> None:
    assert epochs._timelines(known, "7:0000000A:6:9") == timelines


def test_an_empty_database_can_be_told_of_the_one_before_it(
    counters: CounterStore, meter_id: UUID, database: Database
) -> None:
    """Where both have one system title, and the meters their keys."""
    epochs.settle(database)  # as `hes migrate` does
    epochs.begin(database, known_until=datetime.now(UTC) - timedelta(days=30))
    assert counters.reserve(meter_id, 1, size=8).first > LEAP + 30 * 86_400 * LEAP_PER_S


def test_of_a_database_that_counted_nobody_knows_when_it_must_be_told(
    counters: CounterStore, meter_id: UUID, database: Database
) -> None:
    counters.reserve(meter_id, 1, size=8)
    run(database, "DELETE FROM database_epoch")
    run(database, "UPDATE own_counter SET counted_at = NULL")
    with pytest.raises(epochs.NothingKnownError, match="--known-until"):
        counters.reserve(meter_id, 1, size=8)
    epochs.begin(database, known_until=datetime.now(UTC) - timedelta(days=2))
    assert counters.reserve(meter_id, 1, size=8).first > LEAP + 2 * 86_400 * LEAP_PER_S


def test_an_upgraded_database_leaps_once(database_url: str) -> None:
    """It may have been restored from a backup of the older release: nobody can tell."""
    with Database(database_url) as database:
        migrate(database, [one for one in shipped() if one.number < 80])
        run(
            database,
            "INSERT INTO meter (meter_id, serial, timezone, transport, commissioned_at)"
            " VALUES (gen_random_uuid(), 'S', 'UTC', 'wrapper', now())",
        )
        run(database, "INSERT INTO kek VALUES ('k')")
        run(
            database,
            "INSERT INTO association (meter_id, client_sap, server_sap, mechanism, suite, policy,"
            " ek_wrapped, kek_id, key_fingerprint)"
            " SELECT meter_id, 1, 1, 0, 0, 0, 'x', 'k', 'f' FROM meter",
        )
        run(database, "INSERT INTO own_counter (key_fingerprint, reserved_to) VALUES ('f', 640)")
        run(
            database,
            "INSERT INTO batch (batch_key, source_kind, received_at, stored_at,"
            " stored, duplicates, revised, quarantined)"
            " VALUES (gen_random_uuid(), 'push', now(), now() - interval '1 day', 0, 0, 0, 0)",
        )
        migrate(database)
        place = epochs.look(database)
        assert place.moved
        assert place.known == "unknown"
        with database.connection() as connection:
            row = connection.execute("SELECT meter_id FROM meter").fetchone()
        assert row is not None
        counters = CounterStore(database)
        first = counters.reserve(row[0], 1, size=8).first
        assert first > 640 + LEAP + 86_400 * LEAP_PER_S
        assert counters.reserve(row[0], 1, size=8).first == first + 8


def test_a_new_database_leaps_over_nothing(database_url: str) -> None:
    with Database(database_url) as database:
        migrate(database)
        assert not epochs.look(database).moved
        epochs.settle(database)
        assert leapt(database) == [("first", 0)]
