"""Kinds of customers live as they should: by clock, calendar, sun and weather."""

from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from hes_simulators.energy import Region, source
from hes_simulators.energy.installation import Routine
from hes_simulators.energy.premises import Shop
from hes_simulators.energy.sky import sine_of_elevation
from hes_simulators.randomness import Int64Array
from tests.unit.hes_simulators.energy.support import BERLIN, DAY_US, SLOT_US, us

JOHANNESBURG = ZoneInfo("Africa/Johannesburg")
STOCKHOLM = ZoneInfo("Europe/Stockholm")


def of_months(
    kind: str, *months: int, quantity: str = "import_wh", zone: ZoneInfo = BERLIN
) -> list[int]:
    """What twenty meters use in some months of 2027."""
    edges = [us(2027, month, 1) for month in months for month in (month, month + 1)]
    used = [np.diff(source(kind, 1, i, zone).totals(quantity, np.array(edges))) for i in range(20)]
    return np.sum(used, axis=0)[::2].tolist()


def slots_of_local_day(year: int, month: int, day: int, zone: ZoneInfo = BERLIN) -> Int64Array:
    """The ends of the quarter-hours of a local day, microseconds."""
    start = datetime(year, month, day, tzinfo=zone).timestamp()
    end = (datetime(year, month, day) + timedelta(days=1)).replace(tzinfo=zone).timestamp()
    return np.arange(int(start) * 1_000_000, int(end) * 1_000_000, SLOT_US) + SLOT_US


# --- shops ---------------------------------------------------------------------------------------


def test_shops_are_closed_on_sundays_and_earlier_on_saturdays() -> None:
    for index in range(10):
        one = source("shop", 1, index, BERLIN)
        shop = one.installation
        assert isinstance(shop, Shop)
        friday, saturday, sunday = (
            one.measured("import_w", slots_of_local_day(2026, 11, day)) for day in (20, 21, 22)
        )
        closed = sunday.max()
        assert closed < 0.55 * friday[50:60].mean()
        opens, shuts = int(shop.opens_h * 4), int(shop.closes_h * 4)
        assert (
            friday[opens:shuts].min() > 1.2 * np.delete(friday, range(opens - 3, shuts + 2)).max()
        )
        saturday_shuts = int(shop.saturday_closes_h * 4)
        assert saturday[saturday_shuts - 4 : saturday_shuts].min() > 1.2 * closed
        assert saturday[saturday_shuts + 2 :].max() < 1.6 * closed


@pytest.mark.parametrize("day", [datetime(2026, 3, 27), datetime(2026, 3, 30)])
def test_shops_open_by_the_local_clock(day: datetime) -> None:
    """Summer time began on 2026-03-29: the doors open at the same local hour, an hour sooner."""
    one = source("shop", 1, 2, BERLIN)
    shop = one.installation
    assert isinstance(shop, Shop)
    power = one.measured("import_w", slots_of_local_day(day.year, day.month, day.day))
    opening = int(shop.opens_h * 4)
    jump = int(np.argmax(power[opening - 6 : opening + 6] > 0.75 * power[40:60].mean()))
    assert jump == 6


def test_the_day_of_change_has_an_hour_more_or_less() -> None:
    one = source("street_light", 1, 0, BERLIN)
    for day, slots in (((2026, 3, 29), 92), ((2026, 10, 25), 100)):
        power = one.measured("import_w", slots_of_local_day(*day))
        assert len(power) == slots
        assert power.min() >= 0


# --- by the sun ----------------------------------------------------------------------------------


