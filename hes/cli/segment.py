"""`hes segment`: parts of the network that must not be overrun."""

from __future__ import annotations

from typing import Any, Final

import attrs
import click

from hes.cli.output import output_option, write_rows
from hes.storage.segments import KINDS

_COLUMNS: Final = ("name", "kind", "meters", "running", "max_sessions", "connections_per_s")
_NONE: Final = "none"


class _Limit(click.ParamType[float | str]):
    """A number above zero, or `none`."""

    name = "number|none"

    def __init__(self, number: type[int] | type[float], most: float) -> None:
        self._number = number
        self._most = most

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float | str:
        if value == _NONE:
            return _NONE
        try:
            number = self._number(value)
        except ValueError:
            self.fail(f"{value!r} is no number, nor none", param, ctx)
        if not 0 < number <= self._most:
            self.fail(f"{value} is not above 0 and at most {self._most:g}", param, ctx)
        return number


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
@click.option("--max-sessions", type=_Limit(int, 1_000_000), help="At once; none: no limit.")
@click.option(
    "--connections-per-s", type=_Limit(float, 1_000_000), help="New ones; none: no limit."
)
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
