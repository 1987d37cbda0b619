"""`hes segment`: parts of the network that must not be overrun."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import attrs
import click

from hes.cli.output import output_option, write_rows
from hes.storage.segments import KINDS

_COLUMNS: Final = ("name", "kind", "meters", "running", "max_sessions", "connections_per_s")
_NONE: Final = "none"
_MOST: Final = 1_000_000


def _limit(number: type[int] | type[float]) -> Callable[..., float | str | None]:
    """Take a number above zero, or `none`."""

    def parse(_: click.Context, __: click.Parameter, value: str | None) -> float | str | None:
        if value in (None, _NONE):
            return value
        try:
            limit = number(value)
        except ValueError:
            raise click.BadParameter(f"{value!r} is no number, nor none") from None
        if not 0 < limit <= _MOST:
            raise click.BadParameter(f"{value} is not above 0 and at most {_MOST:,}")
        return limit

    return parse


@click.group()
def segment() -> None:
    """Parts of the network whose meters share limits, over all collectors."""


@segment.command()
@output_option
def ls(output: str) -> None:
    """List the segments with their limits, meters, and sessions that run now."""
    from hes import wiring
    from hes.storage.segments import SegmentStore

    with wiring.open_database(application_name="hes segment") as database:
        rows = [attrs.asdict(row) for row in SegmentStore(database).rows()]
    write_rows(rows, _COLUMNS, output)


@segment.command("set")
@click.argument("name")
@click.option("--max-sessions", callback=_limit(int), help="At once; none: no limit.")
@click.option("--connections-per-s", callback=_limit(float), help="New ones; none: no limit.")
@click.option("--kind", type=click.Choice(KINDS), help="What it is.")
@click.option("--dry-run", is_flag=True, help="Only check.")
def set_(name: str, dry_run: bool, **said: Any) -> None:
    """
    Set what a segment allows; it is made if there is none of this name.

    Which meters belong to it is told by a meter file, or by `hes meter change`.
    """
    from hes import wiring
    from hes.storage.segments import SegmentStore

    if not 1 <= len(name) <= 64 or not name.isprintable():
        raise click.BadParameter("1 to 64 printable characters", param_hint="NAME")
    changes = {
        key: None if value == _NONE else value for key, value in said.items() if value is not None
    }
    if not dry_run:
        with wiring.open_database(application_name="hes segment") as database:
            SegmentStore(database).put(name, changes)
