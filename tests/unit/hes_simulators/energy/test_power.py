"""What is measured beside energy agrees with it: voltage, current, power factor, frequency."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hes_simulators.energy import LOADS, VoltageEvent, source
from tests.unit.hes_simulators.energy.support import BERLIN, DAY_US, SLOT_US, us

NOVEMBER = us(2026, 11, 1)
MONTH = NOVEMBER + SLOT_US * np.arange(96 * 28)


@pytest.mark.parametrize("phases", [1, 3])
@settings(max_examples=30, deadline=None)
@given(kind=st.sampled_from(LOADS), index=st.integers(0, 30), at_us=st.integers(*MONTH[[0, -1]]))
def test_current_is_power_by_voltage_and_power_factor(
    phases: int, kind: str, index: int, at_us: int
) -> None:
    one = source(kind, 1, index, BERLIN, phases)

    def shown(name: str) -> int:
        return int(one.measured(name, np.array([at_us]))[0])

    for phase in range(1, phases + 1):
        watts = abs(shown(f"import_w_l{phase}") - shown(f"export_w_l{phase}"))
        volts, factor = shown(f"voltage_l{phase}_dv") / 10, shown("power_factor_pm") / 1000
        assert abs(shown(f"current_l{phase}_ca") / 100 - watts / (volts * factor)) <= 0.0051


@pytest.mark.parametrize("kind", LOADS)
def test_power_triangle(kind: str) -> None:
    """Apparent energy is never below active, and squares add up but for rounding of slots."""
    one = source(kind, 1, 8, BERLIN, 3)
    for direction, quadrants in (("import", ("q1", "q4")), ("export", ("q2", "q3"))):
        active = np.diff(one.totals(f"{direction}_wh", MONTH))
        apparent = np.diff(one.totals(f"{direction}_vah", MONTH))
        reactive = np.diff(
            one.totals(f"reactive_{quadrants[0]}_varh", MONTH)
            - one.totals(f"reactive_{quadrants[1]}_varh", MONTH)
        )
        assert (apparent - active).min() >= -1
        off = np.abs(apparent - np.hypot(active, reactive))
        assert (off <= 2 + 0.01 * apparent).all()
    factor = one.measured("power_factor_pm", MONTH)
    assert 400 < factor.min() <= factor.max() <= 1000


def test_voltage_lies_around_nominal_and_drops_with_the_load() -> None:
    for phase in (1, 2, 3):
        volts, loads = [], []
        for index in range(20):
            one = source("household", 1, index, BERLIN, 3)
            volts.append(one.measured(f"voltage_l{phase}_dv", MONTH))
            loads.append(one.measured(f"import_w_l{phase}", MONTH))
        assert 2280 < np.mean(volts) < 2330
        assert 2070 <= np.min(volts) < np.max(volts) <= 2530
        slope = np.polyfit(np.ravel(loads), np.ravel(volts), 1)[0]
        assert -0.02 < slope < -0.005  # 0.1 V for each W


def test_phases_are_not_alike() -> None:
    one = source("household", 1, 4, BERLIN, 3)
    watts = [one.measured(f"import_w_l{phase}", MONTH) for phase in (1, 2, 3)]
    used = np.sum(watts, axis=0)
    shares = np.array(watts)[:, used > 0] / used[used > 0]
    assert np.ptp(shares.mean(axis=1)) > 0.05
    assert (shares.std(axis=1) > 0.02).all()
    volts = [one.measured(f"voltage_l{phase}_dv", MONTH) for phase in (1, 2, 3)]
    assert all((volts[a] != volts[b]).any() for a, b in ((0, 1), (0, 2), (1, 2)))


def test_neutral_carries_what_phases_leave_over() -> None:
    single = source("household", 1, 4, BERLIN, 1)
    assert (single.measured("current_n_ca", MONTH) == single.measured("current_l1_ca", MONTH)).all()
    one = source("shop", 1, 4, BERLIN, 3)
    neutral = one.measured("current_n_ca", MONTH)
    phases = np.array([one.measured(f"current_l{phase}_ca", MONTH) for phase in (1, 2, 3)])
    assert (neutral <= phases.max(axis=0)).all()
    assert (neutral >= np.ptp(phases, axis=0) // 2 - 1).all()


def test_frequency_is_the_grid_s() -> None:
    seconds = NOVEMBER + 1_000_000 * np.arange(3600)
    of = [
        source(kind, 1, index, BERLIN).measured("frequency_mhz", seconds)
        for kind, index in (("household", 1), ("solar", 2))
    ]
    assert (of[0] == of[1]).all()
    assert 49_900 < of[0].min() < 50_000 < of[0].max() < 50_100


def test_sags_and_swells_come_from_outside() -> None:
    plain, one = (source("household", 1, 4, BERLIN, 3) for _ in range(2))
    sag = VoltageEvent(NOVEMBER + 10 * SLOT_US, NOVEMBER + 12 * SLOT_US, 700, (2,))
    swell = VoltageEvent(NOVEMBER + DAY_US, NOVEMBER + DAY_US + 3_000_000, 1150)
    one.voltage_events = (sag, swell)
    for phase in (1, 2, 3):
        name = f"voltage_l{phase}_dv"
        normal, imposed = plain.measured(name, MONTH), one.measured(name, MONTH)
        expected = normal.copy()
        if phase == 2:
            expected[10:12] = expected[10:12] * 700 // 1000
        expected[96] = expected[96] * 1150 // 1000
        assert imposed.tolist() == expected.tolist()
    # A load draws its power from less voltage with more current; energy does not change.
    in_sag = np.array([NOVEMBER + 10 * SLOT_US + 1])
    ratio = one.measured("current_l2_ca", in_sag) / plain.measured("current_l2_ca", in_sag)
    assert ratio[0] == pytest.approx(1 / 0.7, rel=0.1)
    assert (one.totals("import_wh", MONTH) == plain.totals("import_wh", MONTH)).all()


def test_moments_share_what_they_have_in_common() -> None:
    """Asked at one moment after another, each answer is that moment's."""
    one, fresh = (source("household", 1, 4, BERLIN, 3) for _ in range(2))
    names = sorted(one.layout.momentary)
    for at_us in (NOVEMBER, NOVEMBER + 1, NOVEMBER, NOVEMBER + 7 * SLOT_US):
        at = np.array([at_us, at_us])
        shown = [one.measured(name, at[:1])[0] for name in names]
        assert shown == [fresh.measured(name, at)[0] for name in names]
    moment = datetime(2026, 11, 1, 12, 7, 31, tzinfo=UTC)
    at = np.array([us(2026, 11, 1, 12, 7, 31)])
    assert one.momentary("import_w", moment) == one.measured("import_w", at)[0]
    other_zone = moment.astimezone(ZoneInfo("Asia/Kolkata"))
    assert one.momentary("import_w", other_zone) == one.momentary("import_w", moment)
