"""`hes sim`: simulated meters."""

from __future__ import annotations

import json
import os
import resource
import signal
from contextlib import ExitStack
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any, Final

import click
import trio

from hes import logs
from hes.cli.sim_replay import replay
from hes.models import models
from hes.settings import load
from hes_protocol.models import Model
from hes_simulators import (
    Fleet,
    FleetError,
    FleetSettings,
    MeterNetwork,
    NetworkError,
    Security,
    StartsError,
    TruthLog,
    next_start,
)
from hes_simulators.fleet import DEFAULT_PORT
from hes_simulators.household_meter import MODEL

# The names of contracts.md; what cannot be simulated yet is refused, not imitated.
_MECHANISMS: Final = ("none", "lls", "md5", "sha1", "gmac", "sha256", "ecdsa")


@click.group()
def sim() -> None:
    """Simulated meters."""


sim.add_command(replay)


@sim.command()
@click.option("--meters", type=click.IntRange(1), required=True, help="How many meters.")
@click.option(
    "--network",
    default="127.16.0.0/16",
    show_default=True,
    help="Loopback network; each meter has an address of its own (Linux).",
)
@click.option("--port", type=click.IntRange(0, 65535), default=DEFAULT_PORT, show_default=True)
@click.option(
    "--port-base",
    type=click.IntRange(1, 65535),
    help="Meter i listens on 127.0.0.1, port base + i, instead.",
)
@click.option(
    "--security",
    type=click.Choice(_MECHANISMS),
    default="gmac",
    show_default=True,
    help="Of the management client.",
)
@click.option("--suite", type=click.Choice(("0", "1", "2")), default="0", show_default=True)
@click.option(
    "--pdu",
    type=click.IntRange(64, 65535),
    default=512,
    show_default=True,
    help="The meters' max_receive_pdu_size, octets.",
)
@click.option(
    "--model",
    default=MODEL,
    show_default=True,
    help="One of config/models that is, or inherits from, this one.",
)
@click.option("--hdlc", is_flag=True, help="HDLC over TCP instead of the wrapper.")
@click.option(
    "--profile-days",
    type=click.IntRange(1, 366),
    default=7,
    show_default=True,
    help="Depth of the load profile's buffer.",
)
@click.option("--seed", type=int, default=1, show_default=True)
@click.option("--scenario", help="A scenario by name or file.")
@click.option(
    "--truth-log",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write every captured row, as JSON lines.",
)
@click.option(
    "--keys-out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the file that `hes meter import` reads (mode 0600).",
)
@click.pass_context
def run(context: click.Context, /, **options: Any) -> None:
    """Run a fleet of simulated meters until Ctrl-C."""
    _refuse_unsupported(options)
    try:
        fleet_settings = FleetSettings(
            meters=options["meters"],
            network=MeterNetwork(IPv4Network(options["network"])),
            port=options["port"],
            port_base=options["port_base"],
            security=Security(options["security"]),
            max_receive_pdu_size=options["pdu"],
            profile_days=options["profile_days"],
            seed=options["seed"],
            hdlc=options["hdlc"],
            model=options["model"],
            quirks=_simulated(options["model"]).quirks,
        )
    except (NetworkError, FleetError, ValueError) as error:
        raise click.UsageError(str(error)) from None
    settings = load().settings
    logs.configure(settings.log, "sim")
    _raise_file_limit()
    failure: BaseException | None = None
    try:
        start_number = next_start(settings.data_path / "sim", fleet_settings.seed)
        fleet = Fleet(fleet_settings, start_number=start_number)
        with ExitStack() as stack:
            truth = _truth_log(fleet, options["truth_log"], stack)
            trio.run(_run, fleet, truth, options["keys_out"])
    except* (FleetError, StartsError, OSError) as group:
        failure = group
    while isinstance(failure, BaseExceptionGroup):
        failure = failure.exceptions[0]
    if failure is not None:
        raise click.ClickException(str(failure))
    context.exit(0)


def _refuse_unsupported(options: dict[str, Any]) -> None:
    """Name what is in the contract and not built yet, rather than do something else."""
    if options["security"] not in {member.value for member in Security}:
        raise click.UsageError(f"--security {options['security']} is not supported yet")
    if options["suite"] != "0":
        raise click.UsageError(f"--suite {options['suite']} is not supported yet")
    if options["scenario"]:
        raise click.UsageError("--scenario is not supported yet")


def _simulated(name: str) -> Model:
    """
    The model of this name.

    Raises: UsageError: there is none, or it is no simulated meter's.
    """
    known = {model.name: model for model in models()}
    simulated = {heir for heir, model in known.items() if heir == MODEL or model.inherits == MODEL}
    if name not in simulated:
        raise click.UsageError(f"--model {name} is none of {', '.join(sorted(simulated))}")
    return known[name]


async def _run(fleet: Fleet, truth: TruthLog | None, keys_out: Path | None) -> None:
    """Serve until SIGINT or SIGTERM; ready when every meter answers and every file is written."""
    async with trio.open_nursery() as nursery:
        await nursery.start(_cancel_on_signal, nursery.cancel_scope)
        if truth is not None:
            await nursery.start(truth.run)
        await nursery.start(fleet.serve)
        if keys_out is not None:
            await trio.to_thread.run_sync(_write_keys, fleet, keys_out)
        click.echo(_ready_line(fleet), err=True)


async def _cancel_on_signal(
    scope: trio.CancelScope, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        task_status.started()
        async for _ in signals:
            scope.cancel()


def _truth_log(fleet: Fleet, path: Path | None, stack: ExitStack) -> TruthLog | None:
    if path is None:
        return None
    file = stack.enter_context(path.open("w", encoding="utf-8"))
    return TruthLog(fleet.all_meters, file, fleet.kind.now, fleet.settings.profile_days)


def _write_keys(fleet: Fleet, path: Path) -> None:
    """Write the meter file under another name first: whoever waits for it finds it whole."""
    beside = path.with_name(path.name + ".new")
    beside.unlink(missing_ok=True)
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.writelines(json.dumps(record) + "\n" for record in fleet.meter_file())
    beside.replace(path)


def _ready_line(fleet: Fleet) -> str:
    settings = fleet.settings
    if settings.port_base is None:
        where = f"on {settings.network.network}, port {fleet.port}"
    else:
        where = f"on 127.0.0.1, ports from {settings.port_base}"
    return f"ready: {settings.meters} meters {where}, security {settings.security}"


def _raise_file_limit() -> None:
    """As many sockets as the system lets us have: each session takes one."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
