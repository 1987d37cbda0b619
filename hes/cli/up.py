"""`hes up`: everything on one machine, with embedded servers; Ctrl-C leaves no process."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.option(
    "--meters",
    type=click.IntRange(0, 65_000),
    default=0,
    show_default=True,
    help="How many meters to simulate.",
)
@click.option("--scenario", help="Simulate this: by name (demo, city, bad-day), or a file.")
@click.option(
    "--seed", type=int, help="Seed of the simulated fleet.  [default: the scenario's, or 1]"
)
@click.option(
    "--truth-log",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write what the simulated meters really do, as JSON lines.",
)
@click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    default=None,
    help="Data folder [default: HES_DATA or .hes].",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65_535),
    default=None,
    help="Port of API and console [default: 8080].",
)
@click.option(
    "--simulated-port",
    type=click.IntRange(1, 65_535),
    default=4159,
    show_default=True,
    help="Port of the simulated meters, one on a machine.",
)
@click.option(
    "--read-every",
    "read_every_s",
    type=click.IntRange(10, 86_400),
    metavar="SECONDS",
    help="How often the simulated meters are read.  [default: 60, or as the plan says]",
)
def up(
    meters: int,
    scenario: str | None,
    seed: int | None,
    truth_log: Path | None,
    data: Path | None,
    port: int | None,
    simulated_port: int,
    read_every_s: int | None,
) -> None:
    """
    Start database, Redis, collector, API and console, and a simulated fleet.

    The console answers on 127.0.0.1. A second start finds its data again.
    """
    from hes.cli.supervisor import Options, Supervisor
    from hes.scenarios import ScenarioNotFoundError, scenario_file

    if scenario is not None:
        try:
            # The fleet runs elsewhere: a name by which it finds the file from there, too.
            scenario = str(scenario_file(scenario).resolve())
        except ScenarioNotFoundError as error:
            raise click.UsageError(str(error)) from None
    options = Options(
        meters=meters,
        scenario=scenario,
        seed=seed,
        truth_log=truth_log,
        data=data,
        port=port,
        simulated_port=simulated_port,
        read_every_s=read_every_s,
    )
    raise SystemExit(Supervisor(options).run())
