"""
The link of an outbound session: the meter's transport and addresses, and what was heard last.

A meter's HDLC address is its logical device and, where the model says so, a physical device; the
size is the smallest that fits unless the model wants another.
"""

from __future__ import annotations

from typing import Final, Protocol

import attrs

from hes.domain.meters import LinkKnowledge, Meter, Transport
from hes_collectors.dlms.outcomes import TransportUnsupportedError
from hes_protocol.client import Link
from hes_protocol.errors import LocalProtocolError
from hes_protocol.hdlc import HdlcAddress, HdlcFrame, HdlcLink, LinkParameters, llc
from hes_protocol.quirks import Quirks
from hes_protocol.wrapper import WrapperFrame, WrapperLink

# What is proposed; a meter agrees to as much of it as it can, most to 128 octets and windows of 1.
_PROPOSAL: Final = LinkParameters(1024, 1024, 7, 7)


class HeardLink(Link, Protocol):
    """A link that remembers the APDU it gave last: what a push is kept by."""

    last_apdu: bytes
    frames_discarded: int
    """Frames that were broken, out of place or for somebody else."""

    def last_frame(self) -> bytes:
        """The frames that carried it, as far as they can be told."""

    def disconnect(self) -> bytes:
        """The end of the link, b"" where it has none of its own."""

    def agreed(self) -> tuple[int, int, int, int] | None:
        """What the link was set up with, see `LinkKnowledge.hdlc`."""


class HeardWrapperLink(WrapperLink):
    """APDUs in wrapper frames, none of which can be discarded: the stream ends with it."""

    last_apdu = b""
    frames_discarded = 0

    def next_apdu(self) -> bytes | None:
        """As of the wrapper link."""
        apdu = super().next_apdu()
        if apdu is not None:
            self.last_apdu = apdu
        return apdu

    def last_frame(self) -> bytes:
        """The frame that carried the last APDU."""
        assert self.destination is not None  # a client's link has a peer
        return WrapperFrame(self.destination, self.source, self.last_apdu).to_octets()

    def disconnect(self) -> bytes:
        """The wrapper has no link."""
        return b""

    def agreed(self) -> None:
        """Nothing is agreed on."""


class HeardHdlcLink(HdlcLink):
    """APDUs in HDLC frames."""

    last_apdu = b""

    def next_apdu(self) -> bytes | None:
        """As of the HDLC link."""
        apdu = super().next_apdu()
        if apdu is not None:
            self.last_apdu = apdu
        return apdu

    def last_frame(self) -> bytes:
        """Unnumbered frames with the last APDU: what a push comes in."""
        information = llc.add(self.last_apdu, response=True)
        frames = HdlcFrame.unnumbered(self.client, self.server, information)
        return b"".join(frame.to_octets() for frame in frames)

    def agreed(self) -> tuple[int, int, int, int] | None:
        """Sizes of information and windows, of what we send and receive."""
        agreed = self.parameters
        return None if agreed is None else attrs.astuple(agreed)


def link_for(
    meter: Meter, quirks: Quirks, known: LinkKnowledge | None = None
) -> HeardWrapperLink | HeardHdlcLink:
    """
    The link to a meter.

    Args: known: what it has agreed to before is proposed again.
    Raises: TransportUnsupportedError: its SAPs are no HDLC addresses.
    """
    client_sap, server_sap = meter.association.client_sap, meter.association.server_sap
    if meter.transport is Transport.WRAPPER:
        return HeardWrapperLink(client_sap, server_sap)
    try:
        return HeardHdlcLink(
            HdlcAddress.of(client_sap),
            HdlcAddress.of(server_sap, quirks.hdlc_address.physical, quirks.hdlc_address.size),
            _PROPOSAL if known is None or known.hdlc is None else LinkParameters(*known.hdlc),
        )
    except LocalProtocolError as error:
        raise TransportUnsupportedError(str(error)) from error
