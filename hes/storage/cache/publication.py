"""
What is told after a commit, and the ledger of what has been told.

Publishing is idempotent by batch: whoever comes second, the writer's publisher or the keeper
that repairs, changes nothing in the feed. The state says which generation of held values counts,
of which database, and up to which of its snapshots everything is settled, that is, published.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from typing import Final
from uuid import UUID

import attrs
import msgspec

from hes.storage.cache import keys
from hes.storage.cache.client import Argument, Cache, Script

_PUBLISH: Final = Script.load("publish")
_BEGIN: Final = Script.load("begin")
_SETTLE: Final = Script.load("settle")
_CHANNELS_PER_CALL: Final = 4_000


@attrs.frozen
class NewValue:
    """The latest that a transaction says of a channel; `rest` is made by `latest.rest`."""

    channel_id: int
    captured_at: int
    rest: str


@attrs.frozen
class State:
    """How far Redis is settled: `snapshot` is PostgreSQL's, `settled_ms` by Redis' clock."""

    generation: str
    database: str
    snapshot: str
    settled_ms: int


class Ledger:
    """Publishes, and keeps account of it. Thread-safe."""

    def __init__(self, cache: Cache) -> None:
        self._cache = cache

    def publish(
        self,
        batches: Mapping[int, bytes],
        values: Mapping[UUID, Sequence[NewValue] | None],
    ) -> int:
        """
        Tell of committed batches: one round trip, unless there are very many channels.

        Args:
            batches: the feed's entry by batch id.
            values: by meter what is new; None where only the database can tell.

        Returns: how many of the batches had not been published.

        Raises: CacheUnavailableError: they may be published, or not; publish again, or leave it
            to the keeper.
        """
        told: dict[str, list[str] | bool] = {}
        count = 0
        for meter_id, of_meter in values.items():
            if count >= _CHANNELS_PER_CALL:
                self._run(told, ())
                told, count = {}, 0
            told[keys.latest(meter_id)] = of_meter is not None and [
                text
                for one in of_meter
                for text in (str(one.channel_id), str(one.captured_at), one.rest)
            ]
            count += 1 + len(of_meter or ())
        # With the last values, not before: what counts as published is.
        return self._run(told, [part for item in batches.items() for part in item])

    def unpublished(self, batch_ids: Sequence[int]) -> list[int]:
        """
        Those batches that are not known to be published.

        Raises: CacheUnavailableError.
        """
        if not batch_ids:
            return []
        scores = self._cache.call(
            lambda client: client.execute_command("ZMSCORE", keys.PUBLISHED, *batch_ids)
        )
        return [
            batch_id for batch_id, score in zip(batch_ids, scores, strict=True) if score is None
        ]

    def state(self) -> State | None:
        """
        How far things are settled, None if Redis holds nothing of it.

        Raises: CacheUnavailableError.
        """
        found = self._cache.call(lambda client: client.hgetall(keys.STATE))
        if not found:
            return None
        return State(
            generation=found[b"generation"].decode(),
            database=found[b"database"].decode(),
            snapshot=found[b"snapshot"].decode(),
            settled_ms=int(found[b"settled_ms"]),
        )

    def begin(self, replaced: State | None, *, database: str, snapshot: str, now_ms: int) -> bool:
        """
        Begin a generation; what is held of meters counts for nothing any more.

        Args:
            replaced: the state as it was read; if it is another by now, nothing is done.
            snapshot: taken before; now_ms: of Redis' clock, before that.

        Returns: whether it was begun.

        Raises: CacheUnavailableError.
        """
        arguments: list[Argument] = [
            replaced.generation if replaced else "",
            secrets.token_hex(8),
            database,
            snapshot,
            now_ms,
            keys.STATE_TTL_S,
            keys.FEED_TTL_S,
            keys.FEED_ENTRIES,
        ]
        return bool(self._cache.run(_BEGIN, [keys.STATE, keys.FEED], arguments))

    def settle(self, generation: str, *, snapshot: str, now_ms: int) -> bool:
        """
        Note that all batches visible in `snapshot` are published.

        Args: now_ms: of Redis' clock, before the snapshot was taken.

        Returns: whether the generation still stands.

        Raises: CacheUnavailableError.
        """
        arguments: list[Argument] = [generation, snapshot, now_ms, keys.STATE_TTL_S]
        return bool(self._cache.run(_SETTLE, [keys.STATE], arguments))

    def _run(self, told: Mapping[str, Sequence[str] | bool], batches: Sequence[Argument]) -> int:
        arguments: list[Argument] = [
            keys.LATEST_TTL_S,
            keys.FEED_TTL_S,
            keys.FEED_ENTRIES,
            keys.PUBLISHED_TTL_S * 1000,
            keys.PUBLISHED_BATCHES,
            msgspec.msgpack.encode(list(told.values())),
            *batches,
        ]
        return int(
            self._cache.run(_PUBLISH, [keys.STATE, keys.PUBLISHED, keys.FEED, *told], arguments)
        )
