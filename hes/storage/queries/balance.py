"""
What a feeder or transformer has delivered against the sum of what its sites' meters have counted.

Cumulative energy registers at both ends of the time that each meter was installed, times its
transformer ratios, exactly. A meter of which a value is not held is named, and not guessed.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from fractions import Fraction
from typing import Any, Final
from uuid import UUID

import attrs

from hes.domain.readings import ValueKind, ValueStore
from hes.storage.database import Connection
from hes.storage.queries import current, selection
from hes.storage.queries.selection import FoundChannel
from hes_protocol.cosem import Obis

_IMPORTED: Final = Obis.parse("1.0.1.8.0.255")
_EXPORTED: Final = Obis.parse("1.0.2.8.0.255")
_WATT_HOUR: Final = 30  # DLMS unit code
_INSTANT: Final = timedelta(microseconds=1)
# A meter that comes or goes within the range is read then, but not to the microsecond.
_AROUND: Final = timedelta(days=1)

_INSTALLED: Final = """
SELECT i.meter_id, greatest(i.since, %(from)s), least(i.until, %(to)s),
       i.since > %(from)s, i.until < %(to)s,
       i.ct_numerator::int8 * i.vt_numerator, i.ct_denominator::int8 * i.vt_denominator,
       u.site_id IS NULL
