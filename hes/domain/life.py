"""
The life of a meter: its states, and which may follow which. Pure.

    discovered ──► quarantined ──► commissioned ──► in_service ◄──► suspended ──► retired

`discovered`: it was seen and nobody has said that it is ours. `quarantined`: it is left alone until
an operator has looked (a wrong key, somebody else's answer). `commissioned`: it is ours and not
read yet. `in_service`: it is read, and only then. `suspended`: it is not read for a while, by an
operator's word. `retired`: it hangs nowhere any more; nothing is expected of it from then on.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Final
from uuid import UUID

import attrs

from hes.domain.errors import PermanentError


class MeterState(StrEnum):
    """Where in its life a meter is."""

    DISCOVERED = "discovered"
    QUARANTINED = "quarantined"
    COMMISSIONED = "commissioned"
    IN_SERVICE = "in_service"
    SUSPENDED = "suspended"
    RETIRED = "retired"


_S: Final = MeterState

FIRST: Final = frozenset({_S.DISCOVERED, _S.COMMISSIONED, _S.IN_SERVICE})
"""In which states a meter may enter the inventory."""

TRANSITIONS: Final[Mapping[MeterState, frozenset[MeterState]]] = {
    _S.DISCOVERED: frozenset({_S.QUARANTINED, _S.COMMISSIONED, _S.IN_SERVICE, _S.RETIRED}),
    _S.QUARANTINED: frozenset({_S.COMMISSIONED, _S.IN_SERVICE, _S.SUSPENDED, _S.RETIRED}),
    _S.COMMISSIONED: frozenset({_S.QUARANTINED, _S.IN_SERVICE, _S.SUSPENDED, _S.RETIRED}),
    _S.IN_SERVICE: frozenset({_S.QUARANTINED, _S.SUSPENDED, _S.RETIRED}),
    _S.SUSPENDED: frozenset({_S.QUARANTINED, _S.COMMISSIONED, _S.IN_SERVICE, _S.RETIRED}),
    # It comes back from the workshop, or was retired by mistake: as if it were new.
    _S.RETIRED: frozenset({_S.COMMISSIONED}),
}


class BadTransitionError(PermanentError):
    """A meter cannot go from the state in which it is to the one that is wanted."""

    def __init__(self, state: MeterState, wanted: MeterState) -> None:
        allowed = ", ".join(each for each in MeterState if each in TRANSITIONS[state])
        super().__init__(f"a meter that is {state} cannot become {wanted}, only: {allowed}")
        self.state = state
        self.wanted = wanted


@attrs.frozen
class StateChange:
    """
    A step in a meter's life: from `since` on it is in `state`.

    `actor` is who said so: a person, or a part of this system.
    """

    meter_id: UUID
    state: MeterState
    since: datetime
    reason: str
    actor: str


def step(state: MeterState, wanted: MeterState) -> bool:
    """
    Whether a meter has to change its state to be in `wanted`.

    Raises: BadTransitionError: it may not.
    """
    if wanted is state:
        return False
    if wanted not in TRANSITIONS[state]:
        raise BadTransitionError(state, wanted)
    return True
