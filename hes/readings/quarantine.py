"""What is in quarantine, for people to look at, to drop, or to have replayed by a collector."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import attrs

from hes.domain.readings import moment
from hes.storage import kept_rows, quarantine
from hes.storage.database import Database
from hes.storage.quarantine import Decision, Entry, EntryUnknownError, Filter, State


@attrs.frozen
class QuarantinePage:
    """Entries, newest first; `has_more`: ask again with `before` = the last id here."""

    items: tuple[Entry, ...]
    has_more: bool


@attrs.frozen
class RefusedRow:
    """A refused row; `captured_at` is in microseconds since 1970 where no date can say it."""

    captured_at: datetime | int
    source: str | None
    obis: str
    attribute_index: int
    scaler: int
    unit: int
    value: int | float | str | None
    quality: int


@attrs.frozen
class QuarantineDetail:
    """An entry with all its octets, and its refused rows, if that is what it holds."""

    entry: Entry
    raw: bytes = attrs.field(repr=False)
    rows: Sequence[RefusedRow]


class Quarantine:
    """Reads the quarantine and says what is to become of entries. Thread-safe."""

    def __init__(
        self, database: Database, *, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._database = database
        self._clock = clock

    def page(self, before: int | None, limit: int, wanted: Filter | None = None) -> QuarantinePage:
        """
        A page of entries.

        Args:
            before: only entries with a smaller id; None: from the newest on.
            limit: how many at most, above 0.
            wanted: which.

        Raises:
            StorageUnavailableError: the database is away.
        """
        with self._database.connection() as connection:
            entries = quarantine.page(connection, before=before, limit=limit + 1, wanted=wanted)
        return QuarantinePage(items=tuple(entries[:limit]), has_more=len(entries) > limit)

    def get(self, quarantine_id: int) -> QuarantineDetail:
        """
        One entry, whole.

        Raises:
            EntryUnknownError: there is none.
            StorageUnavailableError: the database is away.
        """
        with self._database.connection() as connection:
            found = quarantine.contents(connection, quarantine_id)
        if found is None:
            raise EntryUnknownError(f"no entry {quarantine_id} in quarantine")
        rows = () if found.rows is None else _rows(kept_rows.decode(found.rows))
        return QuarantineDetail(found.entry, found.raw, rows)

    def request_replay(self, quarantine_id: int, decision: Decision) -> Entry:
        """
        Have a collector replay an entry; asking again changes who asks and how.

        Raises:
            EntryUnknownError: there is none.
            EntryHandledError: it is not open.
            StorageUnavailableError: the database is away.
        """
        with self._database.connection() as connection:
            quarantine.claim(connection, quarantine_id)
            quarantine.request(connection, quarantine_id, decision, at=self._clock())
            found = quarantine.contents(connection, quarantine_id)
        assert found is not None
        return found.entry

    def drop(self, quarantine_id: int, decision: Decision, *, dry_run: bool = False) -> None:
        """
        Let go of what an entry holds; that it was there, and who dropped it, stays.

        Raises:
            EntryUnknownError: there is none.
            EntryHandledError: it is not open.
            StorageUnavailableError: the database is away.
        """
        with self._database.connection() as connection:
            quarantine.claim(connection, quarantine_id)
            if not dry_run:
                quarantine.finish(
                    connection, quarantine_id, State.DROPPED, decision, at=self._clock()
                )


def _rows(kept: kept_rows.KeptRows) -> list[RefusedRow]:
    integers = kept.integers
    columns = zip(
        integers.series_index.tolist(),
        integers.captured_at.tolist(),
        integers.value.tolist(),
        integers.null.tolist(),
        integers.quality.tolist(),
        strict=True,
    )
    values: list[tuple[int, int, int | float | str | None, int]] = [
        (index, at, None if null else value, quality) for index, at, value, null, quality in columns
    ]
    values += [(row.series_index, row.captured_at, row.value, row.quality) for row in kept.others]
    found = []
    for index, at, value, quality in values:
        series = kept.series[index]
        found.append(
            RefusedRow(
                captured_at=_instant(at),
                source=None if series.channel.source is None else str(series.channel.source),
                obis=str(series.channel.obis),
                attribute_index=series.channel.attribute_index,
                scaler=series.scaler,
                unit=series.unit,
                value=value,
                quality=quality,
            )
        )
    return found


def _instant(microseconds: int) -> datetime | int:
    try:
        return moment(microseconds)
    except OverflowError:
        return microseconds
