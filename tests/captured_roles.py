"""
Our client and our server, set up to say what was recorded of others.

A recording that holds both sides is played twice: our client against the recorded server, our
server against the recorded client.
"""

from __future__ import annotations

from itertools import count
from pathlib import Path
from typing import Any

import attrs
import pytest

from hes_protocol.acse import Aare, Aarq, Mechanism
from hes_protocol.client import (
    Associate,
    AssociationAccepted,
    Client,
    ClientSettings,
    ContinueNeeded,
)
from hes_protocol.errors import FramingError
from hes_protocol.hdlc import ControlKind, HdlcFrame, HdlcReassembler, llc
from hes_protocol.server import AssociationOpened, Server, ServerAssociation
from hes_protocol.wrapper import HEADER_OCTETS
from hes_protocol.xdlms import InitiateRequest, InitiateResponse, decode_apdu
from tests.captures import BareLink, capture, hdlc_frames

PLC_HEADER = bytes.fromhex("900101")
INFORMATION = (ControlKind.I, ControlKind.UI)


def said(folder: Path, name: str) -> list[tuple[str, bytes]]:
    """The APDUs of a session, who said them, without its framing."""
    record = capture(folder, name)
    frames = [(part["dir"], bytes.fromhex(part["hex"])) for part in record["frames"]]
    match record["transport"]:
        case "wrapper":
            return [(who, octets[HEADER_OCTETS:]) for who, octets in frames]
        case "llc":
            return [(who, llc.strip(octets)) for who, octets in frames]
        case "plc-llc":
            return [(who, octets.removeprefix(PLC_HEADER)) for who, octets in frames]
    joined = HdlcReassembler()
    return [
        (who, llc.strip(whole))
        for who, octets in frames
        for frame in _sound_frames(octets)
        if frame.control.kind in INFORMATION
        if (whole := joined.receive_frame(frame)) is not None
    ]


def _sound_frames(octets: bytes) -> list[HdlcFrame]:
    """All frames; none where they were changed before they were published, as passwords are."""
    try:
        return hdlc_frames(octets)
    except FramingError:
        return []


def standing_client() -> Client:
    """Our client in a pre-established association."""
    settings = ClientSettings(client_sap=1, pre_established=True)
    client = Client(settings, BareLink(), count(1).__next__)
    assert client.send(Associate()) == b""
    assert isinstance(client.next_event(), AssociationAccepted)
    return client


def server_of(rules: ServerAssociation, challenge: bytes = b"no challenge") -> Server:
    """Our server with one association."""
    return Server(
        {1: rules},
        BareLink(),
        server_sap=1,
        system_title=bytes(8),
        next_counter=count(1).__next__,
        next_challenge=lambda: challenge,
        client_counters={},
    )


def standing_server() -> Server:
    """Our server with a pre-established association."""
    return server_of(ServerAssociation(client_sap=1, pre_established=True))


def asks(client: Client, request: Any, octets: bytes) -> None:
    """Our client asks with these octets; invoke ids go round until they are theirs."""
    for _ in range(16):
        if client.send(request) == octets:
            return
        client.abandon()
    pytest.fail(f"never said {octets.hex()}")


def hears(side: Any, octets: bytes) -> Any:
    """What our client or server makes of these octets."""
    side.receive_data(octets)
    return side.next_event()


def initiates(aarq: Aarq, aare: Aare) -> tuple[InitiateRequest, InitiateResponse]:
    """What was proposed and what was agreed on, in the clear."""
    assert aarq.user_information is not None
    assert aare.user_information is not None
    asked, given = decode_apdu(aarq.user_information), decode_apdu(aare.user_information)
    assert isinstance(asked, InitiateRequest)
    assert isinstance(given, InitiateResponse)
    return asked, given


def means_the_same(ours: bytes, theirs: bytes) -> None:
    """
    Both AAREs say the same; theirs is written again to the same octets.

    A server may leave out the authentication functional unit when it answers LLS, and its title
    where nothing is ciphered; ours does neither (IEC 62056-5-3, COSEM-OPEN).
    """
    recorded, answered = Aare.decode(theirs), Aare.decode(ours)
    assert recorded.encode() == theirs
    assert recorded == attrs.evolve(
        answered,
        responding_ap_title=recorded.responding_ap_title,
        authentication_required=recorded.authentication_required,
        mechanism_name=recorded.mechanism_name,
    )


def opened(
    folder: Path, name: str, place: int = 0
) -> tuple[Client, Server, list[tuple[str, bytes]]]:
    """Both sides after the association at `place`, of which they said what was recorded."""
    apdus = said(folder, name)[place:]
    (_, request), (_, response) = apdus[:2]
    aarq = Aarq.decode(request)
    asked, given = initiates(aarq, Aare.decode(response))
    mechanism = Mechanism.NONE if aarq.mechanism_name is None else Mechanism.LLS
    settings = ClientSettings(
        client_sap=1,
        mechanism=mechanism,
        secret=aarq.authentication_value,
        system_title=aarq.calling_ap_title,
        max_receive_pdu_size=asked.client_max_receive_pdu_size,
        conformance=asked.conformance,
    )
    client = Client(settings, BareLink(), count(1).__next__)
    assert client.send(Associate()) == request
    accepted = hears(client, response)
    assert isinstance(accepted, AssociationAccepted)
    assert accepted.conformance == given.conformance & asked.conformance
    assert accepted.max_send_pdu_size == given.server_max_receive_pdu_size
    rules = ServerAssociation(
        client_sap=1,
        mechanism=mechanism,
        secret=aarq.authentication_value,
        max_receive_pdu_size=given.server_max_receive_pdu_size,
        conformance=given.conformance,
    )
    server = server_of(rules)
    answer = hears(server, request)
    assert isinstance(answer, ContinueNeeded)
    means_the_same(server.send(answer.reply), response)
    assert isinstance(server.next_event(), AssociationOpened)
    return client, server, apdus[2:]
