"""`hes clock`: how far meters' clocks are off, and having one set that is too far off."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

import click

from hes.cli import acting
from hes.cli.board import Time
from hes.cli.output import output_option, write_rows

_DRIFTS: Final = ("model", "meters", "least_s", "median_s", "most_s", "counts")
_ORDER: Final = ("meter_id", "reason", "ordered")


@click.group()
def clock() -> None:
    """Meters' clocks."""


@clock.command()
@click.option("--since", type=Time(), help="Meters that were talked to since; else the last day.")
@output_option
def ls(since: datetime | None, output: str) -> None:
    """How far clocks are ahead of ours, in seconds, by model."""
    from hes import wiring
    from hes.readings import BoardReader

    with wiring.open_database(application_name="hes clock") as database:
        found = BoardReader(database).drifts(since or datetime.now(UTC) - timedelta(days=1))
    write_rows(
        [
            {
                "model": one.model,
                "meters": one.meters,
                "least_s": round(one.least_s, 1),
                "median_s": round(one.median_s, 1),
                "most_s": round(one.most_s, 1),
                "counts": _counts(found.bounds_s, one.counts, output),
            }
            for one in found.models
        ],
        _DRIFTS,
        output,
    )


@clock.command(name="set")
@click.argument("meter", metavar="SERIAL|ID")
@click.option("--why", required=True, help="Kept with the order.")
@click.option("--dry-run", is_flag=True, help="Say what would happen, do nothing.")
@output_option
def set_(meter: str, why: str, dry_run: bool, output: str) -> None:
    """
    Have the next session set a meter's clock, however far it is off.

    By themselves, clocks are set in small steps, and not at all if they are off by more than an
    hour: that leaves out intervals, or brings them twice.
    """
    from hes import wiring
    from hes.meters import Inventory
    from hes.readings import BoardReader

    with wiring.open_database(application_name="hes clock") as database:
        meter_id = Inventory(database).find(meter)
        if not dry_run:
            BoardReader(database).order_clock(meter_id, reason=why, ordered_by=acting.user())
    write_rows([{"meter_id": meter_id, "reason": why, "ordered": not dry_run}], _ORDER, output)


def _counts(bounds_s: tuple[float, ...], counts: tuple[int, ...], output: str) -> object:
    """A list for machines; for people only what is not zero, by its bounds."""
    if output in ("json", "ndjson"):
        return list(counts)
    names = [f"<{bounds_s[0]:g}", *(f"{bound:g}.." for bound in bounds_s)]
    return " ".join(f"{name}: {count}" for name, count in zip(names, counts, strict=True) if count)
