"""Whole sessions over HDLC: the links under the state machines of both roles."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import count
from typing import Any

import attrs
import pytest

from hes_protocol.acse import Mechanism
from hes_protocol.axdr import Data, DataTag, encode
from hes_protocol.client import (
    Associate,
    AssociationAccepted,
    AssociationReleased,
    Client,
    ClientEvent,
    ClientRequest,
    ContinueNeeded,
    Get,
    GetCompleted,
    NotificationReceived,
    Release,
    Reply,
)
from hes_protocol.errors import LocalProtocolError
from hes_protocol.hdlc import HdlcAddress, HdlcLink, HdlcServerLink, LinkParameters
from hes_protocol.security import Protection
from hes_protocol.server import GetRequested, GetResult, Notify, Server, ServerEvent, ServerReply
from hes_protocol.xdlms import DataNotification
from tests import connection_pair as pairs
from tests.connection_pair import ConnectionPair

pytestmark = pytest.mark.conformance("hdlc-segmentation", "client", "server")

SERVER = HdlcAddress(1, 17)
LONG = encode(Data(DataTag.OCTET_STRING, bytes(range(256)) * 20))
MECHANISMS = (Mechanism.NONE, Mechanism.LLS, Mechanism.HLS_GMAC)


def answer_of(event: ServerEvent) -> ServerReply | None:
    if isinstance(event, GetRequested):
        return GetResult(event.invoke_id, octets=LONG)
    return pairs.answer_of(event)


@attrs.define
class HdlcPair(ConnectionPair):
    """The pair over HDLC: before anybody waits, the links have said what they have to say."""

    def ask(self, request: ClientRequest | Reply) -> list[ClientEvent]:
        before = len(self.client_events)
        octets = self.client.send(request)
        while octets:
            self.carry_to_server(octets)
            octets = b"".join(
                self.client.send(event.reply)
                for event in self.take_client_events()
                if isinstance(event, ContinueNeeded)
            )
            octets = octets or self.client.data_to_send()
        return self.client_events[before:]

    def server_answers(self) -> Iterable[bytes]:
        yield from super().server_answers()
        if octets := self.server.data_to_send():
            yield octets


def settings_of(mechanism: Mechanism, **changes: Any) -> Any:
    ciphered = mechanism is Mechanism.HLS_GMAC
    protection = Protection.AUTHENTICATED_ENCRYPTED if ciphered else Protection.PLAIN
    return pairs.client_settings(mechanism=mechanism, protection=protection, **changes)


def client_of(settings: Any, parameters: LinkParameters | None = None) -> Client:
    counters = count(100)
    link = HdlcLink(HdlcAddress(settings.client_sap), SERVER, parameters)
    return Client(settings, link, lambda: next(counters))


def server_of(
    *associations: Any, parameters: LinkParameters | None = None, counters: dict[int, int]
) -> Server:
    own = count(7000)
    return Server(
        {association.client_sap: association for association in associations},
        HdlcServerLink(SERVER, parameters),
        server_sap=1,
        system_title=pairs.SERVER_TITLE,
        next_counter=lambda: next(own),
        next_challenge=lambda: pairs.STOC,
        client_counters=counters,
    )


def pair_of(
    mechanism: Mechanism = Mechanism.NONE,
    parameters: LinkParameters | None = None,
    pdu_octets: int = 0xFFFF,
) -> HdlcPair:
    settings = settings_of(mechanism)
    association = pairs.server_association(
        mechanism=mechanism,
        minimum_protection=settings.protection,
        max_receive_pdu_size=pdu_octets,
    )
    counters: dict[int, int] = {}
    server = server_of(association, parameters=parameters, counters=counters)
    return HdlcPair(client_of(settings, parameters), server, counters, answer_of)


@pytest.mark.conformance("hdlc-windows", "client", "server")
@pytest.mark.parametrize("mechanism", MECHANISMS, ids=lambda m: m.name)
@pytest.mark.parametrize("window", [1, 7])
@pytest.mark.parametrize("pdu_octets", [200, 0xFFFF])
def test_a_session_from_snrm_to_release(mechanism: Mechanism, window: int, pdu_octets: int) -> None:
    pair = pair_of(mechanism, LinkParameters(128, 100, window, window), pdu_octets)
    assert isinstance(pair.ask(Associate())[-1], AssociationAccepted)
    for _ in range(3):
        completed = pair.ask(Get(pairs.CLOCK))[-1]
        assert isinstance(completed, GetCompleted)
        assert completed.octets == LONG
    assert isinstance(pair.ask(Release())[-1], AssociationReleased)
    assert not pair.server.is_associated(pairs.CLIENT_SAP)


def test_a_push_comes_between_the_segments_of_an_answer() -> None:
    pair = pair_of(parameters=LinkParameters(window_transmit=2, window_receive=2))
    pair.ask(Associate())
    pair.carry_to_server(pair.client.send(Get(pairs.CLOCK)))
    notification = DataNotification(1, None, Data(DataTag.UNSIGNED, 7))
    pair.client.receive_data(
        pair.server.send(Notify(notification, pairs.CLIENT_SAP, Protection.PLAIN))
    )
    [pushed] = pair.take_client_events()
    assert isinstance(pushed, NotificationReceived)
    while octets := pair.client.data_to_send():
        pair.carry_to_server(octets)
    [completed] = pair.take_client_events()
    assert isinstance(completed, GetCompleted)


# --- an association lives no longer than its link ---------------------------------------------


@pytest.mark.conformance("hdlc-parameters", "server")
@pytest.mark.conformance("release-without-rlrq", "server")
def test_a_link_that_is_set_up_again_ends_its_association() -> None:
    pair = pair_of(Mechanism.HLS_GMAC)
    pair.ask(Associate())
    assert pair.server.is_associated(pairs.CLIENT_SAP)
    pair.client = client_of(settings_of(Mechanism.HLS_GMAC))
    pair.carry_to_server(pair.client.send(Associate()))  # SNRM, and no more
    assert not pair.server.is_associated(pairs.CLIENT_SAP)
    assert AssociationReleased() in pair.server_events


@pytest.mark.conformance("hdlc-parameters", "server")
@pytest.mark.parametrize("what", ["answer", "reply"])
def test_what_a_client_was_to_be_told_is_dropped_with_its_link(what: str) -> None:
    pair = pair_of()
    if what == "answer":
        pair.ask(Associate())
        pair.server.receive_data(pair.client.send(Get(pairs.CLOCK)))
    else:
        pair.carry_to_server(pair.client.send(Associate()))
        pair.server.receive_data(pair.client.data_to_send())
    event = pair.server.next_event()
    reply = answer_of(event) if event is not None else None
    assert reply is not None
    pair.server.receive_data(HdlcLink(HdlcAddress(pairs.CLIENT_SAP), SERVER).connect())
    assert pair.server.send(reply) == b""
    with pytest.raises(LocalProtocolError):
        pair.server.send(reply)
    pair.client = client_of(settings_of(Mechanism.NONE))
    assert isinstance(pair.ask(Associate())[-1], AssociationAccepted)
    assert isinstance(pair.ask(Get(pairs.CLOCK))[-1], GetCompleted)


@pytest.mark.conformance("hdlc-addresses", "client", "server")
@pytest.mark.parametrize("says_goodbye", [False, True])
def test_switching_the_client_on_one_line_breaks_no_frame(says_goodbye: bool) -> None:
    """users-ask, point 18: "frame parse error when switching client/association"."""
    public = settings_of(Mechanism.NONE, client_sap=16)
    manager = settings_of(Mechanism.HLS_GMAC)
    counters: dict[int, int] = {}
    server = server_of(
        pairs.server_association(client_sap=16),
        pairs.server_association(
            mechanism=Mechanism.HLS_GMAC, minimum_protection=manager.protection
        ),
        counters=counters,
        parameters=LinkParameters(200, 200, 3, 3),
    )
    pair = HdlcPair(client_of(public), server, counters, answer_of)
    for settings in (public, manager, public):
        pair.client = client_of(settings)
        assert isinstance(pair.ask(Associate())[-1], AssociationAccepted)
        assert isinstance(pair.ask(Get(pairs.CLOCK))[-1], GetCompleted)
        if says_goodbye:
            pair.ask(Release())
            link = pair.client._link
            assert isinstance(link, HdlcLink)
            pair.carry_to_server(link.disconnect())
            assert not link.connected
    assert server.is_associated(1) is (not says_goodbye)
