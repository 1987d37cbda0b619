"""The control octet: what a frame is, and its sequence numbers (IEC 62056-46)."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import attrs

from hes_protocol.errors import FramingError, LocalProtocolError


class ControlKind(StrEnum):
    """The frames of the HDLC based data link layer."""

    I = "I"  # noqa: E741 - the standard's name
    RR = "RR"
    RNR = "RNR"
    SNRM = "SNRM"
    DISC = "DISC"
    UA = "UA"
    DM = "DM"
    FRMR = "FRMR"
    UI = "UI"


# Bits without poll/final (0x10). RR and RNR carry N(R) in the upper three bits.
_UNNUMBERED: Final = {
    ControlKind.SNRM: 0x83,
    ControlKind.DISC: 0x43,
    ControlKind.UA: 0x63,
    ControlKind.DM: 0x0F,
    ControlKind.FRMR: 0x87,
    ControlKind.UI: 0x03,
}
_SUPERVISORY: Final = {ControlKind.RR: 0x01, ControlKind.RNR: 0x05}
_POLL_FINAL: Final = 0x10


@attrs.frozen
class Control:
    """
    A control octet.

    `poll_final` is P in a command and F in a response. `send_sequence` N(S) is used by I,
    `receive_sequence` N(R) by I, RR and RNR; 0..7.

    Source: IEC 62056-46, "Control field format".
    """

    kind: ControlKind
    poll_final: bool = True
    send_sequence: int = 0
    receive_sequence: int = 0

    @classmethod
    def from_octet(cls, octet: int, offset: int | None = None) -> Control:
        """
        Read a control octet.

        Raises: FramingError: "bad-control": none of the nine kinds.
        """
        control = _CONTROLS[octet]
        if control is None:
            raise FramingError("bad-control", f"0x{octet:02x}", offset=offset)
        return control

    def to_octet(self) -> int:
        """
        The octet as sent.

        Raises: LocalProtocolError: a sequence number outside 0..7.
        """
        if not (0 <= self.send_sequence <= 7 and 0 <= self.receive_sequence <= 7):
            raise LocalProtocolError("sequence numbers have three bits")
        octet = _POLL_FINAL if self.poll_final else 0
        if self.kind in _UNNUMBERED:
            return octet | _UNNUMBERED[self.kind]
        octet |= self.receive_sequence << 5
        if self.kind in _SUPERVISORY:
            return octet | _SUPERVISORY[self.kind]
        return octet | self.send_sequence << 1


def _control(octet: int) -> Control | None:
    poll_final = bool(octet & _POLL_FINAL)
    if not octet & 0x01:
        return Control(ControlKind.I, poll_final, octet >> 1 & 7, octet >> 5)
    for kind, bits in _SUPERVISORY.items():
        if octet & 0x0F == bits:
            return Control(kind, poll_final, 0, octet >> 5)
    for kind, bits in _UNNUMBERED.items():
        if octet & ~_POLL_FINAL == bits:
            return Control(kind, poll_final)
    return None


_CONTROLS: Final = tuple(_control(octet) for octet in range(256))
