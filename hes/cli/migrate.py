"""`hes migrate`: bring the database to the present schema, then make use of what the server has."""

from __future__ import annotations

import click

from hes.cli.output import output_option, write_rows
from hes.storage import epochs, migrations
from hes.storage.features import reconcile


@click.command()
@click.option("--dry-run", is_flag=True, help="Only say what would be applied.")
@output_option
def migrate(dry_run: bool, output: str) -> None:
    """
    Apply the migrations that the database has not seen; run it as often as you like.

    Prints the files applied. A database that `hes up` started is migrated by `hes up`.
    """
    from hes import wiring

    with wiring.open_database(application_name="hes migrate") as database:
        files = migrations.pending(database) if dry_run else migrations.migrate(database)
        write_rows(({"migration": name} for name in files), ["migration"], output)
        if not dry_run:
            depth = wiring.settings().intake.buffer_depth_days
            used = reconcile(database, buffer_depth_days=depth)
            epochs.settle(database)
            click.echo(f"{len(files)} applied; readings are in {used}", err=True)
