"""How a client's requests are numbered and begun, and the pushes that it has yet to confirm."""

from __future__ import annotations

from typing import Final

import attrs

from hes_protocol import _requests as requests
from hes_protocol._pending import Pending
from hes_protocol.errors import LocalProtocolError
from hes_protocol.requests import (
    CONFIRM,
    Access,
    Action,
    ActionList,
    GetList,
    Reply,
    ServiceRequest,
    Set,
    SetList,
)
from hes_protocol.security.control import Protection
from hes_protocol.xdlms import Conformance, DataNotification, DataNotificationConfirm
from hes_protocol.xdlms.access import LONG_CONFIRMED, LONG_HIGH_PRIORITY, LONG_INVOKE_ID_MASK
from hes_protocol.xdlms.descriptor import CONFIRMED, HIGH_PRIORITY, INVOKE_ID_MASK

_MOST_CONFIRMS: Final = 16


def is_confirmed(request: ServiceRequest | None) -> bool:
    """Whether an answer will come."""
    return not isinstance(request, Set | Action) or request.confirmed


@attrs.define
class Invocations:
    """
    The invoke ids of one client, which go round; `high_priority` is the bit of all requests.

    The id of a request that was given up is passed over until its late answer has come: there are
    sixteen, and the answer would be taken for that of the request which has the id next.
    """

    high_priority: bool
    _last_id: int = 0
    _last_long_id: int = 0
    _given_up: set[int] = attrs.field(factory=set)

    def prepare(
        self, request: ServiceRequest, conformance: Conformance, room: int | None
    ) -> tuple[Pending, bytes]:
        """
        A request under the next id, and its first APDU. Changes nothing.

        Args: conformance: what was negotiated. room: how long an APDU may be, None for no limit.
        Raises: LocalProtocolError: it cannot be asked, or not of this server.
        """
        _check_list(request, conformance)
        pending = self.next(request)
        apdu = requests.whole(request, pending.invoke)
        if room is None or len(apdu) <= room:
            return pending, apdu
        if not is_confirmed(request):
            raise LocalProtocolError("only what is confirmed goes by blocks")
        pending.long_request = requests.by_blocks(request, pending.invoke, room, conformance)
        return pending, pending.long_request.block()

    def next(self, request: ServiceRequest | None) -> Pending:
        """
        A request, or the proof of HLS, under the next id. Changes nothing.

        Raises: LocalProtocolError: so many were given up that no id is left.
        """
        if isinstance(request, Access):
            invoke_id = self._last_long_id + 1 & LONG_INVOKE_ID_MASK
            flags = LONG_CONFIRMED | (LONG_HIGH_PRIORITY if self.high_priority else 0)
        else:
            invoke_id = self._free_id()
            flags = CONFIRMED if is_confirmed(request) else 0
            flags |= HIGH_PRIORITY if self.high_priority else 0
        return Pending(request, flags | invoke_id, invoke_id)

    def _free_id(self) -> int:
        for step in range(1, INVOKE_ID_MASK + 2):
            invoke_id = self._last_id + step & INVOKE_ID_MASK
            if invoke_id not in self._given_up:
                return invoke_id
        raise LocalProtocolError("sixteen requests were given up and never answered")

    def begin(self) -> None:
        """A new association: nobody answers what was asked in the last."""
        self._given_up.clear()

    def give_up(self, pending: Pending) -> None:
        """Its answer may still come."""
        if is_confirmed(pending.request) and not isinstance(pending.request, Access):
            self._given_up.add(pending.invoke_id)

    def answered(self, invoke_id: int) -> None:
        """The late answer to a request that was given up has come."""
        self._given_up.discard(invoke_id)

    def use(self, pending: Pending) -> None:
        """It has been sent."""
        if isinstance(pending.request, Access):
            self._last_long_id = pending.invoke_id
        else:
            self._last_id = pending.invoke_id
        pending.advance()


def _check_list(request: ServiceRequest, conformance: Conformance) -> None:
    elements: tuple[object, ...]
    match request:
        case GetList(elements) | SetList(elements) | ActionList(elements):
            needed = Conformance.MULTIPLE_REFERENCES
        case Access(elements):
            needed = Conformance.ACCESS
        case _:
            return
    if not elements or not needed & conformance:
        raise LocalProtocolError("an empty list, or the server takes none")


@attrs.frozen(eq=False)
class Confirm:
    """A push that the server wants confirmed, as an APDU, and how to protect it."""

    reply: Reply
    apdu: bytes
    protection: Protection


@attrs.define
class Confirms:
    """What is to be confirmed: a few at most, since what is never confirmed comes again."""

    _due: list[Confirm] = attrs.field(factory=list)

    def add(self, push: DataNotification, protection: Protection) -> Reply | None:
        """The reply that confirms a push, None if there are too many already."""
        if len(self._due) >= _MOST_CONFIRMS:
            return None
        reply = Reply(CONFIRM)
        apdu = DataNotificationConfirm(push.long_invoke_id_and_priority).encode()
        self._due.append(Confirm(reply, apdu, protection))
        return reply

    def find(self, reply: Reply) -> Confirm:
        """
        What a reply confirms.

        Raises: LocalProtocolError: it is none of ours, or was sent.
        """
        for confirm in self._due:
            if confirm.reply is reply:
                return confirm
        raise LocalProtocolError("this reply is not due")

    def remove(self, confirm: Confirm) -> None:
        """It has been sent."""
        self._due.remove(confirm)
