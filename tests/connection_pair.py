"""
Both roles in memory: a client and a server that talk through wrapper frames (as h11's helper).

What is sent can be looked at and altered on the way, so success and failure share their set-up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import count
from typing import Any

import attrs

from hes_protocol.acse import (
    Aare,
    Aarq,
    ApplicationContext,
    AssociationResult,
    Diagnostic,
    Mechanism,
    UserDiagnostic,
    context_name,
)
from hes_protocol.axdr import Data, DataTag, encode
from hes_protocol.client import (
    Associate,
    Client,
    ClientEvent,
    ClientRequest,
    ClientSettings,
    ContinueNeeded,
    Reply,
)
from hes_protocol.cosem import Obis
from hes_protocol.cosem.objects import Attribute, Method
from hes_protocol.security import Protection
from hes_protocol.server import (
    ActionRequested,
    ActionResult,
    GetRequested,
    GetResult,
    Server,
    ServerAssociation,
    ServerEvent,
    ServerReply,
    SetRequested,
    SetResult,
)
from hes_protocol.wrapper import HEADER_OCTETS, WrapperFrame, WrapperLink
from hes_protocol.xdlms import Conformance, InitiateRequest, InitiateResponse, decode_apdu

ENCRYPTION_KEY = bytes(range(0x10, 0x20))
AUTHENTICATION_KEY = bytes(range(0xA0, 0xB0))
CLIENT_TITLE = b"HEStest1"
SERVER_TITLE = b"MTRtest1"
CTOS = b"client's challenge"
STOC = b"server's challenge"
SECRET = b"00000000"
CLIENT_SAP = 1
SERVER_SAP = 1
FIRST_CLIENT_COUNTER = 100
FIRST_SERVER_COUNTER = 7000

CLOCK = Attribute(8, Obis.parse("0.0.1.0.0.255"), 2)
BUFFER = Attribute(7, Obis.parse("1.0.99.1.0.255"), 2)
CAPTURE = Method(7, Obis.parse("1.0.99.1.0.255"), 2)
VALUE = encode(Data(DataTag.OCTET_STRING, bytes(range(256)) * 2))

# All but general blocks, which have tests of their own.
ALL_CONFORMANCE = Conformance(0xFFFFFF) & ~Conformance.GENERAL_BLOCK_TRANSFER
PROTECTIONS = tuple(Protection)
PROTECTED = (Protection.AUTHENTICATED, Protection.AUTHENTICATED_ENCRYPTED)


def client_settings(**changes: Any) -> ClientSettings:
    """A client with both keys and everything that a mechanism may need."""
    defaults: dict[str, Any] = {
        "client_sap": CLIENT_SAP,
        "server_sap": SERVER_SAP,
        "secret": SECRET,
        "encryption_key": ENCRYPTION_KEY,
        "authentication_key": AUTHENTICATION_KEY,
        "system_title": CLIENT_TITLE,
        "challenge": CTOS,
    }
    return ClientSettings(**(defaults | changes))


def server_association(**changes: Any) -> ServerAssociation:
    """The rules that fit `client_settings`."""
    defaults: dict[str, Any] = {
        "client_sap": CLIENT_SAP,
        "secret": SECRET,
        "encryption_key": ENCRYPTION_KEY,
        "authentication_key": AUTHENTICATION_KEY,
    }
    return ServerAssociation(**(defaults | changes))


def make_client(
    settings: ClientSettings, *, first_counter: int = FIRST_CLIENT_COUNTER, counter_step: int = 1
) -> Client:
    """A client over the wrapper."""
    counters = count(first_counter, counter_step)
    link = WrapperLink(settings.client_sap, settings.server_sap)
    return Client(settings, link, lambda: next(counters))


def make_server(
    *associations: ServerAssociation,
    client_counters: dict[int, int] | None = None,
    challenge: Callable[[], bytes] = lambda: STOC,
    first_counter: int = FIRST_SERVER_COUNTER,
    system_title: bytes = SERVER_TITLE,
    counter_step: int = 1,
) -> Server:
    """A server over the wrapper."""
    counters = count(first_counter, counter_step)
    return Server(
        {association.client_sap: association for association in associations},
        WrapperLink(SERVER_SAP),
        server_sap=SERVER_SAP,
        system_title=system_title,
        next_counter=lambda: next(counters),
        next_challenge=challenge,
        client_counters={} if client_counters is None else client_counters,
    )


def to_client(apdu: bytes) -> bytes:
    """The frame that carries `apdu` from the server to the client."""
    return WrapperFrame(SERVER_SAP, CLIENT_SAP, apdu).to_octets()


def to_server(apdu: bytes, client_sap: int = CLIENT_SAP) -> bytes:
    """The frame that carries `apdu` from the client to the server."""
    return WrapperFrame(client_sap, SERVER_SAP, apdu).to_octets()


def apdu_of(frame: bytes) -> bytes:
    """The APDU in one wrapper frame."""
    return frame[HEADER_OCTETS:]


def events_of(peer: Client | Server) -> list[Any]:
    """All events that are there."""
    events = []
    while (event := peer.next_event()) is not None:
        events.append(event)
    return events


def client_hears(client: Client, *apdus: Any) -> list[Any]:
    """The client's events after APDUs of the server, as octets or to be encoded."""
    for apdu in apdus:
        octets = apdu if isinstance(apdu, bytes) else apdu.encode()
        client.receive_data(to_client(octets))
    return events_of(client)


