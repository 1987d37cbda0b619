"""
One station of a link that is set up: numbered frames both ways, and whose turn it is.

Rule 1: half duplex. Whoever has had the poll (P, in the client's frames) or final bit (F, in the
server's) may speak, and gives the turn away with that bit on the last frame of its window. Rule 2:
when the turn comes, what the peer's N(R) has not acknowledged is sent again; so a lost frame, its
answer and a whole lost window mend alike. Rule 3: an I frame is taken only with the N(S) that is
due. The client drops one that it has had before as if it had not come, bit and N(R) included: it
answers an older poll, and whoever took the turn for it would ask everything twice. Rule 4: a
server is held back once after a request, so that the answer goes where RR would. Rule 5: an answer
that acknowledges nothing of what the client has sent may be to an older poll as well, as after a
poll that came too soon or a frame that came twice. The client then has the turn and says nothing:
another answer acknowledges what is due, or none comes, `resume` is called and it is sent again. If
it were sent at once, each such answer would bring forth one more, for ever. Rule 6: for the same
reason a client asks at once for the frame that is missing, but only once: where its answer leaves
the same one out, it waits as it does for a meter that has nothing to say.

Does not know about setting up, silence, LLC headers, or how many octets wait elsewhere.

Source: IEC 62056-46, normal response mode: "Exchange of information", "Window", "Checkpointing".
"""

from __future__ import annotations

from typing import Final

from hes_protocol.errors import LimitError
from hes_protocol.hdlc.address import HdlcAddress
from hes_protocol.hdlc.control import Control, ControlKind
from hes_protocol.hdlc.frame import MAX_FRAME_OCTETS, HdlcFrame
from hes_protocol.hdlc.parameters import LinkParameters
from hes_protocol.hdlc.window import MODULUS, SendWindow

MAX_UNSENT_FIELDS: Final = 4
_AROUND_INFORMATION: Final = 7
"""Format, control, HCS and FCS; the addresses are apart."""