@pytest.mark.parametrize("zone", [BERLIN, STOCKHOLM, JOHANNESBURG, ZoneInfo("Asia/Kolkata")])
def test_street_lights_burn_from_dusk_to_dawn(zone: ZoneInfo) -> None:
    one = source("street_light", 1, 3, zone)
    place = one.region.place
    for first in (us(2026, 6, 20), us(2026, 12, 20)):
        grid = first + SLOT_US * np.arange(96)
        sine = sine_of_elevation(place, np.array([first // DAY_US]))[0]
        power = one.measured("import_w", grid + SLOT_US)
        day, night = power[sine > np.sin(np.radians(2))], power[sine < np.sin(np.radians(-5))]
        assert day.max() <= 12  # nothing but the control
        assert night.min() > 10 * day.max()


def test_street_lights_burn_longer_in_winter_wherever_that_is() -> None:
    june, december = of_months("street_light", 6, 11)
    assert december > 1.8 * june
    june, december = of_months("street_light", 6, 11, zone=JOHANNESBURG)
    assert june > 1.2 * december


def test_solar_plants_sell_by_day_and_buy_by_night() -> None:
    one = source("solar", 1, 3, BERLIN)
    power = one.measured("export_w", us(2026, 6, 21) + SLOT_US * np.arange(1, 97))
    bought = one.measured("import_w", us(2026, 6, 21) + SLOT_US * np.arange(1, 97))
    assert power[40:52].min() > 500
    assert power[:8].max() == power[88:].max() == 0
    assert (bought[:8] > 0).all()
    assert bought[40:52].max() == 0
    sold = of_months("solar", 1, 6, quantity="export_wh")
    assert sold[1] > 4 * sold[0]
    assert sum(sold) > 50 * sum(of_months("solar", 1, 6))


def test_a_year_of_a_plant_is_a_thousand_hours() -> None:
    year = np.array([us(2027, 1, 1), us(2028, 1, 1)])
    hours = []
    for index in range(20):
        one = source("solar", 1, index, BERLIN)
        peak_w = one.measured("export_w", us(2027, 6, 1) + SLOT_US * np.arange(96 * 30)).max()
        hours.append(np.diff(one.totals("export_wh", year))[0] / peak_w)
    assert 700 < np.mean(hours) < 1500


# --- by the temperature --------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "quantity"), [("heat_pump", "import_wh"), ("gas", "gas_dm3")])
def test_heating_follows_the_cold(kind: str, quantity: str) -> None:
    january, july = of_months(kind, 1, 7, quantity=quantity)
    assert january > 5 * july > 0
    january, july = of_months(kind, 1, 7, quantity=quantity, zone=JOHANNESBURG)
    assert july > january
    days = np.arange(us(2026, 11, 1) // DAY_US, us(2027, 3, 1) // DAY_US)
    one = source(kind, 1, 4, BERLIN)
    used = np.diff(one.totals(quantity, np.append(days, days[-1] + 1) * DAY_US))
    assert np.corrcoef(used, one.region.temperature(days))[0, 1] < -0.8


@pytest.mark.parametrize(
    ("kind", "quantity", "least", "most"),
    [
        ("household", "import_wh", 1.5e6, 4.5e6),
        ("shop", "import_wh", 10e6, 40e6),
        ("heat_pump", "import_wh", 2e6, 6e6),
        ("gas", "gas_dm3", 0.6e6, 2e6),
        ("water", "water_dm3", 60e3, 200e3),
    ],
)
def test_years_are_as_usual(kind: str, quantity: str, least: float, most: float) -> None:
    year = np.array([us(2027, 1, 1), us(2028, 1, 1)])
    used = [np.diff(source(kind, 1, i, BERLIN).totals(quantity, year))[0] for i in range(30)]
    assert least < np.mean(used) < most


def test_water_is_drawn_in_small_amounts_by_people_who_are_awake() -> None:
    drawn = np.array(
        [
            np.diff(
                source("water", 1, i, BERLIN).totals(
                    "water_dm3", us(2026, 11, 2) + SLOT_US * np.arange(96 * 14 + 1)
                )
            )
            for i in range(20)
        ]
    ).reshape(20, 14, 96)
    assert 0.5 < (drawn == 0).mean() < 0.95
    assert drawn.max() < 500
    night, evening = drawn[:, :, 4:16].sum(), drawn[:, :, 68:80].sum()
    assert night < evening / 8


@pytest.mark.parametrize(
    ("kind", "quantity"), [("heat_pump", "import_wh"), ("gas", "gas_dm3"), ("water", "water_dm3")]
)
def test_the_cheap_day_is_near_to_what_is_expected(kind: str, quantity: str) -> None:
    here = source(kind, 1, 5, BERLIN).installation
    assert isinstance(here, Routine)
    days = np.arange(20_700, 21_060)
    [flow] = here.expected(days)
    exact = Routine.expected_by_day(here, days)[flow].sum()
    assert here.expected_by_day(days)[flow].sum() == pytest.approx(exact, rel=0.12)


# --- weather -------------------------------------------------------------------------------------


def days_of(kind: str, index: int, quantity: str, region: Region) -> Int64Array:
    midnights = us(2027, 4, 1) + DAY_US * np.arange(121)
    return np.diff(
        source(kind, region.seed, index, region.zone, region=region).totals(quantity, midnights)
    )


def test_neighbours_share_a_weather_and_regions_do_not() -> None:
    here, there = Region(1, BERLIN), Region(1, BERLIN, "there")
    one, other = (days_of("solar", index, "export_wh", here) for index in (0, 1))
    far = days_of("solar", 1, "export_wh", there)
    assert np.corrcoef(one, other)[0, 1] > 0.95
    assert np.corrcoef(one, far)[0, 1] < 0.6


def test_temperatures_of_the_world() -> None:
    days = np.arange(us(2026, 1, 1) // DAY_US, us(2027, 1, 1) // DAY_US)

    def months(zone: str) -> tuple[float, float]:
        of_year = Region(1, ZoneInfo(zone)).temperature(days)
        return float(of_year[:31].mean()), float(of_year[181:212].mean())

    january, july = months("Europe/Berlin")
    assert -4 < january < 6 < 15 < july < 25
    january, july = months("Africa/Johannesburg")
    assert january > july + 5
    january, july = months("Asia/Singapore")
    assert january == pytest.approx(july, abs=3)
    hours = Region(1, BERLIN).temperature_in_day(days)
    assert 12 * 4 < np.argmax(hours.mean(axis=0)) < 15 * 4  # of UTC
    assert np.allclose(hours.mean(axis=1), Region(1, BERLIN).temperature(days), atol=0.01)
