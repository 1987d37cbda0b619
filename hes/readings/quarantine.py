"""What is in quarantine, for people to look at."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

import attrs

from hes.storage import quarantine
from hes.storage.database import Database


@attrs.frozen
class QuarantineRow:
    """
    Octets that are no reading (yet).

    `identity` is what the frame calls its sender; `detail` lists rows that were refused, if the
    octets could be read that far.
    """

    quarantine_id: int
    meter_id: UUID | None
    serial: str | None
    identity: str | None
    peer: str | None
    reason: str
    octets: int
    raw: bytes = attrs.field(repr=False)
    detail: Mapping[str, Any] | None
    received_at: datetime
    session_id: UUID | None


@attrs.frozen
class QuarantinePage:
    """Entries, newest first; `has_more`: ask again with `before` = the last id here."""

    items: tuple[QuarantineRow, ...]
    has_more: bool


class Quarantine:
    """Reads the quarantine. Thread-safe."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def page(
        self, before: int | None, limit: int, *, meter_id: UUID | None = None
    ) -> QuarantinePage:
        """
        A page of entries.

        Args:
            before: only entries with a smaller id; None: from the newest on.
            limit: how many at most, above 0.
            meter_id: only this meter's.

        Raises:
            StorageUnavailableError: the database is away.
        """
        with self._database.connection() as connection:
            entries = quarantine.page(connection, before=before, limit=limit + 1, meter_id=meter_id)
        return QuarantinePage(
            items=tuple(
                QuarantineRow(
                    quarantine_id=entry.quarantine_id,
                    meter_id=entry.meter_id,
                    serial=entry.serial,
                    identity=entry.identity,
                    peer=entry.peer,
                    reason=entry.reason,
                    octets=len(entry.raw),
                    raw=entry.raw,
                    detail=entry.detail,
                    received_at=entry.received_at,
                    session_id=entry.session_id,
                )
                for entry in entries[:limit]
            ),
            has_more=len(entries) > limit,
        )
