"""
What a server answers, as APDUs: pure functions of a request and of what the caller said.

IEC 62056-5-3, "Protocol for the GET service", "… ACTION service", exception-response.
"""

from __future__ import annotations

from typing import Final

from hes_protocol._long_get import LongGet
from hes_protocol.cosem.objects import EntrySelection, RangeSelection
from hes_protocol.errors import EncodingError, LocalProtocolError, SecurityError
from hes_protocol.requests import ActionResult, GetResult, Selection
from hes_protocol.security.suite0 import MAX_COUNTER
from hes_protocol.xdlms import (
    AccessSelection,
    ActionRequestNormal,
    ActionResponseNormal,
    ActionResultCode,
    ActionReturn,
    DataAccessResult,
    ExceptionResponse,
    GetDataResult,
    GetRequestNext,
    GetRequestNormal,
    GetResponseNormal,
    GetResponseWithDatablock,
    ServiceError,
    StateError,
)

_PROFILE_GENERIC: Final = 7
_BUFFER: Final = 2


def selection_of(request: GetRequestNormal) -> Selection | DataAccessResult | None:
    """The request's selective access, None for none; a result where we cannot read it."""
    selection, attribute = request.selection, request.attribute
    if selection is None:
        return None
    selectable = (attribute.class_id, attribute.index) == (_PROFILE_GENERIC, _BUFFER)
    if not selectable or selection.selector not in (1, 2):
        return DataAccessResult.SCOPE_OF_ACCESS_VIOLATED
    try:
        return _read_selection(selection)
    except EncodingError:
        return DataAccessResult.TYPE_UNMATCHED


def _read_selection(selection: AccessSelection) -> Selection:
    if selection.selector == RangeSelection.selector:
        return RangeSelection.from_data(selection.parameters)
    return EntrySelection.from_data(selection.parameters)


def get_response(
    request: GetRequestNormal, result: GetResult, room: int | None, *, blocks: bool
) -> tuple[bytes, LongGet | None]:
    """
    The answer to a GET, or its first block.

    Args: room: how long it may be, octets, None for no limit. blocks: whether it may be cut.
    Returns: the APDU, and what is left of it where it is a block.
    Raises: LocalProtocolError: SUCCESS without data, data without SUCCESS, or another invoke_id.
    """
    if request.invoke_id != result.invoke_id:
        raise LocalProtocolError("another invoke_id was asked")
    if (result.result == DataAccessResult.SUCCESS) is not bool(result.octets):
        raise LocalProtocolError("data goes with SUCCESS, and only there")
    invoke = request.invoke_id_and_priority
    apdu = GetResponseNormal(
        GetDataResult(result.result, result.octets), invoke_id_and_priority=invoke
    ).encode()
    if room is None or len(apdu) <= room:
        return apdu, None
    if not blocks:
        return refuse_get(request, DataAccessResult.OTHER_REASON), None
    long_get = LongGet(invoke, result.octets, room)
    return long_get.block(), long_get


def refuse_get(request: GetRequestNormal, result: DataAccessResult) -> bytes:
    """A GET answered without data."""
    return GetResponseNormal(
        GetDataResult(result), invoke_id_and_priority=request.invoke_id_and_priority
    ).encode()


def refuse_block(request: GetRequestNext, result: DataAccessResult) -> bytes:
    """A get-request-next answered without data; no block follows."""
    return GetResponseWithDatablock(
        True,
        request.block_number,
        result=result,
        invoke_id_and_priority=request.invoke_id_and_priority,
    ).encode()


def action_response(request: ActionRequestNormal, result: ActionResult, room: int | None) -> bytes:
    """
    The answer to an ACTION; OTHER_REASON where it would be longer than `room`.

    Raises: LocalProtocolError: another invoke_id.
    """
    if request.invoke_id != result.invoke_id:
        raise LocalProtocolError("another invoke_id was asked")
    apdu = plain_action_response(request, result.result, result.octets)
    if room is None or len(apdu) <= room:
        return apdu
    return plain_action_response(request, ActionResultCode.OTHER_REASON)


def plain_action_response(
    request: ActionRequestNormal, result: ActionResultCode, octets: bytes = b""
) -> bytes:
    """An ACTION answered with `result` and, if there are any, the octets of its return value."""
    returned = GetDataResult(octets=octets) if octets else None
    return ActionResponseNormal(
        ActionReturn(result, returned), invoke_id_and_priority=request.invoke_id_and_priority
    ).encode()


def exception_for(error: SecurityError, last_counter: int | None) -> bytes:
    """
    The exception-response to an APDU that failed verification.

    Args: last_counter: the highest verified one of the client; what we say to expect is above.
    """
    counter = None
    match error.code:
        case "counter-replayed":
            service_error = ServiceError.INVOCATION_COUNTER_ERROR
            counter = min(MAX_COUNTER, (-1 if last_counter is None else last_counter) + 1)
        case "policy-violated":
            service_error = ServiceError.OPERATION_NOT_POSSIBLE
        case _:
            service_error = ServiceError.DECIPHERING_ERROR
    return ExceptionResponse(StateError.SERVICE_NOT_ALLOWED, service_error, counter).encode()


def not_associated() -> bytes:
    """The exception-response to a request before there is an association."""
    return ExceptionResponse(
        StateError.SERVICE_NOT_ALLOWED, ServiceError.OPERATION_NOT_POSSIBLE
    ).encode()


def not_supported() -> bytes:
    """The exception-response to a service that we do not offer."""
    return ExceptionResponse(
        StateError.SERVICE_UNKNOWN, ServiceError.SERVICE_NOT_SUPPORTED
    ).encode()
