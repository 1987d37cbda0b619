"""
From the options of `hes sim run` to a fleet with its pace, its timeline and its truth log.

Owns what the options mean and which of them exclude each other. Runs nothing.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import ExitStack
from datetime import datetime
from functools import partial
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any, Final

import attrs
import click
import trio

from hes.cli.sim_fault import control_path
from hes.cli.sim_reach import OPTIONS, pushes_to, reach_of
from hes.models import models
from hes.scenarios import ScenarioNotFoundError, scenario_file
from hes_protocol.models import Model
from hes_simulators import (
    Fleet,
    FleetError,
    FleetSettings,
    MeterNetwork,
    NetworkError,
    Security,
    next_start,
)
from hes_simulators.faults.control import Control
from hes_simulators.known_models import HOUSEHOLD as MODEL
from hes_simulators.persistence import StateFile, StateFileError
from hes_simulators.reach import Reach, Target
from hes_simulators.scenario.director import Director
from hes_simulators.scenario.errors import ScenarioError
from hes_simulators.scenario.file import Scenario, parse_scenario
from hes_simulators.scenario.pace import Pace, PaceError, pace
from hes_simulators.scenario.population import District, Group, Population
from hes_simulators.state import MeterState
from hes_simulators.truth import FileJournal, Journal, NullJournal
from hes_simulators.truth.rows import History, TruthLog

_MEGABYTE: Final = 1_000_000
_DEFAULT_SEED: Final = 1
# What a scenario says itself, so that an option beside it would be heard by nobody.
_SAID_BY_SCENARIO: Final = {"model": "--model", "hdlc": "--hdlc", **OPTIONS}

Task = Callable[..., Awaitable[Any]]


@attrs.frozen
class Show:
    """
    A fleet and all that runs with it.

    `before` are tasks that start before its meters answer, `after` those that start then.
    """

    fleet: Fleet
    scenario: Scenario | None
    before: Sequence[Task]
    after: Sequence[Task]


def open_show(options: Mapping[str, Any], folder: Path, stack: ExitStack) -> Show:
    """
    Make it.

    Args: options: of `hes sim run`. folder: where starts are counted. stack: closes the truth log.
    Raises: click.UsageError: an option that means nothing. StartsError, OSError: as `next_start`.
    """
    scenario = _scenario(options)
    settings = _settings(options, scenario, folder)
    clock = _pace(options)
    journal: Journal = NullJournal()
    before: list[Task] = []
    file = None
    if options["truth_log"] is not None:
        megabytes = options["truth_megabytes"]
        most = None if megabytes is None else megabytes * _MEGABYTE
        append = options["truth_append"]
        file = stack.enter_context(
            FileJournal(options["truth_log"], max_octets=most, append=append)
        )
        journal = file
        before.append(file.run)
    start_number = next_start(folder, settings.seed)
    kept = StateFile(options["state"], settings.seed) if options.get("state") else None
    fleet = Fleet(
        settings,
        start_number=start_number,
        now=clock.now,
        pace=clock,
        journal=journal,
        states=_states(kept),
        keeps=None if kept is None else kept.add,
    )
    if kept is not None:
        before.append(partial(kept.run, fleet.states))
    if file is not None:
        rows = TruthLog(fleet.all_meters, file, clock, history=History(options["truth_history"]))
        before.append(rows.run)
    after: list[Task] = [fleet.let_rest]
    if scenario is not None:
        for rule in scenario.faults:
            fleet.faults.add(rule)
        director = Director(fleet, scenario.timeline, clock, faults=fleet.faults, journal=journal)
        after.append(director.run)
    after.append(partial(_control, fleet, scenario, settings, folder))
    return Show(fleet, scenario, before, after)


def _states(kept: StateFile | None) -> Mapping[int, MeterState]:
    if kept is None:
        return {}
    try:
        return kept.load()
    except StateFileError as error:
        raise click.UsageError(f"--state: {error}") from None


async def _control(
    fleet: Fleet,
    scenario: Scenario | None,
    settings: FleetSettings,
    folder: Path,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Where `hes sim fault` finds the fleet: a socket named after its port, known by now."""
    if scenario is None:
        group = Group(name=settings.model, model=settings.model, count=settings.meters)
        people = Population([group], [District(name="Town")], settings.seed)
    else:
        people = scenario.population
    control = Control(fleet, people, fleet.faults, fleet.pace, fleet.journal)
    port = fleet.port if settings.port_base is None else settings.port_base
    await control.run(control_path(folder, port), task_status)


