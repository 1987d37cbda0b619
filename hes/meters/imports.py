"""
Meter files into the inventory: rows are checked one by one and written in chunks.

A wrong row is reported and left out, the others go in. A chunk is written whole or not at all; if
the database goes away half-way, what was written stays, and importing the file again keeps it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import attrs

from hes.keys import KeyService
from hes.meters.chunks import Chunk, Outcome, Terms
from hes.meters.fields import RowError
from hes.meters.files import Format, read_rows
from hes.meters.rows import MeterSpec, parse_fields
from hes.meters.taken import name_in_pushes
from hes.storage.meter_changes import MeterChanges, MeterChangeStore

CHUNK_ROWS: Final = 1000
ERRORS_LISTED: Final = 1000


@attrs.frozen
class ImportedRowError:
    """Why the row on `line` (from 1) was left out; `field` None: the row as a whole."""

    line: int
    serial: str | None
    field: str | None
    message: str


@attrs.frozen
class ImportReport:
    """
    What became of a file's rows; of a dry run, what would have.

    `errors` lists the first `ERRORS_LISTED` of `failed` rows. `kept` rows were there already and
    stayed as they were.
    """

    dry_run: bool
    created: int
    replaced: int
    kept: int
    failed: int
    errors: tuple[ImportedRowError, ...]

    @property
    def rows(self) -> int:
        """How many rows the file held."""
        return self.created + self.replaced + self.kept + self.failed


class Import:
    """
    One run over one file.

    Args:
        changes: where to write.
        keys: wraps the secrets; None for rows without any association.
    """

    def __init__(
        self, changes: MeterChangeStore, keys: KeyService | None, terms: Terms, *, dry_run: bool
    ) -> None:
        self._changes = changes
        self._keys = keys
        self._terms = terms
        self._dry_run = dry_run
        self._seen: dict[object, int] = {}
        self._zones: dict[str, bool] = {}
        self._sum = Outcome()
        self._failed = 0
        self._errors: list[ImportedRowError] = []

    def run(self, lines: Iterable[bytes | str], format_: Format = Format.AUTO) -> ImportReport:
        """
        Import all rows of a file.

        Raises:
            StorageUnavailableError: the database went away; chunks before that are written.
        """
        return self.take(self._parsed(lines, format_))

    def take(self, rows: Iterable[tuple[int, MeterSpec]]) -> ImportReport:
        """
        Import rows that were read already.

        Raises:
            StorageUnavailableError: as `run`.
        """
        chunk: list[tuple[int, MeterSpec]] = []
        for row in rows:
            chunk.append(row)
            if len(chunk) == CHUNK_ROWS:
                self._write(chunk)
                chunk = []
        if chunk:
            self._write(chunk)
        self._errors.sort(key=lambda error: error.line)
        return ImportReport(
            self._dry_run,
            self._sum.created,
            self._sum.replaced,
            self._sum.kept,
            self._failed,
            tuple(self._errors),
        )

    def _parsed(
        self, lines: Iterable[bytes | str], format_: Format
    ) -> Iterator[tuple[int, MeterSpec]]:
        for number, row in read_rows(lines, format_):
            try:
                if isinstance(row, RowError):
                    raise row
                spec = parse_fields(row)
                self._check_unseen(number, spec)
            except RowError as error:
                self._fail(number, error)
            else:
                yield number, spec

    def _check_unseen(self, number: int, spec: MeterSpec) -> None:
        """
        Refuse a second row for one meter, and a second meter under one name.

        Raises:
            RowError: the file has had this serial, system title or name in pushes before.
        """
        names: list[tuple[str, object]] = [("serial", spec.serial)]
        if spec.system_title is not None:
            names.append(("system_title", spec.system_title))
        if spec.id_object is not None:
            names.append(("id_object", name_in_pushes(spec)))
        for field, value in names:
            if (first := self._seen.get((field, value))) is not None:
                raise RowError(field, f"the same as on line {first}", spec.serial)
        self._seen.update(dict.fromkeys(names, number))

    def _write(self, rows: Sequence[tuple[int, MeterSpec]]) -> None:
        """Write one chunk, and count it only once it is committed."""
        with self._changes.chunk(dry_run=self._dry_run) as changes:
            self._learn_zones(changes, rows)
            specs = [spec for _, spec in rows]
            chunk = Chunk(changes, self._keys, specs, self._terms, self._zones.__getitem__)
            outcome = chunk.take(rows)
        self._sum.created += outcome.created
        self._sum.replaced += outcome.replaced
        self._sum.kept += outcome.kept
        for number, failure in outcome.failed:
            self._fail(number, failure)

    def _learn_zones(self, changes: MeterChanges, rows: Sequence[tuple[int, MeterSpec]]) -> None:
        """Ask which zones the server knows: it cuts days by them, with a list of its own."""
        zones = {spec.timezone for _, spec in rows} - self._zones.keys()
        if zones:
            unknown = changes.places.unknown_zones(zones)
            self._zones |= {zone: zone not in unknown for zone in zones}

    def _fail(self, line: int, error: RowError) -> None:
        self._failed += 1
        if len(self._errors) < ERRORS_LISTED:
            self._errors.append(ImportedRowError(line, error.serial, error.field, error.message))
