"""Roll-ups as queries give them: days of 92, 96 and 100 quarters, in whichever zone."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest

from hes.domain.readings import SeriesKey
from hes.pipeline import DirectBus
from hes.pipeline.rollup import Roller
from hes.storage.database import Database
from hes.storage.queries import rolled, selection
from hes.storage.queries.rolled import Bucket, Interval, UnalignedZoneError
from tests.batches import QUARTER_S, add_meters, batch, channel, meter_id, open_bus, series

METER = meter_id(0)
COUNT = series(channel(METER))
QUARTER = timedelta(seconds=QUARTER_S)
BERLIN = ZoneInfo("Europe/Berlin")


@pytest.fixture
def bus(database: Database) -> Iterator[DirectBus]:
    """Meter 0 is in Berlin."""
    add_meters(database, 1, commissioned_at=datetime(2026, 1, 1, tzinfo=UTC))
    with open_bus(database) as opened:
        yield opened


def fill(
    database: Database, bus: DirectBus, begin: datetime, end: datetime, key: SeriesKey = COUNT
) -> None:
    """A register that rises by 1 (raw) a quarter, from `begin` to `end`, both included."""
    count = (end.astimezone(UTC) - begin.astimezone(UTC)) // QUARTER
    start = begin.astimezone(UTC)
    bus.publish(batch([(key, start + number * QUARTER, number) for number in range(count + 1)]))
    roll(database)


def roll(database: Database) -> None:
    roller = Roller(database)
    while roller.run_once().places:
        pass


def ask(
    database: Database, interval: Interval, zone: str | None = None, **bounds: object
) -> list[Bucket]:
    asked = {"from_": None, "to": None, "limit": 1000} | bounds
    with database.connection() as connection:
        (found,) = selection.of_meters(connection, [METER])
        return list(rolled.buckets(connection, found, interval, zone=zone, **asked))


@pytest.mark.parametrize(("month", "day", "quarters"), [(3, 29, 92), (3, 28, 96), (10, 25, 100)])
@pytest.mark.parametrize("zone", [None, "Europe/Berlin", "Europe/Vienna"])
def test_local_days_have_as_many_quarters_as_the_clock_says(
    database, bus, month: int, day: int, quarters: int, zone: str | None
) -> None:
    begin = datetime(2026, month, day, tzinfo=BERLIN)
    end = datetime(2026, month, day + 1, tzinfo=BERLIN)
    fill(database, bus, begin, end)
    (one,) = ask(database, Interval.DAY, zone, from_=begin, to=end)
    assert (one.start, one.end) == (begin, end)
    # (start, end]: the value at midnight belongs to the day before.
    assert (one.samples, one.expected) == (quarters, quarters)
    assert one.sum == Decimal(quarters) / 10
    assert (one.first, one.last) == (Decimal("0.1"), Decimal(quarters) / 10)
    assert (one.min, one.max, one.falls, one.unit) == (one.first, one.last, 0, 30)


def test_days_of_another_zone_are_put_together_from_hours(database, bus) -> None:
    first = datetime(2026, 6, 1, tzinfo=ZoneInfo("Europe/Lisbon"))  # an hour behind Berlin
    fill(database, bus, first, first + timedelta(days=2, hours=1))
    days = ask(database, Interval.DAY, "Europe/Lisbon", from_=first)
    starts = [first + timedelta(days=number) for number in range(3)]
    assert [one.start for one in days] == starts
    assert [(one.sum, one.samples) for one in days[:2]] == [(Decimal("9.6"), 96)] * 2
    assert (days[2].samples, days[2].expected) == (4, 96)
    assert ask(database, Interval.DAY, "Europe/Lisbon", from_=first, to=starts[2]) == days[:2]
    assert ask(database, Interval.DAY, "Europe/Lisbon", after=starts[0])[0] == days[1]
    assert ask(database, Interval.MONTH, "Europe/Lisbon")[-1].samples == 2 * 96 + 4


def test_a_zone_whose_days_begin_within_hours_is_refused(database, bus) -> None:
    begin = datetime(2026, 6, 1, tzinfo=UTC)
    fill(database, bus, begin, begin + timedelta(days=1))
    with pytest.raises(UnalignedZoneError, match="Asia/Kolkata"):
        ask(database, Interval.DAY, "Asia/Kolkata")


@pytest.mark.parametrize("limit", [1, 7, 24])
def test_hours_page_by_page(database, bus, limit: int) -> None:
    begin = datetime(2026, 10, 25, tzinfo=BERLIN)
    fill(database, bus, begin, datetime(2026, 10, 26, tzinfo=BERLIN))
    seen: list[Bucket] = []
    after = None
    while page := ask(database, Interval.HOUR, from_=begin, after=after, limit=limit):
        assert len(page) <= limit
        seen += page
        after = page[-1].start
    start = begin.astimezone(UTC)
    assert [one.start for one in seen] == [start + timedelta(hours=n) for n in range(25)]
    assert {(one.sum, one.samples, one.expected) for one in seen} == {(Decimal("0.4"), 4, 4)}


def test_a_day_in_which_the_scaler_changed_is_one(database, bus) -> None:
    begin = datetime(2026, 6, 1, tzinfo=BERLIN).astimezone(UTC)
    noon = begin + timedelta(hours=12)
    fill(database, bus, begin, noon)
    coarse = series(channel(METER), scaler=0)
    later = [(coarse, noon + number * QUARTER, 5 + number) for number in range(1, 49)]
    bus.publish(batch(later))
    roll(database)
    (one,) = ask(database, Interval.DAY, from_=begin)
    assert (one.samples, one.expected) == (96, 96)
    assert (one.first, one.last, one.max) == (Decimal("0.1"), Decimal(53), Decimal(53))
    assert one.sum == Decimal(53)
    assert (one.end - one.start) == timedelta(days=1)


def test_nothing_where_nothing_is(database, bus) -> None:
    begin = datetime(2026, 6, 1, tzinfo=UTC)
    fill(database, bus, begin, begin + timedelta(hours=1))
    assert ask(database, Interval.DAY, from_=datetime(2026, 7, 1, tzinfo=UTC)) == []


@pytest.mark.parametrize("interval", Interval)
@pytest.mark.parametrize("zone", [None, "America/New_York", "Asia/Tokyo"])
def test_from_the_first_instant_that_there_is_to_the_last(database, bus, interval, zone) -> None:
    fill(database, bus, datetime(2026, 6, 1, tzinfo=UTC), datetime(2026, 6, 2, tzinfo=UTC))
    always = {"from_": datetime.min.replace(tzinfo=UTC), "to": datetime.max.replace(tzinfo=UTC)}
    assert ask(database, interval, zone, **always) == ask(database, interval, zone) != []
