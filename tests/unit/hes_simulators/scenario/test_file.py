"""Scenario files: what they say, and errors that name file, table and key."""

from __future__ import annotations

from datetime import time
from zoneinfo import ZoneInfo

import attrs
import pytest

from hes_protocol.cosem import Obis
from hes_protocol.models import Model
from hes_protocol.models.objects import MeterTable, ModelPush
from hes_simulators.reach import Greeting, Reach, Target
from hes_simulators.scenario.actions import Storm, Tamper
from hes_simulators.scenario.errors import ScenarioError
from hes_simulators.scenario.file import parse_scenario
from hes_simulators.scenario.timeline import After, Daily

MODELS = {
    name: Model(name=name, maker="-", source="-", meter=MeterTable(zone="Asia/Kolkata"))
    for name in ("a", "b")
}

WHOLE = """
title = "A small town"
seed = 5
meters = 10
zone = "Europe/Vienna"

[[population]]
name = "homes"
model = "a"
share = 0.75

[[population]]
name = "far"
model = "b"
share = 0.25
zone = "Europe/Helsinki"
curve = "shop"
dial_in = true
greeting = "silent"
heartbeat = "5min"

[[district]]
name = "Harbour"
share = 0.5
feeders = 2

[[district]]
name = "Hill"
share = 0.5

[[fault]]
fault = "latency"
population = "homes"
share = 0.5

[[timeline]]
do = "outage"
at = "+60s"
every = "10min"
times = 3
over = "5s"
for = "1min..2min"
district = "Harbour"

[[timeline]]
do = "tamper"
at = "18:30"
what = "magnet"
meters = "1-3, 7"
"""


def test_a_whole_file() -> None:
    scenario = parse_scenario(WHOLE, "town.toml", models=MODELS, head_end=Target("127.0.0.9"))
    assert (scenario.title, scenario.seed, len(scenario.population)) == ("A small town", 5, 10)
    homes, far = scenario.population.groups
    assert (homes.count, far.count) == (8, 2)  # 7.5 and 2.5: the first of equal remainders
    assert homes.zone == ZoneInfo("Europe/Vienna")
    assert homes.reach == Reach()
    assert far.zone == ZoneInfo("Europe/Helsinki")
    assert far.reach is not None
    assert far.reach.dial_in is not None
    assert not far.reach.listens
    assert far.reach.dial_in.target == Target("127.0.0.9")
    assert far.reach.dial_in.greeting is Greeting.SILENT
    assert far.reach.dial_in.heartbeat_s == 300
    [rule] = scenario.faults
    assert rule.meters.indexes is not None
    assert len(rule.meters.indexes) == 4
    assert rule.meters.indexes <= set(range(8))
    outage, tamper = scenario.timeline.happenings
    assert outage.when == After(60_000_000, 600_000_000)
    assert (outage.times, outage.over_us) == (3, 5_000_000)
    assert tamper.when == Daily(time(18, 30), ZoneInfo("Europe/Vienna"))
    assert tamper.choice.meters == frozenset({0, 1, 2, 6})
    assert tamper.action == Tamper(lasting=None, what="magnet")


def test_what_the_command_line_says_instead() -> None:
    scenario = parse_scenario(WHOLE, "town.toml", seed=9, meters=40)
    assert (scenario.seed, len(scenario.population)) == (9, 40)


def test_a_storm_has_ordinary_values() -> None:
    text = '[[population]]\nmodel = "a"\ncount = 3\n[[timeline]]\ndo = "storm"\nat = "+1s"\n'
    [storm] = parse_scenario(text, "x").timeline.happenings
    assert isinstance(storm.action, Storm)
    assert storm.action.outages == 0.2


