"""`hes backup`: base backups of the whole server, and whether they are still what they were."""

from __future__ import annotations

import shutil
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from hes.cli.output import output_option, write_rows

if TYPE_CHECKING:
    from hes.lifecycle.backup import Backup
    from hes.settings import Settings

_COLUMNS: Final = ("folder", "made_at", "server", "octets", "seconds")

_programs_option = click.option(
    "--programs",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder of pg_basebackup and pg_verifybackup, of the server's major version.",
)


@click.group()
def backup() -> None:
    """Base backups; archived WAL is added at restore: docs/operations/backup.md."""


@backup.command()
@click.option(
    "--to",
    "folder",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for backups; each gets one of its own in it, named by the time.",
)
@_programs_option
@click.option("--dry-run", is_flag=True, help="Only see that server and programs are there.")
@output_option
def create(folder: Path, programs: Path | None, dry_run: bool, output: str) -> None:
    """
    Make a base backup and verify it. Readers and writers go on meanwhile.

    The role needs the right to replicate: `backup.url`, else `database.url`.
    """
    from hes import wiring
    from hes.domain.errors import PermanentError
    from hes.lifecycle import backup as backups

    settings = wiring.settings()
    url = settings.backup.url or settings.database.url
    if not url:
        raise PermanentError("no database: start one with `hes up`, or set HES_BACKUP_URL")
    bin_folder = programs or find_programs(settings)
    if dry_run:
        backups.check(url)
        click.echo(f"would be made in {folder} by {bin_folder / 'pg_basebackup'}", err=True)
        return
    hidden = not sys.stderr.isatty()
    with click.progressbar(length=100, file=sys.stderr, hidden=hidden) as bar:

        def show(done: int, of: int) -> None:
            bar.update(min(100, 100 * done // max(of, 1)) - bar.pos)

        made = backups.create(
            url, folder, programs=bin_folder, now=datetime.now(UTC), progress=show
        )
    write_rows([_row(made)], _COLUMNS, output)


@backup.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@_programs_option
@output_option
def verify(folder: Path, programs: Path | None, output: str) -> None:
    """Check every file of a backup against its manifest; exit code 1 if it is not whole."""
    from hes import wiring
    from hes.lifecycle import backup as backups

    bin_folder = programs or find_programs(wiring.settings())
    write_rows([_row(backups.verify(folder, programs=bin_folder))], _COLUMNS, output)


def find_programs(settings: Settings) -> Path:
    """
    The folder of PostgreSQL's client programs: those of the servers that we run, else the PATH's.

    Raises: PermanentError: there are none.
    """
    from hes.domain.errors import PermanentError
    from hes.services import ServerMissingError, postgres, sources

    data = settings.data_path
    if (major := postgres.data_major(data / "postgres")) is not None:
        try:
            found = sources.find_postgres(
                data / "servers", data_major=major, report=lambda line: click.echo(line, err=True)
            )
        except ServerMissingError:
            pass
        else:
            return found.bin_folder
    if program := shutil.which("pg_basebackup"):
        return Path(program).parent
    raise PermanentError("no pg_basebackup on this machine: name its folder with --programs")


def _row(made: Backup) -> dict[str, object]:
    return {
        "folder": str(made.folder),
        "made_at": made.made_at,
        "server": made.server,
        "octets": made.octets,
        "seconds": made.seconds,
    }
