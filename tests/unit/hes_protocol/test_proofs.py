"""
HLS in both roles: every mechanism with every protection, and every way to fail the proofs.

What is refused leaves `ConnectionPair.state()` as it was, and the right proof is taken after it.
"""

from __future__ import annotations

from itertools import repeat
from typing import Any

import attrs
import pytest

from hes_protocol.acse import Aare, Mechanism
from hes_protocol.axdr import Data, DataTag
from hes_protocol.client import (
    Action,
    ActionCompleted,
    Associate,
    AssociationAccepted,
    AssociationRejected,
    Client,
    ContinueNeeded,
    Get,
    GetCompleted,
    Release,
)
from hes_protocol.cosem import Obis
from hes_protocol.cosem.objects import Method
from hes_protocol.errors import LocalProtocolError, SecurityError
from hes_protocol.security import Protection, SuiteKeys, gmac_token, protect
from hes_protocol.security.mechanisms import HlsExchange, hls_function
from hes_protocol.server import AssociationOpened, AssociationRefused, Server
from hes_protocol.settings import REPLY_TO_HLS
from hes_protocol.wrapper import WrapperLink
from hes_protocol.xdlms import (
    ActionRequestNormal,
    ActionResponseNormal,
    ActionResultCode,
    ActionReturn,
    Ciphered,
    GetDataResult,
    decode_apdu,
)
from tests.connection_pair import (
    AUTHENTICATION_KEY,
    CAPTURE,
    CLIENT_SAP,
    CLIENT_TITLE,
    CLOCK,
    CTOS,
    ENCRYPTION_KEY,
    PROTECTIONS,
    SECRET,
    SERVER_SAP,
    SERVER_TITLE,
    STOC,
    ConnectionPair,
    apdu_of,
    client_settings,
    events_of,
    make_client,
    make_server,
    server_association,
    to_client,
    to_server,
)

KEYS = SuiteKeys(ENCRYPTION_KEY, AUTHENTICATION_KEY)
HASHING = (Mechanism.HLS, Mechanism.HLS_MD5, Mechanism.HLS_SHA1, Mechanism.HLS_SHA256)
ROWS = {
    Mechanism.HLS: "hls-manufacturer",
    Mechanism.HLS_MD5: "hls-md5",
    Mechanism.HLS_SHA1: "hls-sha1",
    Mechanism.HLS_GMAC: "hls-gmac",
    Mechanism.HLS_SHA256: "hls-sha256",
}
EVERY = [
    pytest.param(mechanism, marks=pytest.mark.conformance(row, "client", "server"))
    for mechanism, row in ROWS.items()
]


def manufacturers(exchange: HlsExchange) -> bytes:
    """A function as a manufacturer might have it."""
    return bytes(a ^ b for a, b in zip(exchange.challenge, exchange.secret * 8, strict=False))


def pair_of(
    mechanism: Mechanism, protection: Protection = Protection.PLAIN, **changes: Any
) -> ConnectionPair:
    return ConnectionPair.of(
        client_settings(
            mechanism=mechanism, protection=protection, hls_function=manufacturers, **changes
        ),
        server_association(
            mechanism=mechanism, minimum_protection=protection, hls_function=manufacturers
        ),
    )


@pytest.mark.parametrize("protection", PROTECTIONS)
@pytest.mark.parametrize("mechanism", EVERY)
def test_a_session(mechanism: Mechanism, protection: Protection) -> None:
    pair = pair_of(mechanism, protection)
    accepted = pair.ask(Associate())[-1]
    assert isinstance(accepted, AssociationAccepted)
    assert accepted.protection is protection
    assert pair.server_events[-1] == AssociationOpened(CLIENT_SAP)
    assert isinstance(pair.ask(Get(CLOCK))[-1], GetCompleted)
    assert isinstance(pair.ask(Action(CAPTURE))[-1], ActionCompleted)


@pytest.mark.parametrize("mechanism", HASHING)
def test_nothing_but_the_secret_is_needed(mechanism: Mechanism) -> None:
    titles = mechanism is Mechanism.HLS_SHA256
    pair = ConnectionPair.of(
        client_settings(
            mechanism=mechanism, hls_function=manufacturers, encryption_key=None,
            authentication_key=None, system_title=CLIENT_TITLE if titles else None,
        ),
        server_association(
            mechanism=mechanism, hls_function=manufacturers, encryption_key=None,
            authentication_key=None,
        ),
    )  # fmt: skip
    assert isinstance(pair.ask(Associate())[-1], AssociationAccepted)
    assert pair.client_counters == {}
    assert pair.client.server_counter is None


