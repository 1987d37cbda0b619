"""The inventory: who our meters are, for people and for files."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

import attrs

from hes.domain.errors import PermanentError, UnknownMeterError
from hes.keys import KeyService
from hes.meters.chunks import OnExisting, Terms
from hes.meters.files import Format
from hes.meters.imports import Import, ImportReport
from hes.storage import groups, tags
from hes.storage.database import Database
from hes.storage.groups import Group
from hes.storage.meter_changes import MeterChangeStore
from hes.storage.meter_details import MeterDetail, detail
from hes.storage.meters import EVERY, MeterFilter, MeterRow, MeterStore
from hes.storage.tags import Tag
from hes.storage.tenants import DEFAULT_TENANT

PAGE_LIMIT: Final = 1000
LAST_SESSIONS: Final = 20


class BadCursorError(PermanentError):
    """A cursor that no page of ours has given out."""


@attrs.frozen
class MeterPage:
    """
    Meters in the order of their serials.

    `next_cursor` is None on the last page. `total_estimate` is exact up to 10,000.
    """

    items: tuple[MeterRow, ...]
    next_cursor: str | None
    total_estimate: int


def _now() -> datetime:
    return datetime.now(UTC)


class Inventory:
    """
    Reads and changes the inventory. Thread-safe; secrets go in and never come out.

    Args:
        database: where it lies.
        keys: wraps the secrets of what is imported; None where nothing ever is, so that a process
            that only shows meters (the API) needs no KEK.
        clock: the time now, as an aware datetime.
    """

    def __init__(
        self,
        database: Database,
        keys: KeyService | None = None,
        *,
        clock: Callable[[], datetime] = _now,
    ) -> None:
        self._database = database
        self._meters = MeterStore(database)
        self._changes = MeterChangeStore(database)
        self._keys = keys
        self._clock = clock

    def import_file(
        self,
        lines: Iterable[bytes | str],
        dry_run: bool = False,
        on_existing: OnExisting | str = OnExisting.KEEP,
        *,
        actor: str = "import",
        format_: Format = Format.AUTO,
        release: bool = False,
    ) -> ImportReport:
        """
        Import a meter file (`contracts.md`): JSON lines or CSV, one meter each.

        Args:
            lines: the file's lines; `hes.meters.lines.bounded_lines` reads them safely.
            dry_run: do everything, keep nothing.
            on_existing: what becomes of rows whose serial is known: `keep` the meter as it is,
                `replace` it (its association, addresses and secrets become those of the row; its
                readings, and its commissioning unless the row says otherwise, stay), or `error`.
            actor: who does it; stands in the lives of the meters.
            release: those in quarantine that are replaced go back in service.

        Raises:
            StorageUnavailableError: the database went away; rows before that may be written.
        """
        if self._keys is None:
            raise ValueError("this inventory was opened without keys")
        terms = Terms(actor, self._clock, OnExisting(on_existing), release=release)
        return Import(self._changes, self._keys, terms, dry_run=dry_run).run(lines, format_)

    def page(
        self,
        cursor: str | None = None,
        limit: int = 100,
        search: str | None = None,
        wanted: MeterFilter = EVERY,
    ) -> MeterPage:
        """
        One page of meters.

        Args:
            cursor: `next_cursor` of the page before, None for the first.
            limit: 1..1000 meters.
            search: part of a serial, an address or a system title in hex.
            wanted: which of them else; the same for all pages.

        Raises:
            BadCursorError: the cursor is not one of ours.
            StorageUnavailableError: the database is away.
        """
        if not 1 <= limit <= PAGE_LIMIT:
            raise ValueError(f"a page of {limit} meters")
        text = _searchable(search)
        after = None if cursor is None else _read_cursor(cursor)
        rows = self._meters.page(after, limit=limit + 1, search=text, wanted=wanted)
        more = len(rows) > limit
        items = tuple(rows[:limit])
        return MeterPage(
            items=items,
            next_cursor=_write_cursor(items[-1]) if more else None,
            total_estimate=self._meters.count(text, wanted),
        )

    def get(self, meter_id: UUID) -> MeterDetail:
        """
        Everything about one meter but its secrets.

        Raises:
            UnknownMeterError: no such meter.
            StorageUnavailableError: the database is away.
        """
        found = detail(self._database, meter_id, sessions=LAST_SESSIONS)
        if found is None:
            raise UnknownMeterError(f"no meter {meter_id}")
        return found

    def groups(self) -> Sequence[Group]:
        """
        All groups, in the order of their names.

        Raises:
            StorageUnavailableError: the database is away.
        """
        with self._database.connection() as connection:
            return groups.groups(connection, DEFAULT_TENANT)

    def tags(self) -> Sequence[Tag]:
        """
        All tags, in their order.

        Raises:
            StorageUnavailableError: the database is away.
        """
        with self._database.connection() as connection:
            return tags.tags(connection, DEFAULT_TENANT)

    def find(self, name: str) -> UUID:
        """
        The id of the meter with this serial or id.

        Raises:
            UnknownMeterError: no such meter.
            StorageUnavailableError: the database is away.
        """
        meter_id = self._meters.find(_storable(name))
        if meter_id is not None:
            return meter_id
        try:
            return UUID(name)
        except ValueError:
            raise UnknownMeterError(f"no meter {name!r}") from None


def _searchable(search: str | None) -> str | None:
    return _storable((search or "").strip()) or None


def _storable(text: str) -> str:
    """The text without NUL and lone surrogates, which PostgreSQL takes in no text."""
    return text.replace("\0", "\ufffd").encode(errors="replace").decode()


def _write_cursor(row: MeterRow) -> str:
    place = json.dumps([row.serial, row.meter_id.hex], ensure_ascii=False)
    return base64.urlsafe_b64encode(place.encode()).decode().rstrip("=")


def _read_cursor(cursor: str) -> tuple[str, UUID]:
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        serial, meter_id = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
        return _storable(serial), UUID(hex=meter_id)
    except (ValueError, TypeError, AttributeError, RecursionError) as exc:
        raise BadCursorError("no cursor of a page of meters") from exc
