"""A transformer or feeder against the sum of its meters: ratios, exchanges, what is missing."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from fractions import Fraction
from uuid import UUID

import pytest

from hes.domain.readings import SeriesKey
from hes.pipeline import DirectBus
from hes.storage.database import Connection, Database
from hes.storage.queries import balance
from hes_protocol.cosem import Obis
from tests.batches import COMMISSIONED, DAY, add_meters, batch, channel, meter_id, open_bus, series

EXPORT = Obis.parse("1.0.2.8.0.255")
FROM, TO = DAY, DAY + timedelta(hours=6)
FEEDER_METER, STATION, FIRST, SECOND, THIRD = (meter_id(number) for number in range(5))


@pytest.fixture
def grid(database: Database) -> Connection:
    """Feeder 1 with transformer 1 and site 1; a usage point for each and two more at the site."""
    add_meters(database, 6)
    with database.connection() as connection:
        connection.execute("INSERT INTO feeder (tenant_id, name) VALUES (1, 'F')")
        connection.execute(
            "INSERT INTO transformer (tenant_id, name, feeder_id) VALUES (1, 'T', 1), (1, 'U', 1)"
        )
        connection.execute(
            "INSERT INTO site (tenant_id, name, timezone, transformer_id)"
            " VALUES (1, 'A', 'Europe/Berlin', 1), (1, 'B', 'Europe/Berlin', 2)"
        )
        connection.execute(
            "INSERT INTO usage_point (tenant_id, name, site_id, transformer_id, feeder_id)"
            " VALUES (1, 'f', NULL, NULL, 1), (1, 't', NULL, 1, NULL),"
            " (1, 'a', 1, NULL, NULL), (1, 'b', 1, NULL, NULL), (1, 'c', 2, NULL, NULL)"
        )
    return connection


@pytest.fixture
def bus(database: Database, grid: Connection) -> Iterator[DirectBus]:
    with open_bus(database) as opened:
        yield opened


def install(
    database: Database,
    meter: UUID,
    point: int,
    *,
    since: datetime = COMMISSIONED,
    until: datetime | None = None,
    ratio: tuple[int, int, int, int] = (1, 1, 1, 1),
) -> None:
    with database.connection() as connection:
        connection.execute(
            "INSERT INTO installation (meter_id, usage_point_id, since, until, ct_numerator,"
            " ct_denominator, vt_numerator, vt_denominator)"
            " VALUES (%s, %s, %s, %s, %s, %s, %s, %s)",
            (meter, point, since, until, *ratio),
        )


def counts(meter: UUID, obis: Obis | None = None) -> SeriesKey:
    return series(channel(meter) if obis is None else channel(meter, obis))


def of_transformer(database: Database, node: int = 1) -> balance.Balance:
    with database.connection() as connection:
        return balance.of_transformer(connection, node, FROM, TO)


def test_registers_at_both_ends_times_ratios(database, bus) -> None:
    install(database, STATION, 2, ratio=(200, 5, 20_000, 110))
    install(database, FIRST, 3)
    install(database, SECOND, 4, ratio=(50, 3, 1, 1))
    for meter, begin, end in ((STATION, 0, 11), (FIRST, 1_000, 4_005), (SECOND, 7, 10)):
        bus.publish(batch([(counts(meter), FROM, begin), (counts(meter), TO, end)]))
    found = of_transformer(database)
    # Tenths of Wh; 40 * 2000/11 and 50/3 are no decimals.
    assert found.delivered == Fraction(11, 10) * 40 * Fraction(20_000, 110) == 8_000
    assert found.consumed == Fraction(3_005, 10) + Fraction(3, 10) * Fraction(50, 3)
    assert {one.meter_id: one.net for one in found.meters} == {
        FIRST: Fraction(601, 2),
        SECOND: Fraction(5),
    }
    assert found.missing == ()


def test_what_went_back_is_taken_off(database, bus) -> None:
    install(database, FIRST, 3)
    both = counts(FIRST), counts(FIRST, EXPORT)
    bus.publish(batch([(key, at, value) for key in both for at, value in ((FROM, 5), (TO, 25))]))
    bus.publish(batch([(both[1], TO, 305)]))  # a revision: it is current
    found = of_transformer(database)
    assert (found.meters[0].imported, found.meters[0].exported) == (2, 30)
    assert (found.delivered, found.consumed) == (None, -28)


def test_meters_without_a_value_are_named_and_left_out(database, bus) -> None:
    install(database, STATION, 2)
    install(database, FIRST, 3)
    install(database, SECOND, 4)
    bus.publish(batch([(counts(FIRST), FROM, 0), (counts(FIRST), TO, 10)]))
    bus.publish(batch([(counts(SECOND), FROM, 0), (counts(SECOND), TO, None)]))
    found = of_transformer(database)
    assert (found.delivered, found.consumed) == (None, 1)
    assert set(found.missing) == {STATION, SECOND}
    assert len(found.meters) == 2


def test_a_meter_that_was_exchanged_counts_with_the_one_after_it(database, bus) -> None:
    exchanged = DAY + timedelta(hours=2, minutes=7)
    install(database, FIRST, 3, until=exchanged, ratio=(2, 1, 1, 1))
    install(database, SECOND, 3, since=exchanged, ratio=(3, 1, 1, 1))
    old = [(FROM, 100), (exchanged - timedelta(minutes=7), 150), (TO, 9_999)]
    new = [(exchanged + timedelta(minutes=8), 0), (exchanged + timedelta(minutes=23), 5), (TO, 50)]
    for meter, rows in ((FIRST, old), (SECOND, new)):
        bus.publish(batch([(counts(meter), at, value) for at, value in rows]))
    found = of_transformer(database)
    assert found.consumed == Fraction(50, 10) * 2 + Fraction(50, 10) * 3
    assert found.missing == ()


def test_what_is_delivered_is_not_known_while_nothing_measured_it(database, bus) -> None:
    install(database, STATION, 2, since=FROM + timedelta(hours=3))
    install(database, FIRST, 3)
    for meter, begin in ((STATION, FROM + timedelta(hours=3)), (FIRST, FROM)):
        bus.publish(batch([(counts(meter), begin, 0), (counts(meter), TO, 10)]))
    found = of_transformer(database)
    assert (found.delivered, found.consumed, found.missing) == (None, 1, ())


def test_a_meter_outside_the_range_has_no_part(database, bus) -> None:
    install(database, FIRST, 3, until=FROM)
    install(database, SECOND, 4, since=TO)
    found = of_transformer(database)
    assert (found.meters, found.consumed, found.missing) == ((), 0, ())


def test_a_feeder_has_the_sites_of_all_its_transformers(database, bus) -> None:
    install(database, FEEDER_METER, 1)
    install(database, STATION, 2)  # measures the transformer: no consumer of the feeder's
    install(database, FIRST, 3)
    install(database, THIRD, 5)
    for number, meter in enumerate((FEEDER_METER, STATION, FIRST, THIRD), start=1):
        rise = 10**number
        bus.publish(batch([(counts(meter), FROM, 0), (counts(meter), TO, rise)]))
    with database.connection() as connection:
        found = balance.of_feeder(connection, 1, FROM, TO)
    assert (found.delivered, found.consumed) == (1, 100 + 1000)
    assert {one.meter_id for one in found.meters} == {FIRST, THIRD}
    assert {one.meter_id for one in of_transformer(database, 2).meters} == {THIRD}
