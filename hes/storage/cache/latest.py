"""
The latest value of each channel, a hash per meter.

What is held of a meter is all that it has, or nothing: a channel that is missing in the hash holds
no rows. So a hash is begun only with what the database says, under a lease that every publication
breaks, and then moved on by commits (`publication`). A meter that is not held, whether it
was evicted, expired or flushed, is merely asked of the database.

Values are texts: `captured_at:revised:series_id:scaler:unit:quality:` and the raw value behind a
letter for its type.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping, Sequence
from typing import Final
from uuid import UUID

import attrs
import msgspec

from hes.storage.cache import keys
from hes.storage.cache.client import Cache, Script

_READ: Final = Script.load("read")
_FILL: Final = Script.load("fill")
_GENERATION: Final = "generation"

Value = int | float | str | None


@attrs.frozen
class HeldValue:
    """
    The latest value of a channel, raw; `captured_at` in microseconds since 1970 UTC.

    As `hes.storage.queries.latest.LatestValue`, but for the channel's key, which never changes.
    """

    channel_id: int
    series_id: int
    captured_at: int
    value: Value
    scaler: int
    unit: int
    quality: int
    revised: bool


@attrs.frozen
class Lease:
    """The right to fill in some meters, as long as nothing is published of them."""

    generation: str
    nonce: str
    meter_ids: frozenset[UUID]


@attrs.frozen
class Held:
    """
    What Redis says of some meters.

    `settled_ago_s`: what was committed longer ago is in `values`; None if nobody knows. Without
    trust `values` is empty. Who asks the database for the others may `fill` in those of `lease`.
    """

    settled_ago_s: float | None
    values: Mapping[UUID, Sequence[HeldValue]]
    lease: Lease | None


_Answer = tuple[str | bool, int, list[list[str] | bool] | dict[str, str]]
_DECODER: Final = msgspec.msgpack.Decoder(_Answer)


class LatestCache:
    """Reads and fills what is held of meters. Thread-safe."""

    def __init__(self, cache: Cache) -> None:
        self._cache = cache

    def read(self, meter_ids: Sequence[UUID], *, trust_s: float) -> Held:
        """
        What is held of these meters, in one round trip.

        Args:
            trust_s: how long ago it may have been settled.

        Raises: CacheUnavailableError.
        """
        nonce = secrets.token_hex(8)
        packed = self._cache.run(
            _READ,
            [keys.STATE, *map(keys.latest, meter_ids)],
            [int(trust_s * 1000), nonce, int(keys.LEASE_S * 1000)],
        )
        generation, age_ms, answers = _DECODER.decode(packed)
        values: dict[UUID, Sequence[HeldValue]] = {}
        leased = []
        for meter_id, answer in zip(meter_ids, answers, strict=bool(generation)):
            if isinstance(answer, list):
                values[meter_id] = _values(answer)
            elif answer:
                leased.append(meter_id)
        lease = Lease(str(generation), nonce, frozenset(leased)) if leased else None
        return Held(None if age_ms < 0 else age_ms / 1000, values, lease)

    def fill(self, lease: Lease, values: Mapping[UUID, Iterable[HeldValue]]) -> int:
        """
        Keep what the database says of meters, asked on its primary after the lease was given.

        Args:
            values: all that each meter has; meters that were not leased are left out.

        Returns: of how many meters it was kept; not of those that were published of meanwhile.

        Raises: CacheUnavailableError.
        """
        names = [keys.STATE]
        told = []
        for meter_id, of_meter in values.items():
            if meter_id in lease.meter_ids:
                names.append(keys.latest(meter_id))
                told.append(
                    [text for one in of_meter for text in (str(one.channel_id), _text(one))]
                )
        packed = msgspec.msgpack.encode(told)
        return int(
            self._cache.run(
                _FILL, names, [lease.generation, lease.nonce, keys.LATEST_TTL_S, packed]
            )
        )

    def forget(self, meter_ids: Iterable[UUID]) -> None:
        """
        Hold nothing of these meters; for who has removed rows, after the commit.

        Raises: CacheUnavailableError.
        """
        names = [keys.latest(meter_id) for meter_id in meter_ids]
        if names:
            self._cache.call(lambda client: client.delete(*names))


def rest(series_id: int, scaler: int, unit: int, quality: int, value: Value) -> str:
    """A held value as text, without its instant."""
    letter = "n"
    if isinstance(value, int):
        letter = "i"
    elif isinstance(value, float):
        letter = "f"
    elif value is not None:
        letter = "t"
    return f"{series_id}:{scaler}:{unit}:{quality}:{letter}{'' if value is None else value}"


def _text(held: HeldValue) -> str:
    tail = rest(held.series_id, held.scaler, held.unit, held.quality, held.value)
    return f"{held.captured_at}:{held.revised:d}:{tail}"


def _values(fields: Sequence[str]) -> list[HeldValue]:
    pairs = zip(fields[::2], fields[1::2], strict=True)
    return [_value(int(name), text) for name, text in pairs if name != _GENERATION]


def _value(channel_id: int, text: str) -> HeldValue:
    captured_at, revised, series_id, scaler, unit, quality, said = text.split(":", 6)
    return HeldValue(
        channel_id,
        int(series_id),
        int(captured_at),
        _raw(said),
        int(scaler),
        int(unit),
        int(quality),
        revised == "1",
    )


def _raw(said: str) -> Value:
    match said[0]:
        case "i":
            return int(said[1:])
        case "f":
            return float(said[1:])
        case "t":
            return said[1:]
        case _:
            return None