def target(text: str, option: str = "--head-end") -> Target:
    """
    `HOST:PORT`, an IPv4 address.

    Raises: click.UsageError: it is none.
    """
    try:
        return Target.parse(text)
    except ValueError:
        raise click.UsageError(
            f"{option} {text}: an IPv4 address and a port belong here, as 127.0.0.1:4059"
        ) from None


def _scenario(options: Mapping[str, Any]) -> Scenario | None:
    if options["scenario"] is None:
        if options["meters"] is None:
            raise click.UsageError("--meters says how many, or --scenario who they are")
        return None
    context = click.get_current_context(silent=True)
    for name, option in _SAID_BY_SCENARIO.items():
        source = context.get_parameter_source(name) if context is not None else None
        if source is click.core.ParameterSource.COMMANDLINE:
            raise click.UsageError(f"{option} is for --meters: a scenario says it of its own")
    try:
        path = scenario_file(options["scenario"])
        return parse_scenario(
            path.read_text(encoding="utf-8"),
            path.name,
            models={model.name: model for model in models() if model.simulated},
            seed=options["seed"],
            meters=options["meters"],
            head_end=target(options["head_end"]),
        )
    except (ScenarioError, ScenarioNotFoundError) as error:
        raise click.UsageError(str(error)) from None
    except UnicodeDecodeError:
        raise click.UsageError(f"{options['scenario']} is no text in UTF-8") from None


def _settings(options: Mapping[str, Any], scenario: Scenario | None, folder: Path) -> FleetSettings:
    if options["security"] not in {None, *(member.value for member in Security)}:
        raise click.UsageError(f"--security {options['security']} is not supported yet")
    if options["suite"] != "0":
        raise click.UsageError(f"--suite {options['suite']} is not supported yet")
    seed = options["seed"]
    if seed is None:
        seed = _DEFAULT_SEED if scenario is None else scenario.seed
    model, head_end = _simulated(options["model"]), target(options["head_end"])
    try:
        return FleetSettings(
            meters=options["meters"] or 1,
            network=_network(options["network"]),
            port=options["port"],
            port_base=options["port_base"],
            security=None if options["security"] is None else Security(options["security"]),
            max_receive_pdu_size=options["pdu"],
            profile_days=options["profile_days"],
            seed=seed,
            hdlc=options["hdlc"],
            model=options["model"],
            quirks=model.quirks,
            population=None if scenario is None else scenario.population,
            reach=reach_of(options, head_end) if scenario is None else Reach(),
            head_end=pushes_to(options, model, head_end) if scenario is None else head_end,
            destinations=tuple(
                target(text, "--push-destination") for text in options["push_destination"]
            ),
            tls_folder=folder / "tls",
        )
    except (NetworkError, FleetError, ValueError) as error:
        raise click.UsageError(str(error)) from None


def _network(text: str) -> MeterNetwork:
    try:
        return MeterNetwork(IPv4Network(text))
    except NetworkError:
        raise
    except ValueError:
        raise click.UsageError(
            f"--network {text}: a network belongs here, as 127.16.0.0/16"
        ) from None


def _pace(options: Mapping[str, Any]) -> Pace:
    from_ = None
    if options["from_"] is not None:
        try:
            from_ = datetime.fromisoformat(options["from_"])
        except ValueError:
            raise click.UsageError(f"--from {options['from_']} is no time (RFC 3339)") from None
        if from_.tzinfo is None:
            raise click.UsageError("--from needs its offset from UTC, `Z` or `+01:00`")
    try:
        return pace(options["factor"], from_, ahead=options["ahead"])
    except PaceError as error:
        raise click.UsageError(str(error)) from None


def _simulated(name: str) -> Model:
    """
    The model of this name.

    Raises: UsageError: there is none, or no meter of it can be simulated.
    """
    known = {model.name: model for model in models()}
    simulated = {
        heir
        for heir, model in known.items()
        if model.simulated or heir == MODEL or model.inherits == MODEL
    }
    if name not in simulated:
        raise click.UsageError(f"--model {name} is none of {', '.join(sorted(simulated))}")
    return known[name]
