"""
Sessions of real meters: our client and our server say, octet for octet, what was recorded.

The recordings lie in HES_VECTORS and are never committed. Each GMAC session is played twice: our
client against the recorded server, and our server against the recorded client. So every context,
title, challenge, counter, tag and proof in it is checked in both directions.
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
    Get,
    GetCompleted,
)
from hes_protocol.errors import SecurityError
from hes_protocol.hdlc import HdlcReceiver, llc
from hes_protocol.security import Protection, SuiteKeys, gmac_token, unprotect
from hes_protocol.server import (
    AssociationOpened,
    AssociationRefused,
    GetRequested,
    GetResult,
    Server,
    ServerAssociation,
)
from hes_protocol.wrapper import HEADER_OCTETS
from hes_protocol.xdlms import (
    ActionRequestNormal,
    ActionResponseNormal,
    Ciphered,
    GetResponseNormal,
    InitiateRequest,
    InitiateResponse,
    decode_apdu,
)
from tests.captures import BareLink, capture

pytestmark = pytest.mark.vectors

GMAC_SESSIONS = (
    "sess-wrapper-kaifa-hls5",
    "sess-mikroelektronika-none",
    "sess-mikroelektronika-authentication",
    "sess-mikroelektronika-authentication-and-encryption",
)


@attrs.frozen
class Recording:
    """A session from its last AARQ on, and what opens it."""

    apdus: list[tuple[str, bytes]]
    keys: SuiteKeys
    encryption_key: bytes
    authentication_key: bytes

    @classmethod
    def of(cls, record: dict[str, Any]) -> Recording:
        apdus = [
            (frame["dir"], apdu)
            for frame in record["frames"]
            if (apdu := _apdu(record["transport"], bytes.fromhex(frame["hex"])))
        ]
        starts = [n for n, (_, apdu) in enumerate(apdus) if apdu[0] == Aarq.TAG]
        ek, ak = (bytes.fromhex(record["keys"][name]) for name in ("ek", "ak"))
        return cls(apdus[starts[-1] :], SuiteKeys(ek, ak), ek, ak)

    @property
    def aarq(self) -> Aarq:
        return Aarq.decode(self.apdus[0][1])

    @property
    def aare(self) -> Aare:
        return Aare.decode(self.apdus[1][1])

    def title(self, sender: str) -> bytes:
        title = self.aarq.calling_ap_title if sender == "tx" else self.aare.responding_ap_title
        assert title is not None
        return title

    def plain(self, sender: str, apdu: bytes) -> tuple[bytes, Protection, int | None]:
        """An APDU in the clear, how it was protected, and its counter."""
        value = decode_apdu(apdu)
        if not isinstance(value, Ciphered):
            return apdu, Protection.PLAIN, None
        opened = unprotect(self.keys, self.title(sender), value.content)
        assert opened.authenticated
        return opened.plaintext, opened.control.protection, opened.invocation_counter

    def initiate(self, sender: str) -> tuple[Any, Protection, int]:
        information = (self.aarq if sender == "tx" else self.aare).user_information
        assert information is not None
        plain, protection, counter = self.plain(sender, information)
        assert counter is not None
        return decode_apdu(plain), protection, counter


def _apdu(transport: str, frame: bytes) -> bytes | None:
    if transport == "wrapper":
        return frame[HEADER_OCTETS:]
    receiver = HdlcReceiver()
    receiver.receive_data(frame)
    received = receiver.next_frame()
    assert received is not None
    information = received.information
    return llc.strip(information) if llc.is_llc(information) else None


@pytest.fixture(params=GMAC_SESSIONS)
def recording(request: pytest.FixtureRequest, hes_vectors: Path) -> Recording:
    return Recording.of(capture(hes_vectors, request.param))


def client_of(recording: Recording, **changes: Any) -> Client:
    """Our client by the settings of the recorded one."""
    initiate, initiate_protection, counter = recording.initiate("tx")
    assert isinstance(initiate, InitiateRequest)
    _, protection, _ = recording.plain("tx", recording.apdus[2][1])
    settings = ClientSettings(
        client_sap=1,
        mechanism=Mechanism.HLS_GMAC,
        encryption_key=recording.encryption_key,
        authentication_key=recording.authentication_key,
        system_title=recording.title("tx"),
        protection=protection,
        initiate_protection=initiate_protection,
        max_receive_pdu_size=initiate.client_max_receive_pdu_size,
        conformance=initiate.conformance,
        challenge=recording.aarq.authentication_value,
    )
    return Client(attrs.evolve(settings, **changes), BareLink(), count(counter).__next__)


def server_of(
    recording: Recording, seen: dict[int, int], minimum: Protection = Protection.PLAIN
) -> Server:
    """Our server by the settings of the recorded one; `seen` are the client's counters."""
    negotiated, _, counter = recording.initiate("rx")
    assert isinstance(negotiated, InitiateResponse)
    challenge = recording.aare.authentication_value
    assert challenge is not None
    rules = ServerAssociation(
        client_sap=1,
        mechanism=Mechanism.HLS_GMAC,
        encryption_key=recording.encryption_key,
        authentication_key=recording.authentication_key,
        minimum_protection=minimum,
        max_receive_pdu_size=negotiated.server_max_receive_pdu_size,
        conformance=negotiated.conformance,
    )
    return Server(
        {1: rules},
        BareLink(),
        server_sap=1,
        system_title=recording.title("rx"),
        next_counter=count(counter).__next__,
        next_challenge=lambda: challenge,
        client_counters=seen,
    )


