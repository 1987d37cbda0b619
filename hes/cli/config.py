"""`hes config show`: the effective settings."""

from __future__ import annotations

import click

from hes.settings import load


@click.group()
def config() -> None:
    """Settings of this machine."""


@config.command()
@click.option("--origin", is_flag=True, help="Also say where each value comes from.")
def show(origin: bool) -> None:
    """Print every setting as it stands, secrets masked."""
    for option in load().options():
        line = f"{option.name} = {option.value}"
        click.echo(f"{line}  # {option.origin}" if origin else line)
