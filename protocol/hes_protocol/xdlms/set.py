"""SET: request and response, normal, by blocks, with list (IEC 62056-5-3, `SET-Request`)."""

from __future__ import annotations

from typing import Final, TypeAlias

import attrs

from hes_protocol.axdr import Data, encode, write_length
from hes_protocol.cosem.objects import Attribute
from hes_protocol.xdlms.descriptor import (
    AccessSelection,
    AttributeAccess,
    DataBlock,
    Invoked,
    read_access,
    read_attribute,
    read_block,
    read_selection,
    write_access,
    write_attribute,
    write_block,
    write_selection,
)
from hes_protocol.xdlms.reader import ApduReader, write_unsigned
from hes_protocol.xdlms.results import DATA_ACCESS_RESULTS, DataAccessResult

SET_REQUEST: Final = 0xC1
SET_RESPONSE: Final = 0xC5


def _write_accesses(accesses: tuple[AttributeAccess, ...]) -> bytes:
    return write_length(len(accesses)) + b"".join(map(write_access, accesses))


@attrs.frozen
class SetRequestNormal(Invoked):
    """Write one attribute."""

    attribute: Attribute
    selection: AccessSelection | None
    value: Data

    def encode(self) -> bytes:
        """The octets of the APDU. Raises: LocalProtocolError: a value out of range."""
        return (
            self.header(SET_REQUEST, 1)
            + write_attribute(self.attribute)
            + write_selection(self.selection)
            + encode(self.value)
        )


@attrs.frozen
class SetRequestWithFirstDatablock(Invoked):
    """Begin to write one attribute by blocks."""

    attribute: Attribute
    selection: AccessSelection | None
    block: DataBlock

    def encode(self) -> bytes:
        """The octets of the APDU. Raises: LocalProtocolError: a value out of range."""
        return (
            self.header(SET_REQUEST, 2)
            + write_attribute(self.attribute)
            + write_selection(self.selection)
            + write_block(self.block)
        )


@attrs.frozen
class SetRequestWithDatablock(Invoked):
    """A later block of what is written."""

    block: DataBlock

    def encode(self) -> bytes:
        """The octets of the APDU. Raises: LocalProtocolError: a value out of range."""
        return self.header(SET_REQUEST, 3) + write_block(self.block)


@attrs.frozen
class SetRequestWithList(Invoked):
    """Write several attributes: as many `values` as `accesses`."""

    accesses: tuple[AttributeAccess, ...]
    values: tuple[Data, ...]

    def encode(self) -> bytes:
        """The octets of the APDU. Raises: LocalProtocolError: a value out of range."""
        return (
            self.header(SET_REQUEST, 4)
            + _write_accesses(self.accesses)
            + write_length(len(self.values))
            + b"".join(map(encode, self.values))
        )


@attrs.frozen
class SetRequestWithListAndFirstDatablock(Invoked):
    """Begin to write several attributes by blocks."""

    accesses: tuple[AttributeAccess, ...]
    block: DataBlock

    def encode(self) -> bytes:
        """The octets of the APDU. Raises: LocalProtocolError: a value out of range."""
        return (
            self.header(SET_REQUEST, 5) + _write_accesses(self.accesses) + write_block(self.block)
        )


@attrs.frozen
class SetResponseNormal(Invoked):
    """How writing one attribute went."""

    result: DataAccessResult

    def encode(self) -> bytes:
        """The octets of the APDU. Raises: LocalProtocolError: a value out of range."""
        return self.header(SET_RESPONSE, 1) + write_unsigned(self.result)


@attrs.frozen
class SetResponseDatablock(Invoked):
    """A block has arrived, the next one may come."""

    block_number: int

    def encode(self) -> bytes:
        """The octets of the APDU. Raises: LocalProtocolError: a value out of range."""
        return self.header(SET_RESPONSE, 2) + write_unsigned(self.block_number, 4)


@attrs.frozen
class SetResponseLastDatablock(Invoked):
    """How writing one attribute by blocks went."""

    result: DataAccessResult
    block_number: int

    def encode(self) -> bytes:
        """The octets of the APDU. Raises: LocalProtocolError: a value out of range."""
        return (
            self.header(SET_RESPONSE, 3)
            + write_unsigned(self.result)
            + write_unsigned(self.block_number, 4)
        )


