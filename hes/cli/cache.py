"""`hes cache rebuild`: what Redis holds, anew from the database."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final
from uuid import UUID

import click

if TYPE_CHECKING:
    from hes.storage.database import Database

_PAGE: Final = 200
_SETTLE_S: Final = 1.0


@click.group()
def cache() -> None:
    """What Redis holds: nothing that could not be made anew."""


@cache.command()
@click.option("--dry-run", is_flag=True, help="Only say of how many meters.")
def rebuild(dry_run: bool) -> None:
    """
    Forget all latest values and read them from the database again.

    Collectors and API go on meanwhile; what is not there yet they read from the database. Needed
    only where Redis is doubted: what it lacks or has missed is put right without it.
    """
    from hes import wiring
    from hes.domain.errors import PermanentError
    from hes.pipeline.keeper import CacheKeeper

    settings = wiring.settings()
    held = wiring.open_cache(settings)
    if held is None:
        raise PermanentError("no Redis: start one with `hes up`, or set HES_REDIS_URL")
    with wiring.open_database(settings, application_name="hes cache rebuild") as database, held:
        count = sum(len(page) for page in _pages(database))
        if dry_run:
            click.echo(f"latest values of {count} meters would be read again", err=True)
            return
        keeper = CacheKeeper(database, held)
        keeper.begin()
        settled_at = time.monotonic()
        reader = wiring.latest_values(database, held)
        values = 0
        hidden = not sys.stderr.isatty()
        with click.progressbar(length=count, file=sys.stderr, hidden=hidden) as bar:
            for page in _pages(database):
                values += sum(len(rows) for rows in reader.read(page).rows.values())
                if time.monotonic() - settled_at >= _SETTLE_S:
                    # Whoever else keeps Redis may not run; unsettled it would take nothing.
                    keeper.run_once()
                    settled_at = time.monotonic()
                bar.update(len(page))
        click.echo(f"{values} latest values of {count} meters", err=True)


def _pages(database: Database) -> Iterator[Sequence[UUID]]:
    from hes.storage import meters

    after: UUID | None = None
    while True:
        with database.connection() as connection:
            page = meters.ids_after(connection, after, limit=_PAGE)
        if not page:
            return
        yield page
        after = page[-1]