@pytest.mark.conformance("hls-gmac", "vector")
@pytest.mark.conformance("aarq-aare", "vector")
@pytest.mark.conformance("get-normal", "vector")
@pytest.mark.conformance("action-normal", "vector")
@pytest.mark.conformance("contexts", "vector")
@pytest.mark.conformance("glo", "vector")
@pytest.mark.conformance("authenticated", "vector")
@pytest.mark.conformance("authenticated-encrypted", "vector")
def test_our_client_says_what_was_recorded(recording: Recording) -> None:
    client = client_of(recording, server_system_title=recording.title("rx"))
    assert client.send(Associate()) == recording.apdus[0][1]
    client.receive_data(recording.apdus[1][1])
    event = client.next_event()
    assert isinstance(event, ContinueNeeded)
    assert client.send(event.reply) == recording.apdus[2][1]
    client.receive_data(recording.apdus[3][1])
    accepted = client.next_event()
    assert isinstance(accepted, AssociationAccepted)
    negotiated, _, _ = recording.initiate("rx")
    assert isinstance(negotiated, InitiateResponse)
    assert accepted.conformance == negotiated.conformance
    assert accepted.server_system_title == recording.title("rx")
    _answered(client, recording)


def _answered(client: Client, recording: Recording) -> None:
    """The recorded client uses invoke id 1 throughout; ours goes round until it is there too."""
    request = recording.plain("tx", recording.apdus[4][1])[0]
    asked: Any = decode_apdu(request)
    for _ in range(16):
        client.send(Get(asked.attribute))
        if client.pending_invoke_id == asked.invoke_id:
            break
        client.abandon()
    client.receive_data(recording.apdus[5][1])
    event = client.next_event()
    assert isinstance(event, GetCompleted)
    response = decode_apdu(recording.plain("rx", recording.apdus[5][1])[0])
    assert isinstance(response, GetResponseNormal)
    assert event.octets == response.result.octets
    assert event.data()


@pytest.mark.conformance("hls-gmac", "vector")
@pytest.mark.conformance("aarq-aare", "vector")
@pytest.mark.conformance("contexts", "vector")
@pytest.mark.conformance("get-normal", "vector")
@pytest.mark.conformance("action-normal", "vector")
@pytest.mark.conformance("glo", "vector")
@pytest.mark.conformance("authenticated", "vector")
@pytest.mark.conformance("authenticated-encrypted", "vector")
def test_our_server_says_what_was_recorded(recording: Recording) -> None:
    seen: dict[int, int] = {}
    server = server_of(recording, seen)
    for turn in (0, 2):
        server.receive_data(recording.apdus[turn][1])
        event = server.next_event()
        assert isinstance(event, ContinueNeeded)
        assert server.send(event.reply) == recording.apdus[turn + 1][1]
    assert isinstance(server.next_event(), AssociationOpened)
    server.receive_data(recording.apdus[4][1])
    event = server.next_event()
    assert isinstance(event, GetRequested)
    response = decode_apdu(recording.plain("rx", recording.apdus[5][1])[0])
    assert isinstance(response, GetResponseNormal)
    answer = server.send(GetResult(event.invoke_id, octets=response.result.octets))
    assert answer == recording.apdus[5][1]
    assert seen[1] >= recording.initiate("tx")[2]


