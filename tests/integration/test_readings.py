"""Reading back what the writer stored: current values, ranges, pages, exactness; the quarantine."""

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from psycopg import sql

from hes.domain.errors import StorageUnavailableError
from hes.domain.quality import Quality
from hes.domain.readings import SourceKind, ValueStore, scaled
from hes.pipeline import DirectBus
from hes.readings import Quarantine, QuarantineFilter, ReadingPage, ReadingQueries
from hes.storage.channels import READING_TABLES
from hes.storage.database import Database
from hes.storage.queries.current import ROWS
from tests.batches import (
    DAY,
    EVIDENCE,
    LOAD_PROFILE,
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

METER = meter_id(0)
COUNT = series(channel(METER))
SPOT = series(channel(METER, source=None))


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
def queries(database: Database) -> ReadingQueries:
    return ReadingQueries(database)


def values(page: ReadingPage) -> list[object]:
    return [item.reading.value for item in page.items]


def only_channel(queries: ReadingQueries) -> int:
    (row,) = queries.channels(METER)
    return row.channel_id


def whole(queries: ReadingQueries, limit: int = 1000) -> ReadingPage:
    return queries.page(only_channel(queries), None, None, None, limit)


def test_channels_of_a_meter(bus, queries) -> None:
    bus.publish(profile([METER, meter_id(1)]))
    bus.publish(batch([(series(channel(METER, store=ValueStore.TEXT), 0, 255), DAY, "off")]))
    *counts, text = queries.channels(METER)
    assert [row.key.obis for row in counts] == list(OBJECTS)
    assert {(row.key.source, row.key.capture_period_s) for row in counts} == {(LOAD_PROFILE, 900)}
    assert {(row.scaler, row.unit) for row in counts} == {(-1, "Wh")}
    assert {(row.first_captured_at, row.last_captured_at) for row in counts} == {
        (DAY, later(DAY, 95))
    }
    assert (text.key.store, text.unit, text.last_captured_at) == (ValueStore.TEXT, None, DAY)
    assert queries.channels(meter_id(2)) == []


def test_a_range_is_half_open_and_values_are_exact(bus, queries) -> None:
    bus.publish(batch([(COUNT, later(DAY, number), 10 + number) for number in range(5)]))
    page = queries.page(only_channel(queries), later(DAY, 1), later(DAY, 4), None, 100)
    assert values(page) == [Decimal("1.1"), Decimal("1.2"), Decimal("1.3")]
    assert [item.reading.captured_at for item in page.items] == [later(DAY, n) for n in (1, 2, 3)]
    assert {item.unit for item in page.items} == {"Wh"}
    assert not page.has_more


@pytest.mark.parametrize("limit", [1, 3, 7, 100])
def test_pages_give_everything_once(bus, queries, limit: int) -> None:
    kilo = series(channel(METER), scaler=2)
    rows = [(COUNT, later(DAY, number), number) for number in range(9)]
    rows += [(kilo, later(DAY, number), number) for number in range(9, 14)]
    for row in rows:
        bus.publish(batch([row]))
    bus.publish(batch([(key, at, value + 100) for key, at, value in rows[3:6]]))
    seen: list[object] = []
    after, more = None, True
    while more:
        page = queries.page(only_channel(queries), DAY, later(DAY, 13), after, limit)
        assert len(page.items) <= limit
        seen += values(page)
        after, more = page.items[-1].reading.captured_at, page.has_more
    assert seen == [
        *(Decimal(raw) / 10 for raw in (0, 1, 2, 103, 104, 105, 6, 7, 8)),
        *(Decimal(raw) * 100 for raw in range(9, 13)),
    ]


def test_a_revision_of_the_same_source_is_current_and_said(bus, queries) -> None:
    bus.publish(batch([(COUNT, DAY, 10), (COUNT, later(DAY, 1), 20)]))
    bus.publish(batch([(COUNT, DAY, 11)]))
    bus.publish(batch([(COUNT, DAY, 12)], quality=Quality.CLOCK_DOUBTFUL))
    first, second = (item.reading for item in whole(queries).items)
    assert (first.value, first.quality, first.revised) == (Decimal("1.2"), 8, True)
    assert (second.value, second.revised) == (Decimal("2.0"), False)


def test_the_better_source_is_current_whichever_came_first(bus, queries) -> None:
    sent = [
        (SourceKind.PUSH, 0, 1),
        (SourceKind.SPOT, 0, 2),
        (SourceKind.PROFILE, 0, 3),
        (SourceKind.PROFILE, 1, 3),
        (SourceKind.SPOT, 1, 2),
        (SourceKind.PUSH, 1, 1),
        (SourceKind.SPOT, 2, 2),
        (SourceKind.PUSH, 2, 1),
        (SourceKind.SPOT, 2, 4),
    ]
    for kind, position, value in sent:
        bus.publish(batch([(SPOT, later(DAY, position), value)], kind=kind))
    assert values(whole(queries)) == [Decimal("0.3"), Decimal("0.3"), Decimal("0.4")]


def test_one_instant_in_two_series_is_given_once(bus, queries) -> None:
    other = series(channel(METER, source=None), scaler=3)
    for key, value in ((SPOT, 10_000), (other, 2)):
        bus.publish(batch([(key, DAY, value)], kind=SourceKind.PUSH))
    (item,) = whole(queries).items
    assert (item.reading.value, item.reading.revised) == (Decimal(2000), True)


def test_a_missing_interval_has_no_value(bus, queries) -> None:
    bus.publish(batch([(COUNT, DAY, None)], quality=Quality.MISSING))
    (item,) = whole(queries).items
    assert (item.reading.value, item.reading.quality) == (None, Quality.MISSING)


def test_floats_and_texts_come_as_they_are(bus, queries) -> None:
    rows = [
        (series(channel(METER, store=ValueStore.FLOAT), 0, 33), DAY, 0.1),
        (series(channel(METER, store=ValueStore.TEXT), 0, 255), DAY, "Größe"),
    ]
    bus.publish(batch(rows))
    bus.publish(batch([(key, at, type(value)("2")) for key, at, value in rows]))
    found = {
        row.key.store: queries.page(row.channel_id, None, None, None, 9).items[0]
        for row in queries.channels(METER)
    }
    assert found[ValueStore.FLOAT].reading.value == 2.0
    assert found[ValueStore.FLOAT].unit == "A"
    assert found[ValueStore.TEXT].reading.value == "2"


def test_a_channel_that_is_not_there(queries) -> None:
    assert queries.page(4711, None, None, None, 10) == ReadingPage((), has_more=False)


def test_a_query_that_takes_too_long_is_given_up(
    database, bus, queries, monkeypatch: pytest.MonkeyPatch
) -> None:
    bus.publish(batch([(COUNT, DAY, 1)]))
    channel_id = only_channel(queries)
    monkeypatch.setattr("hes.readings.queries._STATEMENT_TIMEOUT_S", 0.1)
    with database.connection() as blocker:
        blocker.execute("LOCK TABLE reading IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(StorageUnavailableError, match="statement timeout"):
            queries.page(channel_id, None, None, None, 10)


def test_a_page_uses_the_index_and_only_the_chunks_of_its_range(database, bus) -> None:
    for week in range(8):
        bus.publish(profile([METER], start=DAY - timedelta(weeks=week)))
    with database.connection() as connection:
        series_id = connection.execute("SELECT min(series_id) FROM series").fetchone()
        plan = connection.execute(
            b"EXPLAIN "
            + ROWS.format(
                table=READING_TABLES[ValueStore.INTEGER], nothing=sql.SQL("0::int8")
            ).as_bytes(None),
            {
                "series_ids": [series_id[0]],
                "from": DAY,
                "to": DAY + timedelta(days=1),
                "after": "-infinity",
                "limit": 100,
            },
        ).fetchall()
    text = "\n".join(line for (line,) in plan)
    assert "Index Scan" in text
    assert "Seq Scan" not in text
    assert text.count("Index Scan") == 1


RAW = [0, 1, -1, 10, 12300, 2**63 - 1, -(2**63), 10**18, 999_999_999_999_999_999]
SCALERS = [-128, -30, -7, -1, 0, 1, 9, 30, 127]


def test_sql_and_python_agree_on_the_physical_value(database) -> None:
    numbers = random.Random(2)
    pairs = [(raw, scaler) for raw in RAW for scaler in SCALERS]
    pairs += [
        (numbers.randrange(-(2**63), 2**63), numbers.randrange(-128, 128)) for _ in range(500)
    ]
    with database.connection() as connection:
        rows = connection.execute(
            "SELECT physical(raw, scaler), scale(physical(raw, scaler))"
            " FROM unnest(%s::int8[], %s::int2[]) WITH ORDINALITY AS p (raw, scaler, n) ORDER BY n",
            ([raw for raw, _ in pairs], [scaler for _, scaler in pairs]),
        ).fetchall()
        nothing = connection.execute("SELECT physical(NULL::int8, 1::int2)").fetchone()
    for (raw, scaler), (physical, scale) in zip(pairs, rows, strict=True):
        assert physical == scaled(raw, scaler), (raw, scaler)
        assert Decimal(physical) * Decimal(10) ** -scaler == raw or abs(scaler) > 9
        assert scale <= max(0, -scaler)
    assert nothing == (None,)


def test_the_quarantine_newest_first(database, bus) -> None:
    off = datetime(2099, 1, 1, tzinfo=UTC)
    for number in range(3):
        bus.publish(batch([(series(channel(meter_id(number))), off, number)]))
    store = Quarantine(database)
    first = store.page(None, 2)
    assert [row.serial for row in first.items] == ["S000002", "S000001"]
    assert first.has_more
    second = store.page(first.items[-1].quarantine_id, 2)
    (last,) = second.items
    assert not second.has_more
    assert (last.serial, last.raw, last.raw_octets) == ("S000000", EVIDENCE, len(EVIDENCE))
    assert (last.reason, last.meter_id) == ("after_window", METER)
    assert EVIDENCE.hex() not in repr(last)
    page = store.page(None, 9, QuarantineFilter(meter_id(1)))
    assert [row.serial for row in page.items] == ["S000001"]
