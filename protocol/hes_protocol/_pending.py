"""
A client's request whose answer is due: what of it is still to be sent, and what has come of it.

Owns no state of the association. Rule 1: an APDU that is refused has changed nothing. Rule 2: an
answer that comes by blocks is joined within the settings' limits and decoded once, when it is
whole. A server that refuses a list as a whole has refused each of its elements.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias, TypeVar

import attrs

from hes_protocol._requests import LongRequest
from hes_protocol.errors import AssociationError, LimitError
from hes_protocol.events import (
    AccessCompleted,
    AccessResult,
    ActionCompleted,
    ActionListCompleted,
    GetCompleted,
    GetListCompleted,
    SetCompleted,
    SetListCompleted,
)
from hes_protocol.requests import (
    Access,
    Action,
    ActionList,
    Get,
    GetList,
    ServiceRequest,
    Set,
    SetList,
)
from hes_protocol.settings import ClientSettings
from hes_protocol.xdlms import (
    AccessActionResult,
    AccessGetResult,
    AccessResponse,
    AccessSetResult,
    ActionRequestNextPblock,
    ActionResponse,
    ActionResponseNextPblock,
    ActionResponseNormal,
    ActionResponseWithList,
    ActionResponseWithPblock,
    ActionResultCode,
    ActionReturn,
    DataAccessResult,
    GetDataResult,
    GetRequestNext,
    GetResponse,
    GetResponseNormal,
    GetResponseWithDatablock,
    GetResponseWithList,
    SetResponse,
    SetResponseDatablock,
    SetResponseLastDatablock,
    SetResponseLastDatablockWithList,
    SetResponseNormal,
    SetResponseWithList,
)
from hes_protocol.xdlms.action import decode_action_returns, decode_long_action_return
from hes_protocol.xdlms.get import decode_data_results

Completed: TypeAlias = (
    GetCompleted
    | SetCompleted
    | ActionCompleted
    | GetListCompleted
    | SetListCompleted
    | ActionListCompleted
    | AccessCompleted
)
Answer: TypeAlias = GetResponse | SetResponse | ActionResponse | AccessResponse

_GET_RESPONSES: Final = (GetResponseNormal, GetResponseWithDatablock, GetResponseWithList)
_SET_RESPONSES: Final = (
    SetResponseNormal,
    SetResponseDatablock,
    SetResponseLastDatablock,
    SetResponseLastDatablockWithList,
    SetResponseWithList,
)
_ACTION_RESPONSES: Final = (
    ActionResponseNormal,
    ActionResponseNextPblock,
    ActionResponseWithPblock,
    ActionResponseWithList,
)
ANSWERS: Final = (*_GET_RESPONSES, *_SET_RESPONSES, *_ACTION_RESPONSES, AccessResponse)
"""Everything that may answer a request."""

_SUCCESS: Final = DataAccessResult.SUCCESS
_NULL_DATA: Final = b"\x00"


@attrs.define
class Pending:
    """
    Args: request: what was asked, None for the proof of HLS. invoke: the whole octet or, of an
        ACCESS, four octets: id, priority, service class. invoke_id: the id in it.
        long_request: what is sent by blocks; its first one is under way.
    """

    request: ServiceRequest | None
    invoke: int
    invoke_id: int
    long_request: LongRequest | None = None
    blocks: int = 0
    _received: list[bytes] = attrs.field(factory=list, repr=False)
    _received_octets: int = 0

    def next_apdu(self) -> bytes:
        """The next block of a long request, or the request for the next block of an answer."""
        if self.long_request is not None and not self.long_request.finished:
            return self.long_request.block()
        if isinstance(self.request, Get | GetList):
            return GetRequestNext(self.blocks, invoke_id_and_priority=self.invoke).encode()
        return ActionRequestNextPblock(self.blocks, invoke_id_and_priority=self.invoke).encode()

    def advance(self) -> None:
        """What `next_apdu` gave has been sent."""
        if self.long_request is not None and not self.long_request.finished:
            self.long_request.advance()

    def is_answered_by(self, apdu: Answer) -> bool:
        """Whether the APDU answers this request, rightly or not; else it is late or foreign."""
        responses, _ = _TAKERS[type(self.request)]
        return apdu.invoke_id == self.invoke_id and isinstance(apdu, responses)

    def take(self, apdu: Answer, settings: ClientSettings) -> Completed | None:
        """
        Take an APDU for which `is_answered_by` holds.

        Returns: the event that completes the request, None where the next block is due.
        Raises: AssociationError: not what is due. LimitError: the answer exceeds
            `max_result_octets` or `max_blocks`. EncodingError: blocks that make no answer.
        """
        _, taker = _TAKERS[type(self.request)]
        completed: Completed | None = taker(self, self.request, apdu, settings)
        return completed

    # --- blocks -----------------------------------------------------------------------------

    def join(
        self, block_number: int, raw_data: bytes, settings: ClientSettings, *, last: bool
    ) -> bytes | None:
        """
        The joined octets where this is the last block, else it is kept and None.

        Raises: AssociationError, LimitError: as `take`.
        """
        due = self.blocks + 1
        if block_number != due:
            raise AssociationError("bad-block-number", f"{block_number} where {due} is due")
        if self._received_octets + len(raw_data) > settings.max_result_octets:
            raise LimitError("too-long", f"more than {settings.max_result_octets} octets")
        if due > settings.max_blocks:
            raise LimitError("too-many-blocks", f"more than {settings.max_blocks}")
        if last:
            return b"".join((*self._received, raw_data))
        self._received.append(raw_data)
        self._received_octets += len(raw_data)
        self.blocks = due
        return None

    def acknowledge(self, block_number: int) -> None:
        """
        The server has this block of a long request, and wants the next one.

        Raises: AssociationError: it was not sent, or there is no next one.
        """
        sent = self.long_request
        if sent is None or sent.finished or block_number != sent.given_blocks:
            raise AssociationError("bad-block-number", f"{block_number} is acknowledged")

    def finish(self, block_number: int | None = None) -> None:
        """
        The server says that all went well.

        Raises: AssociationError: before it has got everything.
        """
        sent = self.long_request
        if sent is not None and not sent.finished:
            raise AssociationError("unexpected-apdu", "blocks are to follow")
        if block_number is not None and (sent is None or block_number != sent.given_blocks):
            raise AssociationError("bad-block-number", f"{block_number} is acknowledged")


def _unexpected(apdu: Answer) -> AssociationError:
    return AssociationError("unexpected-apdu", type(apdu).__name__)


_Result = TypeVar("_Result")


def _each(results: tuple[_Result, ...], asked: int) -> tuple[_Result, ...]:
    if len(results) != asked:
        raise AssociationError("bad-list-length", f"{len(results)} results of {asked}")
    return results


# --- GET ------------------------------------------------------------------------------------


def _take_get(
    pending: Pending, _: Get, apdu: Answer, settings: ClientSettings
) -> GetCompleted | None:
    if isinstance(apdu, GetResponseNormal):
        result = apdu.result
        if pending.blocks and result.result == _SUCCESS:
            raise AssociationError("unexpected-apdu", "blocks are due")
        return GetCompleted(pending.invoke_id, result.result, result.octets)
    if not isinstance(apdu, GetResponseWithDatablock):
        raise _unexpected(apdu)
    if apdu.result != _SUCCESS:
        return GetCompleted(pending.invoke_id, apdu.result)
    octets = pending.join(apdu.block_number, apdu.raw_data, settings, last=apdu.last_block)
    return None if octets is None else GetCompleted(pending.invoke_id, _SUCCESS, octets)


def _take_get_list(
    pending: Pending, request: GetList, apdu: Answer, settings: ClientSettings
) -> GetListCompleted | None:
    asked = len(request.gets)
    match apdu:
        case GetResponseWithList() if not pending.blocks:
            results = apdu.results
        case GetResponseNormal() if apdu.result.result != _SUCCESS:
            results = (apdu.result,) * asked
        case GetResponseWithDatablock() if apdu.result != _SUCCESS:
            results = (GetDataResult(apdu.result),) * asked
        case GetResponseWithDatablock():
            octets = pending.join(apdu.block_number, apdu.raw_data, settings, last=apdu.last_block)
            if octets is None:
                return None
            results = decode_data_results(octets)
        case _:
            raise _unexpected(apdu)
    return GetListCompleted(pending.invoke_id, _each(results, asked))


# --- SET ------------------------------------------------------------------------------------


def _take_set(pending: Pending, _: Set, apdu: Answer, __: ClientSettings) -> SetCompleted | None:
    match apdu:
        case SetResponseDatablock():
            pending.acknowledge(apdu.block_number)
            return None
        case SetResponseNormal():
            if apdu.result == _SUCCESS:
                pending.finish()
        case SetResponseLastDatablock():
            if apdu.result == _SUCCESS:
                pending.finish(apdu.block_number)
        case _:
            raise _unexpected(apdu)
    return SetCompleted(pending.invoke_id, apdu.result)


def _take_set_list(
    pending: Pending, request: SetList, apdu: Answer, _: ClientSettings
) -> SetListCompleted | None:
    asked = len(request.sets)
    match apdu:
        case SetResponseDatablock():
            pending.acknowledge(apdu.block_number)
            return None
        case SetResponseWithList():
            pending.finish()
            results = apdu.results
        case SetResponseLastDatablockWithList():
            pending.finish(apdu.block_number)
            results = apdu.results
        case SetResponseNormal() | SetResponseLastDatablock() if apdu.result != _SUCCESS:
            results = (apdu.result,) * asked
        case _:
            raise _unexpected(apdu)
    return SetListCompleted(pending.invoke_id, _each(results, asked))


# --- ACTION ---------------------------------------------------------------------------------


def _take_action(
    pending: Pending, _: Action, apdu: Answer, settings: ClientSettings
) -> ActionCompleted | None:
    match apdu:
        case ActionResponseNextPblock():
            pending.acknowledge(apdu.block_number)
            return None
        case ActionResponseNormal():
            outcome = apdu.outcome
            if outcome.result == ActionResultCode.SUCCESS:
                if pending.blocks:
                    raise AssociationError("unexpected-apdu", "blocks are due")
                pending.finish()
        case ActionResponseWithPblock():
            octets = _join_pblock(pending, apdu, settings)
            if octets is None:
                return None
            outcome = decode_long_action_return(octets)
        case _:
            raise _unexpected(apdu)
    returned = outcome.return_parameters
    octets = b"" if returned is None else returned.octets
    return ActionCompleted(
        pending.invoke_id,
        outcome.result,
        octets,
        None if returned is None or octets else returned.result,
    )


def _take_action_list(
    pending: Pending, request: ActionList, apdu: Answer, settings: ClientSettings
) -> ActionListCompleted | None:
    asked = len(request.actions)
    match apdu:
        case ActionResponseNextPblock():
            pending.acknowledge(apdu.block_number)
            return None
        case ActionResponseWithList() if not pending.blocks:
            pending.finish()
            outcomes = apdu.outcomes
        case ActionResponseNormal() if apdu.outcome.result != ActionResultCode.SUCCESS:
            outcomes = (ActionReturn(apdu.outcome.result),) * asked
        case ActionResponseWithPblock():
            octets = _join_pblock(pending, apdu, settings)
            if octets is None:
                return None
            outcomes = decode_action_returns(octets)
        case _:
            raise _unexpected(apdu)
    return ActionListCompleted(pending.invoke_id, _each(outcomes, asked))


def _join_pblock(
    pending: Pending, apdu: ActionResponseWithPblock, settings: ClientSettings
) -> bytes | None:
    pending.finish()
    block = apdu.block
    return pending.join(block.block_number, block.raw_data, settings, last=block.last_block)


# --- ACCESS ---------------------------------------------------------------------------------


def _take_access(
    pending: Pending, request: Access, apdu: AccessResponse, _: ClientSettings
) -> AccessCompleted:
    asked = len(request.specifications)
    _each(apdu.values, asked)
    results = zip(request.specifications, _each(apdu.results, asked), apdu.values, strict=True)
    return AccessCompleted(pending.invoke_id, tuple(_access_result(*each) for each in results))


def _access_result(
    asked: Get | Set | Action,
    given: AccessGetResult | AccessSetResult | AccessActionResult,
    octets: bytes,
) -> AccessResult:
    """A value beside another result than SUCCESS, or null-data where there is none, is dropped."""
    match asked, given:
        case Get(), AccessGetResult():
            return GetDataResult(given.result, octets if given.result == _SUCCESS else b"")
        case Set(), AccessSetResult():
            return given.result
        case Action(), AccessActionResult():
            returned = None if octets == _NULL_DATA else GetDataResult(octets=octets)
            return ActionReturn(given.result, returned)
        case _:
            raise AssociationError("unexpected-apdu", "results of other specifications")


_TAKERS: Final[Mapping[type, tuple[tuple[type, ...], Callable[..., Any]]]] = {
    Get: (_GET_RESPONSES, _take_get),
    GetList: (_GET_RESPONSES, _take_get_list),
    Set: (_SET_RESPONSES, _take_set),
    SetList: (_SET_RESPONSES, _take_set_list),
    Action: (_ACTION_RESPONSES, _take_action),
    ActionList: (_ACTION_RESPONSES, _take_action_list),
    Access: ((AccessResponse,), _take_access),
    type(None): ((), _take_get),
}