HEAD = '[[population]]\nname = "homes"\nmodel = "a"\ncount = 3\n'


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("= 3", "f.toml: no TOML"),
        ("", "f.toml, population: there is none"),
        ("[[population]]\ncount = 1\n", "f.toml, [[population]] 1, model: is missing"),
        ('[[population]]\nmodel = "zz"\ncount = 1\n', "1, model: 'zz' is none of a, b"),
        ('[[population]]\nmodel = "a"\nshare = 1\n', "f.toml, meters: is missing"),
        (f"meters = 3\n{HEAD}", "f.toml, meters: populations are counts"),
        (f'{HEAD}[[population]]\nmodel = "b"\nshare = 1\n', "all of them are shares"),
        (f"{HEAD}colour = 3\n", "f.toml, [[population]] 1, colour: is no key of this table"),
        (f"colour = 3\n{HEAD}", "f.toml, colour: is no key"),
        (f'{HEAD}zone = "Europe/Nowhere"\n', "1, zone: 'Europe/Nowhere' is no time zone"),
        (f'{HEAD}greeting = "push"\n', "1, dial_in: greeting and heartbeat are for"),
        (f"{HEAD}{HEAD}", "[[population]] 2, name: 'homes' stands there already"),
        (f"{HEAD}[district]\nname = 'x'\n", "f.toml, district: tables belong here"),
        (f'{HEAD}[[timeline]]\nat = "+1s"\n', "[[timeline]] 1, do: is missing"),
        (f'{HEAD}[[timeline]]\ndo = "rain"\nat = "+1s"\n', "1, do: 'rain' is none of outage"),
        (f'{HEAD}[[timeline]]\ndo = "outage"\nat = "1s"\n', "1, at: '1s' is no moment"),
        (f'{HEAD}[[timeline]]\ndo = "outage"\nat = "24:00"\n', "1, at: '24:00' is no moment"),
        (
            f'{HEAD}[[timeline]]\ndo = "outage"\nat = "18:30"\nevery = "1h"\n',
            "1, every: a local time is one of every day",
        ),
        (
            f'{HEAD}[[timeline]]\ndo = "outage"\nat = "+1s"\nevery = "0s"\n',
            "1, every: once a second at most",
        ),
        (
            f'{HEAD}[[timeline]]\ndo = "outage"\nat = "+1s"\ndistrict = "Hill"\n',
            "1, district: 'Hill' is none of Town",
        ),
        (
            f'{HEAD}[[timeline]]\ndo = "outage"\nat = "+1s"\nfeeder = "Town 1"\n',
            "1, feeder: 'Town 1' is none of Town F1",
        ),
        (f'{HEAD}[[distrikt]]\nname = "Hill"\n', "f.toml, distrikt: is no key of this table"),
        (
            f"meters = 9\n{HEAD.replace('count = 3', 'shar = 1')}[[population]]\nshare = 1\n",
            "1, share: is missing; 'shar' stands there",
        ),
        (
            f'{HEAD}[[timeline]]\ndo = "outage"\nat = "+1s"\nfeeders = "Town F1"\n',
            "1, feeders: is no key of this table; is 'feeder' meant?",
        ),
        (
            f'{HEAD}[[timeline]]\ndo = "outage"\nat = "+1s"\nmeters = "4"\n',
            "1, meters: there are 3 meters",
        ),
        (
            f'{HEAD}[[timeline]]\ndo = "outage"\nat = "+1s"\nmeters = "0-2"\n',
            "1, meters: '0-2': meters are numbered from 1",
        ),
        (
            f'{HEAD}[[timeline]]\ndo = "outage"\nat = "+1s"\nwatts = 3\n',
            "1, watts: is no key of this table",
        ),
        (
            f'{HEAD}[[timeline]]\ndo = "tariff"\nat = "+1s"\nworkday = "00:00 1, 6:10 2"\n',
            "1, workday: '6:10 2' is no time",
        ),
        (
            f'{HEAD}[[timeline]]\ndo = "tariff"\nat = "+1s"\nworkday = "06:00 2, 00:00 1"\n',
            "1, workday: a day begins at 00:00",
        ),
        (
            f'{HEAD}[[timeline]]\ndo = "fault"\nat = "+1s"\nfault = "rain"\n',
            "1, fault: unknown-fault: rain",
        ),
        (
            f'{HEAD}[[fault]]\nfault = "bomb"\nparameters = {{ shape = "egg" }}\n',
            "[[fault]] 1, parameters: bad-parameter: shape: one of nested, oversized",
        ),
        (
            f'{HEAD}[[fault]]\nfault = "hang"\nparameters = {{ blocks = 1 }}\n',
            "[[fault]] 1, parameters: unknown-parameter: blocks: hang has only answer",
        ),
        (f'{HEAD}[[fault]]\nfault = "drip"\nshare = 2\n', "[[fault]] 1, share: a number above 0"),
        ('[[population]]\nmodel = "a"\ncount = 65001\n', "1, count: a whole number from 1"),
        (f"seed = true\n{HEAD}", "f.toml, seed: a whole number"),
        (f"seed = {'9' * 5000}\n{HEAD}", "f.toml: no TOML: Exceeds the limit"),
        (
            f'{HEAD}[[timeline]]\ndo = "event"\nat = "+1s"\nevent = "strong_magnets"\n',
            ", as strong_magnet",
        ),
    ],
)
def test_errors_say_where(text: str, error: str) -> None:
    with pytest.raises(ScenarioError) as raised:
        parse_scenario(text, "f.toml", models=MODELS)
    assert error in str(raised.value)


def test_what_a_file_leaves_out_is_as_the_model_has_it() -> None:
    pushing = attrs.evolve(
        MODELS["a"],
        meter=MeterTable(zone="Asia/Kolkata", listens=False),
        pushes=(ModelPush(obis=Obis.parse("0.0.25.9.0.255"), every_s=5),),
    )
    scenario = parse_scenario(HEAD, "f.toml", models={"a": pushing}, head_end=Target("127.0.0.9"))
    [group] = scenario.population.groups
    assert group.zone == ZoneInfo("Asia/Kolkata")
    assert group.reach == Reach(listens=False, push_to=Target("127.0.0.9"))
    quiet = parse_scenario(f"{HEAD}push = false\n", "f.toml", models={"a": pushing})
    assert quiet.population.groups[0].reach == Reach(listens=False)
    elsewhere = parse_scenario(f'zone = "Europe/Oslo"\n{HEAD}', "f.toml", models=MODELS)
    assert elsewhere.population.groups[0].zone == ZoneInfo("Europe/Oslo")
