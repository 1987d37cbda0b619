"""
Scenario files: TOML that says who the meters are and what happens to them.

Owns the format (docs/how-to/simulate-a-fleet.md shows it), whose text is passed in; reads no file.

    title = "What people read"
    seed = 7                            # places, chance and, unless said otherwise, keys and curves
    meters = 100                        # where populations are shares
    zone = "Europe/Berlin"

    [[population]]                      # `share` or `count` of meters of a `model`
    [[district]]                        # where they hang
    [[fault]]                           # what some of them do wrong all the time
    [[timeline]]                        # `do` something `at` a moment to some of them

Whatever is wrong is a `ScenarioError` that names file, table and key.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from datetime import time
from typing import Any, Final
from zoneinfo import ZoneInfo

import attrs

from hes_protocol.models import Model
from hes_simulators.energy import LOADS
from hes_simulators.faults import Meters, Rule
from hes_simulators.meter import Security
from hes_simulators.randomness import stream_key
from hes_simulators.reach import DialIn, Greeting, Reach, Target
from hes_simulators.scenario import tables
from hes_simulators.scenario.actions import ACTIONS, read_fault
from hes_simulators.scenario.errors import ScenarioError
from hes_simulators.scenario.population import DEFAULT_ZONE, District, Group, Population
from hes_simulators.scenario.spans import SECOND_US, span_us
from hes_simulators.scenario.tables import Table
from hes_simulators.scenario.timeline import After, Choice, Daily, Happening, Timeline

MOST_METERS: Final = 65_000
_LEAST_REPEAT_US: Final = SECOND_US
_CLOCK_TIME: Final = re.compile(r"([01]\d|2[0-3]):([0-5]\d)(?::([0-5]\d))?")
_DEFAULT: Final = ZoneInfo(DEFAULT_ZONE)
_LOCAL: Final = Target("127.0.0.1")


@attrs.frozen(kw_only=True)
class Scenario:
    """
    A scenario, ready to be played.

    Args: name: of the file. title: for people. seed: all chance follows from it. population: the
        meters. faults: rules that stand from the start. timeline: what happens.
    """

    name: str
    title: str
    seed: int
    population: Population
    faults: tuple[Rule, ...]
    timeline: Timeline


def parse_scenario(
    text: str,
    name: str,
    *,
    models: Mapping[str, Model] | None = None,
    seed: int | None = None,
    meters: int | None = None,
    head_end: Target = _LOCAL,
) -> Scenario:
    """
    Read a scenario file.

    Args:
        text: of the file. name: of it, for errors and people.
        models: by name those that there are; None: any name is taken. What a file leaves out
            (zone, whether meters listen, whether they push) is as the model has it.
        seed, meters: instead of what the file says; `meters` only where populations are shares.
        head_end: whom meters call and push to.
    Raises: ScenarioError: what is wrong, and where.
    """
    try:
        root = Table(name, tomllib.loads(text))
    except (ValueError, RecursionError) as error:  # also too many digits, nesting without end
        raise ScenarioError(name, f"no TOML: {error}") from None
    title = root.take("title", tables.text, name)
    own_seed = root.take("seed", tables.whole(0, 2**63 - 1), 1)
    seed = own_seed if seed is None else seed
    zone = root.take("zone", tables.zone, None)
    own_meters = root.take("meters", tables.whole(1, MOST_METERS), None)
    sections = {key: root.tables(key) for key in ("population", "district", "fault", "timeline")}
    root.end()  # a heading that is misspelt is told before what is missing without it
    groups = _groups(root, sections["population"], own_meters, zone, models, meters, head_end)
    districts = _unique([_district(one) for one in sections["district"]], name, "district")
    population = Population(groups, districts or [District(name="Town")], seed)
    faults = _unique([_fault(one, population, seed) for one in sections["fault"]], name, "fault")
    happenings = _unique(
        [_happening(one, population, zone or _DEFAULT) for one in sections["timeline"]],
        name,
        "timeline",
    )
    return Scenario(
        name=name,
        title=title,
        seed=seed,
        population=population,
        faults=tuple(faults),
        timeline=Timeline(happenings, population, seed),
    )


def read_line(values: Mapping[str, Any], population: Population, seed: int) -> Timeline:
    """
    One line of a timeline that begins now, whoever asks for it while a fleet runs.

    Args: values: as in a file, without `at` and `every`. seed: chance.
    Raises: ScenarioError: as `parse_scenario`.
    """
    keys = Table("line", {"at": "+0s", **values})
    return Timeline([_happening(keys, population, ZoneInfo("UTC"))], population, seed)


def read_rule(values: Mapping[str, Any], population: Population, seed: int) -> Rule:
    """
    One rule for faults, as a table of `[[fault]]` says it.

    Raises: ScenarioError: as `parse_scenario`.
    """
    return _fault(Table("fault", values), population, seed)


# --- who ----------------------------------------------------------------------------------------


def _groups(
    root: Table,
    found: Sequence[Table],
    said: int | None,
    zone: ZoneInfo | None,
    models: Mapping[str, Model] | None,
    wanted: int | None,
    head_end: Target,
) -> list[Group]:
    if not found:
        raise root.error("population", "there is none: who are the meters?")
    by_share = any("share" in one for one in found)
    if by_share and any("count" in one for one in found):
        raise root.error("population", "all of them are shares, or all are counts")
    if by_share:
        total = said if wanted is None else wanted
        if total is None:
            raise root.error("meters", "is missing: populations are shares of it")
        counts = _apportioned([one.take("share", tables.share) for one in found], total)
    else:
        if said is not None or wanted is not None:
            raise root.error("meters", "populations are counts: how many there are is their sum")
        counts = [one.take("count", tables.whole(1, MOST_METERS)) for one in found]
    if sum(counts) > MOST_METERS:
        raise root.error("population", f"{sum(counts)} meters are more than {MOST_METERS}")
    groups = [
        _group(one, count, zone, models, head_end) for one, count in zip(found, counts, strict=True)
    ]
    return [one for one in _unique(groups, root.where, "population") if one.count]


def _apportioned(shares: Sequence[float], total: int) -> list[int]:
    """Whole numbers in proportion, by largest remainders; their sum is `total`."""
    whole = sum(shares)
    exact = [total * share / whole for share in shares]
    counts = [int(one) for one in exact]
    by_rest = sorted(range(len(exact)), key=lambda place: counts[place] - exact[place])
    for place in by_rest[: total - sum(counts)]:
        counts[place] += 1
    return counts


def _group(
    keys: Table,
    count: int,
    zone: ZoneInfo | None,
    models: Mapping[str, Model] | None,
    head_end: Target,
) -> Group:
    name = keys.take("model", tables.text)
    model = None if models is None else models.get(name)
    if models is not None and model is None:
        raise keys.error("model", f"{name!r} is none of {', '.join(sorted(models))}")
    if zone is None:
        table = None if model is None else model.meter
        zone = _DEFAULT if table is None else ZoneInfo(table.zone)
    group = Group(
        name=keys.take("name", tables.text, name),
        model=name,
        count=count,
        curve=keys.take("curve", tables.one_of(*LOADS), None),
        zone=keys.take("zone", tables.zone, zone),
        security=keys.take("security", tables.one_of(*Security), None),
        profile_days=keys.take("profile_days", tables.whole(1, 366), None),
        pdu=keys.take("pdu", tables.whole(64, 65_535), None),
        reach=_reach(keys, model, head_end),
    )
    keys.end()
    return group


def _reach(keys: Table, model: Model | None, head_end: Target) -> Reach:
    """What the file says; what it leaves out as the model has it."""
    dials = keys.take("dial_in", tables.flag, False)
    greeting = keys.take("greeting", tables.one_of(*Greeting), None)
    heartbeat_us = keys.take("heartbeat", tables.span, None)
    if not dials and (greeting is not None or heartbeat_us is not None):
        raise keys.error("dial_in", "greeting and heartbeat are for meters that dial in")
    tls = keys.take("tls", tables.flag, False)
    dial_in = None
    if dials:
        dial_in = DialIn(
            target=head_end,
            greeting=Greeting.IDENTITY if greeting is None else Greeting(greeting),
            heartbeat_s=None if heartbeat_us is None else heartbeat_us / SECOND_US,
            tls=tls,
        )
    listens = model is None or model.meter is None or model.meter.listens
    pushes = model is not None and bool(model.pushes)
    return Reach(
        listens=keys.take("listens", tables.flag, listens and not dials),
        tls=tls,
        udp=keys.take("udp", tables.flag, False),
        meters_per_address=keys.take("meters_per_address", tables.whole(1, 4096), 1),
        one_session=keys.take("one_session", tables.flag, False),
        dial_in=dial_in,
        push_to=head_end if keys.take("push", tables.flag, pushes) else None,
        push_tls=tls,
    )


def _district(keys: Table) -> District:
    district = District(
        name=keys.take("name", tables.text),
        share=keys.take("share", tables.share, 1.0),
        feeders=keys.take("feeders", tables.whole(1, 1000), 1),
        transformers=keys.take("transformers", tables.whole(1, 1000), 1),
    )
    keys.end()
    return district


# --- what happens -------------------------------------------------------------------------------


def _choice(keys: Table, population: Population) -> Choice:
    """
    Whom a table is about.

    Raises: ScenarioError: nobody has that name or number.
    """
    choice = Choice(
        group=keys.take("population", tables.text, None),
        district=keys.take("district", tables.text, None),
        feeder=keys.take("feeder", tables.text, None),
        meters=keys.take("meters", tables.numbers, None),
        share=keys.take("share", tables.share, 1.0),
    )
    try:
        found = choice.of(population)
    except KeyError as error:
        named = {"population": choice.group, "district": choice.district, "feeder": choice.feeder}
        key = next(key for key, value in named.items() if value == error.args[0])
        wanted = str(error.args[0])
        names = tables.few(wanted, population.names(key))
        raise keys.error(key, f"{wanted!r} is none of {names}") from None
    if choice.meters is not None and max(choice.meters) >= len(population):
        raise keys.error("meters", f"there are {len(population)} meters")
    if not len(found):
        raise keys.error("population", "no meter is all of that")
    return choice


def _fault(keys: Table, population: Population, seed: int) -> Rule:
    name = keys.take("name", tables.text, None)
    fault = read_fault(keys)
    choice = _choice(keys, population)
    name = fault.name if name is None else name
    key = stream_key(seed, "scenario", "fault", name)
    indices = choice.drawn(choice.of(population), key)
    rule = Rule(
        name=name,
        fault=fault,
        meters=Meters(frozenset(indices.tolist())),
        every=keys.take("every", tables.whole(1, 10**6), 1),
        probability=keys.take("probability", tables.share, 1.0),
    )
    keys.end()
    return rule


def _happening(keys: Table, population: Population, zone: ZoneInfo) -> Happening:
    do = keys.take("do", tables.one_of(*ACTIONS))
    # One line of a kind needs no name of its own: chance follows from the kind.
    name = keys.take("name", tables.text, do)
    when = _when(keys, zone)
    times = keys.take("times", tables.whole(1, 10**6), None)
    over_us = keys.take("over", tables.span, 0)
    choice = _choice(keys, population)
    action = ACTIONS[do](keys)
    keys.end()
    return Happening(
        name=name, action=action, choice=choice, when=when, times=times, over_us=over_us
    )


def _when(keys: Table, zone: ZoneInfo) -> After | Daily:
    at = keys.take("at", _moment)
    every_us = keys.take("every", tables.span, None)
    if isinstance(at, time):
        if every_us is not None:
            raise keys.error("every", "a local time is one of every day already")
        return Daily(at, zone)
    if every_us is not None and every_us < _LEAST_REPEAT_US:
        raise keys.error("every", "once a second at most")
    return After(at, every_us)


def _moment(value: object) -> int | time:
    text = tables.text(value)
    if text.startswith("+"):
        return span_us(text)
    found = _CLOCK_TIME.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is no moment: `+60s` after the start, or a local time `18:30`")
    hour, minute, second = (int(part or 0) for part in found.groups())
    return time(hour, minute, second)


def _unique(found: list[Any], where: str, table: str) -> list[Any]:
    """Raises: ScenarioError: two have one name."""
    names: set[str] = set()
    for number, one in enumerate(found, 1):
        if one.name in names:
            raise ScenarioError(
                f"{where}, [[{table}]] {number}, name", f"{one.name!r} stands there already"
            )
        names.add(one.name)
    return found
