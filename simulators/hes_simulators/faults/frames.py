"""
Frames that are not right: check sequences, sequence numbers and lengths, in HDLC and the wrapper.

Owns finding frames in what a link gives, and spoiling them. IEC 62056-46, "Frame format type 3"
and "Control field"; IEC 62056-47, wrapper header.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from random import Random
from typing import Final

from hes_protocol.hdlc.crc import fcs16
from hes_protocol.wrapper import HEADER_OCTETS
from hes_simulators.faults.kinds import (
    Fault,
    HdlcCheck,
    HdlcNumber,
    LyingLength,
    RepeatedFrame,
    WrongCheck,
    WrongSequence,
)

_FLAG: Final = 0x7E
_LENGTH_OFFSET: Final = 6  # of the wrapper
_MOST_HDLC: Final = 0x7FF
_UNNUMBERED: Final = 0x03  # the two lowest bits of control; an I frame has the lowest not set
_SHIFTS: Final = {HdlcNumber.SEND: 1, HdlcNumber.RECEIVE: 5}  # within the control field

Spoil = Callable[[bytes], bytes]


def spoilers(faults: tuple[Fault, ...], random: Random) -> tuple[Spoil, ...]:
    """What the faults make of the octets that a link gives, each one whole frames."""
    found: list[Spoil] = []
    for fault in faults:
        match fault:
            case WrongCheck():
                found.append(_some(partial(_flipped, check=fault.check), fault.share, random))
            case RepeatedFrame():
                found.append(_some(_repeated, fault.share, random))
            case WrongSequence():
                found.append(_some(partial(_out_of_order, fault=fault), fault.share, random))
            case LyingLength():
                found.append(_lying(fault))
    return tuple(found)


def frames(octets: bytes) -> Iterator[bytes]:
    """The frames in whole frames: HDLC from flag to flag, wrapper, or all of it."""
    at = 0
    while at < len(octets):
        end = _frame_end(octets, at)
        yield octets[at:end]
        at = end


def _frame_end(octets: bytes, at: int) -> int:
    if octets[at] == _FLAG and len(octets) > at + 2:
        return at + 2 + (int.from_bytes(octets[at + 1 : at + 3]) & _MOST_HDLC)
    if octets[at : at + 2] == b"\x00\x01":
        length = int.from_bytes(octets[at + _LENGTH_OFFSET : at + HEADER_OCTETS])
        return at + HEADER_OCTETS + length
    return len(octets)


def _some(change: Spoil, share: float, random: Random) -> Spoil:
    """Of the HDLC frames only a share is changed."""

    def spoil(octets: bytes) -> bytes:
        return b"".join(
            change(frame) if frame[0] == _FLAG and random.random() < share else frame
            for frame in frames(octets)
        )

    return spoil


def _flipped(frame: bytes, check: HdlcCheck) -> bytes:
    """One bit of a check sequence is another; without information both are the same."""
    changed = bytearray(frame)
    if check is HdlcCheck.FCS:
        changed[-3] ^= 0x01
    else:
        changed[_behind_control(frame)] ^= 0x01
    return bytes(changed)


def _repeated(frame: bytes) -> bytes:
    is_information = not frame[_behind_control(frame) - 1] & 0x01
    return frame * 2 if is_information else frame


def _out_of_order(frame: bytes, fault: WrongSequence) -> bytes:
    hcs = _behind_control(frame)
    control = frame[hcs - 1]
    has_number = not control & 0x01 if fault.number is HdlcNumber.SEND else True
    if control & _UNNUMBERED == _UNNUMBERED or not has_number:
        return frame
    shift = _SHIFTS[fault.number]
    number = (control >> shift) + fault.ahead & 0x07
    changed = bytearray(frame)
    changed[hcs - 1] = control & ~(0x07 << shift) | number << shift
    _check(changed, hcs)
    _check(changed, len(changed) - 3)
    return bytes(changed)


def _check(frame: bytearray, at: int) -> None:
    """Make the check sequence right that stands there."""
    frame[at : at + 2] = fcs16(bytes(frame[1:at])).to_bytes(2, "little")


def _behind_control(frame: bytes) -> int:
    """Where the HCS stands: behind flag, format, two addresses, control."""
    at = 3
    for _ in range(2):
        while not frame[at] & 0x01:  # the last octet of an address has its lowest bit set
            at += 1
        at += 1
    return at + 1


def _lying(fault: LyingLength) -> Spoil:
    def spoil(octets: bytes) -> bytes:
        return b"".join(_with_length(frame, fault.length) for frame in frames(octets))

    return spoil


def _with_length(frame: bytes, length: int) -> bytes:
    changed = bytearray(frame)
    if frame[0] != _FLAG:
        changed[_LENGTH_OFFSET:HEADER_OCTETS] = length.to_bytes(2, "big")
        return bytes(changed)
    format_type = int.from_bytes(frame[1:3]) & ~_MOST_HDLC | length & _MOST_HDLC
    changed[1:3] = format_type.to_bytes(2, "big")
    # The header's check is made right, else nobody would believe the length.
    _check(changed, _behind_control(frame))
    return bytes(changed)
