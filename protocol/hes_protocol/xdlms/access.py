"""
ACCESS: many reads, writes and invocations in one exchange (IEC 62056-5-3, `Access-Request`).

The request lists what is wanted and, in a second list of the same length, one `Data` for each
(null-data with a read); the response lists one `Data` for each, and how each went. A server that
stops at the first error (`BREAK_ON_ERROR`) answers with shorter lists.
"""

from __future__ import annotations

from typing import Final, TypeAlias

import attrs

from hes_protocol.axdr import Data, decode_all, encode, write_length
from hes_protocol.cosem.objects import Attribute, Method
from hes_protocol.xdlms.descriptor import (
    AccessSelection,
    read_attribute,
    read_method,
    write_attribute,
    write_method,
)
from hes_protocol.xdlms.notification import read_date_time, write_date_time
from hes_protocol.xdlms.reader import ApduReader, write_unsigned
from hes_protocol.xdlms.results import DATA_ACCESS_RESULTS, ActionResultCode, DataAccessResult

ACCESS_REQUEST: Final = 0xD9
ACCESS_RESPONSE: Final = 0xDA

LONG_INVOKE_ID_MASK: Final = 0xFFFFFF
SELF_DESCRIPTIVE: Final = 1 << 28
BREAK_ON_ERROR: Final = 1 << 29
LONG_CONFIRMED: Final = 1 << 30
LONG_HIGH_PRIORITY: Final = 1 << 31
DEFAULT_LONG_INVOKE: Final = LONG_CONFIRMED

_GET, _SET, _ACTION, _GET_WITH_SELECTION, _SET_WITH_SELECTION = range(1, 6)


@attrs.frozen
class AccessGet:
    """Read an attribute, whole or by `selection`."""

    attribute: Attribute
    selection: AccessSelection | None = None


@attrs.frozen
class AccessSet:
    """Write an attribute, whole or by `selection`."""

    attribute: Attribute
    selection: AccessSelection | None = None


@attrs.frozen
class AccessAction:
    """Invoke a method."""

    method: Method


AccessSpecification: TypeAlias = AccessGet | AccessSet | AccessAction


@attrs.frozen
class AccessGetResult:
    """How a read went."""

    result: DataAccessResult


@attrs.frozen
class AccessSetResult:
    """How a write went."""

    result: DataAccessResult


@attrs.frozen
class AccessActionResult:
    """How an invocation went."""

    result: ActionResultCode


AccessResult: TypeAlias = AccessGetResult | AccessSetResult | AccessActionResult


@attrs.frozen(kw_only=True)
class LongInvoked:
    """
    An APDU with a long invoke id.

    `long_invoke_id_and_priority` is all 32 bits: bit 31 high priority, 30 confirmed, 29 break on
    error, 28 self-descriptive, bits 0 to 23 the id; an answer echoes it. `date_time` is the raw
    12 octets, None for none.
    """

    long_invoke_id_and_priority: int = DEFAULT_LONG_INVOKE
    date_time: bytes | None = None

    @property
    def long_invoke_id(self) -> int:
        """The lower 24 bits."""
        return self.long_invoke_id_and_priority & LONG_INVOKE_ID_MASK

    @property
    def invoke_id(self) -> int:
        """The same, by the name that it has in all other services."""
        return self.long_invoke_id

    def header(self, tag: int) -> bytes:
        """APDU tag, invoke id and date-time. Raises: LocalProtocolError: a value out of range."""
        return (
            bytes((tag,))
            + write_unsigned(self.long_invoke_id_and_priority, 4)
            + write_date_time(self.date_time)
        )


@attrs.frozen
class AccessRequest(LongInvoked):
    """What is wanted, and one `Data` for each: as many `values` as `specifications`."""

    specifications: tuple[AccessSpecification, ...]
    values: tuple[Data, ...]

    def encode(self) -> bytes:
        """The octets of the APDU. Raises: LocalProtocolError: a value out of range."""
        return (
            self.header(ACCESS_REQUEST)
            + _write_specifications(self.specifications)
            + write_length(len(self.values))
            + b"".join(map(encode, self.values))
        )