def server_hears(server: Server, *apdus: Any, client_sap: int = CLIENT_SAP) -> list[Any]:
    """The server's events after APDUs of the client, as octets or to be encoded."""
    for apdu in apdus:
        octets = apdu if isinstance(apdu, bytes) else apdu.encode()
        server.receive_data(to_server(octets, client_sap))
    return events_of(server)


def server_says(server: Server, *apdus: Any, client_sap: int = CLIENT_SAP) -> Any:
    """The APDU with which the server answers by itself."""
    event = server_hears(server, *apdus, client_sap=client_sap)[-1]
    assert isinstance(event, ContinueNeeded)
    return decode_apdu(apdu_of(server.send(event.reply)))


def opened_client(
    conformance: Conformance = ALL_CONFORMANCE, pdu_size: int = 500, **changes: Any
) -> Client:
    """A client with an open plain association."""
    client = make_client(client_settings(conformance=conformance, **changes))
    client.send(Associate())
    response = InitiateResponse(conformance=conformance, server_max_receive_pdu_size=pdu_size)
    client_hears(
        client,
        Aare(
            context_name(ApplicationContext.LOGICAL_NAME),
            AssociationResult.ACCEPTED,
            Diagnostic(UserDiagnostic.NULL),
            user_information=response.encode(),
        ),
    )
    return client


def opened_server(
    conformance: Conformance = ALL_CONFORMANCE, pdu_size: int = 200, **changes: Any
) -> Server:
    """A server with an open plain association."""
    server = make_server(server_association(conformance=ALL_CONFORMANCE, **changes))
    request = InitiateRequest(conformance=conformance, client_max_receive_pdu_size=pdu_size)
    server_says(
        server,
        Aarq(context_name(ApplicationContext.LOGICAL_NAME), user_information=request.encode()),
    )
    events_of(server)
    return server


def answer_of(event: ServerEvent) -> ServerReply | None:
    """What the meter behind the server says to an event, None for nothing."""
    match event:
        case ContinueNeeded():
            return event.reply
        case GetRequested():
            return GetResult(event.invoke_id, octets=VALUE)
        case SetRequested():
            return SetResult(event.invoke_id)
        case ActionRequested():
            return ActionResult(event.invoke_id)
        case _:
            return None


@attrs.define
class ConnectionPair:
    """
    A client and a server; each frame that goes over is kept in `sent` as (who, octets).

    `client_counters` is the server's, to be looked at.
    """

    client: Client
    server: Server
    client_counters: dict[int, int]
    answer: Callable[[ServerEvent], ServerReply | None] = answer_of
    sent: list[tuple[str, bytes]] = attrs.field(factory=list)
    client_events: list[ClientEvent] = attrs.field(factory=list)
    server_events: list[ServerEvent] = attrs.field(factory=list)

    @classmethod
    def of(
        cls, settings: ClientSettings | None = None, association: ServerAssociation | None = None
    ) -> ConnectionPair:
        """A pair that has said nothing yet."""
        counters: dict[int, int] = {}
        server = make_server(association or server_association(), client_counters=counters)
        return cls(make_client(settings or client_settings()), server, counters)

    @classmethod
    def protected(
        cls, protection: Protection, mechanism: Mechanism = Mechanism.HLS_GMAC, **changes: Any
    ) -> ConnectionPair:
        """A pair that will talk by `mechanism` with `protection`, both sides insisting on it."""
        return cls.of(
            client_settings(mechanism=mechanism, protection=protection, **changes),
            server_association(mechanism=mechanism, minimum_protection=protection),
        )

    def opened(self) -> ConnectionPair:
        """The same, associated."""
        self.ask(Associate())
        return self

    def ask(self, request: ClientRequest | Reply) -> list[ClientEvent]:
        """Send a request and play until nobody has anything to say; the client's events."""
        before = len(self.client_events)
        octets = self.client.send(request)
        while octets:
            self.carry_to_server(octets)
            octets = b"".join(
                self.client.send(event.reply)
                for event in self.take_client_events()
                if isinstance(event, ContinueNeeded)
            )
        self.take_client_events()
        return self.client_events[before:]

    def carry_to_server(self, octets: bytes) -> None:
        """Give the server octets of the client, and the client what the server says to them."""
        self.sent.append(("client", octets))
        self.server.receive_data(octets)
        for answer in self.server_answers():
            self.sent.append(("server", answer))
            self.client.receive_data(answer)

    def server_answers(self) -> Iterable[bytes]:
        """What the server says to what it has received, frame by frame."""
        while (event := self.server.next_event()) is not None:
            self.server_events.append(event)
            reply = self.answer(event)
            octets = b"" if reply is None else self.server.send(reply)
            if octets:
                yield octets

    def take_client_events(self) -> list[ClientEvent]:
        """The client's new events."""
        events: list[ClientEvent] = events_of(self.client)
        self.client_events += events
        return events

    def state(self) -> tuple[Any, ...]:
        """Everything that a frame which fails verification must not change."""
        return (
            self.client.server_counter,
            self.client.server_system_title,
            self.client.pending_invoke_id,
            self.client._state.current,
            self.server.is_associated(CLIENT_SAP),
            dict(self.client_counters),
        )
