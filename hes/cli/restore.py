"""`hes restore`: what must follow after a database was restored."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import click

from hes.cli.output import output_option, write_rows

if TYPE_CHECKING:
    from hes.storage.epochs import Epoch, Place

_STATUS: Final = ("actual", "known", "moved", "known_until", "leap")
_EPOCH: Final = ("epoch_id", "reason", "known_until", "leap")


@click.group()
def restore() -> None:
    """After the database was restored: docs/operations/backup.md."""


@restore.command()
@output_option
def status(output: str) -> None:
    """Where the database is and was; `moved`: counters will leap at their next use."""
    from hes import wiring
    from hes.storage import epochs

    with wiring.open_database(application_name="hes restore") as database:
        write_rows([_place(epochs.look(database))], _STATUS, output)


@restore.command()
@click.option(
    "--known-until",
    type=click.DateTime(["%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%dT%H:%M:%S%z"]),
    help="Up to when the database is complete, if it says too late a time itself.",
)
@click.option("--dry-run", is_flag=True, help="Only say how far counters would leap.")
@output_option
def finish(known_until: datetime | None, dry_run: bool, output: str) -> None:
    """
    Let counters and lease tokens leap over all that may have been given out since.

    Needed after restores that cannot be seen from within: a disk or a machine that was set back.
    One that was done by backup and WAL is seen; then this does no harm.
    """
    from hes import wiring
    from hes.storage import epochs

    if known_until is not None and known_until.tzinfo is None:
        known_until = known_until.replace(tzinfo=UTC)
    with wiring.open_database(application_name="hes restore") as database:
        if dry_run:
            write_rows([_place(epochs.look(database, known_until=known_until))], _STATUS, output)
            return
        write_rows([_epoch(epochs.begin(database, known_until=known_until))], _EPOCH, output)
    click.echo(
        "counters have leapt; what Redis held is forgotten at the collector's next look; start"
        " collectors now",
        err=True,
    )


def _place(place: Place) -> dict[str, object]:
    return {
        "actual": place.actual,
        "known": place.known,
        "moved": place.moved,
        "known_until": place.known_until,
        "leap": place.leap,
    }


def _epoch(epoch: Epoch) -> dict[str, object]:
    return {
        "epoch_id": epoch.epoch_id,
        "reason": epoch.reason,
        "known_until": epoch.known_until,
        "leap": epoch.leap,
    }
