"""
`hes meter`: the inventory from the command line.

Secrets are never arguments, which every user of the machine can see, nor printed: they come in a
file or on stdin.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO, Final

import attrs
import click

from hes.cli.output import cell, output_option, write_document, write_rows, write_table

if TYPE_CHECKING:
    from hes.meters import ImportReport, Inventory, MeterDetail, MeterRow, PlaceRow

_FAILURE: Final = 1
_PARTIAL: Final = 3

_LIST_COLUMNS: Final = (
    "serial",
    "model",
    "transport",
    "address",
    "port",
    "timezone",
    "mechanism",
    "state",
    "commissioned_at",
    "last_session_at",
    "last_outcome",
    "last_cause",
    "last_reading_at",
    "system_title",
    "meter_id",
)
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
_ASSOCIATION_COLUMNS: Final = (
    "client_sap",
    "server_sap",
    "mechanism",
    "suite",
    "policy",
    "has_secret",
    "has_ek",
    "has_ak",
    "accepted_counter",
    "reserved_to",
)
_PROFILE_COLUMNS: Final = ("obis", "capture_period_s", "columns")
_PLACE_COLUMNS: Final = (
    "usage_point",
    "measures",
    "site",
    "transformer",
    "feeder",
    "since",
    "until",
    "ct_ratio",
    "vt_ratio",
)
_SESSION_COLUMNS: Final = ("ended_at", "inbound", "phase", "outcome", "cause", "clock_drift_s")


@click.group()
def meter() -> None:
    """One meter or a file of them."""


@meter.command()
@click.option("--search", help="Part of a serial, an address or a system title in hex.")
@click.option("--limit", type=click.IntRange(1, 1000), default=100, help="Meters per page.")
@click.option("--cursor", help="Go on where the page before ended.")
@click.option("--all", "whole", is_flag=True, help="All pages.")
@output_option
def ls(search: str | None, limit: int, cursor: str | None, whole: bool, output: str) -> None:
    """List meters in the order of their serials."""
    with _inventory(keys=False) as inventory:
        pages = _Pages(inventory, search=search, limit=limit, cursor=cursor, whole=whole)
        columns = _TABLE_COLUMNS if output == "table" else _LIST_COLUMNS
        write_rows((_list_row(row) for row in pages.rows()), columns, output)
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
    document = _detail_document(detail)
    if output == "table":
        _write_detail(document)
    elif output == "csv":
        write_rows([_list_row(detail.row)], _LIST_COLUMNS, output)
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
@output_option
@click.pass_context
def import_(
    ctx: click.Context, file: BinaryIO, dry_run: bool, on_existing: str, output: str
) -> None:
    """
    Import a meter file: JSON lines, one meter each; `-` reads stdin.

    Rows with errors are listed and left out; then the exit code is 3, or 1 if none was good.
    """
    from hes.meters import bounded_lines

    with _inventory(keys=True) as inventory, _progress(file, bounded_lines(file)) as lines:
        report = inventory.import_file(lines, dry_run, on_existing)
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
        report = inventory.import_file([text], dry_run, "error")
    ctx.exit(_write_report(report, output))


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
    ) -> None:
        self._inventory = inventory
        self._search = search
        self._limit = limit
        self._whole = whole
        self.next_cursor = cursor
        self.total = 0

    def rows(self) -> Iterator[MeterRow]:
        """The meters, page by page."""
        while True:
            page = self._inventory.page(self.next_cursor, self._limit, self._search)
            yield from page.items
            self.next_cursor, self.total = page.next_cursor, page.total_estimate
            if self.next_cursor is None or not self._whole:
                return


def _list_row(row: MeterRow) -> dict[str, object]:
    from hes.meters.association_rows import MECHANISM_NAMES

    fields = attrs.asdict(row, recurse=False)
    fields["mechanism"] = None if row.mechanism is None else MECHANISM_NAMES[row.mechanism]
    return {column: fields[column] for column in _LIST_COLUMNS}


def _detail_document(detail: MeterDetail) -> dict[str, Any]:
    from hes.meters.association_rows import MECHANISM_NAMES

    return {
        **_list_row(detail.row),
        "created_at": detail.created_at,
        "peer": detail.peer,
        "id_object": None if detail.id_object is None else str(detail.id_object),
        "id_value": detail.id_value,
        "due": None if detail.due is None else attrs.asdict(detail.due),
        "associations": [
            {
                **attrs.asdict(association, recurse=False),
                "mechanism": MECHANISM_NAMES[association.mechanism],
                "policy": association.policy.name.lower(),
            }
            for association in detail.associations
        ],
        "knowledge": None
        if detail.knowledge is None
        else {
            "learnt_at": detail.knowledge.learnt_at,
            "objects": detail.knowledge.objects,
            "profiles": [
                {
                    "obis": str(profile.obis),
                    "capture_period_s": profile.capture_period_s,
                    "columns": len(profile.columns),
                }
                for profile in detail.knowledge.profiles
            ],
        },
        "groups": list(detail.groups),
        "places": [_place_row(place) for place in detail.places],
        "sessions": [attrs.asdict(session, recurse=False) for session in detail.sessions],
    }


def _place_row(place: PlaceRow) -> dict[str, object]:
    fields = attrs.asdict(place, recurse=False)
    fields["ct_ratio"], fields["vt_ratio"] = str(fields.pop("ct")), str(fields.pop("vt"))
    return fields


def _write_detail(document: dict[str, Any]) -> None:
    """Print a meter for a person: its fields, then a table for each list."""
    fields = dict(document)
    associations, sessions = fields.pop("associations"), fields.pop("sessions")
    knowledge, due = fields.pop("knowledge"), fields.pop("due")
    places = fields.pop("places")
    fields["groups"] = ", ".join(fields["groups"])
    if due is not None:
        fields["due_at"], fields["failures"] = due["due_at"], due["failures"]
        fields["leased_until"] = due["leased_until"]
    if knowledge is not None:
        fields["learnt_at"], fields["objects"] = knowledge["learnt_at"], knowledge["objects"]
    write_table([[name.replace("_", " "), cell(value)] for name, value in fields.items()])
    sections: list[tuple[str, list[dict[str, object]], Sequence[str]]] = [
        ("places", places, _PLACE_COLUMNS),
        ("associations", associations, _ASSOCIATION_COLUMNS),
        ("profiles", knowledge["profiles"] if knowledge else [], _PROFILE_COLUMNS),
        ("sessions", sessions, _SESSION_COLUMNS),
    ]
    for name, rows, columns in sections:
        if rows:
            click.echo(f"\n{name}:")
            write_rows(rows, columns, "table")


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
