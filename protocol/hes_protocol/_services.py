"""
What a client asks in an open association, as far as it is not about the association itself.

Owns the request that the caller is answering, the request that comes by blocks, and the answer
that goes by blocks; takes the steps of the state. Sees plain APDUs only: `_server_session.py` owns
protection. Rule 1: an APDU that is answered by exception-response changes nothing. Rule 2: a
client that asks for something else has given up what was going on by blocks, in either direction.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from typing import Any, Final, NamedTuple, TypeAlias

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

# What stands around a list of results at most, and they cannot go by blocks.
_LIST_OVERHEAD: Final = 10


def _nothing() -> None:
    return None


class Said(NamedTuple):
    """An answer of our own; `sent` takes the step that sending it means."""

    apdu: bytes
    purpose: str
    detail: str = ""
    sent: Callable[[], None] = _nothing

    def __repr__(self) -> str:
        return f"Said(purpose={self.purpose!r}, detail={self.detail!r})"


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
        self._offered = _offered(conformance)
        self._blocks = answers.blocks_of(conformance)
        self._state = state
        self._job: Job | None = None
        self._incoming: Incoming | None = None
        self._long_answer: LongAnswer | None = None

    @property
    def asked(self) -> ServiceRequested | None:
        """What waits for the caller's answer."""
        return None if self._job is None else self._job.asked

    # --- answers of the caller --------------------------------------------------------------

    def answer(self, said: ServiceResult, room: int | None) -> answers.Answer | None:
        """
        Answer what is asked.

        Args: room: how long an APDU may be, octets, None for no limit.
        Returns: what becomes of it, where nothing has changed before `given` says that it went
            out; None as long as the request asks for more.
        Raises: LocalProtocolError: not what was asked.
        """
        job = self._job
        if job is None:
            raise LocalProtocolError("nobody has asked for this")
        results, asked = job.after(job.read(said))
        if asked is None:
            return answers.answer_to(job, results, room, self._blocks)
        job.go_on(results, asked)
        return None

    def given(self, long_answer: LongAnswer | None) -> None:
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
        receive = self._offered.get(type(apdu))
        if receive is None:
            return Said(answers.not_supported(), "exception", "service-not-supported")
        return receive(self, apdu, room)

    def take_list(self, request: WholeRequest, room: int | None) -> Outcome:
        """A request that names several attributes or methods."""
        return self._check_list(request, room) or self.take_whole(request, room)

    def take_whole(self, request: WholeRequest, room: int | None) -> Outcome:
        """A request that came in one piece."""
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
        if room is not None and least > room and not self._blocks.general:
            return Said(answers.pdu_too_long(), "exception", "list-length")
        return None

    def _begin(self, job: Job, room: int | None) -> Outcome:
        asked = job.asked
        if asked is not None:
            self._job = job
            return asked
        apdu, long_answer = answers.answer_to(job, job.results, room, self._blocks)
        if apdu is None:
            self.given(None)
            return None
        return Said(apdu, "exception", "selection", partial(self.given, long_answer))

    # --- blocks -----------------------------------------------------------------------------

    def take_next(self, request: NextRequest, room: int | None) -> Said:  # noqa: ARG002
        """The next block of an answer is asked for; it has room, as the first one had."""
        long_answer = self._long_answer
        if long_answer is None or not long_answer.expects(request):
            apdu, name = answers.refuse_next(request, in_progress=long_answer is not None)
            self.give_up()
            return Said(apdu, "exception", name)
        self._state.advance(Step.NEXT_BLOCK)
        return Said(long_answer.block(), "block", "", partial(self.given, long_answer))

    def take_first(self, request: FirstBlock, room: int | None) -> Outcome:
        """The first block of a request."""
        refused = self._check_list(request, room)
        if refused is not None:
            return refused
        self.give_up()
        incoming = Incoming(request, self._rules.max_request_octets)
        if not incoming.fits(request.block):
            return Said(*_exception(answers.refuse_later(request, in_progress=True)))
        self._state.advance(Step.REQUEST)
        return self._receive_block(incoming, request, room)

    def take_later(self, request: LaterBlock, room: int | None) -> Outcome:
        """A later block of a request."""
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


# --- what is offered ------------------------------------------------------------------------

_Receive: TypeAlias = Callable[[Services, Any, int | None], Outcome]

_LISTS: Final = Conformance.MULTIPLE_REFERENCES
_SET_BLOCKS: Final = Conformance.SET | Conformance.BLOCK_TRANSFER_WITH_SET_OR_WRITE
_ACTION_BLOCKS: Final = Conformance.ACTION | Conformance.BLOCK_TRANSFER_WITH_ACTION

# What each request needs to have been negotiated, and what takes it.
_REQUESTS: Final[Mapping[type, tuple[Conformance, _Receive]]] = {
    GetRequestNormal: (Conformance.GET, Services.take_whole),
    GetRequestNext: (Conformance.GET, Services.take_next),
    GetRequestWithList: (Conformance.GET | _LISTS, Services.take_list),
    SetRequestNormal: (Conformance.SET, Services.take_whole),
    SetRequestWithList: (Conformance.SET | _LISTS, Services.take_list),
    SetRequestWithFirstDatablock: (_SET_BLOCKS, Services.take_first),
    SetRequestWithDatablock: (_SET_BLOCKS, Services.take_later),
    SetRequestWithListAndFirstDatablock: (_SET_BLOCKS | _LISTS, Services.take_first),
    ActionRequestNormal: (Conformance.ACTION, Services.take_whole),
    ActionRequestWithList: (Conformance.ACTION | _LISTS, Services.take_list),
    ActionRequestNextPblock: (Conformance.ACTION, Services.take_next),
    ActionRequestWithFirstPblock: (_ACTION_BLOCKS, Services.take_first),
    ActionRequestWithPblock: (_ACTION_BLOCKS, Services.take_later),
    ActionRequestWithListAndFirstPblock: (_ACTION_BLOCKS | _LISTS, Services.take_first),
    AccessRequest: (Conformance.ACCESS, Services.take_list),
}


@lru_cache(maxsize=64)
def _offered(conformance: Conformance) -> Mapping[type, _Receive]:
    """The requests that may be made where so much was negotiated, and what takes them."""
    return {
        request: receive
        for request, (needs, receive) in _REQUESTS.items()
        if not needs & ~conformance
    }
