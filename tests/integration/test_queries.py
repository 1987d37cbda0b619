"""Queries on a real server: ranges of meters and groups, latest values, changes in commit order."""

from collections.abc import Iterator
from datetime import datetime, timedelta

import numpy as np
import psycopg
import pytest

from hes.domain.quality import Quality
from hes.domain.readings import SeriesKey, SourceKind, ValueStore, microseconds
from hes.pipeline import DirectBus
from hes.storage import epochs
from hes.storage.database import Connection, Database
from hes.storage.queries import changes, latest, ranges, selection
from hes.storage.queries.changes import START, Position, PositionLostError
from hes.storage.queries.selection import FoundChannel
from tests.batches import (
    DAY,
    NOW,
    OBJECTS,
    add_meters,
    batch,
    channel,
    later,
    meter_id,
    open_bus,
    open_database,
    profile,
    series,
)

METERS = [meter_id(number) for number in range(3)]
COUNT = series(channel(METERS[0]))


@pytest.fixture(params=["timescaledb", "plain"])
def database(request: pytest.FixtureRequest, database_url: str) -> Iterator[Database]:
    """A database at the current schema with three meters, on either kind of server."""
    with open_database(database_url, hypertables=request.param == "timescaledb") as opened:
        add_meters(opened, 3)
        yield opened


@pytest.fixture
def bus(database: Database) -> Iterator[DirectBus]:
    with open_bus(database) as opened:
        yield opened


@pytest.fixture
def connection(database: Database) -> Iterator[Connection]:
    """A connection in read committed, as the capabilities use it."""
    with database.connection() as opened:
        yield opened


def us(*instants: datetime) -> list[int]:
    return [microseconds(instant) for instant in instants]


# ---- ranges


def test_a_range_of_a_meter_by_channel_and_instant(bus, connection) -> None:
    bus.publish(profile(METERS[:2], start=DAY, intervals=96))
    found = selection.of_meters(connection, [METERS[1]])
    columns = ranges.values(connection, found, later(DAY, 4), later(DAY, 7))
    assert columns.channel_id.tolist() == [one.channel_id for one in found for _ in range(3)]
    assert columns.captured_at.tolist() == us(*(later(DAY, n) for n in (4, 5, 6))) * len(OBJECTS)
    assert columns.value.tolist() == [
        1_000_000 + 100_000 * index + interval for index in range(4) for interval in (4, 5, 6)
    ]
    assert (set(columns.scaler.tolist()), set(columns.unit.tolist())) == ({-1}, {30})
    assert not columns.revised.any()
    assert not columns.null.any()


def test_many_contested_instants_are_settled_each_for_itself(bus, connection) -> None:
    kilo = series(channel(METERS[0]), scaler=2)
    rows = [(COUNT, later(DAY, n), n) for n in range(40)]
    bus.publish(batch(rows))
    bus.publish(batch([(kilo, later(DAY, n), n) for n in range(30, 50)], kind=SourceKind.SPOT))
    bus.publish(batch([(COUNT, later(DAY, n), None) for n in (3, 7)], quality=Quality.MISSING))
    bus.publish(batch([(COUNT, later(DAY, 7), 77)]))
    found = selection.of_meters(connection, METERS)
    columns = ranges.values(connection, found, DAY, later(DAY, 100))
    assert columns.captured_at.tolist() == us(*(later(DAY, n) for n in range(50)))
    expected = [0 if n == 3 else 77 if n == 7 else n for n in range(50)]
    assert columns.value.tolist() == expected
    assert columns.scaler.tolist() == [-1] * 40 + [2] * 10
    assert np.flatnonzero(columns.null).tolist() == [3]
    assert np.flatnonzero(columns.revised).tolist() == [3, 7, *range(30, 40)]
    assert columns.quality.tolist() == [int(Quality.MISSING) if n == 3 else 0 for n in range(50)]


@pytest.mark.parametrize(
    ("store", "values"), [(ValueStore.FLOAT, [0.1, 1e300]), (ValueStore.TEXT, ["Größe", ""])]
)
def test_floats_and_texts_are_columns_too(bus, connection, store, values) -> None:
    key = series(channel(METERS[0], store=store), 0, 255)
    bus.publish(batch([(key, later(DAY, n), value) for n, value in enumerate([*values, None])]))
    columns = ranges.values(connection, selection.of_meters(connection, METERS), DAY, later(DAY, 9))
    assert columns.value.tolist()[:2] == values
    assert columns.null.tolist() == [False, False, True]