class Station:
    """
    Args:
        ours, peers: the addresses.
        parameters: as agreed, seen from us.
        is_primary: whether we are the client, which polls.
        max_octets: the longest information field that is joined.
    """

    def __init__(
        self,
        ours: HdlcAddress,
        peers: HdlcAddress,
        parameters: LinkParameters,
        *,
        is_primary: bool,
        max_octets: int,
    ) -> None:
        self.peer = peers
        self.parameters = parameters
        self.is_busy = False
        self.rejection: HdlcFrame | None = None
        self._ours = ours
        self._is_primary = is_primary
        self._max_octets = max_octets
        self._max_information = longest_information(ours, peers, parameters)
        self._window = SendWindow(self._max_information, parameters.window_transmit)
        self._due_sequence = 0
        self._joined = bytearray()
        self._is_skipping = False
        self._has_turn = is_primary
        self._has_news = False
        self._has_gap = False
        self._has_request = False
        self._holds_back = False
        self._peer_is_busy = False

    @property
    def has_turn(self) -> bool:
        """Whether we may speak."""
        return self._has_turn

    @property
    def is_overfull(self) -> bool:
        """Whether the peer takes so little of what we send that it must not ask for more."""
        return self._window.pending_fields >= MAX_UNSENT_FIELDS

    # --- receiving --------------------------------------------------------------------------

    def objection_to(self, frame: HdlcFrame) -> HdlcFrame | None:
        """
        The FRMR that an I, RR or RNR frame deserves, None where it is in order.

        A client takes fields of any length: meters (Circutor, Mikroelektronika) that nothing was
        proposed to send up to 248 octets and not the default of 128.

        Source: IEC 62056-46, "FRMR"; ISO/IEC 13239: a field too long (Y), a wrong N(R) (Z).
        """
        reasons = 0
        too_long = len(frame.information) > self.parameters.max_information_receive
        if too_long and not self._is_primary:
            reasons |= 0x04
        if not self._window.acknowledges(frame.control.receive_sequence):
            reasons |= 0x08
        if not reasons:
            return None
        counters = self._due_sequence << 5 | self._window.next_sequence << 1
        information = bytes((frame.control.to_octet(), counters, reasons))
        return self._frame(Control(ControlKind.FRMR), information)

    def receive(self, frame: HdlcFrame) -> bytes | None:
        """
        Take an I, RR or RNR frame to which there is no objection.

        Returns: the information field that it completes.
        Raises: LimitError: "too-long": the rest of that field is skipped; the link stands.
        """
        control = frame.control
        if self._is_primary and self._is_stale(control):
            return None
        acknowledged = self._window.acknowledge(control.receive_sequence)
        if self._is_primary:
            self._holds_back = not acknowledged and self._window.has_sent
        if control.kind is ControlKind.RNR:
            self._peer_is_busy = True
        elif control.kind is ControlKind.RR:
            self._peer_is_busy = False
        try:
            return self._take(frame) if control.kind is ControlKind.I else None
        finally:
            if control.poll_final:
                self._take_turn()

    def _is_stale(self, control: Control) -> bool:
        ahead = (control.send_sequence - self._due_sequence) % MODULUS
        return control.kind is ControlKind.I and ahead >= self.parameters.window_receive

    def _take_turn(self) -> None:
        if self._is_primary and self._has_turn:
            return
        self._has_turn = True
        self._window.rewind()
        if not self._is_primary:
            self._holds_back, self._has_request = self._has_request, False

    def _take(self, frame: HdlcFrame) -> bytes | None:
        if self.is_busy or frame.control.send_sequence != self._due_sequence:
            self._has_news = self._has_news or not self._has_gap
            self._has_gap = True
            return None
        self._has_news, self._has_gap = True, False
        self._due_sequence = (self._due_sequence + 1) % MODULUS
        was_skipping = self._is_skipping
        if not was_skipping:
            self._joined += frame.information
        too_long = len(self._joined) > self._max_octets
        self._is_skipping = frame.segmented and (too_long or was_skipping)
        if frame.segmented and not too_long:
            return None
        information, self._joined = self._joined, bytearray()
        if too_long:
            raise LimitError("too-long", f"segments of more than {self._max_octets} octets")
        if was_skipping:
            return None
        self._has_request = True
        return bytes(information)

    # --- sending ----------------------------------------------------------------------------

    def put(self, information: bytes) -> None:
        """Queue an information field; `frames` gives what may go at once."""
        self._holds_back = False
        self._window.put(information)

    def resume(self) -> None:
        """Nothing has come for a while: what was held back may be said."""
        self._holds_back = False

    def frames(self) -> list[HdlcFrame]:
        """What may be said now: I frames, or an RR that is due; nothing out of turn."""
        if not self._has_turn or (self._is_primary and self._holds_back):
            return []
        if self._window.is_due and not self._peer_is_busy:
            return self._numbered()
        if self._is_primary:
            return [self.poll()] if self._has_news and not self.is_busy else []
        return [] if self._holds_back and not self.is_busy else [self.poll()]

    def poll(self) -> HdlcFrame:
        """RR or RNR with the bit that gives the turn away."""
        self._give_turn()
        kind = ControlKind.RNR if self.is_busy else ControlKind.RR
        return self._frame(Control(kind, receive_sequence=self._due_sequence))

    def _numbered(self) -> list[HdlcFrame]:
        self._give_turn()
        due = self._window.take_due()
        last = len(due) - 1
        return [
            self._frame(
                Control(ControlKind.I, place == last, sequence, self._due_sequence),
                segment.information,
                segmented=segment.segmented,
            )
            for place, (sequence, segment) in enumerate(due)
        ]

    def _give_turn(self) -> None:
        self._has_turn = self._has_news = self._holds_back = False

    def _frame(
        self, control: Control, information: bytes = b"", *, segmented: bool = False
    ) -> HdlcFrame:
        return HdlcFrame(self.peer, self._ours, control, segmented, information)


def longest_information(ours: HdlcAddress, peers: HdlcAddress, parameters: LinkParameters) -> int:
    """What fits the information field of one of our frames, octets."""
    room = MAX_FRAME_OCTETS - _AROUND_INFORMATION - ours.size - peers.size
    return min(parameters.max_information_transmit, room)