@attrs.frozen
class AccessResponse(LongInvoked):
    """
    What came of it: one encoded `Data` in `values` and one result for each specification.

    `specifications` repeats the request's where that asked for it (`SELF_DESCRIPTIVE`).
    """

    values: tuple[bytes, ...] = attrs.field(repr=False)
    results: tuple[AccessResult, ...]
    specifications: tuple[AccessSpecification, ...] | None = None

    def data(self, index: int) -> Data:
        """
        One value as a tree.

        Raises: EncodingError: the octets are no single `Data`. LimitError: too deep.
        """
        return decode_all(self.values[index])

    def encode(self) -> bytes:
        """The octets of the APDU. Raises: LocalProtocolError: a value out of range."""
        repeated = self.specifications
        return (
            self.header(ACCESS_RESPONSE)
            + (b"\x00" if repeated is None else b"\x01" + _write_specifications(repeated))
            + write_length(len(self.values))
            + b"".join(self.values)
            + write_length(len(self.results))
            + b"".join(map(_write_result, self.results))
        )


def _write_specification(specification: AccessSpecification) -> bytes:
    if isinstance(specification, AccessAction):
        return bytes((_ACTION,)) + write_method(specification.method)
    read = isinstance(specification, AccessGet)
    attribute, selection = write_attribute(specification.attribute), specification.selection
    if selection is None:
        return bytes((_GET if read else _SET,)) + attribute
    return (
        bytes((_GET_WITH_SELECTION if read else _SET_WITH_SELECTION,))
        + attribute
        + write_unsigned(selection.selector)
        + encode(selection.parameters)
    )


def _write_specifications(specifications: tuple[AccessSpecification, ...]) -> bytes:
    return write_length(len(specifications)) + b"".join(map(_write_specification, specifications))


def _write_result(result: AccessResult) -> bytes:
    match result:
        case AccessGetResult():
            choice = _GET
        case AccessSetResult():
            choice = _SET
        case AccessActionResult():
            choice = _ACTION
    return bytes((choice,)) + write_unsigned(result.result)


def _read_specification(reader: ApduReader) -> AccessSpecification:
    match reader.octet():
        case 1:
            return AccessGet(read_attribute(reader))
        case 2:
            return AccessSet(read_attribute(reader))
        case 3:
            return AccessAction(read_method(reader))
        case 4:
            return AccessGet(read_attribute(reader), _read_selection(reader))
        case 5:
            return AccessSet(read_attribute(reader), _read_selection(reader))
        case choice:
            raise reader.error("unknown-choice", f"{choice} of Access-Request-Specification")


def _read_selection(reader: ApduReader) -> AccessSelection:
    return AccessSelection(reader.octet(), reader.data())


def _read_specifications(reader: ApduReader) -> tuple[AccessSpecification, ...]:
    return tuple(_read_specification(reader) for _ in range(reader.count()))


def _read_result(reader: ApduReader) -> AccessResult:
    choice, code = reader.octet(), reader.octet()
    match choice:
        case 1:
            return AccessGetResult(DATA_ACCESS_RESULTS[code])
        case 2:
            return AccessSetResult(DATA_ACCESS_RESULTS[code])
        case 3:
            return AccessActionResult(ActionResultCode(code))
        case _:
            raise reader.error("unknown-choice", f"{choice} of Access-Response-Specification")


def decode_access_request(octets: bytes) -> AccessRequest:
    """
    Read a whole access-request; the two lists may differ in length, which the server refuses.

    Raises: EncodingError: an unknown CHOICE, octets left over, a value that is none, a date-time
        of another length. TruncatedError. LimitError: a value too deep.
    """
    reader = ApduReader(octets)
    invoke, time = reader.unsigned(4), read_date_time(reader)
    specifications = _read_specifications(reader)
    values = tuple(reader.data() for _ in range(reader.count()))
    reader.end()
    return AccessRequest(specifications, values, long_invoke_id_and_priority=invoke, date_time=time)


def decode_access_response(octets: bytes) -> AccessResponse:
    """
    Read a whole access-response; each `Data` is decoded only to see where it ends.

    Raises: EncodingError: an unknown CHOICE, octets left over, a value that is none, a date-time
        of another length. TruncatedError. LimitError: a value too deep.
    """
    reader = ApduReader(octets)
    invoke, time = reader.unsigned(4), read_date_time(reader)
    repeated = _read_specifications(reader) if reader.present() else None
    values = tuple(reader.data_octets() for _ in range(reader.count()))
    results = tuple(_read_result(reader) for _ in range(reader.count()))
    reader.end()
    return AccessResponse(
        values, results, repeated, long_invoke_id_and_priority=invoke, date_time=time
    )
