"""
HDLC frames of format type 3, both ways (IEC 62056-46).

    7E | format, 2 octets | destination | source | control | HCS | information | FCS | 7E

The format's upper four bits are 1010, then the segmentation bit, then the length in eleven bits,
which counts everything between the flags. A frame without information has no HCS: its FCS is the
check of the header. Nothing is escaped: 0x7E may stand inside, so the length delimits.
"""

from __future__ import annotations

from typing import Final

import attrs

from hes_protocol.errors import FramingError, LocalProtocolError, TruncatedError
from hes_protocol.hdlc.address import HdlcAddress, address_end, address_from
from hes_protocol.hdlc.control import Control, ControlKind
from hes_protocol.hdlc.crc import fcs16

FLAG: Final = 0x7E
MAX_FRAME_OCTETS: Final = 0x7FF
_TYPE_3: Final = 0xA0
_SEGMENTED: Final = 0x08


@attrs.frozen
class HdlcFrame:
    """
    One frame. `segmented` is True where the information goes on in the next frame.

    Source: IEC 62056-46, "Frame format type 3".
    """

    destination: HdlcAddress
    source: HdlcAddress
    control: Control
    segmented: bool = False
    information: bytes = b""

    def to_octets(self) -> bytes:
        """
        The frame as it is sent, between two flags.

        Raises: LocalProtocolError: longer than eleven bits can say, or a part has no coding.
        """
        rest = self.destination.to_octets() + self.source.to_octets()
        rest += bytes((self.control.to_octet(),))
        length = 2 + len(rest) + 2 + (len(self.information) + 2 if self.information else 0)
        if length > MAX_FRAME_OCTETS:
            raise LocalProtocolError(f"a frame of {length} octets")
        first = _TYPE_3 | (_SEGMENTED if self.segmented else 0) | length >> 8
        octets = bytes((first, length & 0xFF)) + rest
        octets += fcs16(octets).to_bytes(2, "little")
        if self.information:
            octets += self.information
            octets += fcs16(octets).to_bytes(2, "little")
        return b"\x7e" + octets + b"\x7e"

    @classmethod
    def unnumbered(
        cls,
        destination: HdlcAddress,
        source: HdlcAddress,
        information: bytes,
        max_information: int = 128,
    ) -> list[HdlcFrame]:
        """UI frames that carry an information field without a link; the last one is final."""
        ends = range(max_information, len(information) + max_information, max_information)
        return [
            cls(
                destination,
                source,
                Control(ControlKind.UI, poll_final=end >= len(information)),
                end < len(information),
                information[end - max_information : end],
            )
            for end in ends
        ]

    @classmethod
    def from_octets(cls, octets: bytes | bytearray) -> HdlcFrame:
        """
        Read one frame, without flags, that fills `octets`.

        Raises:
            TruncatedError: the octets end before the frame does.
            FramingError: as `read_header`, "bad-fcs", "left-over".
        """
        header = read_header(octets)
        if len(octets) < header.length:
            raise TruncatedError("truncated", f"a frame of {header.length} octets", offset=0)
        if len(octets) > header.length:
            raise FramingError("left-over", offset=header.length)
        return read_frame(octets, header)


@attrs.define(eq=False)
class Header:
    """
    What stands before the information, its check passed; `length` is the whole frame's.

    Not frozen: one is made for each frame, and a frozen one costs twice as much to make.
    """

    length: int
    segmented: bool
    destination: HdlcAddress
    source: HdlcAddress
    control: Control
    information_offset: int


def read_header(octets: bytes | bytearray) -> Header:
    """
    Read and check the header of the frame that begins at the first octet, no flag before it.

    Returns: the header; the rest of the frame need not be there.
    Raises:
        TruncatedError: the octets end within the header or its check sequence.
        FramingError: "bad-format", "bad-address", "bad-control", "bad-hcs", "bad-length" (too
            short for its header); "bad-fcs" where there is no information and so no HCS.
    Source: IEC 62056-46, "Frame format type 3".
    """
    if octets and octets[0] & 0xF0 != _TYPE_3:
        raise FramingError("bad-format", f"0x{octets[0]:02x}", offset=0)
    if len(octets) < 2:
        raise TruncatedError("truncated", "a header is due", offset=0)
    length = (octets[0] & 0x07) << 8 | octets[1]
    # Noise may look like a header at every few octets: nothing is made before its check passes.
    source = address_end(octets, 2)
    offset = address_end(octets, source)
    behind = offset + 3
    if len(octets) < behind:
        raise TruncatedError("truncated", "a header is due", offset=offset)
    if length != behind and length < behind + 2:
        raise FramingError("bad-length", f"{length} octets", offset=0)
    check = octets[offset + 1] | octets[offset + 2] << 8
    if fcs16(octets[: offset + 1]) != check:
        raise FramingError("bad-fcs" if length == behind else "bad-hcs", offset=offset + 1)
    return Header(
        length=length,
        segmented=bool(octets[0] & _SEGMENTED),
        destination=address_from(bytes(octets[2:source])),
        source=address_from(bytes(octets[source:offset])),
        control=Control.from_octet(octets[offset], offset),
        information_offset=behind,
    )


def read_frame(octets: bytes | bytearray, header: Header) -> HdlcFrame:
    """
    Read the frame of which `header` was read; the caller has seen that all of it is there.

    Raises: FramingError: "bad-fcs".
    Source: IEC 62056-46, "Frame check sequence field".
    """
    information = b""
    end = header.length - 2
    if header.length > header.information_offset:
        if fcs16(octets[:end]) != octets[end] | octets[end + 1] << 8:
            raise FramingError("bad-fcs", offset=end)
        information = bytes(octets[header.information_offset : end])
    return HdlcFrame(
        header.destination, header.source, header.control, header.segmented, information
    )