@attrs.frozen
class SetResponseLastDatablockWithList(Invoked):
    """How writing several attributes by blocks went."""

    results: tuple[DataAccessResult, ...]
    block_number: int

    def encode(self) -> bytes:
        """The octets of the APDU. Raises: LocalProtocolError: a value out of range."""
        return (
            self.header(SET_RESPONSE, 4)
            + write_length(len(self.results))
            + bytes(self.results)
            + write_unsigned(self.block_number, 4)
        )


@attrs.frozen
class SetResponseWithList(Invoked):
    """How writing several attributes went, in the order of the request."""

    results: tuple[DataAccessResult, ...]

    def encode(self) -> bytes:
        """The octets of the APDU. Raises: LocalProtocolError: a value out of range."""
        return self.header(SET_RESPONSE, 5) + write_length(len(self.results)) + bytes(self.results)


SetRequest: TypeAlias = (
    SetRequestNormal
    | SetRequestWithFirstDatablock
    | SetRequestWithDatablock
    | SetRequestWithList
    | SetRequestWithListAndFirstDatablock
)
SetResponse: TypeAlias = (
    SetResponseNormal
    | SetResponseDatablock
    | SetResponseLastDatablock
    | SetResponseLastDatablockWithList
    | SetResponseWithList
)


def _read_accesses(reader: ApduReader) -> tuple[AttributeAccess, ...]:
    return tuple(read_access(reader) for _ in range(reader.count()))


def decode_set_request(octets: bytes) -> SetRequest:
    """
    Read a whole set-request.

    Raises: EncodingError: an unknown CHOICE, octets left over, a value that is none.
        TruncatedError. LimitError: a value too deep.
    """
    reader = ApduReader(octets)
    choice, invoke = reader.octet(), reader.octet()
    request: SetRequest
    match choice:
        case 1:
            request = SetRequestNormal(
                read_attribute(reader),
                read_selection(reader),
                reader.data(),
                invoke_id_and_priority=invoke,
            )
        case 2:
            request = SetRequestWithFirstDatablock(
                read_attribute(reader),
                read_selection(reader),
                read_block(reader),
                invoke_id_and_priority=invoke,
            )
        case 3:
            request = SetRequestWithDatablock(read_block(reader), invoke_id_and_priority=invoke)
        case 4:
            accesses = _read_accesses(reader)
            values = tuple(reader.data() for _ in range(reader.count()))
            request = SetRequestWithList(accesses, values, invoke_id_and_priority=invoke)
        case 5:
            request = SetRequestWithListAndFirstDatablock(
                _read_accesses(reader), read_block(reader), invoke_id_and_priority=invoke
            )
        case _:
            raise reader.error("unknown-choice", f"{choice} of SET-Request")
    reader.end()
    return request


def _read_result(reader: ApduReader) -> DataAccessResult:
    return DATA_ACCESS_RESULTS[reader.octet()]


def _read_results(reader: ApduReader) -> tuple[DataAccessResult, ...]:
    return tuple(map(DATA_ACCESS_RESULTS.__getitem__, reader.octet_string()))


def decode_set_response(octets: bytes) -> SetResponse:
    """
    Read a whole set-response.

    Raises: EncodingError: an unknown CHOICE or octets left over. TruncatedError.
    """
    reader = ApduReader(octets)
    choice, invoke = reader.octet(), reader.octet()
    response: SetResponse
    match choice:
        case 1:
            response = SetResponseNormal(_read_result(reader), invoke_id_and_priority=invoke)
        case 2:
            response = SetResponseDatablock(reader.unsigned(4), invoke_id_and_priority=invoke)
        case 3:
            response = SetResponseLastDatablock(
                _read_result(reader), reader.unsigned(4), invoke_id_and_priority=invoke
            )
        case 4:
            response = SetResponseLastDatablockWithList(
                _read_results(reader), reader.unsigned(4), invoke_id_and_priority=invoke
            )
        case 5:
            response = SetResponseWithList(_read_results(reader), invoke_id_and_priority=invoke)
        case _:
            raise reader.error("unknown-choice", f"{choice} of SET-Response")
    reader.end()
    return response
