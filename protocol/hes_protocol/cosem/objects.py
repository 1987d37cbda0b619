"""
References to COSEM objects, and the small structures that describe them.

Owns what attributes of class_id 1 to 15 carry of other objects: capture objects (profile generic),
scaler_unit (register), object list entries (association LN), and the access parameters with which
part of a buffer is asked for. Everything that comes from a meter is read by `from_data`, which
raises EncodingError for a wrong shape; `to_data` is its inverse. IEC 62056-6-2.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import attrs

from hes_protocol.axdr.data import Data, DataTag, array, structure
from hes_protocol.cosem.date_time import CosemDateTime
from hes_protocol.cosem.obis import Obis
from hes_protocol.cosem.units import Unit
from hes_protocol.errors import EncodingError


def _bounds(low: int, high: int) -> Callable[[Any, Any, int], None]:
    def check(instance: Any, field: Any, value: int) -> None:  # noqa: ARG001
        if not low <= value <= high:
            raise ValueError(f"{field.name} {value} is not within {low}..{high}")

    return check


_UINT16 = _bounds(0, 0xFFFF)
_INT8 = _bounds(-0x80, 0x7F)


@attrs.frozen
class Attribute:
    """One attribute of one object (Cosem-Attribute-Descriptor)."""

    class_id: int = attrs.field(validator=_UINT16)
    obis: Obis
    index: int = attrs.field(validator=_INT8)


@attrs.frozen
class Method:
    """One method of one object (Cosem-Method-Descriptor)."""

    class_id: int = attrs.field(validator=_UINT16)
    obis: Obis
    index: int = attrs.field(validator=_INT8)


@attrs.frozen
class CaptureObject:
    """
    One column of a profile: an attribute, or with `data_index` one element of it.

    Source: IEC 62056-6-2, class_id 7, attribute 3 (capture_objects), capture_object_definition.
    """

    class_id: int = attrs.field(validator=_UINT16)
    obis: Obis
    attribute_index: int = attrs.field(validator=_INT8)
    data_index: int = attrs.field(default=0, validator=_UINT16)

    @classmethod
    def from_data(cls, data: Data) -> CaptureObject:
        """
        Read {class_id, logical_name, attribute_index, data_index}.

        Raises: EncodingError: "bad-structure": another shape.
        """
        class_id, name, attribute_index, data_index = _members(data, 4, "capture object")
        return cls(
            _integer(class_id, 0, 0xFFFF),
            _logical_name(name),
            _integer(attribute_index, -0x80, 0x7F),
            _integer(data_index, 0, 0xFFFF),
        )

    def to_data(self) -> Data:
        """The structure as a meter sends it."""
        return structure(
            Data(DataTag.LONG_UNSIGNED, self.class_id),
            Data(DataTag.OCTET_STRING, self.obis.octets),
            Data(DataTag.INTEGER, self.attribute_index),
            Data(DataTag.LONG_UNSIGNED, self.data_index),
        )


@attrs.frozen
class ScalerUnit:
    """
    Physical value = raw value * 10^`scaler`, in `unit`.

    Source: IEC 62056-6-2, class_id 3, attribute 3 (scaler_unit).
    """

    scaler: int = attrs.field(validator=_INT8)
    unit: Unit

    @classmethod
    def from_data(cls, data: Data) -> ScalerUnit:
        """
        Read {scaler, unit}.

        Raises: EncodingError: "bad-structure": another shape.
        """
        scaler, unit = _members(data, 2, "scaler_unit")
        return cls(_integer(scaler, -0x80, 0x7F), Unit.of(_integer(unit, 0, 0xFF)))

    def to_data(self) -> Data:
        """The structure as a meter sends it."""
        return structure(Data(DataTag.INTEGER, self.scaler), Data(DataTag.ENUM, self.unit.code))


@attrs.frozen
class ObjectListEntry:
    """
    One object that an association shows; its access rights are left where they are.

    Source: IEC 62056-6-2, class_id 15, attribute 2 (object_list), object_list_element.
    """

    class_id: int = attrs.field(validator=_UINT16)
    version: int = attrs.field(validator=_bounds(0, 0xFF))
    obis: Obis

    @classmethod
    def from_data(cls, data: Data) -> ObjectListEntry:
        """
        Read {class_id, version, logical_name, access_rights}; access rights may be missing.

        Raises: EncodingError: "bad-structure": another shape.
        """
        if data.tag is not DataTag.STRUCTURE or len(data.value) not in (3, 4):
            raise EncodingError("bad-structure", "an object list entry has four members")
        class_id, version, name = data.value[:3]
        return cls(_integer(class_id, 0, 0xFFFF), _integer(version, 0, 0xFF), _logical_name(name))

    def to_data(self) -> Data:
        """The structure as a meter sends it, with empty access rights."""
        return structure(
            Data(DataTag.LONG_UNSIGNED, self.class_id),
            Data(DataTag.UNSIGNED, self.version),
            Data(DataTag.OCTET_STRING, self.obis.octets),
            structure(array(), array()),
        )


@attrs.frozen
class RangeSelection:
    """
    The rows of a profile whose `restricting` column lies within `from_`..`to`, both included.

    `from_` and `to` are of the restricting column's own type: for a clock an OCTET_STRING of
    twelve octets, which `between` makes. `selected` names the columns that are wanted, empty for
    all of them.

    Source: IEC 62056-6-2, class_id 7, selective access, range_descriptor.
    """

    selector: ClassVar[int] = 1

    restricting: CaptureObject
    from_: Data
    to: Data
    selected: tuple[CaptureObject, ...] = ()

    @classmethod
    def between(
        cls,
        clock: CaptureObject,
        from_: CosemDateTime,
        to: CosemDateTime,
        selected: tuple[CaptureObject, ...] = (),
    ) -> RangeSelection:
        """The rows captured from `from_` to `to` by `clock`, usually 8/0.0.1.0.0.255/2."""
        return cls(
            clock,
            Data(DataTag.OCTET_STRING, from_.to_octets()),
            Data(DataTag.OCTET_STRING, to.to_octets()),
            selected,
        )

    @classmethod
    def from_data(cls, data: Data) -> RangeSelection:
        """
        Read {restricting_object, from_value, to_value, selected_values}.

        Raises: EncodingError: "bad-structure": another shape.
        """
        restricting, from_, to, selected = _members(data, 4, "range descriptor")
        if selected.tag is not DataTag.ARRAY:
            raise EncodingError("bad-structure", "selected_values is an array")
        return cls(
            CaptureObject.from_data(restricting),
            from_,
            to,
            tuple(map(CaptureObject.from_data, selected.value)),
        )

    def to_data(self) -> Data:
        """The access parameters."""
        return structure(
            self.restricting.to_data(),
            self.from_,
            self.to,
            array(*(column.to_data() for column in self.selected)),
        )


@attrs.frozen
class EntrySelection:
    """
    The rows `from_entry`..`to_entry` of a profile, counted from 1; `to_entry` 0: to the last.

    `from_column`..`to_column` likewise, counted from 1.

    Source: IEC 62056-6-2, class_id 7, selective access, entry_descriptor.
    """

    selector: ClassVar[int] = 2

    from_entry: int = attrs.field(default=1, validator=_bounds(0, 0xFFFFFFFF))
    to_entry: int = attrs.field(default=0, validator=_bounds(0, 0xFFFFFFFF))
    from_column: int = attrs.field(default=1, validator=_UINT16)
    to_column: int = attrs.field(default=0, validator=_UINT16)

    @classmethod
    def from_data(cls, data: Data) -> EntrySelection:
        """
        Read {from_entry, to_entry, from_selected_value, to_selected_value}.

        Raises: EncodingError: "bad-structure": another shape.
        """
        from_entry, to_entry, from_column, to_column = _members(data, 4, "entry descriptor")
        return cls(
            _integer(from_entry, 0, 0xFFFFFFFF),
            _integer(to_entry, 0, 0xFFFFFFFF),
            _integer(from_column, 0, 0xFFFF),
            _integer(to_column, 0, 0xFFFF),
        )

    def to_data(self) -> Data:
        """The access parameters."""
        return structure(
            Data(DataTag.DOUBLE_LONG_UNSIGNED, self.from_entry),
            Data(DataTag.DOUBLE_LONG_UNSIGNED, self.to_entry),
            Data(DataTag.LONG_UNSIGNED, self.from_column),
            Data(DataTag.LONG_UNSIGNED, self.to_column),
        )


def _members(data: Data, count: int, what: str) -> tuple[Data, ...]:
    if data.tag is not DataTag.STRUCTURE or len(data.value) != count:
        raise EncodingError("bad-structure", f"a {what} is a structure of {count}")
    members: tuple[Data, ...] = data.value
    return members


def _integer(data: Data, low: int, high: int) -> int:
    """Any integer type that holds the number: meters differ in the types they choose."""
    if type(data.value) is not int or not low <= data.value <= high:
        raise EncodingError("bad-structure", f"{data.tag.name} where {low}..{high} is due")
    return data.value


def _logical_name(data: Data) -> Obis:
    if data.tag is not DataTag.OCTET_STRING or len(data.value) != 6:
        raise EncodingError("bad-structure", "a logical name is an octet string of six")
    return Obis(data.value)
