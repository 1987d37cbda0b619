"""The wrapper as a link between one server SAP and one client SAP (IEC 62056-47)."""

from __future__ import annotations

from typing import Final

from hes_protocol.errors import LocalProtocolError
from hes_protocol.wrapper.frame import WrapperFrame, WrapperReceiver, write_frame

MAX_APDU: Final = 0xFFFF


class WrapperLink:
    """
    Carries APDUs in wrapper frames between `source` and a peer.

    Frames that are not addressed to `source`, or not sent by the expected peer, are dropped and
    counted in `frames_discarded`.

    Args:
        source: our SAP (wPort).
        destination: the peer's SAP; None for a server, which answers whoever asked last.
        max_apdu: the longest APDU that is taken, octets.
    """

    def __init__(
        self, source: int, destination: int | None = None, max_apdu: int = MAX_APDU
    ) -> None:
        self.source = source
        self.destination = destination
        self.peer_sap = destination
        self.frames_discarded = 0
        self._receiver = WrapperReceiver(max_apdu)

    @property
    def timeout_s(self) -> float | None:
        """None: the wrapper knows no repetition."""
        return None

    def wrap(self, *apdus: bytes) -> bytes:
        """
        Each in one frame from us to the peer.

        Raises: LocalProtocolError: no peer is known yet.
        """
        if self.peer_sap is None:
            raise LocalProtocolError("no peer has been heard and none is set")
        if len(apdus) == 1:
            return write_frame(self.source, self.peer_sap, apdus[0])
        return b"".join(self.push(self.peer_sap, apdu) for apdu in apdus)

    def push(self, client_sap: int, apdu: bytes) -> bytes:
        """One frame from us to `client_sap`, which need not have been heard."""
        return write_frame(self.source, client_sap, apdu)

    def data_to_send(self) -> bytes:
        """Nothing: the wrapper says nothing of its own."""
        return b""

    def handle_timeout(self) -> bytes:
        """Nothing either."""
        return b""

    def ended_saps(self) -> tuple[int, ...]:
        """None: only the end of the connection ends what runs over the wrapper."""
        return ()

    def receive_data(self, data: bytes) -> None:
        """
        Take octets that came from the transport.

        Raises: FramingError, LimitError: octets that are no wrapper frame.
        """
        self._receiver.receive_data(data)

    def next_apdu(self) -> bytes | None:
        """
        The APDU of the next frame addressed to us, or None until more octets come.

        Raises: FramingError, LimitError: octets that are no wrapper frame.
        """
        while (frame := self._receiver.next_frame()) is not None:
            if self._is_expected(frame):
                self.peer_sap = frame.source
                return frame.apdu
            self.frames_discarded += 1
        return None

    def _is_expected(self, frame: WrapperFrame) -> bool:
        from_peer = self.destination is None or frame.source == self.destination
        return frame.destination == self.source and from_peer
