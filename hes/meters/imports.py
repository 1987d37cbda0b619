"""
Meter files into the inventory: rows are checked one by one and written in chunks.

A wrong row is reported and left out, the others go in. A chunk is written whole or not at all; if
the database goes away half-way, what was written stays, and importing the file again keeps it.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Final

import attrs

from hes.domain.meters import Meter
from hes.keys import KeyService
from hes.meters.fields import RowError
from hes.meters.placing import Placing
from hes.meters.rows import MeterSpec, parse_row
from hes.storage.meter_changes import KeptMeter, MeterChange, MeterChanges, MeterChangeStore
from hes_protocol.cosem import Obis

CHUNK_ROWS: Final = 1000
ERRORS_LISTED: Final = 1000


class OnExisting(StrEnum):
    """What becomes of a row whose serial is in the inventory already."""

    KEEP = "keep"
    REPLACE = "replace"
    ERROR = "error"


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
        keys: wraps the secrets.
        clock: the time now, as an aware datetime.
    """

    def __init__(
        self,
        changes: MeterChangeStore,
        keys: KeyService,
        *,
        dry_run: bool,
        on_existing: OnExisting,
        clock: Callable[[], datetime],
    ) -> None:
        self._changes = changes
        self._keys = keys
        self._dry_run = dry_run
        self._on_existing = on_existing
        self._clock = clock
        self._seen: dict[object, int] = {}
        self._zones: dict[str, bool] = {}
        self._created = self._replaced = self._kept = self._failed = 0
        self._errors: list[ImportedRowError] = []

    def run(self, lines: Iterable[bytes | str]) -> ImportReport:
        """
        Import all rows.

        Raises:
            StorageUnavailableError: the database went away; chunks before that are written.
        """
        chunk: list[tuple[int, MeterSpec]] = []
        for row in self._rows(lines):
            chunk.append(row)
            if len(chunk) == CHUNK_ROWS:
                self._write(chunk)
                chunk = []
        if chunk:
            self._write(chunk)
        self._errors.sort(key=lambda error: error.line)
        return ImportReport(
            self._dry_run,
            self._created,
            self._replaced,
            self._kept,
            self._failed,
            tuple(self._errors),
        )

    def _rows(self, lines: Iterable[bytes | str]) -> Iterator[tuple[int, MeterSpec]]:
        for number, line in enumerate(lines, start=1):
            octets = line.encode(errors="replace") if isinstance(line, str) else line
            octets = octets.strip()
            if not octets:
                continue
            try:
                spec = parse_row(octets)
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
            names.append(("id_object", _name_in_pushes(spec)))
        for field, value in names:
            if (first := self._seen.get((field, value))) is not None:
                raise RowError(field, f"the same as on line {first}", spec.serial)
        self._seen.update(dict.fromkeys(names, number))

    def _write(self, chunk: Sequence[tuple[int, MeterSpec]]) -> None:
        """Write one chunk, and count it only once it is committed."""
        now = self._clock()
        failed: list[tuple[int, RowError]] = []
        created: list[MeterChange] = []
        replaced: list[MeterChange] = []
        kept = 0
        with self._changes.chunk(dry_run=self._dry_run) as changes:
            there = changes.kept([spec.serial for _, spec in chunk])
            taken = _Taken.among(changes, [spec for _, spec in chunk])
            self._learn_zones(changes, chunk)
            replacing = self._on_existing is OnExisting.REPLACE
            placing = Placing(
                changes.places,
                [spec.place for _, spec in chunk if spec.place is not None],
                frozenset(meter.meter_id for meter in there.values() if replacing),
                replacing=replacing,
            )
            for number, spec in chunk:
                existing = there.get(spec.serial)
                if existing is not None and self._on_existing is OnExisting.KEEP:
                    kept += 1
                    continue
                try:
                    self._check_change(spec, existing, taken)
                    change = self._change(spec, existing, now)
                    self._place(placing, spec, change)
                except RowError as error:
                    failed.append((number, error))
                    continue
                (created if existing is None else replaced).append(change)
            changes.insert(created)
            changes.replace(replaced)
            placing.write()
        self._created += len(created)
        self._replaced += len(replaced)
        self._kept += kept
        for number, failure in failed:
            self._fail(number, failure)

    def _learn_zones(self, changes: MeterChanges, chunk: Sequence[tuple[int, MeterSpec]]) -> None:
        """Ask which zones the server knows: it cuts days by them, with a list of its own."""
        zones = {spec.timezone for _, spec in chunk} - self._zones.keys()
        if zones:
            unknown = changes.places.unknown_zones(zones)
            self._zones |= {zone: zone not in unknown for zone in zones}

    def _place(self, placing: Placing, spec: MeterSpec, change: MeterChange) -> None:
        """
        Take up where the meter hangs, and its groups.

        Raises:
            RowError: the row contradicts what is known of the place.
        """
        meter = change.meter
        if spec.place is not None:
            try:
                placing.put(
                    meter.meter_id, meter.serial, spec.place, spec.timezone, meter.commissioned_at
                )
            except RowError as error:
                error.serial = spec.serial
                raise
        if spec.groups is not None:
            placing.group(meter.meter_id, spec.groups)

    def _check_change(self, spec: MeterSpec, existing: KeptMeter | None, taken: _Taken) -> None:
        """
        Refuse what contradicts the inventory.

        Raises:
            RowError: the meter exists and should not, a name is another meter's, or the meter's
                keys would change while it is being read.
        """
        if existing is not None and self._on_existing is OnExisting.ERROR:
            raise RowError("serial", "is in the inventory already", spec.serial)
        if not self._zones[spec.timezone]:
            raise RowError("timezone", "is not known to the database's server", spec.serial)
        taken.check(spec)
        if existing is not None and existing.leased:
            self._check_leased(spec, existing)

    def _check_leased(self, spec: MeterSpec, existing: KeptMeter) -> None:
        """
        Refuse another key, or another device, while a session with the meter may be under way.

        The session has the old key and would use it with the new key's counters: a pair of key
        and counter could come twice. Nobody takes a lease until this chunk is committed.

        Raises:
            RowError: the encryption key or the system title would change.
        """
        fingerprint = self._keys.fingerprint(spec.secrets)
        known = frozenset() if fingerprint is None else frozenset({fingerprint})
        message = "cannot change while the meter is being read; import again"
        if existing.key_fingerprints != known:
            raise RowError("ek", message, spec.serial)
        if existing.system_title not in (None, self._system_title(spec, existing)):
            raise RowError("system_title", message, spec.serial)

    def _system_title(self, spec: MeterSpec, existing: KeptMeter | None) -> bytes | None:
        """
        The title of the row, else the one that the meter has shown under the key that it keeps.

        With another key it may be another device, whose title nobody knows yet.
        """
        if spec.system_title is not None or existing is None:
            return spec.system_title
        same_key = self._keys.fingerprint(spec.secrets) in existing.key_fingerprints
        return existing.system_title if same_key else None

    def _change(self, spec: MeterSpec, existing: KeptMeter | None, now: datetime) -> MeterChange:
        meter_id = uuid.uuid4() if existing is None else existing.meter_id
        commissioned_at = spec.commissioned_at
        if commissioned_at is None:
            commissioned_at = now if existing is None else existing.commissioned_at
        wrapped = self._keys.wrap(meter_id, spec.association.client_sap, spec.secrets)
        meter = Meter(
            meter_id=meter_id,
            serial=spec.serial,
            timezone=spec.timezone,
            transport=spec.transport,
            association=spec.association,
            commissioned_at=commissioned_at,
            system_title=self._system_title(spec, existing),
            address=spec.address,
            port=spec.port,
            model=spec.model,
            id_object=spec.id_object,
            peer=spec.peer,
        )
        return MeterChange(meter, spec.id_value, wrapped)

    def _fail(self, line: int, error: RowError) -> None:
        self._failed += 1
        if len(self._errors) < ERRORS_LISTED:
            self._errors.append(ImportedRowError(line, error.serial, error.field, error.message))


