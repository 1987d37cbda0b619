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
@click.option("--seed", type=int, default=1, show_default=True, help="Seed of the simulated fleet.")
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
def up(meters: int, seed: int, data: Path | None, port: int | None, simulated_port: int) -> None:
    """
    Start database, Redis, collector, API and console, and a simulated fleet.

    The console answers on 127.0.0.1. A second start finds its data again.
    """
    from hes.cli.supervisor import Options, Supervisor

    options = Options(meters=meters, seed=seed, data=data, port=port, simulated_port=simulated_port)
    raise SystemExit(Supervisor(options).run())
