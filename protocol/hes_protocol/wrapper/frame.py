"""
Wrapper frames and the receiver that cuts a stream into them (IEC 62056-47).

Eight octets stand before each APDU: version 0x0001, source wPort, destination wPort, length. There
is nothing to find the next frame by once a header is wrong, so an error is final for its stream.
"""

from __future__ import annotations

from struct import Struct, error
from typing import Final, NamedTuple

from hes_protocol.errors import FramingError, LocalProtocolError

VERSION: Final = 0x0001
HEADER_OCTETS: Final = 8
MAX_LENGTH: Final = 0xFFFF
_VERSION: Final = b"\x00\x01"
_HEADER: Final = Struct(">4H")


class WrapperFrame(NamedTuple):
    """
    One APDU between two wPorts; on TCP and UDP a wPort is a client or server SAP.

    A tuple, since one is made for every APDU and a frozen class takes three times as long.
    """

    source: int
    destination: int
    apdu: bytes

    @classmethod
    def from_datagram(cls, octets: bytes, max_apdu: int = MAX_LENGTH) -> WrapperFrame:
        """
        Read the one frame that a datagram is.

        Raises: FramingError: as `WrapperReceiver.next_frame`; "truncated", "left-over".
        """
        receiver = WrapperReceiver(max_apdu)
        receiver.receive_data(octets)
        frame = receiver.next_frame()
        if frame is None:
            raise FramingError("truncated", "a datagram is one frame", offset=len(octets))
        if receiver.buffered_octets:
            raise FramingError("left-over", offset=receiver.offset)
        return frame

    def to_octets(self) -> bytes:
        """
        The frame as it is sent.

        Raises: LocalProtocolError: a wPort above 16 bits, an APDU of 0 or above 65535 octets.
        Source: IEC 62056-47, "Wrapper protocol data unit".
        """
        return write_frame(*self)


def write_frame(source: int, destination: int, apdu: bytes) -> bytes:
    """As `WrapperFrame.to_octets`, without the object."""
    if not apdu:
        raise LocalProtocolError("an empty APDU does not go in a wrapper frame")
    try:
        return _HEADER.pack(VERSION, source, destination, len(apdu)) + apdu
    except error:
        raise LocalProtocolError("a wPort has 16 bits, and so has a length") from None


class WrapperReceiver:
    """
    Cuts a stream into wrapper frames, however the stream is split.

    Holds what it was given and no more: a claimed length allocates nothing.

    Args: max_apdu: the longest APDU that is taken, octets.
    """

    def __init__(self, max_apdu: int = MAX_LENGTH) -> None:
        self._max_apdu = max_apdu
        self._buffer = bytearray()
        self._offset = 0
        self._error: FramingError | None = None

    @property
    def offset(self) -> int:
        """Where in the stream the next frame begins, octets."""
        return self._offset

    @property
    def buffered_octets(self) -> int:
        """Octets of a frame that is not complete; 0 means that the stream may end here."""
        return len(self._buffer)

    def receive_data(self, data: bytes) -> None:
        """Take octets that came from the transport; after an error they are dropped."""
        if self._error is None:
            self._buffer += data

    def next_frame(self) -> WrapperFrame | None:
        """
        The next frame, or None until more octets come.

        Raises:
            FramingError: "bad-version", "bad-length" (0), "too-long" (above `max_apdu`), with the
                offset in the stream; from then on always, since the stream is lost.
        Source: IEC 62056-47, "Wrapper protocol data unit".
        """
        if self._error is not None:
            raise self._error
        buffer = self._buffer
        if len(buffer) < HEADER_OCTETS:
            if buffer and not _VERSION.startswith(buffer[:2]):
                raise self._lost_version()
            return None
        version, source, destination, length = _HEADER.unpack_from(buffer)
        if version != VERSION:
            raise self._lost_version()
        if length == 0:
            raise self._lost("bad-length", 6, "an APDU of no octets")
        if length > self._max_apdu:
            raise self._lost("too-long", 6, f"{length} octets, {self._max_apdu} are taken")
        end = HEADER_OCTETS + length
        if len(buffer) < end:
            return None
        apdu = bytes(buffer[HEADER_OCTETS:end])
        del buffer[:end]
        self._offset += end
        return WrapperFrame(source, destination, apdu)

    def _lost_version(self) -> FramingError:
        return self._lost("bad-version", 0, f"0x{self._buffer[:2].hex()}")

    def _lost(self, code: str, place: int, detail: str) -> FramingError:
        self._error = FramingError(code, detail, offset=self._offset + place)
        self._buffer.clear()
        return self._error
