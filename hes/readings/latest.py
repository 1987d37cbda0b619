"""
The latest value of each channel of some meters: from Redis, and behind it from the database.

What Redis holds counts only while it is settled (`hes.pipeline.keeper`); else, and for meters that
it does not hold, the database is asked, and what it says is kept there. Slower, never other.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final
from uuid import UUID

import attrs

from hes.domain.readings import ChannelKey, Reading, microseconds, moment, scaled
from hes.storage import channels
from hes.storage.cache import CacheUnavailableError, Held, HeldValue, LatestCache
from hes.storage.database import Connection, Database
from hes.storage.queries import latest
from hes.storage.queries.latest import LatestValue
from hes_protocol.cosem.units import Unit

_STATEMENT_TIMEOUT_S: Final = 10.0
_KEYS_KEPT: Final = 500_000
TRUST_S: Final = 10.0
"""How long ago what Redis holds may have been settled."""


class Source(StrEnum):
    """Where an answer comes from."""

    CACHE = "cache"
    DATABASE = "database"


@attrs.frozen
class LatestRow:
    """The current value of a channel's latest instant, exact, in `unit` (None: a count)."""

    channel_id: int
    key: ChannelKey
    reading: Reading
    unit: str | None


@attrs.frozen
class Latest:
    """
    Latest values by meter, in the order of the channels' ids; every meter asked for is there.

    `source` is the cache's only if nothing had to be asked of the database.
    """

    rows: Mapping[UUID, Sequence[LatestRow]]
    source: Source


class LatestReader:
    """
    Reads latest values. Thread-safe.

    Args:
        database: the primary: what a standby says may be older than what Redis is told.
        cache: None: there is no Redis.
        trust_s: how long ago what Redis holds may have been settled; so old may an answer be at
            most.
    """

    def __init__(
        self,
        database: Database,
        cache: LatestCache | None,
        *,
        trust_s: float = TRUST_S,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._database = database
        self._cache = cache
        self._trust_s = trust_s
        self._clock = clock
        self._lock = threading.Lock()
        self._keys: dict[int, ChannelKey] = {}
        self._made = 0

    def read(self, meter_ids: Iterable[UUID]) -> Latest:
        """
        The latest values of these meters; none of meters that nobody knows.

        Raises:
            StorageUnavailableError: the database was needed and is away or took too long.
        """
        wanted = list(dict.fromkeys(meter_ids))
        held = self._held(wanted)
        asked = [meter_id for meter_id in wanted if meter_id not in held.values]
        values = {meter_id: list(found) for meter_id, found in held.values.items()}
        keys, unknown = self._known(one.channel_id for found in values.values() for one in found)
        if asked or unknown:
            with self._database.connection(statement_timeout_s=_STATEMENT_TIMEOUT_S) as connection:
                for one in self._ask(connection, asked):
                    values.setdefault(one.key.meter_id, []).append(_held_value(one))
                    keys[one.channel_id] = one.key
                keys |= channels.keys_of(connection, unknown) if unknown else {}
            self._keep(keys)
            self._fill(held, {meter_id: values.get(meter_id, []) for meter_id in asked})
        return Latest(
            rows={
                meter_id: [
                    _row(one, keys[one.channel_id])
                    for one in values.get(meter_id, ())
                    # Held, but gone from the database: it was restored, or somebody was erased.
                    if one.channel_id in keys
                ]
                for meter_id in wanted
            },
            source=Source.DATABASE if asked else Source.CACHE,
        )

    def _known(self, channel_ids: Iterable[int]) -> tuple[dict[int, ChannelKey], list[int]]:
        """Keys of channels as far as this process has them, and the ids of the others."""
        with self._lock:
            if self._made != self._database.made:
                # Another server may have come, restored, where channels have other numbers.
                self._made, self._keys = self._database.made, {}
            kept = self._keys
        keys, unknown = {}, []
        for channel_id in channel_ids:
            key = kept.get(channel_id)
            if key is None:
                unknown.append(channel_id)
            else:
                keys[channel_id] = key
        return keys, unknown

    def _keep(self, keys: Mapping[int, ChannelKey]) -> None:
        with self._lock:
            if len(self._keys) > _KEYS_KEPT:
                self._keys = {}
            # Channels of a server never change, so what is here is never wrong.
            self._keys.update(keys)

    def _held(self, meter_ids: Sequence[UUID]) -> Held:
        if self._cache is not None and meter_ids:
            try:
                return self._cache.read(meter_ids, trust_s=self._trust_s)
            except CacheUnavailableError:
                pass
        return Held(None, {}, None)

    def _ask(self, connection: Connection, meter_ids: Sequence[UUID]) -> Sequence[LatestValue]:
        return latest.of_meters(connection, meter_ids, now=self._clock()) if meter_ids else ()

    def _fill(self, held: Held, values: Mapping[UUID, Sequence[HeldValue]]) -> None:
        if self._cache is not None and held.lease is not None:
            with contextlib.suppress(CacheUnavailableError):
                self._cache.fill(held.lease, values)


def _row(held: HeldValue, key: ChannelKey) -> LatestRow:
    value = scaled(held.value, held.scaler) if isinstance(held.value, int) else held.value
    return LatestRow(
        held.channel_id,
        key,
        Reading(moment(held.captured_at), value, held.quality, held.revised),
        Unit.of(held.unit).symbol,
    )


def _held_value(said: LatestValue) -> HeldValue:
    return HeldValue(
        channel_id=said.channel_id,
        series_id=said.series_id,
        captured_at=microseconds(said.captured_at),
        value=said.value,
        scaler=said.scaler,
        unit=said.unit,
        quality=said.quality,
        revised=said.revised,
    )