def test_an_empty_range_has_no_rows(bus, connection) -> None:
    bus.publish(batch([(COUNT, DAY, 1)]))
    found = selection.of_meters(connection, METERS)
    assert len(ranges.values(connection, found, later(DAY, 1), later(DAY, 2))) == 0


def test_channels_of_different_stores_are_not_one_range(bus, connection) -> None:
    bus.publish(
        batch([(COUNT, DAY, 1), (series(channel(METERS[0], store=ValueStore.TEXT)), DAY, "a")])
    )
    with pytest.raises(ValueError, match="one store"):
        ranges.values(connection, selection.of_meters(connection, METERS), DAY, later(DAY, 2))


def test_a_group_page_by_page(bus, database, connection) -> None:
    bus.publish(profile(METERS, intervals=1))
    (group,) = connection.execute(
        "INSERT INTO meter_group (tenant_id, name) VALUES (1, 'street') RETURNING group_id"
    ).fetchone() or (0,)
    connection.execute(
        "INSERT INTO meter_group_member SELECT %s, unnest(%s::uuid[])", (group, METERS[1:])
    )
    seen: list[FoundChannel] = []
    after = 0
    while found := selection.of_group(connection, group, after=after, limit=3):
        assert len(found) <= 3
        seen += found
        after = found[-1].channel_id
    assert seen == selection.of_meters(connection, METERS[1:])
    assert len(seen) == 8
    assert not selection.of_group(connection, group + 1)


# ---- latest


def test_the_latest_of_each_channel_of_a_page(bus, connection) -> None:
    bus.publish(profile(METERS[:2], intervals=8))
    bus.publish(batch([(COUNT, later(DAY, 7), 99)]))
    found = latest.of_meters(connection, METERS, now=NOW)
    assert [one.key.meter_id for one in found] == [METERS[0]] * 4 + [METERS[1]] * 4
    assert {one.captured_at for one in found} == {later(DAY, 7)}
    assert [(one.value, one.revised) for one in found[:2]] == [(99, True), (100_007, False)]
    ids = [found[5].channel_id, found[0].channel_id, 4711]
    assert latest.of_channels(connection, ids, now=NOW) == [found[0], found[5]]


def test_the_latest_of_a_channel_that_fell_silent_long_ago(bus, connection) -> None:
    long_ago = DAY - timedelta(days=200)
    silent = series(channel(METERS[1]))
    bus.publish(batch([(COUNT, DAY, 1), (silent, long_ago, 2), (silent, later(long_ago, 1), None)]))
    first, second = latest.of_meters(connection, METERS, now=NOW)
    assert (first.value, first.captured_at) == (1, DAY)
    assert (second.value, second.captured_at) == (None, later(long_ago, 1))


def test_the_latest_instant_counts_and_not_the_latest_series(bus, connection) -> None:
    other = series(channel(METERS[0], source=None), scaler=3)
    spot = series(channel(METERS[0], source=None))
    bus.publish(batch([(spot, later(DAY, 1), 5), (other, DAY, 4)], kind=SourceKind.PUSH))
    (one,) = latest.of_meters(connection, METERS, now=NOW)
    assert (one.value, one.scaler, one.revised) == (5, -1, False)
    bus.publish(batch([(other, later(DAY, 1), 6)], kind=SourceKind.SPOT))
    (one,) = latest.of_meters(connection, METERS, now=NOW)
    assert (one.value, one.scaler, one.revised) == (6, 3, True)


def test_meters_without_channels_have_no_latest(connection) -> None:
    assert latest.of_meters(connection, METERS, now=NOW) == []


# ---- changes


def publish(bus: DirectBus, key: SeriesKey, at: datetime, value: int) -> int:
    return bus.publish(batch([(key, at, value)])).batch_id


def follow(
    connection: Connection, position: Position, limit: int = 100
) -> tuple[list[int], Position]:
    page = changes.committed(connection, position, limit=limit)
    assert page.has_more == (len(page.batches) == limit)
    return [one.batch_id for one in page.batches], page.position


def test_batches_come_once_in_order_and_page_by_page(bus, connection) -> None:
    published = [publish(bus, COUNT, later(DAY, n), n) for n in range(5)]
    seen, position = follow(connection, START, limit=2)
    for _ in range(2):
        more, position = follow(connection, position, limit=2)
        seen += more
    assert seen == published
    assert follow(connection, position) == ([], position)
    assert follow(connection, changes.end(connection))[0] == []
    published.append(publish(bus, COUNT, DAY, 50))
    assert follow(connection, position)[0] == published[-1:]


