"""
A meter's link that does not say what it should: around any other link, unseen by the server.

Sans-io and sans-time as every link. Owns counting answers, falling silent, and the order: what is
said is changed first (`speech`), then framed by the link inside, then the frames are spoilt.
"""

from __future__ import annotations

from collections.abc import Callable

from hes_protocol.server import ServerLink
from hes_simulators.faults.frames import Spoil
from hes_simulators.faults.speech import Change


class FaultyLink:
    """
    Args:
        inner: frames and addresses; owned by this object from here on.
        changes: of what is said. spoils: of the frames.
        silent_from: the number of the answer with which it falls silent; None: never.
        break_off: is called instead of answer `breaks_at`, and raises.
    """

    def __init__(
        self,
        inner: ServerLink,
        changes: tuple[Change, ...] = (),
        spoils: tuple[Spoil, ...] = (),
        *,
        silent_from: int | None = None,
        breaks_at: int | None = None,
        break_off: Callable[[], None] = lambda: None,
    ) -> None:
        self._inner = inner
        self._changes = changes
        self._spoils = spoils
        self._silent_from = silent_from
        self._breaks_at = breaks_at
        self._break_off = break_off
        self._answers = 0
        self._waiting = b""

    # --- what the server needs of a link ----------------------------------------------------

    @property
    def peer_sap(self) -> int | None:
        """As of the link inside."""
        return self._inner.peer_sap

    @peer_sap.setter
    def peer_sap(self, sap: int | None) -> None:
        self._inner.peer_sap = sap

    @property
    def timeout_s(self) -> float | None:
        """As of the link inside, or until something is late enough to be said."""
        inner_s = self._inner.timeout_s
        if inner_s is not None:
            return inner_s
        waits = [change.late_s for change in self._changes if change.late_s is not None]
        return min(waits, default=None)

    def wrap(self, *apdus: bytes) -> bytes:
        """
        An answer, or what comes in its place.

        Raises: whatever `break_off` raises; else as the link inside.
        """
        number = self._answers
        self._answers += 1
        if number == self._breaks_at:
            self._break_off()
        for change in self._changes:
            apdus = change.answer(apdus)
        return self._framed(apdus)

    def push(self, client_sap: int, apdu: bytes) -> bytes:
        """What nobody asked for; its frames are spoilt as all others are."""
        return self._spoilt(self._inner.push(client_sap, apdu))

    def data_to_send(self) -> bytes:
        """What the link inside has to say, and answers to what the server never heard of."""
        waiting, self._waiting = self._waiting, b""
        return waiting + self._spoilt(self._inner.data_to_send())

    def handle_timeout(self) -> bytes:
        """Either the link inside has waited long enough, or what is late comes now."""
        if self._inner.timeout_s is not None:
            return self._spoilt(self._inner.handle_timeout())
        return self._framed(tuple(apdu for one in self._changes for apdu in one.late()))

    def receive_data(self, data: bytes) -> None:
        """As the link inside."""
        self._inner.receive_data(data)

    def next_apdu(self) -> bytes | None:
        """As the link inside, but for what a change answers by itself."""
        while (apdu := self._inner.next_apdu()) is not None:
            answer = self._answer_by_itself(apdu)
            if answer is None:
                return apdu
            self._waiting += self._framed(answer)
        return None

    def ended_saps(self) -> tuple[int, ...]:
        """As the link inside."""
        return self._inner.ended_saps()

    # --- what is wrong ----------------------------------------------------------------------

    def _answer_by_itself(self, apdu: bytes) -> tuple[bytes, ...] | None:
        for change in self._changes:
            answer = change.heard(apdu)
            if answer is not None:
                self._answers += 1
                return answer
        return None

    def _framed(self, apdus: tuple[bytes, ...]) -> bytes:
        return self._spoilt(self._inner.wrap(*apdus)) if apdus else b""

    def _spoilt(self, octets: bytes) -> bytes:
        if self._silent_from is not None and self._answers > self._silent_from:
            return b""
        for spoil in self._spoils:
            octets = spoil(octets)
        return octets
