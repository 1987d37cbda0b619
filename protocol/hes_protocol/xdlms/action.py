"""ACTION: request and response, normal, by blocks, with list (IEC 62056-5-3, `ACTION-Request`)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias, TypeVar

import attrs

from hes_protocol.axdr import Data, encode, write_length
from hes_protocol.cosem.objects import Method
from hes_protocol.errors import EncodingError
from hes_protocol.xdlms.descriptor import (
    DataBlock,
    Invoked,
    read_block,
    read_method,
    write_block,
    write_method,
)
from hes_protocol.xdlms.get import GetDataResult, read_data_result, write_data_result
from hes_protocol.xdlms.reader import ApduReader, write_unsigned
from hes_protocol.xdlms.results import ActionResultCode

ACTION_REQUEST: Final = 0xC3
ACTION_RESPONSE: Final = 0xC7

_Read = TypeVar("_Read")


def _write_methods(methods: tuple[Method, ...]) -> bytes:
    return write_length(len(methods)) + b"".join(map(write_method, methods))


@attrs.frozen
class ActionRequestNormal(Invoked):
    """Invoke one method; `parameters` None for none."""

    method: Method
    parameters: Data | None = None

    def encode(self) -> bytes:
        """The octets of the APDU. Raises: LocalProtocolError: a value out of range."""
        parameters = b"\x00" if self.parameters is None else b"\x01" + encode(self.parameters)
        return self.header(ACTION_REQUEST, 1) + write_method(self.method) + parameters


@attrs.frozen
class ActionRequestNextPblock(Invoked):
    """Ask for the block of the return parameters behind `block_number`."""

    block_number: int

    def encode(self) -> bytes:
        """The octets of the APDU. Raises: LocalProtocolError: a value out of range."""
        return self.header(ACTION_REQUEST, 2) + write_unsigned(self.block_number, 4)


@attrs.frozen
class ActionRequestWithList(Invoked):
    """Invoke several methods: as many `parameters` as `methods`, NULL_DATA for none."""

    methods: tuple[Method, ...]
    parameters: tuple[Data, ...]

    def encode(self) -> bytes:
        """The octets of the APDU. Raises: LocalProtocolError: a value out of range."""
        return (
            self.header(ACTION_REQUEST, 3)
            + _write_methods(self.methods)
            + write_length(len(self.parameters))
            + b"".join(map(encode, self.parameters))
        )


@attrs.frozen
class ActionRequestWithFirstPblock(Invoked):
    """Begin to invoke one method whose parameter comes by blocks."""

    method: Method
    block: DataBlock

    def encode(self) -> bytes:
        """The octets of the APDU. Raises: LocalProtocolError: a value out of range."""
        return self.header(ACTION_REQUEST, 4) + write_method(self.method) + write_block(self.block)


@attrs.frozen
class ActionRequestWithListAndFirstPblock(Invoked):
    """Begin to invoke several methods whose parameters come by blocks."""

    methods: tuple[Method, ...]
    block: DataBlock

    def encode(self) -> bytes:
        """The octets of the APDU. Raises: LocalProtocolError: a value out of range."""
        return (
            self.header(ACTION_REQUEST, 5) + _write_methods(self.methods) + write_block(self.block)
        )


@attrs.frozen
class ActionRequestWithPblock(Invoked):
    """A later block of parameters."""

    block: DataBlock

    def encode(self) -> bytes:
        """The octets of the APDU. Raises: LocalProtocolError: a value out of range."""
        return self.header(ACTION_REQUEST, 6) + write_block(self.block)


@attrs.frozen
class ActionReturn:
    """How one method went, with its return parameters where there are any."""

    result: ActionResultCode
    return_parameters: GetDataResult | None = None


@attrs.frozen
class ActionResponseNormal(Invoked):
    """The answer in one piece; the octets of its `Data` are everything that was left."""

    outcome: ActionReturn

    def encode(self) -> bytes:
        """The octets of the APDU. Raises: LocalProtocolError: a value out of range."""
        return self.header(ACTION_RESPONSE, 1) + encode_action_return(self.outcome)


@attrs.frozen
class ActionResponseWithPblock(Invoked):
    """One block of return parameters."""

    block: DataBlock

    def encode(self) -> bytes:
        """The octets of the APDU. Raises: LocalProtocolError: a value out of range."""
        return self.header(ACTION_RESPONSE, 2) + write_block(self.block)


@attrs.frozen
class ActionResponseWithList(Invoked):
    """The answers to a request with list, in its order."""

    outcomes: tuple[ActionReturn, ...]

    def encode(self) -> bytes:
        """The octets of the APDU. Raises: LocalProtocolError: a value out of range."""
        return self.header(ACTION_RESPONSE, 3) + encode_action_returns(self.outcomes)


@attrs.frozen
class ActionResponseNextPblock(Invoked):
    """A block of parameters has arrived, the next one may come."""

    block_number: int

    def encode(self) -> bytes:
        """The octets of the APDU. Raises: LocalProtocolError: a value out of range."""
        return self.header(ACTION_RESPONSE, 4) + write_unsigned(self.block_number, 4)


ActionRequest: TypeAlias = (
    ActionRequestNormal
    | ActionRequestNextPblock
    | ActionRequestWithList
    | ActionRequestWithFirstPblock
    | ActionRequestWithListAndFirstPblock
    | ActionRequestWithPblock
)
ActionResponse: TypeAlias = (
    ActionResponseNormal
    | ActionResponseWithPblock
    | ActionResponseWithList
    | ActionResponseNextPblock
)


def _read_methods(reader: ApduReader) -> tuple[Method, ...]:
    return tuple(read_method(reader) for _ in range(reader.count()))


def _read_return(reader: ApduReader, *, last: bool) -> ActionReturn:
    result = ActionResultCode(reader.octet())
    return ActionReturn(result, read_data_result(reader, last=last) if reader.present() else None)


def _read_returns(reader: ApduReader) -> tuple[ActionReturn, ...]:
    return tuple(_read_return(reader, last=False) for _ in range(reader.count()))


def encode_action_return(outcome: ActionReturn) -> bytes:
    """How one method went: what the blocks of a long answer carry, joined."""
    returned = outcome.return_parameters
    parameters = b"\x00" if returned is None else b"\x01" + write_data_result(returned)
    return write_unsigned(outcome.result) + parameters


def encode_action_returns(outcomes: tuple[ActionReturn, ...]) -> bytes:
    """How the methods of a list went: what the blocks of a long answer carry, joined."""
    return write_length(len(outcomes)) + b"".join(map(encode_action_return, outcomes))


def decode_action_returns(octets: bytes) -> tuple[ActionReturn, ...]:
    """
    The outcomes of a list that came by blocks.

    Raises: EncodingError: octets left over, a value that is none. TruncatedError. LimitError: a
        value too deep.
    """
    return _only(octets, _read_returns)


def decode_long_action_return(octets: bytes) -> ActionReturn:
    """
    The outcome of one method that came by blocks.

    The standard leaves open what the blocks carry. Ours, and most, is all that a normal response
    has behind its invoke id; openmuc's jDLMS leaves out the result, which must be SUCCESS where
    there is something to return. No octets are both.

    Raises: EncodingError, TruncatedError, LimitError: neither of them.
    """
    try:
        return _only(octets, lambda reader: _read_return(reader, last=False))
    except EncodingError:
        returned = _only(octets, lambda reader: read_data_result(reader, last=False))
        return ActionReturn(ActionResultCode.SUCCESS, returned)


def _only(octets: bytes, read: Callable[[ApduReader], _Read]) -> _Read:
    reader = ApduReader(octets, 0)
    value = read(reader)
    reader.end()
    return value


def decode_action_request(octets: bytes) -> ActionRequest:
    """
    Read a whole action-request.

    Raises: EncodingError: an unknown CHOICE, octets left over, a value that is none.
        TruncatedError. LimitError: a value too deep.
    """
    reader = ApduReader(octets)
    choice, invoke = reader.octet(), reader.octet()
    request: ActionRequest
    match choice:
        case 1:
            method = read_method(reader)
            parameters = reader.data() if reader.present() else None
            request = ActionRequestNormal(method, parameters, invoke_id_and_priority=invoke)
        case 2:
            request = ActionRequestNextPblock(reader.unsigned(4), invoke_id_and_priority=invoke)
        case 3:
            methods = _read_methods(reader)
            values = tuple(reader.data() for _ in range(reader.count()))
            request = ActionRequestWithList(methods, values, invoke_id_and_priority=invoke)
        case 4:
            request = ActionRequestWithFirstPblock(
                read_method(reader), read_block(reader), invoke_id_and_priority=invoke
            )
        case 5:
            request = ActionRequestWithListAndFirstPblock(
                _read_methods(reader), read_block(reader), invoke_id_and_priority=invoke
            )
        case 6:
            request = ActionRequestWithPblock(read_block(reader), invoke_id_and_priority=invoke)
        case _:
            raise reader.error("unknown-choice", f"{choice} of ACTION-Request")
    reader.end()
    return request


def decode_action_response(octets: bytes) -> ActionResponse:
    """
    Read a whole action-response; the `Data` of a normal one and of blocks is not looked at.

    Raises: EncodingError: an unknown CHOICE, octets left over, a value in a list that is none.
        TruncatedError. LimitError: a value in a list too deep.
    """
    reader = ApduReader(octets)
    choice, invoke = reader.octet(), reader.octet()
    response: ActionResponse
    match choice:
        case 1:
            response = ActionResponseNormal(
                _read_return(reader, last=True), invoke_id_and_priority=invoke
            )
        case 2:
            response = ActionResponseWithPblock(read_block(reader), invoke_id_and_priority=invoke)
        case 3:
            response = ActionResponseWithList(_read_returns(reader), invoke_id_and_priority=invoke)
        case 4:
            response = ActionResponseNextPblock(reader.unsigned(4), invoke_id_and_priority=invoke)
        case _:
            raise reader.error("unknown-choice", f"{choice} of ACTION-Response")
    reader.end()
    return response