def test_what_commits_late_is_not_missed(database, bus, connection) -> None:
    """A transaction that began before others and commits after them."""
    early = publish(bus, COUNT, DAY, 1)
    with database.connection() as slow:
        slow.execute(
            "INSERT INTO batch (batch_key, source_kind, received_at, stored, duplicates, revised,"
            " quarantined) VALUES (gen_random_uuid(), 'push', now(), 0, 0, 0, 0)"
        )
        meanwhile = publish(bus, COUNT, later(DAY, 1), 2)
        seen, position = follow(connection, START)
        assert seen == [early], "nothing of what may still be preceded"
        assert follow(connection, changes.end(connection))[0] == []
    more, position = follow(connection, position)
    assert sorted([*seen, *more]) == sorted({early, meanwhile, *more})
    assert len(more) == 2
    assert more[-1] == meanwhile
    assert follow(connection, position)[0] == []


def test_a_position_of_another_database_is_refused(bus, connection) -> None:
    publish(bus, COUNT, DAY, 1)
    with pytest.raises(PositionLostError):
        changes.committed(connection, Position(2**40, 1), limit=10)


def test_a_position_from_before_a_restore_is_refused_when_its_number_has_come_again(
    bus, database
) -> None:
    bus.publish(profile(METERS))
    with database.connection() as connection:
        position = changes.end(connection)
        assert follow(connection, position)[0] == []
    epochs.begin(database)
    bus.publish(profile(METERS, start=later(DAY, 96)))
    with database.connection() as connection:
        with pytest.raises(PositionLostError):
            follow(connection, position)
        again, position = follow(connection, START)
        assert len(again) == 2
        assert follow(connection, position) == ([], position)


def test_what_batches_have_spoken_of(bus, connection) -> None:
    bus.publish(profile(METERS, intervals=4))
    text = series(channel(METERS[1], store=ValueStore.TEXT), 0, 255)
    bus.publish(batch([(COUNT, later(DAY, 1), 7), (COUNT, later(DAY, 9), 8), (text, DAY, "on")]))
    bus.publish(batch([(COUNT, later(DAY, 1), 7)]))
    first, second, third = changes.committed(connection, START, limit=9).batches
    assert (set(first.meter_ids or ()), third.meter_ids) == (set(METERS), (METERS[0],))
    assert len(changes.rows(connection, [first])) == 3 * 4 * 4
    rows = changes.rows(connection, [second, third])
    ids = {one.key: one.channel_id for one in selection.of_meters(connection, METERS)}
    found = zip(
        rows.batch_id.tolist(), rows.channel_id.tolist(), rows.captured_at.tolist(), strict=True
    )
    assert sorted(found) == sorted(
        (second.batch_id, ids[key.channel], microseconds(at))
        for key, at in ((COUNT, later(DAY, 1)), (COUNT, later(DAY, 9)), (text, DAY))
    )
    assert len(changes.rows(connection, [third])) == 0


def test_a_batch_whose_rows_were_refused_has_spoken_of_nothing(bus, connection) -> None:
    bus.publish(batch([(COUNT, NOW + timedelta(days=9), 1)]))
    (one,) = changes.committed(connection, START, limit=9).batches
    assert len(changes.rows(connection, [one])) == 0


def test_late_commits_from_many_writers_are_seen_exactly_once(database, bus, connection) -> None:
    """Transactions that overlap in every way, read between any two steps."""
    url = connection.info
    writers = [
        psycopg.connect(
            host=url.host, port=url.port, user=url.user, password=url.password, dbname=url.dbname
        )
        for _ in range(4)
    ]
    insert = (
        "INSERT INTO batch (batch_key, source_kind, received_at, stored, duplicates, revised,"
        " quarantined) VALUES (gen_random_uuid(), 'push', now(), 0, 0, 0, 0) RETURNING batch_id"
    )
    random = np.random.default_rng(7)
    position, seen, made = START, [], []
    for _ in range(120):
        writer = writers[int(random.integers(4))]
        if random.random() < 0.6:
            made.append(writer.execute(insert).fetchone()[0])
        else:
            writer.commit()
        more, position = follow(connection, position, limit=int(random.integers(1, 9)))
        seen += more
    for writer in writers:
        writer.commit()
        writer.close()
    seen += follow(connection, position, limit=1000)[0]
    assert sorted(seen) == sorted(made)
