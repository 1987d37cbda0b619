"""Timelines: the same file and seed give the same steps; order, spread, overlap, days."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import islice, takewhile
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st

from hes_simulators.scenario.file import Scenario, parse_scenario
from hes_simulators.scenario.steps import Deed, Step
from hes_simulators.scenario.timeline import Begun

START = datetime(2026, 3, 28, 12, tzinfo=UTC)
US = 1_000_000

LINES = [
    'do = "outage"\nover = "20s"\nfor = "10s..3min"\nshare = 0.5\n',
    'do = "storm"\nover = "2min"\noutages = 0.3\nsags = 3\n',
    'do = "tamper"\nwhat = "magnet"\nfor = "30s"\nshare = 0.1\n',
    'do = "disconnect"\nmeters = "2-9"\nfor = "1min"\n',
    'do = "limit"\nwatts = 500\ndistrict = "Hill"\n',
    'do = "clock-jump"\nby = "-15min"\nshare = 0.2\n',
    'do = "reboot"\nover = "10s"\nfor = "5s..20s"\n',
    'do = "push"\nover = "10s"\n',
    'do = "firmware"\nversion = "2.0"\nfeeder = "Harbour F2"\n',
    'do = "load"\nwatts = 9000\nfor = "1min..5min"\n',
    'do = "tariff"\nworkday = "00:00 2, 06:15 1"\nweekend = "00:00 2"\n',
    'do = "price"\nprice = 12\n',
    'do = "event"\nevent = "over_current"\n',
    'do = "fault"\nfault = "drip"\nfor = "1min"\n',
]


def town(lines: list[str], seed: int = 3, meters: int = 40) -> Scenario:
    text = (
        f'seed = {seed}\nmeters = {meters}\n[[population]]\nmodel = "a"\nshare = 1\n'
        '[[district]]\nname = "Harbour"\nfeeders = 2\n[[district]]\nname = "Hill"\n'
    )
    text += "".join(f'[[timeline]]\nname = "{n}"\n{line}' for n, line in enumerate(lines))
    return parse_scenario(text, "town.toml")


def steps(scenario: Scenario, until: timedelta = timedelta(hours=1)) -> list[Step]:
    end_us = int((START + until).timestamp()) * US
    return [
        one
        for one in takewhile(lambda one: one.at_us <= end_us, scenario.timeline.steps(START))
        if isinstance(one, Step)
    ]


scripts = st.lists(
    st.tuples(st.sampled_from(LINES), st.integers(0, 600), st.sampled_from([None, 1, 7, 600])).map(
        lambda one: (
            f'{one[0]}at = "+{one[1]}s"\n' + (f'every = "{one[2]}s"\ntimes = 5\n' if one[2] else "")
        )
    ),
    min_size=1,
    max_size=5,
)


@settings(max_examples=60)
@given(scripts, st.integers(0, 2**63 - 1))
def test_the_same_file_and_seed_give_the_same_timeline(lines: list[str], seed: int) -> None:
    once, again = town(lines, seed), town(lines, seed)
    found = list(once.timeline.steps(START))
    assert found == list(again.timeline.steps(START))
    assert [one.at_us for one in found] == sorted(one.at_us for one in found)
    # What begins an occurrence comes before its steps.
    begun: set[int] = set()
    for one in found:
        if isinstance(one, Begun):
            begun.add(one.cause)
        else:
            assert one.cause in begun
            assert 0 <= one.index < 40


@settings(max_examples=30)
@given(scripts, st.integers(0, 1000), st.integers(1, 10_000))
def test_a_later_start_moves_everything(lines: list[str], seed: int, seconds: int) -> None:
    scenario = town(lines, seed)
    early = list(scenario.timeline.steps(START))
    late = list(scenario.timeline.steps(START + timedelta(seconds=seconds)))
    assert [one.at_us + seconds * US for one in early] == [one.at_us for one in late]


def test_another_seed_strikes_others() -> None:
    line = 'do = "outage"\nat = "+1s"\nshare = 0.5\n'
    struck = [{step.index for step in steps(town([line], seed))} for seed in (1, 2, 3)]
    assert len({frozenset(one) for one in struck}) == 3
    assert all(len(one) == 20 for one in struck)


def test_each_turn_of_a_repeated_line_strikes_others() -> None:
    scenario = town(['do = "outage"\nat = "+1s"\nevery = "1min"\ntimes = 3\nshare = 0.25\n'])
    turns = Counter(step.cause for step in steps(scenario))
    assert list(turns.values()) == [10, 10, 10]
    sets = {
        frozenset(step.index for step in steps(scenario) if step.cause == cause) for cause in turns
    }
    assert len(sets) == 3


def test_an_outage_spreads_and_ends_for_each() -> None:
    found = steps(town(['do = "outage"\nat = "+60s"\nover = "10s"\nfor = "1min..2min"\n']))
    first_us = int(START.timestamp()) * US + 60 * US
    cuts = {step.index: step.at_us for step in found if step.deed is Deed.CUT}
    returns = {step.index: step.at_us for step in found if step.deed is Deed.RESTORE}
    assert set(cuts) == set(returns) == set(range(40))
    assert all(first_us <= at_us <= first_us + 10 * US for at_us in cuts.values())
    assert len(set(cuts.values())) == 40
    for index, at_us in cuts.items():
        assert 60 * US <= returns[index] - at_us <= 120 * US


def test_no_sag_where_the_storm_has_taken_the_power() -> None:
    found = steps(town(['do = "storm"\nat = "+1s"\nover = "5min"\noutages = 0.5\nsags = 20\n']))
    dark: dict[int, tuple[int, int]] = {}
    for step in found:
        if step.deed is Deed.CUT:
            dark[step.index] = (step.at_us, 0)
        elif step.deed is Deed.RESTORE:
            dark[step.index] = (dark[step.index][0], step.at_us)
    assert 10 <= len(dark) <= 30
    sags = [step for step in found if step.deed is Deed.EVENT]
    assert len(sags) > 40 * 20
    for step in sags:
        begin, end = dark.get(step.index, (0, 0))
        assert not begin <= step.at_us <= end
    assert {step.facts["event"] for step in sags} == {"voltage_sag_l1", "voltage_normal_l1"}


def test_a_local_time_comes_once_a_day_over_the_change_of_summer_time() -> None:
    scenario = town(['do = "push"\nat = "02:30"\nmeters = "1"\n'])
    found = [
        datetime.fromtimestamp(one.at_us / US, ZoneInfo("Europe/Berlin"))
        for one in islice(
            (one for one in scenario.timeline.steps(START) if isinstance(one, Step)), 4
        )
    ]
    # 02:30 is left out on 29 March 2026: an hour later.
    assert [(at.day, at.hour, at.minute) for at in found] == [
        (29, 3, 30), (30, 2, 30), (31, 2, 30), (1, 2, 30),
    ]  # fmt: skip


def test_ten_thousand_meters_are_struck_quickly() -> None:
    scenario = town(['do = "outage"\nat = "+1s"\nover = "10s"\nfor = "1min"\n'], meters=10_000)
    assert len(steps(scenario)) == 20_000


def test_places_mix_the_groups_and_follow_from_the_seed() -> None:
    scenario = town([], meters=1000)
    population = scenario.population
    harbour, hill = population.in_district("Harbour"), population.in_district("Hill")
    assert len(harbour) + len(hill) == 1000
    assert 400 < len(harbour) < 600
    on = [population.on_feeder(name) for name in ("Harbour F1", "Harbour F2")]
    assert sorted([*on[0], *on[1]]) == harbour.tolist()
    place = population.place(int(on[1][0]))
    assert (place.district, place.feeder) == ("Harbour", "Harbour F2")
    assert place.transformer == "Harbour F2 T1"
    assert town([], meters=1000).population.place(17) == population.place(17)