@pytest.mark.conformance("replay", "vector")
def test_the_recorded_handshake_is_worth_nothing_the_second_time(recording: Recording) -> None:
    server = server_of(recording, {1: recording.initiate("tx")[2]})
    server.receive_data(recording.apdus[0][1])
    assert isinstance(server.next_event(), AssociationRefused)


@pytest.mark.conformance("hls-gmac", "vector")
def test_every_proof_is_the_one_that_we_would_give(recording: Recording) -> None:
    request = decode_apdu(recording.plain("tx", recording.apdus[2][1])[0])
    response = decode_apdu(recording.plain("rx", recording.apdus[3][1])[0])
    assert isinstance(request, ActionRequestNormal)
    assert isinstance(response, ActionResponseNormal)
    assert request.parameters is not None
    assert response.outcome.return_parameters is not None
    for sender, proof, challenge in (
        ("tx", request.parameters.value, recording.aare.authentication_value),
        (
            "rx",
            response.outcome.return_parameters.data().value,
            recording.aarq.authentication_value,
        ),
    ):
        assert challenge is not None
        counter = int.from_bytes(proof[1:5], "big")
        assert gmac_token(recording.keys, recording.title(sender), counter, challenge) == proof


@pytest.mark.conformance("aare-identity", "vector")
def test_a_meter_says_who_it_is(recording: Recording) -> None:
    client = client_of(recording)  # which does not know whom to expect
    client.send(Associate())
    client.receive_data(recording.apdus[1][1])
    needed = client.next_event()
    assert isinstance(needed, ContinueNeeded)
    client.send(needed.reply)
    client.receive_data(recording.apdus[3][1])
    accepted = client.next_event()
    assert isinstance(accepted, AssociationAccepted)
    assert accepted.server_system_title == recording.title("rx")


WEAKER = ("sess-mikroelektronika-none", "sess-mikroelektronika-authentication")


@pytest.mark.conformance("reply-styles", "vector")
@pytest.mark.parametrize("recording", WEAKER, indirect=True)
def test_a_meter_protects_its_aare_more_than_the_rest(recording: Recording) -> None:
    """That ours follow it, in both roles, is in the sessions that are replayed above."""
    _, initiate, _ = recording.initiate("rx")
    rest = {recording.plain("rx", apdu)[1] for who, apdu in recording.apdus[2:] if who == "rx"}
    assert initiate is Protection.AUTHENTICATED_ENCRYPTED
    assert len(rest) == 1
    assert initiate not in rest


@pytest.mark.conformance("policy", "vector")
@pytest.mark.parametrize("recording", WEAKER, indirect=True)
def test_what_is_protected_less_than_we_ask_for_is_refused(recording: Recording) -> None:
    most = Protection.AUTHENTICATED_ENCRYPTED
    client = client_of(recording, minimum_protection=most)
    client.send(Associate())
    client.receive_data(recording.apdus[1][1])
    needed = client.next_event()
    assert isinstance(needed, ContinueNeeded)
    client.send(needed.reply)
    before = client.server_counter
    client.receive_data(recording.apdus[3][1])
    with pytest.raises(SecurityError, match="policy-violated"):
        client.next_event()
    assert client.server_counter == before
    seen: dict[int, int] = {}
    server = server_of(recording, seen, most)
    server.receive_data(recording.apdus[0][1])
    answer = server.next_event()
    assert isinstance(answer, ContinueNeeded)
    server.send(answer.reply)
    counted = dict(seen)
    server.receive_data(recording.apdus[2][1])
    refused = server.next_event()
    assert isinstance(refused, ContinueNeeded)
    assert refused.reply.detail == "policy-violated"
    assert seen == counted
    assert not server.is_associated(1)
