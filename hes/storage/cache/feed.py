"""
The live feed: one entry per batch, that followers may know what has changed.

An entry names the meters and not their values, which stand in `latest` for whoever wants them. The
stream is short, and may be lost: a follower that has missed entries is told so and looks at
everything again.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import attrs
import msgspec

from hes.domain.readings import Receipt, SourceKind
from hes.storage.cache import keys
from hes.storage.cache.client import Cache

START: Final = "0-0"
_METERS_NAMED: Final = 500


@attrs.frozen
class FeedEntry:
    """A committed batch; `meter_ids` None: more meters than an entry names."""

    batch_id: int
    kind: SourceKind
    received_at: datetime
    stored: int
    duplicates: int
    revised: int
    quarantined: int
    meter_ids: tuple[UUID, ...] | None


@attrs.frozen
class FeedPage:
    """
    Entries in their order; `position` is where to go on.

    `gap`: there may have been entries before these that nobody can read any more, or what Redis
    holds was begun anew: whatever was derived from the feed must be looked up again.
    """

    entries: tuple[FeedEntry, ...]
    position: str
    gap: bool


def entry(
    receipt: Receipt, kind: SourceKind, received_at: datetime, meter_ids: Collection[UUID]
) -> bytes:
    """An entry as it stands in the stream."""
    return msgspec.json.encode(
        FeedEntry(
            batch_id=receipt.batch_id,
            kind=kind,
            received_at=received_at,
            stored=receipt.stored,
            duplicates=receipt.duplicates,
            revised=receipt.revised,
            quarantined=receipt.quarantined,
            meter_ids=tuple(meter_ids) if len(meter_ids) <= _METERS_NAMED else None,
        )
    )


_DECODER: Final = msgspec.json.Decoder(FeedEntry)


class Feed:
    """Reads the feed. Thread-safe."""

    def __init__(self, cache: Cache) -> None:
        self._cache = cache

    def end(self) -> str:
        """The position after all that is there now. Raises: CacheUnavailableError."""
        last = self._cache.call(lambda client: client.xrevrange(keys.FEED, count=1))
        return str(last[0][0].decode()) if last else START

    def read(self, after: str, *, limit: int) -> FeedPage:
        """
        The entries after a position, without waiting for any.

        Args: after: `START`, or the position of the page before.

        Raises: CacheUnavailableError.
        """

        def ask(client: Any) -> Any:
            with client.pipeline(transaction=True) as pipeline:
                pipeline.xrange(keys.FEED, count=1)
                pipeline.xrevrange(keys.FEED, count=1)
                pipeline.xrange(keys.FEED, f"({after}", count=limit)
                return pipeline.execute()

        first, last, rows = self._cache.call(ask)
        if after != START and (not last or _number(last[0][0]) < _number(after)):
            # Flushed, or come back with an old state: another stream than the one read so far.
            return FeedPage((), START, gap=True)
        lost = after != START and _number(first[0][0]) > _number(after)
        begun = any(_is_begin(fields) for _, fields in rows)
        return FeedPage(
            entries=tuple(
                _DECODER.decode(fields[b"entry"]) for _, fields in rows if not _is_begin(fields)
            ),
            position=rows[-1][0].decode() if rows else after,
            gap=lost or begun,
        )


def _is_begin(fields: Mapping[bytes, bytes]) -> bool:
    return b"entry" not in fields


def _number(position: str | bytes) -> tuple[int, int]:
    text = position.decode() if isinstance(position, bytes) else position
    milliseconds, _, sequence = text.partition("-")
    return int(milliseconds), int(sequence)
