"""`hes erase`: a person's data, when the occupancy has ended."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

import attrs
import click

from hes.cli import acting
from hes.cli.output import output_option, write_rows

_MOST_REASON: Final = 1000
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
@click.option("--reason", required=True, help="Why, in up to 1000 characters; it is recorded.")
@click.option("--occupancy", type=int, help="Only this one, if the contract had several.")
@click.option("--tenant", help="Only of this tenant, if several have a contract of this name.")
@click.option("--dry-run", is_flag=True, help="Only count what would go and stay.")
@output_option
def erase(
    contract: str,
    reason: str,
    occupancy: int | None,
    tenant: str | None,
    dry_run: bool,
    output: str,
) -> None:
    """
    Erase who lived there under a contract, with the readings of that time.

    What bills rest on stays, without the person: docs/operations/erasure.md. This cannot be undone;
    if it is interrupted, run it again.
    """
    from hes import wiring
    from hes.lifecycle.erasure import Erasure
    from hes.storage.erasures import OccupancyUnknownError

    if not 1 <= len(reason.strip()) <= _MOST_REASON:
        raise click.BadParameter(f"1 to {_MOST_REASON} characters", param_hint="--reason")
    settings = wiring.settings()
    now = datetime.now(UTC)
    with wiring.open_database(settings, application_name="hes erase") as database:
        eraser = Erasure(database, wiring.open_cache(settings), clock=lambda: now)
        stays = [
            stay
            for stay in eraser.of_contract(contract)
            if occupancy in (None, stay.occupancy_id) and tenant in (None, stay.tenant)
        ]
        if not stays:
            raise OccupancyUnknownError(f"nobody lived anywhere under the contract {contract!r}")
        tenants = sorted({stay.tenant for stay in stays})
        if len(tenants) > 1:
            raise click.UsageError(
                f"{' and '.join(tenants)} have a contract {contract!r}: say which by --tenant"
            )
        ended = [stay for stay in stays if stay.until is not None and stay.until <= now]
        for stay in stays if ended else ():
            if stay not in ended:
                click.echo(f"has not ended, stays: {stay.usage_point}", err=True)
        erased = (
            eraser.erase(stay.occupancy_id, reason=reason, by=acting.user(), dry_run=dry_run)
            for stay in ended or stays
        )
        write_rows((attrs.asdict(one) for one in erased), _COLUMNS, output)