@pytest.mark.parametrize("mechanism", HASHING)
def test_the_proofs_are_those_of_the_table(mechanism: Mechanism) -> None:
    pair = pair_of(mechanism).opened()
    third, fourth = (decode_apdu(apdu_of(octets)) for _, octets in pair.sent[2:4])
    assert isinstance(third, ActionRequestNormal)
    assert isinstance(fourth, ActionResponseNormal)
    function = hls_function(mechanism, manufacturers)
    exchange = HlsExchange(
        challenge=STOC, own_challenge=CTOS, secret=SECRET, title=CLIENT_TITLE,
        peer_title=SERVER_TITLE,
    )  # fmt: skip
    assert third.method == REPLY_TO_HLS
    assert third.parameters == Data(DataTag.OCTET_STRING, function(exchange))
    mirrored = HlsExchange(
        challenge=CTOS, own_challenge=STOC, secret=SECRET, title=SERVER_TITLE,
        peer_title=CLIENT_TITLE,
    )  # fmt: skip
    assert fourth.outcome.return_parameters is not None
    assert fourth.outcome.return_parameters.data().value == function(mirrored)


@pytest.mark.conformance("hls-manufacturer", "client", "server")
def test_a_manufacturers_function_may_need_no_secret() -> None:
    secrets: list[bytes] = []

    def sum_of(exchange: HlsExchange) -> bytes:
        secrets.append(exchange.secret)
        return bytes((sum(exchange.challenge + exchange.secret) & 0xFF, len(exchange.secret)))

    rules = {"mechanism": Mechanism.HLS, "secret": None, "hls_function": sum_of}
    pair = ConnectionPair.of(client_settings(**rules), server_association(**rules))
    assert isinstance(pair.ask(Associate())[-1], AssociationAccepted)
    assert set(secrets) == {b""}


@pytest.mark.parametrize("protection", PROTECTIONS)
@pytest.mark.parametrize("mechanism", HASHING)
def test_another_secret(mechanism: Mechanism, protection: Protection) -> None:
    pair = pair_of(mechanism, protection, secret=b"another secret")
    (rejected,) = (e for e in pair.ask(Associate()) if not isinstance(e, ContinueNeeded))
    assert isinstance(rejected, AssociationRejected)
    assert not pair.server.is_associated(CLIENT_SAP)
    assert any(isinstance(event, AssociationRefused) for event in pair.server_events)


def challenged(mechanism: Mechanism, **changes: Any) -> tuple[ConnectionPair, bytes]:
    """A plain pair with pass 3 ready to go, and its frame."""
    pair = pair_of(mechanism, **changes)
    pair.server.receive_data(pair.client.send(Associate()))
    (aare,) = pair.server_answers()
    pair.client.receive_data(aare)
    (event,) = events_of(pair.client)
    return pair, pair.client.send(event.reply)


def third_pass(proof: Data | None, method: Method = REPLY_TO_HLS) -> bytes:
    apdu = ActionRequestNormal(method, proof, invoke_id_and_priority=0xC1)
    return to_server(apdu.encode())


def fourth_pass(proof: bytes) -> bytes:
    returned = GetDataResult(octets=bytes((9, len(proof))) + proof)
    outcome = ActionReturn(ActionResultCode.SUCCESS, returned)
    return to_client(ActionResponseNormal(outcome, invoke_id_and_priority=0xC1).encode())


@pytest.mark.parametrize("mechanism", HASHING)
def test_wrong_proofs_of_the_client(mechanism: Mechanism) -> None:
    pair, right = challenged(mechanism)
    function = hls_function(mechanism, manufacturers)
    parts = {
        "challenge": STOC, "own_challenge": CTOS, "secret": SECRET, "title": CLIENT_TITLE,
        "peer_title": SERVER_TITLE,
    }  # fmt: skip
    proof = function(HlsExchange(**parts))
    reflected = function(HlsExchange(**parts | {"challenge": CTOS, "own_challenge": STOC}))
    before = pair.state()
    for wrong in (
        None,
        Data(DataTag.OCTET_STRING, b""),
        Data(DataTag.OCTET_STRING, proof[:-1]),
        Data(DataTag.OCTET_STRING, proof + b"\0"),
        Data(DataTag.OCTET_STRING, reflected),
        Data(DataTag.OCTET_STRING, function(HlsExchange(**parts | {"secret": b"wrong"}))),
        Data(DataTag.OCTET_STRING, gmac_token(KEYS, CLIENT_TITLE, 5, STOC)),
        Data(DataTag.UTF8_STRING, b"proof"),
        Data(DataTag.UNSIGNED, 1),
    ):
        pair.server.receive_data(third_pass(wrong))
        refused, needed = events_of(pair.server)
        assert isinstance(refused, AssociationRefused)
        answer = decode_apdu(apdu_of(pair.server.send(needed.reply)))
        assert isinstance(answer, ActionResponseNormal)
        assert answer.outcome.result is ActionResultCode.OTHER_REASON
        assert pair.state() == before
    pair.carry_to_server(right)
    assert isinstance(pair.take_client_events()[-1], AssociationAccepted)


