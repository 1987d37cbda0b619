"""
Every transition of an association, in one table that does not know which side we play.

Rule 1: a step is an APDU that was sent or received, or a decision about one; the client takes
REQUEST when it sends, the server when it receives. Rule 2: what has no row is forbidden there.
Rule 3: notifications, discarded answers and whatever fails verification take no step at all.

IEC 62056-5-3, "Establishment and release of AAs", and the state diagrams of client and server
connection-oriented application layers.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, auto
from typing import Final

from hes_protocol.errors import LocalProtocolError


class State(Enum):
    """Where an association stands."""

    IDLE = auto()
    ASSOCIATING = auto()  # AARQ under way, no AARE yet
    CHALLENGED = auto()  # AARE with a challenge, pass 3 of HLS is due
    PROVING = auto()  # pass 3 under way, pass 4 is due
    OPEN = auto()
    AWAITING = auto()  # a request under way, its answer is due
    BLOCKWISE = auto()  # a block has been given, it is the client's turn to go on
    RELEASING = auto()  # RLRQ under way

    # Enum's own hashes the name, in Python: the table is looked into at every step.
    __hash__ = object.__hash__


class Step(Enum):
    """What moves an association."""

    ASSOCIATE = auto()  # AARQ
    ACCEPT = auto()  # AARE, no HLS to follow
    CHALLENGE = auto()  # AARE, HLS to follow
    REJECT = auto()  # AARE or confirmed-service-error, negative
    PROVE = auto()  # ACTION with pass 3
    CONFIRM = auto()  # its response with a right pass 4
    DENY = auto()  # its response with a result other than success
    REQUEST = auto()  # GET, SET, ACTION or ACCESS, or its first block
    BLOCK = auto()  # a block of an answer that is not the last, or "go on" to one of a request
    NEXT_BLOCK = auto()  # the next block of an answer is asked for, or that of a request is sent
    ANSWER = auto()  # a response that completes a request
    EXCEPTION = auto()  # a trusted exception-response
    ABANDON = auto()  # the request is given up
    RELEASE = auto()  # RLRQ
    RELEASED = auto()  # RLRE

    __hash__ = object.__hash__


TRANSITIONS: Final[Mapping[State, Mapping[Step, State]]] = {
    State.IDLE: {Step.ASSOCIATE: State.ASSOCIATING},
    State.ASSOCIATING: {
        Step.ACCEPT: State.OPEN,
        Step.CHALLENGE: State.CHALLENGED,
        Step.REJECT: State.IDLE,
        Step.EXCEPTION: State.IDLE,
    },
    State.CHALLENGED: {Step.PROVE: State.PROVING},
    State.PROVING: {
        Step.CONFIRM: State.OPEN,
        Step.DENY: State.IDLE,
        Step.EXCEPTION: State.IDLE,
    },
    State.OPEN: {Step.REQUEST: State.AWAITING, Step.RELEASE: State.RELEASING},
    State.AWAITING: {
        Step.ANSWER: State.OPEN,
        Step.BLOCK: State.BLOCKWISE,
        Step.EXCEPTION: State.OPEN,
        Step.ABANDON: State.OPEN,
    },
    State.BLOCKWISE: {Step.NEXT_BLOCK: State.AWAITING, Step.ABANDON: State.OPEN},
    State.RELEASING: {Step.RELEASED: State.IDLE, Step.EXCEPTION: State.IDLE},
}


class AssociationState:
    """A place in the table."""

    __slots__ = ("current",)

    def __init__(self) -> None:
        self.current = State.IDLE

    def allows(self, step: Step) -> bool:
        """Whether the step has a row here."""
        return step in TRANSITIONS[self.current]

    def require(self, step: Step) -> None:
        """
        Insist that the step has a row here.

        Raises: LocalProtocolError: it has none.
        """
        if not self.allows(step):
            raise self._forbidden(step)

    def advance(self, step: Step) -> None:
        """
        Take the step.

        Raises: LocalProtocolError: it has no row here.
        """
        try:
            self.current = TRANSITIONS[self.current][step]
        except KeyError:
            raise self._forbidden(step) from None

    def _forbidden(self, step: Step) -> LocalProtocolError:
        return LocalProtocolError(
            f"{step.name.lower()} is not allowed in state {self.current.name.lower()}"
        )
