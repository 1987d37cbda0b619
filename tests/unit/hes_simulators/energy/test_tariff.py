"""Tariffs switch by the local clock; places lie where their zones are."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from hes_simulators.energy import Season, SpecialDay, Tariff, source
from hes_simulators.energy.calendar import falls_on, local_day
from hes_simulators.energy.grid import SLOT_S
from hes_simulators.energy.places import Place, place_of
from hes_simulators.energy.tariff import bands, bands_of_day
from tests.unit.hes_simulators.energy.support import BERLIN


def day_of(year: int, month: int, day: int) -> int:
    return int(datetime(year, month, day, tzinfo=UTC).timestamp()) // 86_400


@pytest.mark.parametrize(
    "zone", ["Europe/Berlin", "Asia/Kathmandu", "America/St_Johns", "Pacific/Auckland"]
)
@pytest.mark.parametrize("day", [(2026, 3, 29), (2026, 10, 25), (2026, 11, 1), (2026, 9, 26)])
def test_every_slot_has_its_local_time(zone: str, day: tuple[int, int, int]) -> None:
    table = local_day(ZoneInfo(zone), day_of(*day))
    start = datetime(*day, tzinfo=UTC)
    for slot in range(96):
        local = (start + timedelta(seconds=SLOT_S * (slot + 0.5))).astimezone(ZoneInfo(zone))
        assert table.hours[slot] == pytest.approx(
            local.hour + local.minute / 60 + local.second / 3600
        )
        assert table.weekdays[slot] == local.weekday()


@pytest.mark.parametrize(
    ("moment", "rate"),
    [
        ("2026-11-20 05:59:59", 2),
        ("2026-11-20 06:00:00", 1),  # a Friday
        ("2026-11-20 21:59:59", 1),
        ("2026-11-20 22:00:00", 2),
        ("2026-11-21 12:00:00", 2),
        ("2026-11-22 12:00:00", 2),
        ("2026-07-20 06:00:00", 1),  # by summer time too
        ("2026-07-20 05:59:00", 2),
    ],
)
def test_day_and_night(moment: str, rate: int) -> None:
    at = datetime.fromisoformat(moment).replace(tzinfo=BERLIN)
    one = source("household", 1, 0, BERLIN, 1, 2)
    assert one.rate(int(at.timestamp()) * 1_000_000) == rate


def test_more_rates_are_zones_of_the_day() -> None:
    kolkata = ZoneInfo("Asia/Kolkata")
    one = source("household", 1, 0, kolkata, 1, 8)
    for hour in range(24):
        at = datetime(2026, 11, 20, hour, tzinfo=kolkata)
        assert one.rate(int(at.timestamp()) * 1_000_000) == hour // 3 + 1
    for rates in range(1, 9):
        week = bands(Tariff.of(rates), kolkata, day_of(2026, 11, 16) + np.arange(7))
        assert set(week.ravel().tolist()) == set(range(rates))


def test_a_tariff_of_one_s_own() -> None:
    early = Tariff(2, (((0, 1), (2.75, 2), (3.5, 1)),) * 5 + (((0, 1),), ((0, 2),)))
    week = bands(early, ZoneInfo("UTC"), day_of(2026, 11, 16) + np.arange(7))
    assert np.flatnonzero(week[0]).tolist() == [11, 12, 13]
    assert week[5].sum() == 0
    assert week[6].sum() == 96
    assert (bands_of_day(early, ZoneInfo("UTC"), day_of(2026, 11, 16)) == week[0]).all()


@pytest.mark.parametrize(
    ("pattern", "days"),
    [
        ("07ea0c18ff", ["2026-12-24"]),
        ("ffff0c18ff", ["2026-12-24", "2027-12-24"]),
        ("ffffff01ff", ["2026-12-01", "2027-01-01"]),
        ("ffff0cfeff", ["2026-12-31"]),
        ("ffff0cfdff", ["2026-12-30"]),
        ("ffff0cfe07", ["2026-12-27"]),
        ("ffff0cfd07", ["2026-12-20"]),
        ("ffff02fe07", ["2027-02-28"]),
        ("ffff0cff05", ["2026-12-04", "2026-12-25", "2027-12-24"]),
    ],
)
def test_dates_come_again(pattern: str, days: list[str]) -> None:
    """Of some dates those, and only those, that a date with wildcards says."""
    december = [f"2026-12-{day:02}" for day in (1, 4, 20, 24, 25, 27, 30, 31)]
    some = [*december, "2027-01-01", "2027-02-21", "2027-02-28", "2027-12-24"]
    found = {day for day in some if falls_on(date.fromisoformat(day), bytes.fromhex(pattern))}
    assert found == set(days)


@pytest.mark.parametrize("zone", ["Europe/Berlin", "Pacific/Auckland", "America/New_York"])
def test_a_special_day_is_a_local_one(zone: str) -> None:
    here, day = ZoneInfo(zone), date(2026, 12, 24)
    holiday = SpecialDay(bytes.fromhex("07ea0c18ff"), ((0, 3), (12, 2)))
    tariff = Tariff(3, (((0, 1),),) * 7, (holiday,))
    for hours in range(-30, 54):
        at = datetime(2026, 12, 24, tzinfo=here).astimezone(UTC) + timedelta(hours=hours, minutes=1)
        number, second = divmod(int(at.timestamp()), 86_400)
        local = at.astimezone(here)
        wanted = 0 if local.date() != day else 2 if local.hour < 12 else 1
        assert bands_of_day(tariff, here, number)[second // SLOT_S] == wanted, local


def week_of(rate: int) -> tuple[tuple[tuple[float, int], ...], ...]:
    return (((0, rate),),) * 7


@pytest.mark.parametrize(
    ("day", "rate"),
    [
        ("2026-01-31", 3),  # the winter of the year before
        ("2026-02-27", 3),
        ("2026-02-28", 2),  # of a day that this February does not have, its last
        ("2026-10-31", 2),
        ("2026-11-01", 3),
        ("2027-05-31", 2),
        ("2027-06-01", 4),  # once
        ("2027-11-01", 3),
        ("2028-02-28", 3),
        ("2028-02-29", 2),
        ("2028-06-01", 2),
    ],
)
def test_seasons_come_every_year(day: str, rate: int) -> None:
    spring, winter = Season(2, 29, None, week_of(2)), Season(11, 1, None, week_of(3))
    once = Season(6, 1, 2027, week_of(4))
    tariff = Tariff(4, week_of(1), (), (spring, winter, once))
    on = date.fromisoformat(day)
    assert tariff.on(on) == ((0, rate),)
    noon = bands_of_day(tariff, BERLIN, day_of(on.year, on.month, on.day))[48]
    assert noon == rate - 1
    assert Tariff(4, week_of(1), (), (once,)).on(date(2027, 5, 31)) == ((0, 1),)


@pytest.mark.parametrize(
    "switches",
    [
        (),
        ((1, 1),),
        ((0, 1), (25, 2)),
        ((0, 1), (6.1, 2)),
        ((0, 1), (9, 2), (7, 1)),
        ((0, 3),),
        ((0, 0),),
    ],
)
def test_no_day_s_switching_times(switches: tuple[tuple[float, int], ...]) -> None:
    with pytest.raises(ValueError):
        Tariff(2, (((0, 1),),) * 6 + (switches,))
    with pytest.raises(ValueError):
        Tariff(2, (((0, 1),),) * 7, (SpecialDay(bytes(5), switches),))
    with pytest.raises(ValueError):
        Tariff(2, week_of(1), (), (Season(1, 1, None, (*week_of(1)[1:], switches)),))


@pytest.mark.parametrize(
    ("zone", "latitude", "longitude"),
    [
        ("Europe/Berlin", 51.0, 10.0),
        ("Africa/Johannesburg", -26.25, 28.0),
        ("America/New_York", 40.7, -74.0),
        ("Europe/Stockholm", 59.3, 18.05),
        ("UTC", 51.0, 0.0),
    ],
)
def test_places(zone: str, latitude: float, longitude: float) -> None:
    place = place_of(ZoneInfo(zone))
    assert isinstance(place, Place)
    assert place.latitude == pytest.approx(latitude, abs=0.1)
    assert place.longitude == pytest.approx(longitude, abs=0.1)
