"""
What a collector asks a meter once and keeps: its objects, its profiles, their units, its name.

Owns the order of the questions and what a refused one means: a meter that hides its object list
still has the standard load profile, and those that its model has. Where it has an attribute and
refuses to say it (capture objects, capture period, scaler_unit), the model's tables stand in, never
in place of what it does say, nor for an object that it does not have. A column whose scaler_unit
nobody tells is kept unscaled and without a unit. Of profiles without a period, logs and billing are
kept (`hes.domain.kinds`); whatever has no clock among its columns, or no readable columns, or more
than any meter captures, is left out.

Questions go together where the meter takes that: after the object list the periods of all profiles
and the device name, then what else is asked of the profiles, then the scaler_units.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

import attrs

from hes.domain.kinds import profile_kind
from hes.domain.meters import (
    CaptureColumn,
    LinkKnowledge,
    MeterKnowledge,
    ObjectEntry,
    ProfileKnowledge,
)
from hes_collectors.dlms.asking import Asker
from hes_collectors.dlms.exchange import Exchange
from hes_collectors.dlms.ranges import has_time
from hes_protocol.axdr.data import STRING_TAGS, Data, DataTag
from hes_protocol.client import Get, GetCompleted
from hes_protocol.cosem import Obis
from hes_protocol.cosem.objects import Attribute, CaptureObject, ObjectListEntry, ScalerUnit
from hes_protocol.errors import EncodingError
from hes_protocol.models import Model
from hes_protocol.models.objects import Sort
from hes_protocol.push import plain_text
from hes_protocol.xdlms.results import DataAccessResult

_CLASS_PROFILE: Final = 7
_OBJECT_LIST: Final = Attribute(15, Obis.parse("0.0.40.0.0.255"), 2)
_DEVICE_NAME: Final = Attribute(1, Obis.parse("0.0.42.0.0.255"), 2)
LOAD_PROFILE_1: Final = Obis.parse("1.0.99.1.0.255")

_DEVICE_NAME_LENGTH: Final = 32
# Each is asked for: a list without end would take every session to its deadline.
_MOST_PROFILES: Final = 128
_MOST_COLUMNS: Final = 256

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


async def learn(
    exchange: Exchange, model: Model | None = None, link: LinkKnowledge | None = None
) -> MeterKnowledge:
    """
    Explore a meter.

    Args: model: what is known of the meter's model. link: what it takes, as far as known.
    Returns: its objects as far as it shows them, and each profile that has a clock and is of use.
    Raises: what `Exchange.ask` raises; EncodingError: the object list or a scaler_unit has an
        impossible shape.
    """
    return await _Explorer(Asker(exchange, link or LinkKnowledge()), model).explore()


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
    """One exploration."""

    def __init__(self, asker: Asker, model: Model | None) -> None:
        self._asker = asker
        self._profiles = {} if model is None else model.profiles
        self._known_scales = {} if model is None else model.scaler_units

    async def explore(self) -> MeterKnowledge:
        [listed] = await self._ask([_OBJECT_LIST])
        objects = () if isinstance(listed, DataAccessResult) else tuple(_entries(listed))
        names = [entry.obis for entry in objects if entry.class_id == _CLASS_PROFILE]
        if isinstance(listed, DataAccessResult):
            names.extend(self._profiles)
        if LOAD_PROFILE_1 not in names:
            names.append(LOAD_PROFILE_1)
        names = list(dict.fromkeys(names))[:_MOST_PROFILES]
        periods = [Attribute(_CLASS_PROFILE, name, 4) for name in names]
        *answers, device_name = await self._ask([*periods, _DEVICE_NAME])
        periods_s = {
            name: period_s
            for name, answer in zip(names, answers, strict=True)
            if (period_s := self._period_s(name, answer)) is not None
            and profile_kind(name, period_s) is not None
        }
        return MeterKnowledge(
            objects,
            await self._all_profiles(periods_s),
            link=self._asker.link,
            device_name=_text(device_name),
        )

    async def _all_profiles(self, periods_s: Mapping[Obis, int]) -> tuple[ProfileKnowledge, ...]:
        indexes = (3, 5, 8)
        wanted = [Attribute(_CLASS_PROFILE, name, index) for name in periods_s for index in indexes]
        answers = dict(zip(wanted, await self._ask(wanted), strict=True))
        columns = {
            name: found
            for name in periods_s
            if has_time(found := self._columns(name, answers[_buffer(name, 3)]))
        }
        scales = await self._scales([column for found in columns.values() for column in found])
        return tuple(
            ProfileKnowledge(
                name,
                periods_s[name],
                tuple(
                    CaptureColumn(
                        column.class_id,
                        column.obis,
                        column.attribute_index,
                        column.data_index,
                        *scales.get(scale_of(column), _UNSCALED),
                    )
                    for column in found
                ),
                newest_first=self._newest_first(name, answers[_buffer(name, 5)]),
                entries=self._entries(name, answers[_buffer(name, 8)]),
            )
            for name, found in columns.items()
        )

    def _period_s(self, name: Obis, answer: Data | DataAccessResult) -> int | None:
        if isinstance(answer, Data):
            return answer.value if type(answer.value) is int else None
        profile = None if answer in _NOT_THERE else self._profiles.get(name)
        return None if profile is None else profile.capture_period_s

    def _newest_first(self, name: Obis, method: Data | DataAccessResult) -> bool:
        if isinstance(method, Data):
            return method.value in _NEWEST_FIRST
        profile = self._profiles.get(name)
        return profile is not None and profile.sort is Sort.LIFO

    def _entries(self, name: Obis, answer: Data | DataAccessResult) -> int | None:
        if isinstance(answer, Data):
            return answer.value if type(answer.value) is int and answer.value > 0 else None
        profile = self._profiles.get(name)
        return None if profile is None else profile.entries

    def _columns(self, name: Obis, answer: Data | DataAccessResult) -> tuple[CaptureObject, ...]:
        if isinstance(answer, Data):
            try:
                found = tuple(map(CaptureObject.from_data, elements(answer)))
            except EncodingError:
                return ()  # it must not take the meter's other profiles with it
            return found if len(found) <= _MOST_COLUMNS else ()
        profile = None if answer in _NOT_THERE else self._profiles.get(name)
        return () if profile is None else profile.capture_objects

    async def _scales(
        self, columns: Iterable[CaptureObject]
    ) -> dict[Attribute | None, tuple[int, int]]:
        """Scaler and unit code by scaler_unit; each is asked for once."""
        wanted = list(dict.fromkeys(scale for column in columns if (scale := scale_of(column))))
        return await scales(self._asker, wanted, self._known_scales)

    async def _ask(self, wanted: Sequence[Attribute]) -> list[Data | DataAccessResult]:
        return await ask(self._asker, wanted)


async def ask(asker: Asker, wanted: Sequence[Attribute]) -> list[Data | DataAccessResult]:
    """What a meter says of each attribute: its value, or why there is none."""
    return [
        one.data() if one.result is DataAccessResult.SUCCESS else one.result
        for one in await asker.read(wanted)
    ]


def scale_of(column: CaptureObject) -> Attribute | None:
    """The scaler_unit by which an attribute is to be read; None where it has none."""
    index = _SCALER_UNITS.get((column.class_id, column.attribute_index))
    return None if index is None else Attribute(column.class_id, column.obis, index)


async def scales(
    asker: Asker,
    wanted: Sequence[Attribute],
    known: Mapping[tuple[int, Obis], ScalerUnit],
) -> dict[Attribute | None, tuple[int, int]]:
    """
    Scaler and unit code of each scaler_unit; what nobody tells is unscaled and without a unit.

    Args: known: what the model says, for those that the meter has and does not tell.
    """
    found: dict[Attribute | None, tuple[int, int]] = {}
    for attribute, answer in zip(wanted, await ask(asker, wanted), strict=True):
        told = ScalerUnit.from_data(answer) if isinstance(answer, Data) else None
        if told is None and answer not in _NOT_THERE:
            told = known.get((attribute.class_id, attribute.obis))
        found[attribute] = _UNSCALED if told is None else (told.scaler, told.unit.code)
    return found


def _buffer(name: Obis, index: int) -> Attribute:
    return Attribute(_CLASS_PROFILE, name, index)


def _text(answer: Data | DataAccessResult) -> str | None:
    """
    A logical device name: 16 octets, of which the first three name the maker.

    Where the others are no text they stand in hex behind the maker.
    """
    if not isinstance(answer, Data) or answer.tag not in STRING_TAGS:
        return None
    octets: bytes = answer.value
    name = plain_text(answer)
    if name is None:
        maker = plain_text(attrs.evolve(answer, value=octets[:3])) or octets[:3].hex()
        name = maker + octets[3:].hex()
    return name[:_DEVICE_NAME_LENGTH] or None


def _entries(data: Data) -> Iterator[ObjectEntry]:
    for entry in map(ObjectListEntry.from_data, elements(data)):
        yield ObjectEntry(entry.class_id, entry.version, entry.obis)
