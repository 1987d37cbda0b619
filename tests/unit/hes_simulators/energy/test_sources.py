"""Sources are exact: registers, rates, phases, power and profiles agree to the last unit."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hes_simulators.energy import KINDS, LOADS, QUANTITIES, Region, Source, Tariff, source
from hes_simulators.energy.metered import MeteredSource
from tests.unit.hes_simulators.energy.support import (
    BERLIN,
    DAY_US,
    SLOT_US,
    cumulative,
    us,
)

ZONES = (
    BERLIN,
    *map(ZoneInfo, ("Asia/Kolkata", "America/Los_Angeles", "Australia/Lord_Howe")),
)


FIRST_US, LAST_US = us(2025, 5, 1), us(2027, 11, 1)
moments = st.integers(FIRST_US, LAST_US)
# Some lie on the grid, some a microsecond beside it, most within an interval.
edges = st.builds(
    lambda at_us, beside: at_us // SLOT_US * SLOT_US + beside, moments, st.sampled_from((-1, 0, 1))
)
times = st.lists(st.one_of(moments, edges), min_size=1, max_size=12).map(sorted)


@st.composite
def sources(draw: st.DrawFn, kinds: tuple[str, ...] = KINDS) -> MeteredSource:
    return source(
        draw(st.sampled_from(kinds)),
        draw(st.integers(0, 5)),
        draw(st.integers(0, 40)),
        draw(st.sampled_from(ZONES)),
        draw(st.sampled_from((1, 3))),
        draw(st.sampled_from((1, 2, 3, 8))),
    )


def again(one: MeteredSource) -> MeteredSource:
    """The same source, knowing nothing."""
    return MeteredSource(one.seed, one.index, one.region, one.layout, one.tariff, one.install)


def test_kinds_have_the_quantities_of_their_meters() -> None:
    for kind in LOADS:
        single, three = source(kind, 1, 0, BERLIN), source(kind, 1, 0, BERLIN, 3, 4)
        assert {"import_wh", "import_wh_r1", "voltage_l1_dv"} <= single.quantities
        assert not {"import_wh_r2", "import_w_l2", "voltage_l3_dv"} & single.quantities
        assert {
            "export_vah_r4",
            "current_l3_ca",
            "current_n_ca",
            "import_wh_l2",
        } <= three.quantities
        assert three.quantities <= QUANTITIES.keys()
    assert source("gas", 1, 0, BERLIN).quantities == {"gas_dm3"}
    assert source("water", 1, 0, BERLIN).quantities == {"water_dm3"}


@settings(max_examples=40, deadline=None)
@given(one=sources(), at_us=times, data=st.data())
def test_any_slicing_gives_the_same_registers(
    one: MeteredSource, at_us: list[int], data: st.DataObject
) -> None:
    name = data.draw(st.sampled_from(cumulative(one)))
    together = one.totals(name, np.array(at_us)).tolist()
    assert together == sorted(together)
    assert together[0] >= 0
    other = again(one)
    order = data.draw(st.permutations(range(len(at_us))))
    singly = {place: other.total(name, at_us[place]) for place in order}
    assert [singly[place] for place in range(len(at_us))] == together
    half = len(at_us) // 2
    parts = [
        again(one).totals(name, np.array(part, np.int64)) for part in (at_us[half:], at_us[:half])
    ]
    assert np.concatenate(parts[::-1]).tolist() == together


@settings(max_examples=40, deadline=None)
@given(one=sources(LOADS), at_us=times)
def test_parts_add_up_to_the_total_at_any_moment(one: MeteredSource, at_us: list[int]) -> None:
    at = np.array(at_us)

    def added(names: list[str]) -> list[int]:
        parts = [one.totals(name, at) for name in names]
        assert all((np.diff(part) >= 0).all() for part in parts)
        return np.sum(parts, axis=0).tolist()

    for total in ("import_wh", "export_wh", "import_varh", "export_varh", "import_vah"):
        rates = [f"{total}_r{rate}" for rate in range(1, one.layout.rates + 1)]
        assert added(rates) == one.totals(total, at).tolist()
    for total in ("import_wh", "export_wh"):
        phases = [f"{total}_l{phase}" for phase in one.layout.phases]
        assert added(phases) == one.totals(total, at).tolist()
    for total, quadrants in (("import_varh", "12"), ("export_varh", "34")):
        names = [f"reactive_q{quadrant}_varh" for quadrant in quadrants]
        assert added(names) == one.totals(total, at).tolist()


@settings(max_examples=25, deadline=None)
@given(one=sources(LOADS), day=st.integers(FIRST_US // DAY_US, LAST_US // DAY_US))
def test_power_is_what_registers_grow_by(one: MeteredSource, day: int) -> None:
    grid = day * DAY_US + SLOT_US * np.arange(97)
    for direction in ("import", "export"):
        for unit in ("w", "var", "va"):
            grown = np.diff(again(one).totals(f"{direction}_{unit}h", grid))
            assert (one.measured(f"{direction}_{unit}", grid[1:]) == 4 * grown).all()
            # Within an interval power is its average too.
            within = np.random.default_rng(day).integers(1, SLOT_US, 96)
            assert (one.measured(f"{direction}_{unit}", grid[:-1] + within) == 4 * grown).all()
        phases = [one.measured(f"{direction}_w_l{p}", grid) for p in one.layout.phases]
        assert (np.sum(phases, axis=0) == one.measured(f"{direction}_w", grid)).all()


@settings(max_examples=30, deadline=None)
@given(one=sources(LOADS), day=st.integers(us(2026, 6, 1) // DAY_US, LAST_US // DAY_US))
def test_a_rate_counts_only_while_it_is_active(one: MeteredSource, day: int) -> None:
    grid = day * DAY_US + SLOT_US * np.arange(97)
    active = np.array([one.rate(int(at_us)) for at_us in grid[:-1]])
    for rate in range(1, one.layout.rates + 1):
        grown = np.diff(one.totals(f"import_wh_r{rate}", grid))
        assert grown[active != rate].sum() == 0
    total = np.diff(one.totals("import_wh", grid))
    for rate in set(active.tolist()):
        of_rate = np.diff(one.totals(f"import_wh_r{rate}", grid))
        assert (of_rate[active == rate] == total[active == rate]).all()


@pytest.mark.parametrize("kind", LOADS)
def test_a_day_is_the_same_however_it_is_divided(kind: str) -> None:
    midnights = us(2026, 7, 1) + DAY_US * np.arange(120)
    plain = source(kind, 3, 7, BERLIN).totals("import_wh", midnights)
    for phases, rates in ((3, 1), (1, 4), (3, 8)):
        divided = source(kind, 3, 7, BERLIN, phases, rates)
        assert (divided.totals("import_wh", midnights) == plain).all()


@pytest.mark.parametrize("kind", KINDS)
def test_years_of_days_are_as_good_as_one(kind: str) -> None:
    """Many days at once, through several blocks of days, are the days one by one."""
    one = source(kind, 2, 4, BERLIN, 3, 2)
    name = cumulative(one)[-1]
    grid = us(2026, 8, 30) + SLOT_US * np.arange(0, 96 * 90, 61)
    single = again(one)
    assert one.totals(name, grid).tolist() == [single.total(name, int(at)) for at in grid]


@pytest.mark.parametrize("kind", LOADS)
def test_what_is_measured_at_one_moment_is_as_among_many(kind: str) -> None:
    one = source(kind, 2, 5, BERLIN, 3, 2)
    installed_us = int(one.installed_at.timestamp()) * 1_000_000
    at_us = np.array(
        [installed_us, installed_us + 1, us(2026, 7, 1), us(2026, 7, 1) + SLOT_US // 3]
    )
    for name in sorted(one.quantities - set(cumulative(one))):
        single = again(one)
        singly = [single.measured_at(name, int(at)) for at in at_us]
        assert singly == one.measured(name, at_us).tolist()


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_before_the_installation(kind: str) -> None:
    one = source(kind, 1, 3, BERLIN)
    installed_us = int(one.installed_at.timestamp()) * 1_000_000
    for name in cumulative(one):
        start = one.total(name, installed_us)
        assert one.total(name, installed_us - 40 * DAY_US) == start < 100
        assert one.total(name, 0) == start
    if kind in LOADS:
        before = one.installed_at - timedelta(days=3)
        assert one.momentary("import_w", before) == 0
        assert one.momentary("voltage_l1_dv", before) == 2300
        assert one.momentary("power_factor_pm", before) == 1000


def test_all_that_a_home_has_was_installed_with_its_meter() -> None:
    for index in range(20):
        all_kinds = [source(kind, 1, index, BERLIN) for kind in KINDS]
        [installed_at] = {one.installed_at for one in all_kinds}
        [day] = {one.installation.installed_day for one in all_kinds}
        assert installed_at.timestamp() * 1_000_000 == day * DAY_US


def test_seed_kind_and_index_make_another_source() -> None:
    at_us = us(2026, 11, 1)
    of = [
        source(kind, seed, index, BERLIN).total("import_wh", at_us)
        for kind in LOADS
        for seed in (1, 2)
        for index in (0, 1)
    ]
    assert len(set(of)) == len(of)


@pytest.mark.parametrize(
    ("index", "moment", "shown"),
    [
        (0, datetime(2026, 6, 21, 11, 15, tzinfo=UTC), (2876834, 0, 92, 2313)),
        (1, datetime(2026, 11, 21, 17, 37, 11, tzinfo=UTC), (2411967, 0, 604, 2305)),
        (5, datetime(2026, 6, 21, 11, 15, tzinfo=UTC), (1861647, 7609795, 20, 2358)),
        (5, datetime(2026, 11, 21, 17, 37, 11, tzinfo=UTC), (2517478, 11993789, 560, 2294)),
    ],
)
def test_households_stay_who_they_were(
    index: int, moment: datetime, shown: tuple[int, int, int, int]
) -> None:
    """What the first release's meters showed: fleets of a seed do not change with a release."""
    one = source("household", 1, index, BERLIN)
    at_us = int(moment.timestamp()) * 1_000_000
    assert shown == (
        one.total("import_wh", at_us),
        one.total("export_wh", at_us),
        one.momentary("import_w", moment),
        one.momentary("voltage_l1_dv", moment),
    )


