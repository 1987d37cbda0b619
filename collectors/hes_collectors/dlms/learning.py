"""
What a collector asks a meter once and keeps: its objects, its load profiles, their units.

Owns the order of the questions and what a refused one means: a meter that hides its object list
still has the standard load profile, a column whose scaler_unit it refuses is kept unscaled and
without a unit. Profiles without a period (event logs) are left for the issue on events.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from hes.domain.meters import CaptureColumn, MeterKnowledge, ObjectEntry, ProfileKnowledge
from hes_collectors.dlms.exchange import Exchange
from hes_collectors.dlms.outcomes import MeterRefusedError
from hes_collectors.dlms.ranges import is_time
from hes_protocol.axdr.data import Data, DataTag
from hes_protocol.client import Get, GetCompleted
from hes_protocol.cosem import Obis
from hes_protocol.cosem.objects import Attribute, CaptureObject, ObjectListEntry, ScalerUnit
from hes_protocol.errors import EncodingError
from hes_protocol.xdlms.results import DataAccessResult

_CLASS_PROFILE: Final = 7
_OBJECT_LIST: Final = Attribute(15, Obis.parse("0.0.40.0.0.255"), 2)
LOAD_PROFILE_1: Final = Obis.parse("1.0.99.1.0.255")

# Which attribute of which class is scaled, by which attribute: register, extended register, and
# the current and last average of a demand register (IEC 62056-6-2, class_id 3, 4, 5).
_SCALER_UNITS: Final = {(3, 2): 3, (4, 2): 3, (5, 2): 4, (5, 3): 4}
_UNSCALED: Final = (0, 255)


async def learn(exchange: Exchange) -> MeterKnowledge:
    """
    Explore a meter.

    Returns: its objects as far as it shows them, and each profile that has a clock and a period.
    Raises: what `Exchange.ask` raises; EncodingError: an attribute has an impossible shape;
        MeterRefusedError: "no-load-profile": there is none that can be read.
    """
    objects = await _object_list(exchange)
    names = [entry.obis for entry in objects if entry.class_id == _CLASS_PROFILE]
    if LOAD_PROFILE_1 not in names:
        names.append(LOAD_PROFILE_1)
    scales: dict[tuple[int, Obis, int], tuple[int, int]] = {}
    profiles = [
        profile for name in names if (profile := await _profile(exchange, name, scales)) is not None
    ]
    if not profiles:
        raise MeterRefusedError("no-load-profile")
    return MeterKnowledge(objects, tuple(profiles))


async def read(exchange: Exchange, class_id: int, obis: Obis, index: int) -> Data | None:
    """One attribute's value, None where the meter has none for us."""
    answer = await exchange.ask(Get(Attribute(class_id, obis, index)))
    assert isinstance(answer, GetCompleted)  # what completes a Get
    return answer.data() if answer.result is DataAccessResult.SUCCESS else None


def elements(data: Data) -> Iterable[Data]:
    """
    The elements of an array.

    Raises: EncodingError: it is none.
    """
    if data.tag is not DataTag.ARRAY:
        raise EncodingError("bad-structure", f"{data.tag.name} where an array is due")
    members: tuple[Data, ...] = data.value
    return members


async def _object_list(exchange: Exchange) -> tuple[ObjectEntry, ...]:
    data = await read(exchange, _OBJECT_LIST.class_id, _OBJECT_LIST.obis, _OBJECT_LIST.index)
    if data is None:
        return ()
    entries = map(ObjectListEntry.from_data, elements(data))
    return tuple(ObjectEntry(entry.class_id, entry.version, entry.obis) for entry in entries)


async def _profile(
    exchange: Exchange, name: Obis, scales: dict[tuple[int, Obis, int], tuple[int, int]]
) -> ProfileKnowledge | None:
    """A profile's columns and period; None if it is none of those that are read here."""
    period = await read(exchange, _CLASS_PROFILE, name, 4)
    if period is None or not isinstance(period.value, int) or period.value <= 0:
        return None
    captured = await read(exchange, _CLASS_PROFILE, name, 3)
    if captured is None:
        return None
    columns = tuple(map(CaptureObject.from_data, elements(captured)))
    if not any(map(is_time, columns)):
        return None
    known = []
    for column in columns:
        scaler, unit = await _scale(exchange, column, scales)
        known.append(
            CaptureColumn(
                class_id=column.class_id,
                obis=column.obis,
                attribute_index=column.attribute_index,
                data_index=column.data_index,
                scaler=scaler,
                unit=unit,
            )
        )
    return ProfileKnowledge(name, period.value, tuple(known))


async def _scale(
    exchange: Exchange,
    column: CaptureObject,
    scales: dict[tuple[int, Obis, int], tuple[int, int]],
) -> tuple[int, int]:
    """Scaler and unit code of one column; asked once however many profiles capture it."""
    index = _SCALER_UNITS.get((column.class_id, column.attribute_index))
    if index is None:
        return _UNSCALED
    key = (column.class_id, column.obis, index)
    if key not in scales:
        data = await read(exchange, column.class_id, column.obis, index)
        if data is None:
            scales[key] = _UNSCALED
        else:
            scaler_unit = ScalerUnit.from_data(data)
            scales[key] = (scaler_unit.scaler, scaler_unit.unit.code)
    return scales[key]
