"""M-Bus long frames as a server's link for pushes."""

from __future__ import annotations

import pytest

from hes_protocol.errors import LocalProtocolError
from hes_protocol.mbus import MBusPushLink, MBusReassembler, MBusReceiver


@pytest.mark.parametrize("octets", [1, 245, 246, 1000, 4000])
def test_what_a_push_link_sends_is_put_together_again(octets: int) -> None:
    apdu = bytes(range(256)) * (octets // 256) + bytes(range(octets % 256))
    link = MBusPushLink(1)
    receiver, reassembler = MBusReceiver(), MBusReassembler()
    receiver.receive_data(link.push(0x67, apdu))
    found = []
    while (frame := receiver.next_frame()) is not None:
        assert (frame.source_sap, frame.destination_sap) == (1, 0x67)
        found.append(reassembler.receive_frame(frame))
    assert found[-1] == apdu
    assert found[:-1] == [None] * (len(found) - 1)
    assert receiver.octets_skipped == 0


def test_a_push_link_listens_to_nobody() -> None:
    link = MBusPushLink(1)
    link.receive_data(b"\x68\x03\x03\x68")
    assert link.next_apdu() is None
    assert link.octets_discarded == 4
    with pytest.raises(LocalProtocolError):
        link.wrap(b"\x0f")
    for sap in (-1, 256):
        with pytest.raises(LocalProtocolError):
            link.push(sap, b"\x0f")
    with pytest.raises(LocalProtocolError):
        link.push(1, b"")
    with pytest.raises(LocalProtocolError):
        MBusPushLink(256)
