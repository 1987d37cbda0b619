"""Which link a meter of the inventory gets, and what a push that came over it is kept by."""

from __future__ import annotations

import attrs
import pytest

from hes.domain.meters import Association, Meter, Transport
from hes_collectors.dlms.links import HeardHdlcLink, HeardWrapperLink, link_for
from hes_collectors.dlms.outcomes import TransportUnsupportedError
from hes_protocol.hdlc import HdlcAddress, HdlcServerLink
from hes_protocol.quirks import STANDARD, HdlcAddressing
from hes_protocol.translator import translate
from hes_protocol.wrapper import WrapperLink
from tests.unit.hes_collectors.simulated import SimulatedMeter


def meter(transport: Transport, server_sap: int = 1, client_sap: int = 1) -> Meter:
    return attrs.evolve(
        SimulatedMeter.of().inventory(),
        transport=transport,
        association=Association(client_sap, server_sap),
    )


@pytest.mark.conformance("hdlc-addresses", "client")
@pytest.mark.parametrize(
    ("server_sap", "addressing", "address"),
    [
        (1, HdlcAddressing(), HdlcAddress(1, None, 1)),
        (1, HdlcAddressing(17), HdlcAddress(1, 17, 2)),
        (1, HdlcAddressing(17, 4), HdlcAddress(1, 17, 4)),
        (1, HdlcAddressing(0x3FFE), HdlcAddress(1, 0x3FFE, 4)),
        (1, HdlcAddressing(size=2), HdlcAddress(1, 0, 2)),
        (200, HdlcAddressing(), HdlcAddress(200, 0, 4)),
        (200, HdlcAddressing(17), HdlcAddress(200, 17, 4)),
    ],
)
def test_the_address_follows_the_model(
    server_sap: int, addressing: HdlcAddressing, address: HdlcAddress
) -> None:
    quirks = attrs.evolve(STANDARD, hdlc_address=addressing)
    link = link_for(meter(Transport.HDLC, server_sap), quirks)
    assert isinstance(link, HeardHdlcLink)
    assert (link.client, link.server) == (HdlcAddress(1, None, 1), address)


@pytest.mark.parametrize(
    ("server_sap", "addressing"),
    [(0x4000, HdlcAddressing()), (200, HdlcAddressing(size=2)), (1, HdlcAddressing(200, 2))],
)
def test_what_is_no_address_is_not_tried(server_sap: int, addressing: HdlcAddressing) -> None:
    with pytest.raises(TransportUnsupportedError):
        link_for(meter(Transport.HDLC, server_sap), attrs.evolve(STANDARD, hdlc_address=addressing))


@pytest.mark.parametrize("transport", list(Transport))
@pytest.mark.parametrize("octets", [10, 1000])
def test_a_push_is_kept_as_it_may_have_come(transport: Transport, octets: int) -> None:
    link = link_for(meter(transport), STANDARD)
    servers = {
        Transport.WRAPPER: WrapperLink(1),
        Transport.HDLC: HdlcServerLink(HdlcAddress(1)),
    }
    apdu = b"\x0f\x00\x00\x00\x01\x00\x09\x82" + octets.to_bytes(2, "big") + bytes(octets)
    pushed = servers[transport].push(1, apdu)
    link.receive_data(pushed)
    assert link.next_apdu() == apdu
    assert link.last_frame() == pushed
    assert isinstance(link, HeardWrapperLink) is (transport is Transport.WRAPPER)
    assert translate(link.last_frame()).complete
