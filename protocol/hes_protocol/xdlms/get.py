"""
GET: request and response, normal, by blocks, with list (IEC 62056-5-3, `GET-Request`/`-Response`).

The `Data` at the end of a response stays octets and is not looked at: a profile is decoded once,
by columns, by whoever asked for it. In a list each `Data` is decoded to find where it ends.
"""

from __future__ import annotations

from functools import lru_cache
from struct import Struct, error
from typing import Final, TypeAlias

import attrs

from hes_protocol.axdr import Data, decode_all, write_length
from hes_protocol.cosem.objects import Attribute
from hes_protocol.errors import LocalProtocolError
from hes_protocol.xdlms.descriptor import (
    AccessSelection,
    AttributeAccess,
    Invoked,
    read_access,
    read_attribute,
    read_selection,
    write_access,
    write_attribute,
    write_header,
    write_selection,
)
from hes_protocol.xdlms.reader import ApduReader, write_octet_string, write_unsigned
from hes_protocol.xdlms.results import DATA_ACCESS_RESULTS, DataAccessResult

GET_REQUEST: Final = 0xC0
GET_RESPONSE: Final = 0xC4
_REMEMBERED_REQUESTS: Final = 1024
_LONGEST_REMEMBERED: Final = 80
_BLOCK_HEADER: Final = Struct(">BBB?I")


@attrs.frozen
class GetDataResult:
    """
    `Get-Data-Result`: the octets of one `Data`, or why there are none.

    `octets` is empty unless `result` is SUCCESS.
    """

    result: DataAccessResult = DataAccessResult.SUCCESS
    octets: bytes = attrs.field(default=b"", repr=False)

    def data(self) -> Data:
        """
        The value as a tree.

        Raises: EncodingError: the octets are no single `Data`. LimitError: too deep.
        """
        return decode_all(self.octets)


_WITHOUT_DATA: Final = tuple(map(GetDataResult, DATA_ACCESS_RESULTS))


def read_data_result(reader: ApduReader, *, last: bool) -> GetDataResult:
    """
    A `Get-Data-Result`; what is left of the APDU is its `Data` where it is the `last` one.

    Raises: EncodingError: an unknown CHOICE, or in a list a `Data` that is none.
    """
    match reader.octet():
        case 0:
            return GetDataResult(octets=reader.rest() if last else reader.data_octets())
        case 1:
            return _WITHOUT_DATA[reader.octet()]
        case choice:
            raise reader.error("unknown-choice", f"{choice} of Get-Data-Result")


def write_data_result(result: GetDataResult) -> bytes:
    """
    A `Get-Data-Result`; SUCCESS without octets is the access result of that name.

    That is how meters answer an ACTION which went well and returns nothing.

    Raises: LocalProtocolError: data beside another result.
    """
    if result.octets:
        if result.result != DataAccessResult.SUCCESS:
            raise LocalProtocolError("data and an access result other than SUCCESS")
        return b"\x00" + result.octets
    return b"\x01" + write_unsigned(result.result)


@attrs.frozen
class GetRequestNormal(Invoked):
    """Read one attribute."""

    attribute: Attribute
    selection: AccessSelection | None = None

    def encode(self) -> bytes:
        """The octets of the APDU. Raises: LocalProtocolError: a value out of range."""
        return (
            self.header(GET_REQUEST, 1)
            + write_attribute(self.attribute)
            + write_selection(self.selection)
        )


@attrs.frozen
class GetRequestNext(Invoked):
    """Ask for the block behind `block_number`, which names the block received last."""

    block_number: int

    def encode(self) -> bytes:
        """The octets of the APDU. Raises: LocalProtocolError: a value out of range."""
        return self.header(GET_REQUEST, 2) + write_unsigned(self.block_number, 4)


@attrs.frozen
class GetRequestWithList(Invoked):
    """Read several attributes."""

    accesses: tuple[AttributeAccess, ...]

    def encode(self) -> bytes:
        """The octets of the APDU. Raises: LocalProtocolError: a value out of range."""
        return (
            self.header(GET_REQUEST, 3)
            + write_length(len(self.accesses))
            + b"".join(map(write_access, self.accesses))
        )


@attrs.frozen
class GetResponseNormal(Invoked):
    """The answer in one piece; the octets of its `Data` are everything that was left."""

    result: GetDataResult

    def encode(self) -> bytes:
        """The octets of the APDU. Raises: LocalProtocolError: a value out of range."""
        return encode_response(self.result, self.invoke_id_and_priority)


@attrs.frozen
class GetResponseWithDatablock(Invoked):
    """One block of the answer; `result` other than SUCCESS ends it."""

    last_block: bool
    block_number: int
    raw_data: bytes = attrs.field(default=b"", repr=False)
    result: DataAccessResult = DataAccessResult.SUCCESS

    def encode(self) -> bytes:
        """The octets of the APDU. Raises: LocalProtocolError: a value out of range."""
        last, number, invoke = self.last_block, self.block_number, self.invoke_id_and_priority
        if self.result is DataAccessResult.SUCCESS:
            return encode_datablock(last, number, self.raw_data, invoke)
        return _block_header(last, number, invoke) + b"\x01" + write_unsigned(self.result)


