"""
What one client and one server have said to each other so far, to name answers by their requests.

Keeps per conversation: titles and dedicated key, what was asked by invoke id, blocks that are not
whole, and of what was read: scaler_units and capture objects, by which registers get their units
and rows of a profile their objects. Bounded: by sixteen invoke ids, and by the octets that came.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from typing import Final

import attrs

from hes_protocol.axdr import Data, DataTag
from hes_protocol.cosem import Attribute, CosemDateTime, Obis
from hes_protocol.push import instant
from hes_protocol.security import SuiteKeys
from hes_protocol.translator.result import NO_UNIT, TranslatedReading
from hes_protocol.xdlms import (
    AccessGet,
    AccessRequest,
    AccessResponse,
    AccessSpecification,
    AttributeAccess,
    DataAccessResult,
    GetDataResult,
)
from hes_protocol.xdlms.assembler import BlockAssembler

_SEQUENCES: Final = (DataTag.ARRAY, DataTag.STRUCTURE, DataTag.COMPACT_ARRAY)
_CLASS_PROFILE, _CLASS_CLOCK = 7, 8
_BUFFER, _CAPTURE_OBJECTS = 2, 3
_RANGE_SELECTOR: Final = 1
# class_id -> (attribute that holds scaler_unit, attributes that it applies to)
_SCALER_UNITS: Final = {3: (3, (2,)), 4: (3, (2,)), 5: (4, (2, 3))}


@attrs.frozen
class Column:
    """One capture object: an attribute, and which element of it (0: all)."""

    attribute: Attribute
    data_index: int


@attrs.define
class Conversation:
    """One pair of a client and a server."""

    client_title: bytes | None = None
    server_title: bytes | None = None
    dedicated_keys: SuiteKeys | None = None
    readings: list[TranslatedReading] = attrs.field(factory=list)
    _general_blocks: dict[Hashable, BlockAssembler] = attrs.field(factory=dict)
    _asked: dict[int, tuple[AttributeAccess, ...]] = attrs.field(factory=dict)
    _blocks: dict[int, list[bytes]] = attrs.field(factory=dict)
    _accesses: tuple[AccessSpecification, ...] = ()
    _units: dict[Obis, tuple[int, int]] = attrs.field(factory=dict)
    _columns: dict[Obis, tuple[Column, ...]] = attrs.field(factory=dict)

    @property
    def unfinished(self) -> bool:
        """Whether blocks wait for others."""
        return bool(self._blocks) or any(
            assembler.pending_octets for assembler in self._general_blocks.values()
        )

    def general_blocks(self, source: Hashable) -> BlockAssembler:
        """What puts the general blocks of one side together."""
        return self._general_blocks.setdefault(source, BlockAssembler())

    def pending_general_blocks(self) -> list[bytes]:
        """What has come of APDUs whose last general block has not."""
        return [a.pending for a in self._general_blocks.values() if a.pending_octets]

    # --- requests and answers -----------------------------------------------------------------

    def ask(self, invoke_id: int, accesses: tuple[AttributeAccess, ...]) -> None:
        """A request: its answers name what they bring by it."""
        self._asked[invoke_id] = accesses
        self._blocks.pop(invoke_id, None)

    def asked_several(self, invoke_id: int) -> bool:
        """Whether the request that is being answered was one with list."""
        return len(self._asked.get(invoke_id, ())) > 1

    def answer(self, invoke_id: int, results: Sequence[GetDataResult]) -> None:
        """
        The results of a request.

        Raises: EncodingError, LimitError: data that is none; what came before it is kept.
        """
        asked = self._asked.pop(invoke_id, ())
        for index, result in enumerate(results):
            if result.result is DataAccessResult.SUCCESS and result.octets:
                # Decoded even if nobody knows what was asked: an answer may be cut.
                data = result.data()
                if len(asked) == len(results):
                    self.learn(asked[index], data)

    def block(self, invoke_id: int, number: int, octets: bytes, *, last: bool) -> bytes | None:
        """One block of an answer; all of them joined with the last, None until then."""
        if number == 1:
            self._blocks[invoke_id] = []
        blocks = self._blocks.get(invoke_id)
        if blocks is None:
            return None  # the first blocks were not captured
        blocks.append(octets)
        return b"".join(self._blocks.pop(invoke_id)) if last else None

    def ask_access(self, request: AccessRequest) -> None:
        """An ACCESS: what it reads, in its order."""
        self._accesses = request.specifications

    def answer_access(self, response: AccessResponse) -> None:
        """The values of an ACCESS. Raises: EncodingError, LimitError: data that is none."""
        asked = response.specifications or self._accesses
        if not len(asked) == len(response.values) == len(response.results):
            return
        for index, specification in enumerate(asked):
            if isinstance(specification, AccessGet) and (
                response.results[index].result is DataAccessResult.SUCCESS
            ):
                access = AttributeAccess(specification.attribute, specification.selection)
                self.learn(access, response.data(index))

    # --- values -------------------------------------------------------------------------------

    def learn(self, access: AttributeAccess, data: Data) -> None:
        """One value that was read: a reading, or what other readings are understood by."""
        attribute = access.attribute
        columns = _columns(data)
        if attribute.class_id == _CLASS_PROFILE and attribute.index == _CAPTURE_OBJECTS and columns:
            self._columns[attribute.obis] = columns
        elif attribute.class_id == _CLASS_PROFILE and attribute.index == _BUFFER:
            columns = _selected(access) or self._columns.get(attribute.obis, ())
            self.readings.extend(_rows(columns, data))
        elif _SCALER_UNITS.get(attribute.class_id, (0,))[0] == attribute.index:
            scaler_unit = _scaler_unit(data)
            if scaler_unit is not None:
                self._units[attribute.obis] = scaler_unit
        elif data.tag not in _SEQUENCES and data.tag is not DataTag.NULL_DATA:
            self.readings.append(
                TranslatedReading(attribute.obis, attribute.class_id, attribute.index, data)
            )

    def finish(self, reading: TranslatedReading) -> TranslatedReading:
        """The reading with scaler and unit, if they were read before or behind it."""
        known = None if reading.obis is None else self._units.get(reading.obis)
        applies = _SCALER_UNITS.get(reading.class_id, (0, ()))[1]
        if known is None or reading.unit != NO_UNIT or reading.attribute_index not in applies:
            return reading
        return attrs.evolve(reading, scaler=known[0], unit=known[1])


def _scaler_unit(data: Data) -> tuple[int, int] | None:
    if data.tag is not DataTag.STRUCTURE or len(data.value) != 2:
        return None
    scaler, unit = data.value
    if scaler.tag is not DataTag.INTEGER or unit.tag is not DataTag.ENUM:
        return None
    return scaler.value, unit.value


def _columns(data: Data) -> tuple[Column, ...]:
    """Capture objects; none where `data` is anything else."""
    columns = []
    for entry in data.value if data.tag is DataTag.ARRAY else ():
        if entry.tag is not DataTag.STRUCTURE or len(entry.value) != 4:
            return ()
        class_id, name, index, data_index = entry.value
        tags = (class_id.tag, name.tag, index.tag, data_index.tag)
        if tags != _CAPTURE_OBJECT or len(name.value) != 6:
            return ()
        attribute = Attribute(class_id.value, Obis(name.value), index.value)
        columns.append(Column(attribute, data_index.value))
    return tuple(columns)


_CAPTURE_OBJECT: Final = (
    DataTag.LONG_UNSIGNED,
    DataTag.OCTET_STRING,
    DataTag.INTEGER,
    DataTag.LONG_UNSIGNED,
)


def _selected(access: AttributeAccess) -> tuple[Column, ...]:
    """The columns that a selection by range names; none where it takes all."""
    selection = access.selection
    if selection is None or selection.selector != _RANGE_SELECTOR:
        return ()
    parameters = selection.parameters
    if parameters.tag is not DataTag.STRUCTURE or len(parameters.value) != 4:
        return ()
    return _columns(parameters.value[3])


def _rows(columns: tuple[Column, ...], data: Data) -> Iterator[TranslatedReading]:
    """The values of a profile's rows; none where rows and columns do not fit."""
    for row in data.value if data.tag is DataTag.ARRAY and columns else ():
        if row.tag is not DataTag.STRUCTURE or len(row.value) != len(columns):
            return
        moment: CosemDateTime | None = None
        for column, cell in zip(columns, row.value, strict=True):
            attribute = column.attribute
            if attribute.class_id == _CLASS_CLOCK and attribute.index == 2:
                moment = instant(cell)
            elif cell.tag not in _SEQUENCES and cell.tag is not DataTag.NULL_DATA:
                yield TranslatedReading(
                    attribute.obis, attribute.class_id, attribute.index, cell, captured_at=moment
                )
