"""Any split of the byte stream gives the same events: both roles, wrapper and HDLC."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hes_protocol.acse import Mechanism
from hes_protocol.axdr import Data, DataTag
from hes_protocol.client import (
    Action,
    Associate,
    AssociationAccepted,
    Client,
    ContinueNeeded,
    Get,
    GetCompleted,
    Release,
    Set,
)
from hes_protocol.hdlc import HdlcAddress, HdlcLink, HdlcServerLink, LinkParameters
from hes_protocol.security import Protection
from hes_protocol.server import Server
from hes_protocol.wrapper import WrapperLink
from tests.connection_pair import (
    BUFFER,
    CAPTURE,
    CLIENT_SAP,
    CLOCK,
    SERVER_SAP,
    SERVER_TITLE,
    STOC,
    answer_of,
    client_settings,
    server_association,
)

REQUESTS = (
    Associate(),
    Get(CLOCK),
    Get(BUFFER),
    Set(BUFFER, Data(DataTag.OCTET_STRING, bytes(500))),
    Action(CAPTURE, Data(DataTag.INTEGER, 0)),
    Release(),
)


def links(kind: str) -> tuple[Any, Any]:
    """The client's and the server's link."""
    if kind == "wrapper":
        return WrapperLink(CLIENT_SAP, SERVER_SAP), WrapperLink(SERVER_SAP)
    parameters = LinkParameters(window_transmit=3, window_receive=3)
    return (
        HdlcLink(HdlcAddress(CLIENT_SAP), HdlcAddress(SERVER_SAP), parameters),
        HdlcServerLink(HdlcAddress(SERVER_SAP), parameters),
    )


def pieces(octets: bytes, sizes: list[int]) -> Iterator[bytes]:
    """The octets cut up, by the sizes in turn."""
    place = 0
    while place < len(octets):
        for size in sizes:
            yield octets[place : place + size]
            place += size


def talk(kind: str, sizes: list[int]) -> tuple[list[Any], list[Any]]:
    """All events of a whole session of client and server."""
    client_link, server_link = links(kind)
    client_counter, server_counter = count(100), count(7000)
    client = Client(
        client_settings(
            mechanism=Mechanism.HLS_GMAC,
            protection=Protection.AUTHENTICATED_ENCRYPTED,
            max_receive_pdu_size=200,
        ),
        client_link,
        lambda: next(client_counter),
    )
    server = Server(
        {
            CLIENT_SAP: server_association(
                mechanism=Mechanism.HLS_GMAC,
                minimum_protection=Protection.AUTHENTICATED_ENCRYPTED,
                max_receive_pdu_size=200,
            )
        },
        server_link,
        server_sap=SERVER_SAP,
        system_title=SERVER_TITLE,
        next_counter=lambda: next(server_counter),
        next_challenge=lambda: STOC,
        client_counters={},
    )
    told: tuple[list[Any], list[Any]] = ([], [])
    if kind == "hdlc":
        _exchange(client, server, client_link.connect(), sizes, told)
    for request in REQUESTS:
        _exchange(client, server, client.send(request), sizes, told)
    return told


def _exchange(
    client: Client,
    server: Server,
    octets: bytes,
    sizes: list[int],
    told: tuple[list[Any], list[Any]],
) -> None:
    while octets:
        octets = _given(server, octets, sizes, told[1])
        octets = _given(client, octets, sizes, told[0])


def _given(peer: Any, octets: bytes, sizes: list[int], told: list[Any]) -> bytes:
    """Give a side what came, in pieces; what it says to that."""
    said = b""
    for piece in pieces(octets, sizes):
        peer.receive_data(piece)
        while (event := peer.next_event()) is not None:
            told.append(event)
            reply = answer_of(event)
            if isinstance(event, ContinueNeeded) or reply is not None:
                said += peer.send(reply)
        said += peer.data_to_send()
    return said


@pytest.mark.conformance("wrapper-tcp", "client", "server")
@pytest.mark.conformance("hdlc-segmentation", "client", "server")
@pytest.mark.parametrize("kind", ["wrapper", "hdlc"])
@given(sizes=st.lists(st.integers(1, 60), min_size=1, max_size=6))
@settings(max_examples=30)
def test_any_split_gives_the_same_events(kind: str, sizes: list[int]) -> None:
    whole = talk(kind, [100_000])
    assert isinstance(whole[0][1], AssociationAccepted)
    assert [type(event) for event in whole[0]].count(GetCompleted) == 2
    assert talk(kind, sizes) == whole


@pytest.mark.parametrize("kind", ["wrapper", "hdlc"])
def test_octet_by_octet(kind: str) -> None:
    assert talk(kind, [1]) == talk(kind, [100_000])