@attrs.frozen
class GetResponseWithList(Invoked):
    """The answers to a request with list, in its order."""

    results: tuple[GetDataResult, ...]

    def encode(self) -> bytes:
        """The octets of the APDU. Raises: LocalProtocolError: a value out of range."""
        return self.header(GET_RESPONSE, 3) + encode_data_results(self.results)


def encode_response(result: GetDataResult, invoke_id_and_priority: int) -> bytes:
    """As `GetResponseNormal.encode`, without the object: it is what servers say most."""
    return write_header(GET_RESPONSE, 1, invoke_id_and_priority) + write_data_result(result)


def encode_datablock(
    last_block: bool, block_number: int, raw_data: bytes, invoke_id_and_priority: int
) -> bytes:
    """As `GetResponseWithDatablock.encode` of a block that carries data, without the object."""
    header = _block_header(last_block, block_number, invoke_id_and_priority)
    return header + b"\x00" + write_octet_string(raw_data)


def _block_header(last_block: bool, block_number: int, invoke_id_and_priority: int) -> bytes:
    try:
        return _BLOCK_HEADER.pack(GET_RESPONSE, 2, invoke_id_and_priority, last_block, block_number)
    except error as exc:
        raise LocalProtocolError("a block number has 32 bits, an invoke id 8") from exc


def encode_data_results(results: tuple[GetDataResult, ...]) -> bytes:
    """The results of a list: what the blocks of a long one carry, joined."""
    return write_length(len(results)) + b"".join(map(write_data_result, results))


def _read_results(reader: ApduReader) -> tuple[GetDataResult, ...]:
    return tuple(read_data_result(reader, last=False) for _ in range(reader.count()))


def decode_data_results(octets: bytes) -> tuple[GetDataResult, ...]:
    """
    The results of a list that came by blocks.

    Raises: EncodingError: octets left over, a value that is none. TruncatedError. LimitError: a
        value too deep.
    """
    reader = ApduReader(octets, 0)
    results = _read_results(reader)
    reader.end()
    return results


GetRequest: TypeAlias = GetRequestNormal | GetRequestNext | GetRequestWithList
GetResponse: TypeAlias = GetResponseNormal | GetResponseWithDatablock | GetResponseWithList


def decode_get_request(octets: bytes) -> GetRequest:
    """
    Read a whole get-request.

    Short ones are remembered, so many of them: a server is asked the same again and again, by one
    client or for many meters. They are immutable, and hold no secret.

    Raises: EncodingError: an unknown CHOICE, octets left over, a value that is none.
        TruncatedError. LimitError: selection parameters too deep.
    """
    return _remembered(octets) if len(octets) <= _LONGEST_REMEMBERED else _read_request(octets)


def _read_request(octets: bytes) -> GetRequest:
    reader = ApduReader(octets)
    choice, invoke = reader.octet(), reader.octet()
    request: GetRequest
    match choice:
        case 1:
            request = GetRequestNormal(
                read_attribute(reader), read_selection(reader), invoke_id_and_priority=invoke
            )
        case 2:
            request = GetRequestNext(reader.unsigned(4), invoke_id_and_priority=invoke)
        case 3:
            accesses = tuple(read_access(reader) for _ in range(reader.count()))
            request = GetRequestWithList(accesses, invoke_id_and_priority=invoke)
        case _:
            raise reader.error("unknown-choice", f"{choice} of GET-Request")
    reader.end()
    return request


_remembered: Final = lru_cache(maxsize=_REMEMBERED_REQUESTS)(_read_request)


def decode_get_response(octets: bytes) -> GetResponse:
    """
    Read a whole get-response; the `Data` of a normal one and of blocks is not looked at.

    Raises: EncodingError: an unknown CHOICE, octets left over, a value in a list that is none.
        TruncatedError. LimitError: a value in a list too deep.
    """
    reader = ApduReader(octets)
    choice, invoke = reader.octet(), reader.octet()
    response: GetResponse
    match choice:
        case 1:
            response = GetResponseNormal(
                read_data_result(reader, last=True), invoke_id_and_priority=invoke
            )
        case 2:
            response = _read_datablock(reader, invoke)
        case 3:
            response = GetResponseWithList(_read_results(reader), invoke_id_and_priority=invoke)
        case _:
            raise reader.error("unknown-choice", f"{choice} of GET-Response")
    reader.end()
    return response


def _read_datablock(reader: ApduReader, invoke: int) -> GetResponseWithDatablock:
    last_block, block_number = reader.boolean(), reader.unsigned(4)
    raw_data, result = b"", DataAccessResult.SUCCESS
    match reader.octet():
        case 0:
            raw_data = reader.octet_string()
        case 1:
            result = DATA_ACCESS_RESULTS[reader.octet()]
        case choice:
            raise reader.error("unknown-choice", f"{choice} of DataBlock-G")
    return GetResponseWithDatablock(
        last_block, block_number, raw_data, result, invoke_id_and_priority=invoke
    )