@pytest.mark.parametrize("mechanism", HASHING)
def test_wrong_proofs_of_the_server(mechanism: Mechanism) -> None:
    pair, right = challenged(mechanism)
    function = hls_function(mechanism, manufacturers)
    parts = {
        "challenge": CTOS, "own_challenge": STOC, "secret": SECRET, "title": SERVER_TITLE,
        "peer_title": CLIENT_TITLE,
    }  # fmt: skip
    proof = function(HlsExchange(**parts))
    reflected = function(HlsExchange(**parts | {"challenge": STOC, "own_challenge": CTOS}))
    before = pair.state()
    for wrong in (b"", b"\0", proof[:-1], proof + b"\0", reflected, bytes(len(proof))):
        pair.client.receive_data(fourth_pass(wrong))
        with pytest.raises(SecurityError) as caught:
            pair.client.next_event()
        assert caught.value.code == "authentication-failed"
        assert pair.state() == before
    pair.carry_to_server(right)
    assert isinstance(pair.take_client_events()[-1], AssociationAccepted)


@pytest.mark.parametrize("mechanism", EVERY)
@pytest.mark.parametrize("challenge", [None, b"", b"1234567", bytes(65), CTOS])
def test_challenges_of_the_server_that_are_refused(
    mechanism: Mechanism, challenge: bytes | None
) -> None:
    pair = pair_of(mechanism)
    pair.server.receive_data(pair.client.send(Associate()))
    (frame,) = pair.server_answers()
    aare = decode_apdu(apdu_of(frame))
    assert isinstance(aare, Aare)
    before = pair.state()
    wrong = attrs.evolve(aare, authentication_value=challenge)
    pair.client.receive_data(to_client(wrong.encode()))
    with pytest.raises(SecurityError) as caught:
        pair.client.next_event()
    assert caught.value.code == "authentication-failed"
    assert pair.state() == before


@pytest.mark.parametrize("mechanism", EVERY)
@pytest.mark.parametrize("challenge", [b"1234567", bytes(65)])
def test_challenges_of_ours_that_are_none(mechanism: Mechanism, challenge: bytes) -> None:
    client = make_client(
        client_settings(mechanism=mechanism, hls_function=manufacturers, challenge=challenge)
    )
    with pytest.raises(LocalProtocolError):
        client.send(Associate())


@pytest.mark.parametrize("mechanism", EVERY)
def test_a_challenge_is_used_once(mechanism: Mechanism) -> None:
    pair = pair_of(mechanism).opened()
    pair.ask(Release())
    before = pair.state()
    with pytest.raises(LocalProtocolError):
        pair.client.send(Associate())
    assert pair.state() == before
    assert isinstance(pair.ask(Associate(challenge=b"another one"))[-1], AssociationAccepted)


@pytest.mark.parametrize("mechanism", EVERY)
@pytest.mark.parametrize("stoc", [b"1234567", bytes(65), CTOS])
def test_a_server_gives_no_bad_challenge(mechanism: Mechanism, stoc: bytes) -> None:
    server = make_server(
        server_association(mechanism=mechanism, hls_function=manufacturers), challenge=lambda: stoc
    )
    client = make_client(client_settings(mechanism=mechanism, hls_function=manufacturers))
    server.receive_data(client.send(Associate()))
    with pytest.raises(LocalProtocolError):
        server.next_event()


