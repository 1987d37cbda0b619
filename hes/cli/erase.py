"""`hes erase`: a person's data, when the occupancy has ended."""

from __future__ import annotations

import getpass
from datetime import UTC, datetime
from typing import Final

import attrs
import click

from hes.cli.output import output_option, write_rows

_COLUMNS: Final = (
    "occupancy_id",
    "erasure_id",
    "meters",
    "evidence",
    "readings",
    "rollups",
    "events",
    "quarantined",
)


@click.command()
@click.argument("contract")
@click.option("--reason", required=True, help="Why; it is recorded.")
@click.option("--occupancy", type=int, help="Only this one, if the contract had several.")
@click.option("--dry-run", is_flag=True, help="Only count what would go and stay.")
@output_option
def erase(contract: str, reason: str, occupancy: int | None, dry_run: bool, output: str) -> None:
    """
    Erase who lived there under a contract, with the readings of that time.

    What bills rest on stays, without the person: docs/operations/erasure.md. This cannot be undone;
    if it is interrupted, run it again.
    """
    from hes import wiring
    from hes.lifecycle.erasure import Erasure
    from hes.storage.erasures import OccupancyUnknownError

    settings = wiring.settings()
    with wiring.open_database(settings, application_name="hes erase") as database:
        eraser = Erasure(database, wiring.open_cache(settings), clock=lambda: datetime.now(UTC))
        stays = [
            stay for stay in eraser.of_contract(contract) if occupancy in (None, stay.occupancy_id)
        ]
        if not stays:
            raise OccupancyUnknownError(f"nobody lived anywhere under the contract {contract!r}")
        erased = (
            eraser.erase(stay.occupancy_id, reason=reason, by=getpass.getuser(), dry_run=dry_run)
            for stay in stays
        )
        write_rows((attrs.asdict(one) for one in erased), _COLUMNS, output)
