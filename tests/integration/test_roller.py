"""The roller: several at once beside writers, marks that are never lost, bounded transactions."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from zoneinfo import ZoneInfoNotFoundError

import attrs
import numpy as np
import psycopg
import pytest

from hes.domain.errors import StorageUnavailableError
from hes.domain.readings import StampedAt, ValueKind, ValueStore, microseconds
from hes.pipeline import rollup
from hes.pipeline.rollup import Roller
from hes.storage import buckets, rollups
from hes.storage.database import Database
from hes.storage.migrations import shipped
from tests.integration.rollup_store import REGISTER, WIDTHS, Store, quarters, value
from tests.rollup_model import Model, Said


@pytest.fixture
def store(database: Database) -> Store:
    return Store(database)


def waiting(store: Store) -> int:
    with store.database.connection() as connection:
        return rollups.backlog(connection).places


def test_two_rollers_beside_writers_come_to_what_one_would(store: Store) -> None:
    channels = [store.channel(REGISTER) for _ in range(4)]
    told: dict[int, list[Said]] = {channel_id: [] for channel_id in channels}
    ended = threading.Event()

    def write(channel_id: int) -> None:
        numbers = np.random.default_rng(channel_id)
        rows = quarters("2026-03-28T12:00+01:00", 120)
        for number, part in enumerate(np.array_split(numbers.permutation(120), 15)):
            said = [attrs.evolve(rows[i], value=int(numbers.integers(1000))) for i in part]
            # Each series on a day that others mark too, and every third time a correction.
            said += told[channel_id][:2] if number % 3 == 2 else []
            said = [attrs.evolve(one, value=(one.value or 0) + 1) for one in said]
            store.say(channel_id, said)
            told[channel_id] += said

    def run() -> None:
        roller = Roller(store.database)
        while not ended.is_set():
            roller.run_once()

    with ThreadPoolExecutor(6) as threads:
        rollers = [threads.submit(run) for _ in range(2)]
        for writer in [threads.submit(write, channel_id) for channel_id in channels]:
            writer.result(60)
        ended.set()
        for roller in rollers:
            roller.result(60)
    store.roll()
    for channel_id in channels:
        for width in WIDTHS:
            assert store.held(channel_id, width) == REGISTER.buckets(told[channel_id], width)


def test_a_mark_that_is_not_committed_yet_is_taken_once_it_is(store: Store) -> None:
    channel_id = store.channel(REGISTER)
    rows = quarters("2026-06-01T00:15+02:00", 4)
    store.say(channel_id, rows[:3])
    with store.database.connection() as slow:
        series_id = np.array([store.series(channel_id)], np.int32)
        slow.execute(
            "INSERT INTO reading (series_id, captured_at, batch_id, value, quality)"
            " VALUES (%s, %s, 1, %s, 0)",
            (int(series_id[0]), rows[3].at, rows[3].value),
        )
        rollups.mark_dirty(slow, series_id, np.array([microseconds(rows[3].at)], np.int64))
        store.roll()
        assert [one.samples for one in store.held(channel_id, "day").values()] == [3]
    store.roll()
    assert store.held(channel_id, "day") == REGISTER.buckets(rows, "day")


def test_a_channel_belongs_to_one_roller_at_a_time(store: Store) -> None:
    channel_id = store.channel(REGISTER)
    rows = quarters("2026-06-01T12:15+02:00", 8)
    store.say(channel_id, rows[:4])
    store.say(channel_id, rows[4:])
    with ThreadPoolExecutor(1) as threads:
        with store.database.connection() as first:
            rollups.take(first, 1)
            buckets.channels(first, [store.series(channel_id)])
            second = threads.submit(store.roller.run_once)
            with pytest.raises(TimeoutError):
                second.result(0.5)
            rollups.mark_dirty(
                first,
                np.array([store.series(channel_id)], np.int32),
                np.array([microseconds(rows[0].at)], np.int64),
            )
        assert second.result(30).places == 1
    store.roll()
    assert store.held(channel_id, "day") == REGISTER.buckets(rows, "day")


def test_what_ends_a_roller_leaves_its_marks(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    channel_id = store.channel(REGISTER)
    rows = quarters("2026-06-01T00:15+02:00", 8)
    store.say(channel_id, rows)
    before = waiting(store)
    real = buckets.roll

    def end_server_session(connection, works):
        real(connection, works)
        with psycopg.connect(connection.info.dsn, password=connection.info.password) as other:
            other.execute("SELECT pg_terminate_backend(%s)", (connection.info.backend_pid,))
        connection.execute("SELECT 1")

    with monkeypatch.context() as patched:
        patched.setattr(buckets, "roll", end_server_session)
        with pytest.raises(StorageUnavailableError):
            store.roller.run_once()
    assert store.held(channel_id, "hour") == {}
    assert waiting(store) == before > 0
    store.roll()
    assert store.held(channel_id, "hour") == REGISTER.buckets(rows, "hour")


@pytest.mark.parametrize("trouble", ["SELECT 1/0", "SET statement_timeout = 1; SELECT pg_sleep(1)"])
def test_what_cannot_be_rolled_up_holds_up_nobody_else(
    store: Store, monkeypatch: pytest.MonkeyPatch, trouble: str
) -> None:
    bad, good = store.channel(REGISTER), store.channel(REGISTER)
    rows = quarters("2026-06-01T00:15+02:00", 8)
    store.say(bad, rows)
    before = waiting(store)
    store.say(good, rows)
    real = buckets.roll

    def refuse(connection, works):
        if any(work.channel.channel_id == bad for work in works):
            connection.execute(trouble.encode(), prepare=False)
        return real(connection, works)

    with monkeypatch.context() as patched:
        patched.setattr(buckets, "roll", refuse)
        assert store.roller.run_once().places == 0
        store.roller.run_once()
        assert store.roller.oldest is not None
    assert store.held(good, "hour") == REGISTER.buckets(rows, "hour")
    assert waiting(store) == before > 0
    store.roll()
    assert store.roller.oldest is None
    assert store.held(bad, "hour") == REGISTER.buckets(rows, "hour")


def test_what_was_marked_with_it_is_rolled_up_nevertheless(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    channels = [store.channel(REGISTER) for _ in range(5)]
    rows = quarters("2026-06-01T12:15+02:00", 8)
    for channel_id in channels:
        store.say(channel_id, rows)
    bad = channels.pop(2)
    with store.database.connection() as connection:
        taken = rollups.take(connection, 9)
        rollups.put_back(connection, taken.places, taken.marked_at)
    real = buckets.roll

    def fail(connection, works):
        if any(work.channel.channel_id == bad for work in works):
            raise ZoneInfoNotFoundError("No time zone found with key PST")
        return real(connection, works)

    monkeypatch.setattr(buckets, "roll", fail)
    for _ in range(8):
        store.roller.run_once()
    for channel_id in channels:
        assert store.held(channel_id, "day") == REGISTER.buckets(rows, "day")
    assert waiting(store) == 1


def test_a_year_is_taken_in_by_several_transactions(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    channel_id = store.channel(attrs.evolve(REGISTER, period_s=3600))
    start = datetime.fromisoformat("2026-01-01T00:00+01:00")
    rows = [value(start + timedelta(hours=6 * n), 7 * n) for n in range(4 * 60)]
    store.say(channel_id, rows)
    with store.database.connection() as connection:
        connection.execute("DELETE FROM dirty_bucket")
        series_id = store.series(channel_id)
        hours = [microseconds(rows[i].at) // rollups.HOUR_US for i in (0, -1)]
        rollups.put_back(connection, [rollups.Place(series_id, hours[0] - 1, hours[1])], rows[0].at)
    monkeypatch.setattr(rollup, "_VALUES_PER_RUN", 240)
    runs = 0
    while store.roller.run_once().values:
        runs += 1
        with store.database.connection() as connection:
            left = rollups.backlog(connection)
        assert left.oldest in (None, rows[0].at)
    assert runs >= 6
    model = attrs.evolve(REGISTER, period_s=3600)
    for width in WIDTHS:
        assert store.held(channel_id, width) == model.buckets(rows, width)


def test_what_was_stored_before_there_were_roll_ups_is_taken_in(store: Store) -> None:
    channels = {
        store.channel(REGISTER): quarters("2026-06-01T00:00+02:00", 200),
        store.channel(REGISTER): quarters("2026-06-03T01:00+02:00", 111),
    }
    for channel_id, rows in channels.items():
        store.say(channel_id, rows)
    (marking,) = [one for one in shipped() if one.number == 59]
    with store.database.connection() as connection:
        connection.execute("DELETE FROM dirty_bucket")
        connection.execute(marking.sql, prepare=False)
    store.roll()
    for channel_id, rows in channels.items():
        for width in WIDTHS:
            assert store.held(channel_id, width) == REGISTER.buckets(rows, width)


def test_texts_and_series_that_are_gone_are_passed_over(store: Store) -> None:
    text = store.channel(Model("UTC", ValueKind.STATUS, StampedAt.END, 900), ValueStore.TEXT)
    start = datetime.fromisoformat("2026-06-01T00:15Z")
    with store.database.connection() as connection:
        rollups.mark_dirty(
            connection,
            np.array([store.series(text), 4711], np.int32),
            np.full(2, microseconds(start), np.int64),
        )
    assert store.roller.run_once().places == 2
    assert waiting(store) == 0
    assert store.held(text, "hour") == {}


def test_what_readings_came_to_stays_when_they_are_dropped_by_age(store: Store) -> None:
    channel_id = store.channel(REGISTER)
    rows = quarters("2026-06-01T00:15+02:00", 96)
    store.say(channel_id, rows)
    store.roll()
    before = {width: store.held(channel_id, width) for width in WIDTHS}
    with store.database.connection() as connection:
        connection.execute("DELETE FROM reading")
    late = attrs.evolve(rows[5], at=rows[5].at + timedelta(minutes=1))
    store.say(channel_id, [late])
    store.roll()
    assert {width: store.held(channel_id, width) for width in WIDTHS} == before


@pytest.mark.parametrize("scaler", [0, -1])
def test_that_holds_where_instants_were_told_more_than_once(store: Store, scaler: int) -> None:
    """By a correction, or by another series of the channel; a value that is taken back goes."""
    channel_id = store.channel(REGISTER)
    rows = quarters("2026-06-01T00:15+02:00", 96)
    store.say(channel_id, rows)
    again = attrs.evolve(rows[6], value=(rows[6].value or 0) + 1, series=(scaler, 30))
    store.say(channel_id, [again, attrs.evolve(rows[7], value=None)])
    store.roll()
    before = {width: store.held(channel_id, width) for width in WIDTHS}
    with store.database.connection() as connection:
        connection.execute("DELETE FROM reading")
        connection.execute("DELETE FROM reading_revision")
    late = attrs.evolve(rows[5], at=rows[5].at + timedelta(minutes=1))
    store.say(channel_id, [late, attrs.evolve(late, value=(late.value or 0) + 1)])
    store.roll()
    assert {width: store.held(channel_id, width) for width in WIDTHS} == before


def test_another_zone_makes_other_days(store: Store) -> None:
    channel_id = store.channel(REGISTER)
    rows = quarters("2026-06-01T00:15+02:00", 300)
    rows[90:200] = [attrs.evolve(one, value=None) for one in rows[90:200]]
    store.say(channel_id, rows)
    store.roll()
    with store.database.connection() as connection:
        connection.execute("UPDATE meter SET timezone = 'Asia/Kathmandu'")
        meters = connection.execute("SELECT array_agg(meter_id) FROM meter").fetchone()[0]
        rollups.restart(connection, meters)
    store.roll()
    there = attrs.evolve(REGISTER, zone="Asia/Kathmandu")
    for width in WIDTHS:
        assert store.held(channel_id, width) == there.buckets(rows, width)


def test_the_thread_takes_in_what_comes_and_survives_an_outage(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    channel_id = store.channel(REGISTER)
    rows = quarters("2026-06-01T00:15+02:00", 8)
    real, failures = buckets.roll, iter([StorageUnavailableError("away"), ValueError("a fault")])

    def fail_first(connection, works):
        for failure in failures:
            raise failure
        return real(connection, works)

    monkeypatch.setattr(buckets, "roll", fail_first)
    with Roller(store.database, every_s=0.02):
        store.say(channel_id, rows)
        deadline = time.monotonic() + 20
        while store.held(channel_id, "day") != REGISTER.buckets(rows, "day"):
            assert time.monotonic() < deadline
            time.sleep(0.02)
    assert not [one for one in threading.enumerate() if one.name == "hes-roller"]