@pytest.mark.conformance("hls-object", "client", "server")
@pytest.mark.parametrize("mechanism", EVERY)
def test_the_method_may_be_elsewhere(mechanism: Mechanism) -> None:
    elsewhere = Method(15, Obis.parse("0.0.40.0.1.255"), 4)
    pair = ConnectionPair.of(
        client_settings(
            mechanism=mechanism, hls_function=manufacturers, hls_object=elsewhere
        ),
        server_association(
            mechanism=mechanism, hls_function=manufacturers, hls_object=elsewhere
        ),
    )  # fmt: skip
    assert isinstance(pair.ask(Associate())[-1], AssociationAccepted)
    request = decode_apdu(apdu_of(pair.sent[2][1]))
    assert isinstance(request, ActionRequestNormal)
    assert request.method == elsewhere


@pytest.mark.parametrize("mechanism", EVERY)
def test_the_method_elsewhere_is_no_proof_where_it_is_not_expected(mechanism: Mechanism) -> None:
    pair, right = challenged(mechanism)
    request = decode_apdu(apdu_of(right))
    assert isinstance(request, ActionRequestNormal)
    before = pair.state()
    elsewhere = third_pass(request.parameters, Method(15, Obis.parse("0.0.40.0.1.255"), 1))
    pair.server.receive_data(elsewhere)
    (needed,) = events_of(pair.server)
    pair.server.send(needed.reply)
    assert pair.state() == before
    pair.carry_to_server(right)
    assert isinstance(pair.take_client_events()[-1], AssociationAccepted)


class TestSameCounter:
    """A proof with the counter of the APDU that carries it, as some peers and meters have it."""

    @staticmethod
    def client(counter: int = 500, **changes: Any) -> Client:
        settings = client_settings(
            mechanism=Mechanism.HLS_GMAC, protection=Protection.AUTHENTICATED_ENCRYPTED, **changes
        )
        counters = iter((counter, *repeat(counter + 1, 2)))
        client = Client(settings, WrapperLink(CLIENT_SAP, SERVER_SAP), lambda: next(counters))
        # Our own channel never does so: what sloppy peers do is made by taking its guard away.
        client._channel.draw_counter = lambda: next(counters)  # type: ignore[method-assign]
        return client

    @staticmethod
    def server(**changes: Any) -> Server:
        return make_server(server_association(mechanism=Mechanism.HLS_GMAC, **changes))

    def play(self, client: Client, server: Server) -> list[Any]:
        server.receive_data(client.send(Associate()))
        heard: list[Any] = []
        for _ in range(2):
            while (event := server.next_event()) is not None:
                heard.append(event)
                if isinstance(event, ContinueNeeded):
                    client.receive_data(server.send(event.reply))
            for event in events_of(client):
                if isinstance(event, ContinueNeeded):
                    server.receive_data(client.send(event.reply))
        return heard

    def test_a_server_refuses_it(self) -> None:
        heard = self.play(self.client(), self.server())
        assert any(isinstance(event, AssociationRefused) for event in heard)
        assert not any(isinstance(event, AssociationOpened) for event in heard)

    @pytest.mark.conformance("counter-reuse", "server")
    def test_a_server_tolerates_it_by_name(self) -> None:
        heard = self.play(self.client(), self.server(same_proof_counter=True))
        assert any(isinstance(event, AssociationOpened) for event in heard)

    @pytest.mark.conformance("counter-reuse", "client")
    @pytest.mark.parametrize("tolerant", [False, True])
    def test_a_client(self, tolerant: bool) -> None:
        pair = pair_of(
            Mechanism.HLS_GMAC, Protection.AUTHENTICATED_ENCRYPTED, same_proof_counter=tolerant
        )
        pair.server.receive_data(pair.client.send(Associate()))
        (aare,) = pair.server_answers()
        pair.client.receive_data(aare)
        (event,) = events_of(pair.client)
        pair.client.send(event.reply)
        before = pair.state()
        token = gmac_token(KEYS, SERVER_TITLE, 9000, CTOS)
        returned = GetDataResult(octets=bytes((9, len(token))) + token)
        outcome = ActionReturn(ActionResultCode.SUCCESS, returned)
        apdu = ActionResponseNormal(outcome, invoke_id_and_priority=0xC1).encode()
        content = protect(KEYS, SERVER_TITLE, Protection.AUTHENTICATED_ENCRYPTED, 9000, apdu)
        pair.client.receive_data(to_client(Ciphered(0xCF, content).encode()))
        if tolerant:
            assert isinstance(pair.client.next_event(), AssociationAccepted)
            assert pair.client.server_counter == 9000
        else:
            with pytest.raises(SecurityError) as caught:
                pair.client.next_event()
            assert caught.value.code == "counter-replayed"
            assert pair.state() == before
