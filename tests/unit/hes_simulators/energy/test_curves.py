"""Load curves: the same for a seed, exact, plausible."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hes_simulators.energy.curves import LoadModel
from hes_simulators.energy.grid import SLOTS_PER_DAY, captured_slots, first_slot_at
from hes_simulators.energy.households import DayEnergy, Household, household
from hes_simulators.energy.region import Region

BERLIN = ZoneInfo("Europe/Berlin")
NOVEMBER_21 = datetime(2026, 11, 21, tzinfo=UTC)
JUNE_21 = datetime(2026, 6, 21, tzinfo=UTC)
WINTER_DAY = captured_slots(NOVEMBER_21)
SUMMER_DAY = captured_slots(JUNE_21)


def model(seed: int = 1) -> LoadModel:
    return LoadModel(seed, BERLIN)


def home_of(index: int, seed: int = 1) -> Household:
    return household(seed, index, Region(seed, BERLIN))


def solar_index(solar: bool, seed: int = 1) -> int:
    return next(i for i in range(100) if (home_of(i, seed).solar_wp > 0) is solar)


def test_same_seed_same_curve_in_any_order() -> None:
    forwards, backwards = model().curve(5), model().curve(5)
    days = [WINTER_DAY + SLOTS_PER_DAY * k for k in range(-30, 1, 10)]
    there = [forwards.intervals(day, day + SLOTS_PER_DAY) for day in days]
    back = [backwards.intervals(day, day + SLOTS_PER_DAY) for day in reversed(days)]
    for one, other in zip(there, reversed(back), strict=True):
        for column in ("slot", "import_wh", "export_wh", "power_w", "voltage_dv"):
            assert np.array_equal(getattr(one, column), getattr(other, column))


def test_other_seed_or_meter_other_curve() -> None:
    day = (WINTER_DAY, WINTER_DAY + SLOTS_PER_DAY)
    base = model().curve(5).intervals(*day).power_w
    assert not np.array_equal(base, model(2).curve(5).intervals(*day).power_w)
    assert not np.array_equal(base, model().curve(6).intervals(*day).power_w)


@pytest.mark.parametrize("index", range(12))
def test_register_is_start_value_plus_every_interval(index: int) -> None:
    curve = model().curve(index)
    rows = curve.intervals(curve.first_slot, WINTER_DAY)
    home = curve.household
    used = np.diff(rows.import_wh, prepend=home.start_import_wh)
    fed = np.diff(rows.export_wh, prepend=home.start_export_wh)
    assert (used >= 0).all()
    assert (fed >= 0).all()
    assert np.array_equal(used * 4, rows.power_w)
    energy = home.day_energy(np.arange(home.installed_day, WINTER_DAY // SLOTS_PER_DAY))
    assert np.array_equal(used.reshape(-1, SLOTS_PER_DAY).sum(axis=1), energy.bought_wh)
    assert np.array_equal(fed.reshape(-1, SLOTS_PER_DAY).sum(axis=1), energy.sold_wh)


@settings(max_examples=50, deadline=None)
@given(offset=st.integers(0, SLOTS_PER_DAY * 20), index=st.integers(0, 20))
def test_display_equals_the_row_on_the_grid(offset: int, index: int) -> None:
    curve = model().curve(index)
    slot = WINTER_DAY - offset
    row = curve.intervals(slot, slot + 1)
    shown = curve.registers(datetime.fromtimestamp(int(row.captured_at_s[0]), UTC))
    assert shown.import_wh == row.import_wh[0]
    assert shown.export_wh == row.export_wh[0]
    assert shown.import_w == row.power_w[0]
    assert shown.voltage_dv == row.voltage_dv[0]


def test_display_never_runs_backwards_within_an_hour() -> None:
    curve = model().curve(solar_index(solar=True))
    noon = JUNE_21 + timedelta(hours=12)
    shown = [curve.registers(noon + timedelta(seconds=7 * k)) for k in range(520)]
    assert all(a.import_wh <= b.import_wh for a, b in pairwise(shown))
    assert all(a.export_wh < b.export_wh for a, b in pairwise(shown[::60]))


def test_nothing_before_the_installation() -> None:
    curve = model().curve(3)
    before = curve.household.installed_at - timedelta(days=2)
    assert len(curve.intervals(captured_slots(before), curve.first_slot)) == 0
    assert curve.registers(before).import_wh == curve.household.start_import_wh
    assert curve.intervals(captured_slots(before), curve.first_slot + 2).slot.tolist() == [
        curve.first_slot,
        curve.first_slot + 1,
    ]


def test_solar_exports_by_day_in_summer_and_only_with_a_roof() -> None:
    roof = model().curve(solar_index(solar=True)).intervals(SUMMER_DAY, SUMMER_DAY + SLOTS_PER_DAY)
    none = model().curve(solar_index(solar=False)).intervals(SUMMER_DAY, SUMMER_DAY + SLOTS_PER_DAY)
    fed = np.diff(roof.export_wh)
    assert fed[44:52].sum() > 1000
    assert fed[:8].sum() == 0
    assert fed[88:].sum() == 0
    assert none.export_wh.max() == 0


def test_some_meters_have_a_roof() -> None:
    roofs = sum(home_of(i).solar_wp > 0 for i in range(1000))
    assert 250 < roofs < 350


def test_a_fleet_lives_plausibly() -> None:
    loads = model()
    fleet = [loads.curve(i).intervals(WINTER_DAY - 7 * 96, WINTER_DAY) for i in range(60)]
    mean_w = np.mean([rows.power_w for rows in fleet], axis=0).reshape(7, 96).mean(axis=0)
    night, evening = mean_w[8:16].mean(), mean_w[70:80].mean()  # 02-04 and 17:30-20 UTC
    assert 200 < mean_w.mean() < 900
    assert evening > 1.8 * night
    assert max(rows.power_w.max() for rows in fleet) < 15_000
    voltages = np.concatenate([rows.voltage_dv for rows in fleet])
    assert 2200 < voltages.min() < voltages.max() < 2450


def test_winter_needs_more_than_summer_and_summer_generates_more() -> None:
    def month(first_slot: int) -> list[DayEnergy]:
        days = first_slot // SLOTS_PER_DAY + np.arange(30)
        return [home_of(index).day_energy(days) for index in range(50)]

    days_winter, days_summer = month(WINTER_DAY), month(SUMMER_DAY)
    assert sum(d.load_wh.sum() for d in days_winter) > sum(d.load_wh.sum() for d in days_summer)
    assert 4 * sum(d.made_wh.sum() for d in days_winter) < sum(d.made_wh.sum() for d in days_summer)


def test_habits_keep_to_the_local_clock() -> None:
    """Curves come an hour earlier in UTC once summer time begins (2026-03-29)."""
    loads = model()
    without_roof = [i for i in range(120) if home_of(i).solar_wp == 0]

    def mean_day(first: datetime) -> np.ndarray:
        start = captured_slots(first)
        rows = [loads.curve(i).intervals(start, start + 5 * 96).power_w for i in without_roof]
        return np.mean(rows, axis=0).reshape(5, 96).mean(axis=0)

    before = mean_day(datetime(2026, 3, 23, tzinfo=UTC))
    after = mean_day(datetime(2026, 3, 30, tzinfo=UTC))
    fit = [np.corrcoef(np.roll(before, -slots), after)[0, 1] for slots in range(-8, 9)]
    assert int(np.argmax(fit)) - 8 == 4


@pytest.mark.parametrize(
    ("moment", "slots"),
    [
        (datetime(2026, 11, 21, 0, 0, tzinfo=UTC), 0),
        (datetime(2026, 11, 21, 0, 14, 59, tzinfo=UTC), 0),
        (datetime(2026, 11, 21, 0, 15, tzinfo=UTC), 1),
    ],
)
def test_grid(moment: datetime, slots: int) -> None:
    assert captured_slots(moment) == WINTER_DAY + slots
    assert first_slot_at(moment) == WINTER_DAY + (-1 if moment == NOVEMBER_21 else 0)
