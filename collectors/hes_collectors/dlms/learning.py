"""
What a collector asks a meter once and keeps: its objects, its load profiles, their units.

Owns the order of the questions and what a refused one means: a meter that hides its object list
still has the standard load profile, and those that its model has. Where it has an attribute and
refuses to say it (capture objects, capture period, scaler_unit), the model's tables stand in, never
in place of what it does say, nor for an object that it does not have. A column whose scaler_unit
nobody tells is kept unscaled and without a unit. Profiles without a period (event logs) are left
for the issue on events.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
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
from hes_protocol.models import Model
from hes_protocol.models.objects import Sort
from hes_protocol.xdlms.results import DataAccessResult

_CLASS_PROFILE: Final = 7
_OBJECT_LIST: Final = Attribute(15, Obis.parse("0.0.40.0.0.255"), 2)
LOAD_PROFILE_1: Final = Obis.parse("1.0.99.1.0.255")

# Which attribute of which class is scaled, by which attribute: register, extended register, and
# the current and last average of a demand register (IEC 62056-6-2, class_id 3, 4, 5).
_SCALER_UNITS: Final = {(3, 2): 3, (4, 2): 3, (5, 2): 4, (5, 3): 4}
_UNSCALED: Final = (0, 255)
# Sort methods whose entry 1 is the newest row: LIFO, and largest first by the clock.
_NEWEST_FIRST: Final = frozenset({2, 3})


# What a meter answers that does not have what it was asked for; any other refusal is one to say.
_NOT_THERE: Final = frozenset(
    {
        DataAccessResult.OBJECT_UNDEFINED,
        DataAccessResult.OBJECT_CLASS_INCONSISTENT,
        DataAccessResult.OBJECT_UNAVAILABLE,
    }
)


async def learn(exchange: Exchange, model: Model | None = None) -> MeterKnowledge:
    """
    Explore a meter.

    Args: model: what is known of the meter's model.
    Returns: its objects as far as it shows them, and each profile that has a clock and a period.
    Raises: what `Exchange.ask` raises; EncodingError: an attribute has an impossible shape;
        MeterRefusedError: "no-load-profile": there is none that can be read.
    """
    return await _Explorer(exchange, model).explore()


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


class _Explorer:
    """One exploration; `scales` are asked once however many profiles capture a register."""

    def __init__(self, exchange: Exchange, model: Model | None) -> None:
        self._exchange = exchange
        self._profiles = {} if model is None else model.profiles
        self._known_scales = {} if model is None else model.scaler_units
        self._scales: dict[tuple[int, Obis, int], tuple[int, int]] = {}

    async def explore(self) -> MeterKnowledge:
        listed = await self._ask(_OBJECT_LIST)
        objects = () if isinstance(listed, DataAccessResult) else tuple(_entries(listed))
        names = [entry.obis for entry in objects if entry.class_id == _CLASS_PROFILE]
        if isinstance(listed, DataAccessResult):
            names.extend(self._profiles)
        if LOAD_PROFILE_1 not in names:
            names.append(LOAD_PROFILE_1)
        profiles = [found for name in names if (found := await self._profile(name)) is not None]
        if not profiles:
            raise MeterRefusedError("no-load-profile")
        return MeterKnowledge(objects, tuple(profiles))

    async def _profile(self, name: Obis) -> ProfileKnowledge | None:
        """A profile's columns and period; None if it is none of those that are read here."""
        period_s = await self._period_s(name)
        if period_s is None or period_s <= 0:
            return None
        columns = await self._columns(name)
        if not any(map(is_time, columns)):
            return None
        known = []
        for column in columns:
            scaler, unit = await self._scale(column)
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
        newest_first = await self._newest_first(name)
        return ProfileKnowledge(name, period_s, tuple(known), newest_first=newest_first)

    async def _period_s(self, name: Obis) -> int | None:
        answer = await self._ask(Attribute(_CLASS_PROFILE, name, 4))
        if isinstance(answer, Data):
            return answer.value if type(answer.value) is int else None
        profile = None if answer in _NOT_THERE else self._profiles.get(name)
        return None if profile is None else profile.capture_period_s

    async def _newest_first(self, name: Obis) -> bool:
        method = await self._ask(Attribute(_CLASS_PROFILE, name, 5))
        if isinstance(method, Data):
            return method.value in _NEWEST_FIRST
        profile = self._profiles.get(name)
        return profile is not None and profile.sort is Sort.LIFO

    async def _columns(self, name: Obis) -> tuple[CaptureObject, ...]:
        answer = await self._ask(Attribute(_CLASS_PROFILE, name, 3))
        if isinstance(answer, Data):
            return tuple(map(CaptureObject.from_data, elements(answer)))
        profile = None if answer in _NOT_THERE else self._profiles.get(name)
        return () if profile is None else profile.capture_objects

    async def _scale(self, column: CaptureObject) -> tuple[int, int]:
        """Scaler and unit code of one column."""
        index = _SCALER_UNITS.get((column.class_id, column.attribute_index))
        if index is None:
            return _UNSCALED
        key = (column.class_id, column.obis, index)
        if key not in self._scales:
            answer = await self._ask(Attribute(*key))
            told = ScalerUnit.from_data(answer) if isinstance(answer, Data) else None
            if told is None and answer not in _NOT_THERE:
                told = self._known_scales.get((column.class_id, column.obis))
            self._scales[key] = _UNSCALED if told is None else (told.scaler, told.unit.code)
        return self._scales[key]

    async def _ask(self, attribute: Attribute) -> Data | DataAccessResult:
        answer = await self._exchange.ask(Get(attribute))
        assert isinstance(answer, GetCompleted)  # what completes a Get
        success = answer.result is DataAccessResult.SUCCESS
        return answer.data() if success else answer.result


def _entries(data: Data) -> Iterator[ObjectEntry]:
    for entry in map(ObjectListEntry.from_data, elements(data)):
        yield ObjectEntry(entry.class_id, entry.version, entry.obis)