def _name_in_pushes(spec: MeterSpec) -> tuple[Obis | None, str]:
    return spec.id_object, spec.id_value if spec.id_value is not None else spec.serial


@attrs.frozen
class _Taken:
    """Whose the system titles and names in pushes of a chunk are already."""

    titles: Mapping[bytes, str]
    names: Mapping[tuple[Obis, str], str]

    @classmethod
    def among(cls, changes: MeterChanges, specs: Sequence[MeterSpec]) -> _Taken:
        """Look them up."""
        names = [_name_in_pushes(spec) for spec in specs]
        return cls(
            changes.titles([spec.system_title for spec in specs if spec.system_title is not None]),
            changes.named_in_pushes([(obis, text) for obis, text in names if obis is not None]),
        )

    def check(self, spec: MeterSpec) -> None:
        """
        Refuse what is another meter's.

        Raises:
            RowError: the system title, or the name in pushes, is.
        """
        if spec.system_title is not None:
            owner = self.titles.get(spec.system_title, spec.serial)
            if owner != spec.serial:
                raise RowError("system_title", f"is that of meter {owner}", spec.serial)
        if spec.id_object is not None:
            name = spec.id_value if spec.id_value is not None else spec.serial
            owner = self.names.get((spec.id_object, name), spec.serial)
            if owner != spec.serial:
                raise RowError("id_object", f"names meter {owner} already", spec.serial)
