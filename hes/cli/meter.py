"""
`hes meter`: the inventory from the command line.

Secrets are never arguments, which every user of the machine can see, nor printed: they come in a
file or on stdin.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO, Final

import attrs
import click

from hes.cli.acting import user
from hes.cli.meter_changes import COMMANDS
from hes.cli.meter_shown import LIST_COLUMNS, detail_document, list_row, write_detail
from hes.cli.output import output_option, write_document, write_rows

if TYPE_CHECKING:
    from hes.meters import ImportReport, Inventory, MeterFilter, MeterRow

_FAILURE: Final = 1
_PARTIAL: Final = 3

_TABLE_COLUMNS: Final = (
    "serial",
    "model",
    "address",
    "mechanism",
    "state",
    "last_session_at",
    "last_outcome",
    "last_cause",
    "last_reading_at",
)


@click.group()
def meter() -> None:
    """One meter or a file of them."""


@meter.command()
@click.option("--search", help="Part of a serial, an address or a system title in hex.")
@click.option("--limit", type=click.IntRange(1, 1000), default=100, help="Meters per page.")
@click.option("--cursor", help="Go on where the page before ended.")
@click.option("--all", "whole", is_flag=True, help="All pages.")
@click.option("--state", help="In this state of their lives.")
@click.option("--group", help="In this group.")
@click.option("--tag", help="With this tag.")
@click.option("--segment", help="In this part of the network.")
@click.option("--model", help="Of this model, said or recognised.")
@output_option
def ls(
    search: str | None,
    limit: int,
    cursor: str | None,
    whole: bool,
    output: str,
    **wanted: str | None,
) -> None:
    """List meters in the order of their serials."""
    from hes.meters import MeterFilter

    with _inventory(keys=False) as inventory:
        pages = _Pages(
            inventory,
            search=search,
            limit=limit,
            cursor=cursor,
            whole=whole,
            wanted=MeterFilter(**wanted),
        )
        columns = _TABLE_COLUMNS if output == "table" else LIST_COLUMNS
        write_rows((list_row(row) for row in pages.rows()), columns, output)
        if pages.next_cursor is not None:
            click.echo(
                f"about {pages.total} meters; go on with --cursor {pages.next_cursor} or --all",
                err=True,
            )


@meter.command()
@click.argument("name", metavar="SERIAL|ID")
@output_option
def show(name: str, output: str) -> None:
    """Show one meter: associations (no secrets), last sessions, what was learnt of it."""
    with _inventory(keys=False) as inventory:
        detail = inventory.get(inventory.find(name))
    document = detail_document(detail)
    if output == "table":
        write_detail(document)
    elif output == "csv":
        write_rows([list_row(detail.row)], LIST_COLUMNS, output)
    elif output == "ndjson":
        write_rows([document], (), output)
    else:
        write_document(document)


@meter.command("import")
@click.argument("file", type=click.File("rb"))
@click.option("--dry-run", is_flag=True, help="Check everything, write nothing.")
@click.option(
    "--on-existing",
    type=click.Choice(["keep", "replace", "error"]),
    default="keep",
    help="What becomes of meters that are there already.",
)
@click.option(
    "--format",
    "format_",
    type=click.Choice(["auto", "csv", "ndjson"]),
    default="auto",
    help="How the file is written; told by its first line, if left out.",
)
@click.option("--release", is_flag=True, help="Those in quarantine, if replaced, are read again.")
@output_option
@click.pass_context
def import_(
    ctx: click.Context,
    file: BinaryIO,
    dry_run: bool,
    on_existing: str,
    format_: str,
    release: bool,
    output: str,
) -> None:
    """
    Import a meter file: CSV or JSON lines, one meter each; `-` reads stdin.

    Rows with errors are listed and left out; then the exit code is 3, or 1 if none was good.
    """
    from hes.meters import Format, bounded_lines

    with _inventory(keys=True) as inventory, _progress(file, bounded_lines(file)) as lines:
        report = inventory.import_file(
            lines,
            dry_run,
            on_existing,
            actor=user(),
            format_=Format(format_),
            release=release,
        )
    ctx.exit(_write_report(report, output))


@meter.command()
@click.argument("file", type=click.File("rb"))
@click.option("--dry-run", is_flag=True, help="Check everything, write nothing.")
@output_option
@click.pass_context
def add(ctx: click.Context, file: BinaryIO, dry_run: bool, output: str) -> None:
    """Add one meter: a JSON object with the fields of a meter file, from a file or `-` (stdin)."""
    from hes.meters.lines import LINE_LENGTH_OCTETS

    text = file.read(LINE_LENGTH_OCTETS + 1)
    if not text.strip():
        raise click.UsageError("a JSON object is expected, and nothing came")
    with _inventory(keys=True) as inventory:
        report = inventory.import_file([text], dry_run, "error", actor=user())
    ctx.exit(_write_report(report, output))


for _command in COMMANDS:
    meter.add_command(_command)


@contextmanager
def _inventory(*, keys: bool) -> Iterator[Inventory]:
    """Open the inventory; with keys only for what writes, so that looking needs no KEK."""
    from hes import wiring
    from hes.meters import Inventory

    with wiring.open_database() as database:
        yield wiring.inventory(database) if keys else Inventory(database)


@contextmanager
def _progress(file: BinaryIO, lines: Iterator[bytes]) -> Iterator[Iterator[bytes]]:
    """Show on a terminal how far a file is read; nothing in a pipe, nor for one."""
    length = _length_octets(file)
    hidden = not sys.stderr.isatty() or length == 0

    def counted() -> Iterator[bytes]:
        for line in lines:
            yield line
            bar.update(len(line))

    with click.progressbar(length=length, file=sys.stderr, hidden=hidden) as bar:
        yield counted()


def _length_octets(file: BinaryIO) -> int:
    """The length of a file, 0 for what has none (a pipe, a terminal)."""
    try:
        return os.fstat(file.fileno()).st_size
    except OSError:
        return 0


class _Pages:
    """The pages that one `ls` prints; afterwards where it ended."""

    def __init__(
        self,
        inventory: Inventory,
        *,
        search: str | None,
        limit: int,
        cursor: str | None,
        whole: bool,
        wanted: MeterFilter,
    ) -> None:
        self._inventory = inventory
        self._wanted = wanted
        self._search = search
        self._limit = limit
        self._whole = whole
        self.next_cursor = cursor
        self.total = 0

    def rows(self) -> Iterator[MeterRow]:
        """The meters, page by page."""
        while True:
            page = self._inventory.page(self.next_cursor, self._limit, self._search, self._wanted)
            yield from page.items
            self.next_cursor, self.total = page.next_cursor, page.total_estimate
            if self.next_cursor is None or not self._whole:
                return


def _write_report(report: ImportReport, output: str) -> int:
    """Print what became of a file and return the exit code."""
    errors = [attrs.asdict(error) for error in report.errors]
    counts = {
        "rows": report.rows,
        "created": report.created,
        "replaced": report.replaced,
        "kept": report.kept,
        "failed": report.failed,
    }
    summary = ", ".join(f"{count} {name}" for name, count in counts.items())
    summary = f"dry run, nothing written: {summary}" if report.dry_run else summary
    if output == "json":
        write_document({"dry_run": report.dry_run, **counts, "errors": errors})
    else:
        click.echo(summary, err=output != "table")
        columns = ("line", "serial", "field", "message")
        if errors or output == "csv":
            write_rows(errors, columns, output)
    if report.failed > len(errors):
        click.echo(f"{report.failed - len(errors)} more errors are not listed", err=True)
    if not report.failed:
        return 0
    return _PARTIAL if report.failed < report.rows else _FAILURE
