"""`hes sim`: simulated meters."""

from __future__ import annotations

import json
import os
import resource
import signal
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import click
import trio

from hes import logs
from hes.cli.sim_fault import fault
from hes.cli.sim_models import sim_models
from hes.cli.sim_proxy import proxy
from hes.cli.sim_reach import reach_options
from hes.cli.sim_replay import replay
from hes.cli.sim_show import Show, open_show
from hes.settings import load
from hes_simulators import Fleet, FleetError, StartsError
from hes_simulators.faults.lines import ControlError
from hes_simulators.fleet import DEFAULT_PORT
from hes_simulators.known_models import HOUSEHOLD as MODEL
from hes_simulators.truth.rows import History

# The names of contracts.md.
_MECHANISMS: Final = ("none", "lls", "md5", "sha1", "gmac", "sha256", "ecdsa")


@click.group()
def sim() -> None:
    """Simulated meters."""


sim.add_command(sim_models)
sim.add_command(replay)
sim.add_command(fault)
sim.add_command(proxy)


@sim.command()
@click.option("--meters", type=click.IntRange(1), help="How many meters.")
@click.option(
    "--network",
    default="127.16.0.0/16",
    show_default=True,
    help="Loopback network; each meter has an address of its own (Linux).",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=DEFAULT_PORT,
    show_default=True,
    help="Where all meters listen; 0: any that is free.",
)
@click.option(
    "--port-base",
    type=click.IntRange(1, 65535),
    help="Meter i listens on 127.0.0.1, port base + i, instead.",
)
@click.option(
    "--security",
    type=click.Choice(_MECHANISMS),
    help="Of the management client.  [default: the model's]",
)
@click.option(
    "--suite",
    type=click.Choice(("0", "1", "2")),
    default="0",
    show_default=True,
    help="Security suite of the management client.",
)
@click.option(
    "--pdu",
    type=click.IntRange(64, 65535),
    help="The meters' max_receive_pdu_size, octets.  [default: the model's]",
)
@click.option("--model", default=MODEL, show_default=True, help="One of `hes sim models`.")
@click.option("--hdlc", is_flag=True, help="HDLC over TCP instead of the wrapper.")
@click.option(
    "--profile-days",
    type=click.IntRange(1, 366),
    help="Depth of the load profile's buffer.  [default: the model's]",
)
@click.option("--seed", type=int, help="All chance follows from it.  [default: the scenario's, 1]")
@click.option("--scenario", help="By name (demo, city, bad-day) or file: who, and what happens.")
@click.option(
    "--pace",
    "factor",
    type=float,
    default=1.0,
    show_default=True,
    help="Seconds of the meters in a real one; 1440 is a day in a minute.",
)
@click.option(
    "--from",
    "from_",
    metavar="TIME",
    help="The meters' time at the start, RFC 3339; with --pace it runs until it is now.",
)
@click.option("--ahead", is_flag=True, help="Run on into the future, instead of real time.")
@click.option(
    "--head-end",
    metavar="HOST:PORT",
    default="127.0.0.1:4059",
    show_default=True,
    help="Whom meters call and push to.",
)
@click.option(
    "--push-destination",
    metavar="HOST:PORT",
    multiple=True,
    help="Where else clients may let meters push to; nowhere unless said. Can be repeated.",
)
@reach_options
@click.option(
    "--truth-log",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write what really happens, as JSON lines.",
)
@click.option(
    "--truth-history",
    type=click.Choice([member.value for member in History]),
    default=History.BEFORE.value,
    show_default=True,
    help="Whether what buffers hold at the start is written before the fleet is ready, or at all.",
)
@click.option("--truth-append", is_flag=True, help="Go on behind a truth log that is there.")
@click.option(
    "--truth-megabytes",
    type=click.IntRange(1),
    help="Set a truth log that has grown so large aside, and begin another.",
)
@click.option(
    "--state",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Keep the meters' states (clocks, keys, counters, logs, what was written) over restarts.",
)
@click.option(
    "--keys-out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the file that `hes meter import` reads (mode 0600).",
)
@click.pass_context
def run(context: click.Context, /, **options: Any) -> None:
    """Run a fleet of simulated meters until Ctrl-C."""
    settings = load().settings
    logs.configure(settings.log, "sim")
    _raise_file_limit()
    failure: BaseException | None = None
    try:
        with ExitStack() as stack:
            show = open_show(options, settings.data_path / "sim", stack)
            trio.run(_run, show, options["keys_out"])
    except* (FleetError, StartsError, ControlError, OSError) as group:
        failure = group
    while isinstance(failure, BaseExceptionGroup):
        failure = failure.exceptions[0]
    if isinstance(failure, PermissionError):
        raise failure from None
    if isinstance(failure, OSError) and failure.filename is not None:
        raise click.ClickException(f"{failure.filename}: {failure.strerror}")
    if failure is not None:
        raise click.ClickException(str(failure))
    context.exit(0)


async def _run(show: Show, keys_out: Path | None) -> None:
    """Serve until SIGINT or SIGTERM; ready when every meter answers and every file is written."""
    async with trio.open_nursery() as nursery:
        await nursery.start(_cancel_on_signal, nursery.cancel_scope)
        for task in show.before:
            await nursery.start(task)
        await nursery.start(show.fleet.serve)
        if keys_out is not None:
            await trio.to_thread.run_sync(_write_keys, show.fleet, keys_out)
        for task in show.after:
            await nursery.start(task)
        # Whoever has read this line may ask for faults at once.
        click.echo(_ready_line(show), err=True)


async def _cancel_on_signal(
    scope: trio.CancelScope, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        task_status.started()
        async for _ in signals:
            scope.cancel()


def _write_keys(fleet: Fleet, path: Path) -> None:
    """Write the meter file under another name first: whoever waits for it finds it whole."""
    beside = path.with_name(path.name + ".new")
    beside.unlink(missing_ok=True)
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.writelines(json.dumps(record) + "\n" for record in fleet.meter_file())
    beside.replace(path)


def _ready_line(show: Show) -> str:
    fleet = show.fleet
    settings = fleet.settings
    if not fleet.listens:
        heads = " and ".join(sorted(f"{one.host}:{one.port}" for one in fleet.targets))
        where = f"that listen nowhere and speak to {heads or 'nobody'}"
    elif settings.port_base is None:
        where = f"on {settings.network.network}, port {fleet.port}"
    else:
        where = f"on 127.0.0.1, ports from {settings.port_base}"
    if show.scenario is not None:
        return f"ready: {settings.count} meters {where}, scenario {show.scenario.title}"
    return f"ready: {settings.meters} meters {where}, security {fleet.meter(0).kind.security}"


def _raise_file_limit() -> None:
    """As many sockets as the system lets us have: each session takes one."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
