"""Households: registers of whole days, roofs, seasons, habits by the local clock."""

from __future__ import annotations

import numpy as np
import pytest

from hes_simulators.energy import Region, source
from hes_simulators.energy.grid import SLOTS_PER_DAY
from hes_simulators.energy.households import DayEnergy, Household, household
from hes_simulators.randomness import Int64Array
from tests.unit.hes_simulators.energy.support import BERLIN, DAY_US, SLOT_US, us

WINTER_US, SUMMER_US = us(2026, 11, 21), us(2026, 6, 21)
WINTER_DAY, SUMMER_DAY = WINTER_US // DAY_US, SUMMER_US // DAY_US


def home_of(index: int, seed: int = 1) -> Household:
    return household(seed, index, Region(seed, BERLIN))


def solar_index(solar: bool) -> int:
    return next(i for i in range(100) if (home_of(i).solar_wp > 0) is solar)


def power_of(index: int, first_us: int, days: int) -> Int64Array:
    """The average import of each interval, W."""
    ends = first_us + SLOT_US * np.arange(1, days * SLOTS_PER_DAY + 1)
    return source("household", 1, index, BERLIN).measured("import_w", ends)


@pytest.mark.parametrize("index", range(12))
def test_register_is_start_value_plus_the_energy_of_every_day(index: int) -> None:
    home = home_of(index)
    days = np.arange(home.installed_day, WINTER_DAY)
    energy = home.day_energy(days)
    one = source("household", 1, index, BERLIN)
    midnights = DAY_US * np.append(days, WINTER_DAY)
    for name, start, daily in (
        ("import_wh", home.start_import_wh, energy.bought_wh),
        ("export_wh", home.start_export_wh, energy.sold_wh),
    ):
        registers = one.totals(name, midnights)
        assert registers[0] == start
        assert (np.diff(registers) == daily).all()
    # What is bought and not consumed here, was made here and not sold: nothing is lost.
    kept = (energy.load_wh - energy.bought_wh) - (energy.made_wh - energy.sold_wh)
    assert np.abs(kept).max() <= 1


def test_solar_exports_by_day_in_summer_and_only_with_a_roof() -> None:
    day = SUMMER_US + SLOT_US * np.arange(SLOTS_PER_DAY + 1)
    roof, none = (
        source("household", 1, solar_index(solar), BERLIN).totals("export_wh", day)
        for solar in (True, False)
    )
    fed = np.diff(roof)
    assert fed[44:52].sum() > 1000
    assert fed[:8].sum() == 0
    assert fed[88:].sum() == 0
    assert none.max() == 0


def test_some_meters_have_a_roof() -> None:
    assert 250 < sum(home_of(i).solar_wp > 0 for i in range(1000)) < 350


def test_a_fleet_lives_plausibly() -> None:
    fleet = [power_of(index, WINTER_US - 7 * DAY_US, 7) for index in range(60)]
    mean_w = np.mean(fleet, axis=0).reshape(7, 96).mean(axis=0)
    night, evening = mean_w[8:16].mean(), mean_w[70:80].mean()  # 02-04 and 17:30-20 UTC
    assert 200 < mean_w.mean() < 900
    assert evening > 1.8 * night
    assert np.max(fleet) < 15_000


def test_winter_needs_more_than_summer_and_summer_generates_more() -> None:
    def month(first_day: int) -> list[DayEnergy]:
        return [home_of(index).day_energy(first_day + np.arange(30)) for index in range(50)]

    winter, summer = month(WINTER_DAY), month(SUMMER_DAY)
    assert sum(d.load_wh.sum() for d in winter) > sum(d.load_wh.sum() for d in summer)
    assert 4 * sum(d.made_wh.sum() for d in winter) < sum(d.made_wh.sum() for d in summer)


def test_habits_keep_to_the_local_clock() -> None:
    """Curves come an hour earlier in UTC once summer time begins (2026-03-29)."""
    without_roof = [i for i in range(120) if home_of(i).solar_wp == 0]

    def mean_day(first_us: int) -> np.ndarray:
        rows = [power_of(i, first_us, 5) for i in without_roof]
        return np.mean(rows, axis=0).reshape(5, 96).mean(axis=0)

    before, after = mean_day(us(2026, 3, 23)), mean_day(us(2026, 3, 30))
    fit = [np.corrcoef(np.roll(before, -slots), after)[0, 1] for slots in range(-8, 9)]
    assert int(np.argmax(fit)) - 8 == 4
