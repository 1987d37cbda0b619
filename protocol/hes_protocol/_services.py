"""
What a client asks in an open association, as far as it is not about the association itself.

Owns the request that the caller is answering, the request that comes by blocks, and the answer
that goes by blocks; takes the steps of the state. Sees plain APDUs only: `_server_session.py` owns
protection. Rule 1: an APDU that is answered by exception-response changes nothing. Rule 2: a
client that asks for something else has given up what was going on by blocks, in either direction.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Final, TypeAlias

import attrs

from hes_protocol import _answers as answers
from hes_protocol._incoming import FirstBlock, Incoming, LaterBlock
from hes_protocol._job import Job, WholeRequest, put_together, take_apart
from hes_protocol._long_answer import LongAnswer, NextRequest
from hes_protocol._state import AssociationState, State, Step
from hes_protocol.errors import LocalProtocolError, RemoteProtocolError
from hes_protocol.events import ServiceRequested
from hes_protocol.requests import ServiceResult
from hes_protocol.settings import ServerAssociation
from hes_protocol.xdlms import (
    AccessRequest,
    ActionRequestNextPblock,
    ActionRequestNormal,
    ActionRequestWithFirstPblock,
    ActionRequestWithList,
    ActionRequestWithListAndFirstPblock,
    ActionRequestWithPblock,
    Apdu,
    Conformance,
    GetRequestNext,
    GetRequestNormal,
    GetRequestWithList,
    SetRequestNormal,
    SetRequestWithDatablock,
    SetRequestWithFirstDatablock,
    SetRequestWithList,
    SetRequestWithListAndFirstDatablock,
)

_LISTS: Final = Conformance.MULTIPLE_REFERENCES
_SET_BLOCKS: Final = Conformance.SET | Conformance.BLOCK_TRANSFER_WITH_SET_OR_WRITE
_ACTION_BLOCKS: Final = Conformance.ACTION | Conformance.BLOCK_TRANSFER_WITH_ACTION

_NEEDS: Final[Mapping[type, Conformance]] = {
    GetRequestNormal: Conformance.GET,
    GetRequestNext: Conformance.GET,
    GetRequestWithList: Conformance.GET | _LISTS,
    SetRequestNormal: Conformance.SET,
    SetRequestWithList: Conformance.SET | _LISTS,
    SetRequestWithFirstDatablock: _SET_BLOCKS,
    SetRequestWithDatablock: _SET_BLOCKS,
    SetRequestWithListAndFirstDatablock: _SET_BLOCKS | _LISTS,
    ActionRequestNormal: Conformance.ACTION,
    ActionRequestWithList: Conformance.ACTION | _LISTS,
    ActionRequestNextPblock: Conformance.ACTION,
    ActionRequestWithFirstPblock: _ACTION_BLOCKS,
    ActionRequestWithPblock: _ACTION_BLOCKS,
    ActionRequestWithListAndFirstPblock: _ACTION_BLOCKS | _LISTS,
    AccessRequest: Conformance.ACCESS,
}


@lru_cache(maxsize=64)
def _offered(conformance: Conformance) -> frozenset[type]:
    """The requests that may be made where so much was negotiated."""
    return frozenset(request for request, needs in _NEEDS.items() if not needs & ~conformance)


_FIRST: Final = (
    SetRequestWithFirstDatablock,
    SetRequestWithListAndFirstDatablock,
    ActionRequestWithFirstPblock,
    ActionRequestWithListAndFirstPblock,
)
_LATER: Final = (SetRequestWithDatablock, ActionRequestWithPblock)
_NEXT: Final = (GetRequestNext, ActionRequestNextPblock)
# What stands around a list of results at most, and they cannot go by blocks.
_LIST_OVERHEAD: Final = 10


def _nothing() -> None:
    return None


@attrs.frozen
class Said:
    """An answer of our own; `sent` takes the step that sending it means."""

    apdu: bytes = attrs.field(repr=False)
    purpose: str
    detail: str = ""
    sent: Callable[[], None] = _nothing


@attrs.frozen
class Answered:
    """
    What the caller's answer leads to.

    `apdu` is None as long as the request asks for more, and where it wants no answer. `commit`
    makes it so.
    """

    apdu: bytes | None
    commit: Callable[[], None]


Outcome: TypeAlias = ServiceRequested | Said | None
"""What the caller is asked, or what is answered without it; None for nothing at all."""


class Services:
    """
    Args:
        rules: what this client may do.
        conformance: what was negotiated.
        state: the association's.
    """

    def __init__(
        self, rules: ServerAssociation, conformance: Conformance, state: AssociationState
    ) -> None:
        self._rules = rules
        self._conformance = conformance
        self._offered = _offered(conformance)
        self._state = state
        self._job: Job | None = None
        self._incoming: Incoming | None = None
        self._long_answer: LongAnswer | None = None

    @property
    def asked(self) -> ServiceRequested | None:
        """What waits for the caller's answer."""
        return None if self._job is None else self._job.asked

    # --- answers of the caller --------------------------------------------------------------

    def answer(self, said: ServiceResult, room: int | None) -> Answered:
        """
        Answer what is asked. Changes nothing before `commit`.

        Args: room: how long an APDU may be, octets, None for no limit.
        Raises: LocalProtocolError: not what was asked.
        """
        job = self._job
        if job is None:
            raise LocalProtocolError("nobody has asked for this")
        result = job.read(said)
        trial = attrs.evolve(job, results=job.results.copy())
        trial.take(result)
        if trial.asked is not None:
            return Answered(None, lambda: self._go_on(trial))
        apdu, long_answer = self._conclude(trial, room)
        return Answered(apdu, lambda: self._given(long_answer))

    def _conclude(self, job: Job, room: int | None) -> tuple[bytes | None, LongAnswer | None]:
        if not job.wants_answer:
            return None, None
        return answers.answer_to(job, tuple(job.results), room, self._conformance)

    def _go_on(self, job: Job) -> None:
        self._job = job

    def _given(self, long_answer: LongAnswer | None) -> None:
        """An answer, or a block of one, has been given."""
        self._job = None
        if long_answer is not None:
            long_answer.advance()
            if long_answer.finished:
                long_answer = None
        self._long_answer = long_answer
        self._state.advance(Step.ANSWER if long_answer is None else Step.BLOCK)

    # --- what the client says ---------------------------------------------------------------

    def receive(self, apdu: Apdu, room: int | None) -> Outcome:
        """
        Take a request.

        Args: room: as of `answer`.
        """
        if type(apdu) not in self._offered:
            return Said(answers.not_supported(), "exception", "service-not-supported")
        if isinstance(apdu, _NEXT):
            return self._receive_next(apdu)
        if isinstance(apdu, _FIRST):
            return self._receive_first(apdu, room)
        if isinstance(apdu, _LATER):
            return self._receive_later(apdu, room)
        request: WholeRequest = apdu  # type: ignore[assignment]  # all that is left in _NEEDS
        refused = self._check_list(request, room)
        if refused is not None:
            return refused
        job = take_apart(request, self._rules.client_sap)
        if job is None:
            return Said(answers.not_possible(), "exception", "list-mismatch")
        self.give_up()
        self._state.advance(Step.REQUEST)
        return self._begin(job, room)

    def give_up(self) -> None:
        """What is going on by blocks is over."""
        if self._state.current is State.BLOCKWISE:
            self._state.advance(Step.ABANDON)
        self._long_answer = None
        self._incoming = None

    def _check_list(self, request: WholeRequest | FirstBlock, room: int | None) -> Said | None:
        """What cannot be answered is refused before anything is done."""
        least = 0
        match request:
            case SetRequestWithList(listed) | SetRequestWithListAndFirstDatablock(listed):
                least = _LIST_OVERHEAD + len(listed)
            case AccessRequest(listed):
                least = 2 * _LIST_OVERHEAD + 3 * len(listed)
            case (
                GetRequestWithList(listed)
                | ActionRequestWithList(listed)
                | ActionRequestWithListAndFirstPblock(listed)
            ):
                pass
            case _:
                return None
        if not 0 < len(listed) <= self._rules.max_list_elements:
            return Said(answers.not_possible(), "exception", "list-length")
        general = self._conformance & Conformance.GENERAL_BLOCK_TRANSFER
        if room is not None and least > room and not general:
            return Said(answers.pdu_too_long(), "exception", "list-length")
        return None

    def _begin(self, job: Job, room: int | None) -> Outcome:
        asked = job.asked
        if asked is not None:
            self._job = job
            return asked
        apdu, long_answer = self._conclude(job, room)
        if apdu is None:
            self._given(None)
            return None
        return Said(apdu, "exception", "selection", lambda: self._given(long_answer))

    # --- blocks -----------------------------------------------------------------------------

    def _receive_next(self, request: NextRequest) -> Said:
        long_answer = self._long_answer
        if long_answer is None or not long_answer.expects(request):
            apdu, name = answers.refuse_next(request, in_progress=long_answer is not None)
            self.give_up()
            return Said(apdu, "exception", name)
        self._state.advance(Step.NEXT_BLOCK)
        return Said(long_answer.block(), "block", sent=lambda: self._given(long_answer))

    def _receive_first(self, request: FirstBlock, room: int | None) -> Outcome:
        refused = self._check_list(request, room)
        if refused is not None:
            return refused
        self.give_up()
        incoming = Incoming(request, self._rules.max_request_octets)
        if not incoming.fits(request.block):
            return Said(*_exception(answers.refuse_later(request, in_progress=True)))
        self._state.advance(Step.REQUEST)
        return self._receive_block(incoming, request, room)

    def _receive_later(self, request: LaterBlock, room: int | None) -> Outcome:
        incoming = self._incoming
        if incoming is None or not incoming.continues(request) or not incoming.fits(request.block):
            apdu, name = answers.refuse_later(request, in_progress=incoming is not None)
            self.give_up()
            return Said(apdu, "exception", name)
        self._state.advance(Step.NEXT_BLOCK)
        return self._receive_block(incoming, request, room)

    def _receive_block(
        self, incoming: Incoming, request: FirstBlock | LaterBlock, room: int | None
    ) -> Outcome:
        self._incoming = None
        if not incoming.take(request.block):
            return self._abort(request)
        if not request.block.last_block:
            self._incoming = incoming
            return Said(answers.acknowledge(request), "block", sent=self._acknowledged)
        try:
            values = incoming.values()
        except RemoteProtocolError:
            return self._abort(request)
        first = incoming.first
        job = put_together(first, values, incoming.blocks, self._rules.client_sap)
        return self._abort(request) if job is None else self._begin(job, room)

    def _abort(self, request: FirstBlock | LaterBlock) -> Said:
        self._state.advance(Step.ANSWER)
        return Said(*_exception(answers.abort(request)))

    def _acknowledged(self) -> None:
        self._state.advance(Step.BLOCK)


def _exception(refusal: tuple[bytes, str]) -> tuple[bytes, str, str]:
    apdu, name = refusal
    return apdu, "exception", name
