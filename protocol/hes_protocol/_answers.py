"""
What a server answers, as APDUs: pure functions of a request and of what the caller said.

IEC 62056-5-3, "Protocol for the GET service", "… SET …", "… ACTION …", "… ACCESS …",
exception-response.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final, NamedTuple, TypeAlias, cast

from hes_protocol._incoming import SETS, FirstBlock, LaterBlock
from hes_protocol._job import Job, Result, Results
from hes_protocol._long_answer import LongAnswer, NextRequest, action_block
from hes_protocol.axdr import NULL, encode
from hes_protocol.errors import SecurityError
from hes_protocol.security.suite0 import MAX_COUNTER
from hes_protocol.xdlms import (
    AccessActionResult,
    AccessGetResult,
    AccessRequest,
    AccessResponse,
    AccessSetResult,
    ActionRequestNextPblock,
    ActionRequestNormal,
    ActionRequestWithFirstPblock,
    ActionResponseNextPblock,
    ActionResponseNormal,
    ActionResponseWithList,
    ActionResultCode,
    ActionReturn,
    Conformance,
    DataAccessResult,
    ExceptionResponse,
    GetDataResult,
    GetRequestNext,
    GetRequestNormal,
    GetRequestWithList,
    GetResponseWithDatablock,
    GetResponseWithList,
    ServiceError,
    SetRequestNormal,
    SetRequestWithFirstDatablock,
    SetRequestWithList,
    SetRequestWithListAndFirstDatablock,
    SetResponseDatablock,
    SetResponseLastDatablock,
    SetResponseLastDatablockWithList,
    SetResponseNormal,
    SetResponseWithList,
    StateError,
)
from hes_protocol.xdlms.access import SELF_DESCRIPTIVE
from hes_protocol.xdlms.action import encode_action_return, encode_action_returns
from hes_protocol.xdlms.get import encode_data_results, encode_datablock, encode_response

_NULL_DATA: Final = encode(NULL)


Answer: TypeAlias = tuple[bytes | None, LongAnswer | None]
"""The APDU, None where the client wants none, and what is left of it where it is a block."""


class Blocks(NamedTuple):
    """Which blocks were negotiated: those that take any APDU, those of GET and of ACTION."""

    general: bool
    of_get: bool
    of_action: bool


@lru_cache(maxsize=64)
def blocks_of(conformance: Conformance) -> Blocks:
    """Which blocks were negotiated: looked up once, since flags are slow."""
    return Blocks(
        Conformance.GENERAL_BLOCK_TRANSFER in conformance,
        Conformance.BLOCK_TRANSFER_WITH_GET_OR_READ in conformance,
        Conformance.BLOCK_TRANSFER_WITH_ACTION in conformance,
    )


def answer_to(job: Job, results: Results, room: int | None, blocks: Blocks) -> Answer:
    """
    The answer to a request, or its first block.

    Args: results: of all its elements. room: how long it may be, octets, None for no limit.
        blocks: how it may be cut. What general blocks can cut, and no others, comes whole.
    """
    match job.request:
        case GetRequestNormal() | GetRequestWithList() as request:
            got = cast("tuple[GetDataResult, ...]", results)
            return _get_response(request, got, room, blocks)
        case _ if not job.wants_answer:
            return None, None
        case AccessRequest() as request:
            apdu = access_response(request, results)
            fits = room is None or len(apdu) <= room or blocks.general
            return (apdu if fits else pdu_too_long()), None
        case (
            SetRequestNormal()
            | SetRequestWithList()
            | SetRequestWithFirstDatablock()
            | SetRequestWithListAndFirstDatablock()
        ):
            return _set_response(job, cast("tuple[DataAccessResult, ...]", results)), None
        case request:
            listed = not isinstance(request, ActionRequestNormal | ActionRequestWithFirstPblock)
            invoke = request.invoke_id_and_priority
            outcomes = cast("tuple[ActionReturn, ...]", results)
            return _action_response(invoke, outcomes, room, blocks, listed=listed)


def _get_response(
    request: GetRequestNormal | GetRequestWithList,
    results: tuple[GetDataResult, ...],
    room: int | None,
    blocks: Blocks,
) -> Answer:
    invoke = request.invoke_id_and_priority
    listed = isinstance(request, GetRequestWithList)
    apdu = (
        GetResponseWithList(results, invoke_id_and_priority=invoke).encode()
        if listed
        else encode_response(results[0], invoke)
    )
    if room is None or len(apdu) <= room or (blocks.general and not blocks.of_get):
        return apdu, None
    if not blocks.of_get:
        refused = GetDataResult(DataAccessResult.OTHER_REASON)
        return encode_response(refused, invoke), None
    octets = encode_data_results(results) if listed else results[0].octets
    long_answer = LongAnswer(encode_datablock, GetRequestNext, invoke, octets, room)
    return long_answer.block(), long_answer


def _set_response(job: Job, results: tuple[DataAccessResult, ...]) -> bytes:
    request = job.request
    assert not isinstance(request, AccessRequest)
    invoke = request.invoke_id_and_priority
    match request:
        case SetRequestNormal():
            return SetResponseNormal(results[0], invoke_id_and_priority=invoke).encode()
        case SetRequestWithList():
            return SetResponseWithList(results, invoke_id_and_priority=invoke).encode()
        case SetRequestWithFirstDatablock():
            return SetResponseLastDatablock(
                results[0], job.blocks, invoke_id_and_priority=invoke
            ).encode()
        case _:
            return SetResponseLastDatablockWithList(
                results, job.blocks, invoke_id_and_priority=invoke
            ).encode()


def _action_response(
    invoke: int,
    outcomes: tuple[ActionReturn, ...],
    room: int | None,
    blocks: Blocks,
    *,
    listed: bool,
) -> Answer:
    apdu = (
        ActionResponseWithList(outcomes, invoke_id_and_priority=invoke)
        if listed
        else ActionResponseNormal(outcomes[0], invoke_id_and_priority=invoke)
    ).encode()
    if room is None or len(apdu) <= room or (blocks.general and not blocks.of_action):
        return apdu, None
    if not blocks.of_action:
        refused = ActionReturn(ActionResultCode.OTHER_REASON)
        return ActionResponseNormal(refused, invoke_id_and_priority=invoke).encode(), None
    octets = encode_action_returns(outcomes) if listed else encode_action_return(outcomes[0])
    long_answer = LongAnswer(action_block, ActionRequestNextPblock, invoke, octets, room)
    return long_answer.block(), long_answer


def access_response(request: AccessRequest, results: Results) -> bytes:
    """The answer to an ACCESS; where it stopped at an error there are fewer results."""
    described = request.long_invoke_id_and_priority & SELF_DESCRIPTIVE
    return AccessResponse(
        tuple(map(_access_value, results)),
        tuple(map(_access_result, results)),
        request.specifications if described else None,
        long_invoke_id_and_priority=request.long_invoke_id_and_priority,
    ).encode()


def _access_value(result: Result) -> bytes:
    match result:
        case GetDataResult(_, octets) | ActionReturn(_, GetDataResult(_, octets)) if octets:
            return octets
        case _:
            return _NULL_DATA


def _access_result(result: Result) -> AccessGetResult | AccessSetResult | AccessActionResult:
    match result:
        case GetDataResult(code):
            return AccessGetResult(code)
        case ActionReturn(code):
            return AccessActionResult(code)
        case _:
            return AccessSetResult(result)


# --- blocks ---------------------------------------------------------------------------------


def refuse_next(request: NextRequest, *, in_progress: bool) -> tuple[bytes, str]:
    """
    What asks for a block that is not due; none follows.

    Args: in_progress: whether there was another one to ask for.
    Returns: the APDU, and the name of its result.
    """
    invoke = request.invoke_id_and_priority
    if isinstance(request, ActionRequestNextPblock):
        return _refuse_action(invoke, in_progress=in_progress)
    result = DataAccessResult.NO_LONG_GET_IN_PROGRESS
    if in_progress:
        result = DataAccessResult.DATA_BLOCK_NUMBER_INVALID
    apdu = GetResponseWithDatablock(
        True, request.block_number, result=result, invoke_id_and_priority=invoke
    )
    return apdu.encode(), result.name


def refuse_later(request: FirstBlock | LaterBlock, *, in_progress: bool) -> tuple[bytes, str]:
    """A block of a request that is not due; the request is over. As `refuse_next`."""
    result = DataAccessResult.NO_LONG_SET_IN_PROGRESS
    if in_progress:
        result = DataAccessResult.DATA_BLOCK_NUMBER_INVALID
    return _refuse_incoming(request, result, in_progress=in_progress)


def abort(request: FirstBlock | LaterBlock) -> tuple[bytes, str]:
    """A block that is too much, or a request that its blocks do not make. As `refuse_next`."""
    return _refuse_incoming(request, DataAccessResult.LONG_SET_ABORTED, in_progress=True)


def _refuse_incoming(
    request: FirstBlock | LaterBlock, result: DataAccessResult, *, in_progress: bool
) -> tuple[bytes, str]:
    invoke = request.invoke_id_and_priority
    if not isinstance(request, SETS):
        return _refuse_action(invoke, in_progress=in_progress)
    number = request.block.block_number
    apdu = SetResponseLastDatablock(result, number, invoke_id_and_priority=invoke)
    return apdu.encode(), result.name


def _refuse_action(invoke: int, *, in_progress: bool) -> tuple[bytes, str]:
    result = ActionResultCode.NO_LONG_ACTION_IN_PROGRESS
    if in_progress:
        result = ActionResultCode.LONG_ACTION_ABORTED
    apdu = ActionResponseNormal(ActionReturn(result), invoke_id_and_priority=invoke)
    return apdu.encode(), result.name


def acknowledge(request: FirstBlock | LaterBlock) -> bytes:
    """A block has arrived, the next one may come."""
    number, invoke = request.block.block_number, request.invoke_id_and_priority
    if isinstance(request, SETS):
        return SetResponseDatablock(number, invoke_id_and_priority=invoke).encode()
    return ActionResponseNextPblock(number, invoke_id_and_priority=invoke).encode()


# --- refusals -------------------------------------------------------------------------------


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


def not_possible() -> bytes:
    """The exception-response to a list that is empty, too long, or does not fit another one."""
    return not_associated()


def pdu_too_long() -> bytes:
    """The exception-response to what can only be answered by more than the client takes."""
    return ExceptionResponse(StateError.SERVICE_NOT_ALLOWED, ServiceError.PDU_TOO_LONG).encode()