def test_what_is_forgotten_comes_back() -> None:
    one = source("shop", 1, 3, BERLIN, 3, 2)
    at = us(2026, 11, 20, 9) + SLOT_US * np.arange(50)
    before = one.totals("import_vah_r1", at).tolist(), one.measured("current_l2_ca", at).tolist()
    one.forget()
    after = one.totals("import_vah_r1", at).tolist(), one.measured("current_l2_ca", at).tolist()
    assert before == after


def test_no_moments_no_values() -> None:
    one = source("household", 1, 3, BERLIN, 3, 2)
    none = np.zeros(0, np.int64)
    for name in one.quantities:
        ask = one.totals if QUANTITIES[name].cumulative else one.measured
        assert ask(name, none).tolist() == []


@pytest.mark.parametrize(
    "make",
    [
        lambda: source("windmill", 1, 0, BERLIN),
        lambda: source("household", 1, 0, BERLIN, 2),
        lambda: source("household", 1, 0, BERLIN, 1, 0),
        lambda: source("household", 1, 0, BERLIN, 1, 9),
        lambda: source("household", 1, 0, BERLIN, 1, 2, tariff=Tariff.of(4)),
    ],
)
def test_what_there_is_not(make: object) -> None:
    with pytest.raises(ValueError):
        make()


def test_names_that_a_source_has_not() -> None:
    one: Source = source("household", 1, 0, BERLIN)
    at_us = np.array([us(2026, 1, 1)])
    for name in ("import_wh_l2", "import_wh_r2", "gas_dm3", "import_w", "nonsense"):
        with pytest.raises(KeyError):
            one.totals(name, at_us)
    for name in ("import_wh", "voltage_l2_dv", "nonsense"):
        with pytest.raises(KeyError):
            one.measured(name, at_us)


def test_a_region_is_what_was_given() -> None:
    region = Region(1, BERLIN, nominal_dv=2400, nominal_mhz=60_000)
    one = source("shop", 1, 0, BERLIN, region=region)
    noon = datetime(2026, 11, 20, 11, tzinfo=UTC)
    assert 2160 < one.momentary("voltage_l1_dv", noon) < 2640
    assert 59_900 < one.momentary("frequency_mhz", noon) < 60_100