FROM usage_point AS u
LEFT JOIN site AS s USING (site_id)
LEFT JOIN transformer AS t ON t.transformer_id = s.transformer_id
JOIN installation AS i USING (usage_point_id)
WHERE {node} AND i.since < %(to)s AND coalesce(i.until, 'infinity') > %(from)s
ORDER BY i.since, i.meter_id
"""
OF_TRANSFORMER: Final = _INSTALLED.replace(
    "{node}", "(u.transformer_id = %(node)s OR s.transformer_id = %(node)s)"
)
OF_FEEDER: Final = _INSTALLED.replace(
    "{node}", "(u.feeder_id = %(node)s OR t.feeder_id = %(node)s)"
)


@attrs.frozen
class MeterEnergy:
    """
    What one meter has counted while it was installed within the range, in Wh; None: not known.

    A meter without a register of what is exported has exported nothing.
    """

    meter_id: UUID
    imported: Fraction | None
    exported: Fraction | None

    @property
    def net(self) -> Fraction | None:
        """Imported less exported."""
        if self.imported is None or self.exported is None:
            return None
        return self.imported - self.exported


@attrs.frozen
class Balance:
    """
    Energy in Wh, net of what went back.

    Args:
        delivered: counted by the node's own meter; None: it has none, had none for some of the
            time, or it is not known.
        consumed: counted by its sites' meters together, without those that are missing.
        meters: those that were installed at its sites, for some of the time at least.
        missing: of which a value is not held, the node's own among them.
    """

    delivered: Fraction | None
    consumed: Fraction
    meters: tuple[MeterEnergy, ...]
    missing: tuple[UUID, ...]


@attrs.frozen
class _Stay:
    """A meter at a place in [since, until] within the range, and how what it shows is scaled."""

    meter_id: UUID
    since: datetime
    until: datetime
    came: bool
    went: bool
    ratio: Fraction
    is_own: bool


def of_transformer(
    connection: Connection, transformer_id: int, from_: datetime, to: datetime
) -> Balance:
    """The balance of a transformer from one instant to another, at which registers are held."""
    return _balance(connection, OF_TRANSFORMER, transformer_id, from_, to)


def of_feeder(connection: Connection, feeder_id: int, from_: datetime, to: datetime) -> Balance:
    """The balance of a feeder against the sites behind all its transformers."""
    return _balance(connection, OF_FEEDER, feeder_id, from_, to)


def _balance(
    connection: Connection, query: str, node: int, from_: datetime, to: datetime
) -> Balance:
    bounds = {"node": node, "from": from_, "to": to}
    stays = [_stay(row, to) for row in connection.execute(query.encode(), bounds)]
    registers = _registers(connection, {stay.meter_id for stay in stays})
    shown = _shown(connection, registers, stays, from_, to)
    energies = [_energy(stay, registers.get(stay.meter_id, {}), shown) for stay in stays]
    own = [one.net for stay, one in zip(stays, energies, strict=True) if stay.is_own]
    others = [one for stay, one in zip(stays, energies, strict=True) if not stay.is_own]
    return Balance(
        delivered=sum((net for net in own if net is not None), Fraction(0))
        if None not in own and _whole([stay for stay in stays if stay.is_own], from_, to)
        else None,
        consumed=sum((one.net for one in others if one.net is not None), Fraction(0)),
        meters=tuple(others),
        missing=tuple(dict.fromkeys(one.meter_id for one in energies if one.net is None)),
    )


def _whole(stays: Sequence[_Stay], from_: datetime, to: datetime) -> bool:
    """Whether stays, in the order of their beginnings, leave no time of the range out."""
    ends = [from_, *(stay.until for stay in stays)]
    begins = [*(stay.since for stay in stays), to]
    return bool(stays) and ends == begins


def _stay(row: Sequence[Any], to: datetime) -> _Stay:
    meter_id, since, until, came, went, numerator, denominator, is_own = row
    return _Stay(
        meter_id, since, until or to, came, bool(went), Fraction(numerator, denominator), is_own
    )


def _registers(
    connection: Connection, meter_ids: Collection[UUID]
) -> Mapping[UUID, Mapping[Obis, Sequence[FoundChannel]]]:
    """By meter and OBIS code the channels of energy registers, those read most often first."""
    found: dict[UUID, dict[Obis, list[FoundChannel]]] = {}
    for channel in selection.of_meters(connection, meter_ids):
        key = channel.key
        is_energy = all(one.unit == _WATT_HOUR for one in channel.series)
        if (
            key.obis in (_IMPORTED, _EXPORTED)
            and key.kind is ValueKind.CUMULATIVE
            and key.store is ValueStore.INTEGER
            and is_energy
        ):
            found.setdefault(key.meter_id, {}).setdefault(key.obis, []).append(channel)
    for registers in found.values():
        for channels in registers.values():
            channels.sort(
                key=lambda one: (
                    one.key.capture_period_s == 0,
                    one.key.capture_period_s,
                    one.channel_id,
                )
            )
    return found


_Shown = dict[tuple[int, datetime], Fraction]


def _shown(
    connection: Connection,
    registers: Mapping[UUID, Mapping[Obis, Sequence[FoundChannel]]],
    stays: Sequence[_Stay],
    from_: datetime,
    to: datetime,
) -> _Shown:
    """What registers show at both ends of each stay, in Wh, by channel and end."""
    shown: _Shown = {}
    everyone = [one for of in registers.values() for several in of.values() for one in several]
    for end in (from_, to):
        shown |= _at(connection, everyone, end, end, end + _INSTANT, latest=False)
    for stay in stays:
        channels = [one for several in registers.get(stay.meter_id, {}).values() for one in several]
        if stay.came:
            end = min(stay.since + _AROUND, stay.until)
            shown |= _at(connection, channels, stay.since, stay.since, end, latest=False)
        if stay.went:
            begin = max(stay.until - _AROUND, stay.since)
            shown |= _at(
                connection, channels, stay.until, begin, stay.until + _INSTANT, latest=True
            )
    return shown


def _at(
    connection: Connection,
    channels: Sequence[FoundChannel],
    end: datetime,
    from_: datetime,
    to: datetime,
    *,
    latest: bool,
) -> _Shown:
    """The first (or latest) that each channel shows in [from_, to), as what it shows at `end`."""
    if not channels:
        return {}
    found = current.columns(connection, ValueStore.INTEGER, channels, from_=from_, to=to)
    found = found.select(~found.null)
    shown: _Shown = {}
    for channel_id, value, scaler in zip(
        found.channel_id.tolist(), found.value.tolist(), found.scaler.tolist(), strict=True
    ):
        key = (channel_id, end)
        if latest or key not in shown:
            shown[key] = value * Fraction(10) ** scaler
    return shown


def _energy(
    stay: _Stay, registers: Mapping[Obis, Sequence[FoundChannel]], shown: _Shown
) -> MeterEnergy:
    exports = registers.get(_EXPORTED, ())
    return MeterEnergy(
        meter_id=stay.meter_id,
        imported=_rise(stay, registers.get(_IMPORTED, ()), shown),
        exported=_rise(stay, exports, shown) if exports else Fraction(0),
    )


def _rise(stay: _Stay, channels: Sequence[FoundChannel], shown: _Shown) -> Fraction | None:
    """By the first of the channels that shows something at both ends."""
    for channel in channels:
        begin = shown.get((channel.channel_id, stay.since))
        end = shown.get((channel.channel_id, stay.until))
        if begin is not None and end is not None:
            return (end - begin) * stay.ratio
    return None
