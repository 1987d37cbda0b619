"""
Associations of real meters, and published ones: opened, refused and released by ours.

The recordings lie in HES_VECTORS and are never committed. Requests are ours octet for octet; where
a server may word its answer otherwise, ours means the same.
"""

from __future__ import annotations

from itertools import count
from pathlib import Path

import pytest

from hes_protocol.acse import Aare, Aarq, AssociationResult, Mechanism, Rlre, Rlrq, UserDiagnostic
from hes_protocol.axdr import decode_all
from hes_protocol.client import (
    Associate,
    AssociationAccepted,
    AssociationRejected,
    Client,
    ClientSettings,
    ContinueNeeded,
)
from hes_protocol.cosem import Obis
from hes_protocol.cosem.objects import Method
from hes_protocol.security.mechanisms import HlsExchange
from hes_protocol.server import (
    AssociationOpened,
    AssociationRefused,
    ServerAssociation,
)
from hes_protocol.xdlms import (
    ActionRequestNormal,
    ConfirmedServiceError,
    InitiateError,
    decode_apdu,
)
from tests.captured_roles import (
    hears,
    initiates,
    means_the_same,
    opened,
    said,
    server_of,
)
from tests.captures import BareLink, octets_of

pytestmark = pytest.mark.vectors

PLAIN = [
    ("sess-wrapper-kaifa-hls5", 0),
    ("sess-spodes-kpz-m2m", 0),
    ("sess-mikroelektronika-none", 0),
]
WITH_SECRET = [
    ("sess-skq", 0),
    ("sess-circutor-v0411", 0),
    ("sess-wireshark-plc-llc", 2),
]


@pytest.mark.conformance("lowest", "vector")
@pytest.mark.conformance("aarq-aare", "vector")
@pytest.mark.conformance("contexts", "vector")
@pytest.mark.parametrize(("name", "place"), PLAIN)
def test_associations_without_authentication(name: str, place: int, hes_vectors: Path) -> None:
    client, server, _ = opened(hes_vectors, name, place)
    assert server.is_associated(1)
    assert client.pending_invoke_id is None


@pytest.mark.conformance("lls", "vector")
@pytest.mark.conformance("aarq-aare", "vector")
@pytest.mark.conformance("contexts", "vector")
@pytest.mark.parametrize(("name", "place"), WITH_SECRET)
def test_associations_with_a_password(name: str, place: int, hes_vectors: Path) -> None:
    _, server, _ = opened(hes_vectors, name, place)
    assert server.is_associated(1)
    wrong = server_of(ServerAssociation(client_sap=1, mechanism=Mechanism.LLS, secret=b"another"))
    assert isinstance(hears(wrong, said(hes_vectors, name)[place][1]), AssociationRefused)


@pytest.mark.conformance("hls-manufacturer", "vector")
@pytest.mark.conformance("hls-object", "vector")
@pytest.mark.conformance("action-normal", "vector")
def test_a_manufacturers_mechanism_at_another_object(hes_vectors: Path) -> None:
    apdus = [octets for _, octets in said(hes_vectors, "sess-spodes-kpz-m2m")][8:]
    aarq, aare = Aarq.decode(apdus[0]), Aare.decode(apdus[1])
    third = decode_apdu(apdus[2])
    assert isinstance(third, ActionRequestNormal)
    assert third.parameters is not None
    elsewhere = Method(15, Obis.parse("0.0.40.0.3.255"), 1)
    assert third.method == elsewhere
    proofs = {
        aare.authentication_value: third.parameters.value,
        aarq.authentication_value: decode_all(apdus[3][6:]).value,
    }

    def recorded(exchange: HlsExchange) -> bytes:
        return bytes(proofs[exchange.challenge])

    asked, given = initiates(aarq, aare)
    client = Client(
        ClientSettings(
            client_sap=1,
            mechanism=Mechanism.HLS,
            hls_function=recorded,
            hls_object=elsewhere,
            challenge=aarq.authentication_value,
            max_receive_pdu_size=asked.client_max_receive_pdu_size,
            conformance=asked.conformance,
        ),
        BareLink(),
        count(1).__next__,
    )
    assert client.send(Associate()) == apdus[0]
    needed = hears(client, apdus[1])
    assert isinstance(needed, ContinueNeeded)
    assert client.send(needed.reply) == apdus[2]
    assert isinstance(hears(client, apdus[3]), AssociationAccepted)
    server = server_of(
        ServerAssociation(
            client_sap=1,
            mechanism=Mechanism.HLS,
            hls_function=recorded,
            hls_object=elsewhere,
            max_receive_pdu_size=given.server_max_receive_pdu_size,
            conformance=given.conformance,
        ),
        aare.authentication_value or b"",
    )
    needed = hears(server, apdus[0])
    assert isinstance(needed, ContinueNeeded)
    means_the_same(server.send(needed.reply), apdus[1])
    needed = hears(server, apdus[2])
    assert isinstance(needed, ContinueNeeded)
    assert server.send(needed.reply) == apdus[3]
    assert isinstance(server.next_event(), AssociationOpened)


@pytest.mark.conformance("aarq-aare", "vector")
@pytest.mark.conformance("contexts", "vector")
def test_a_context_that_is_refused(hes_vectors: Path) -> None:
    octets = octets_of(hes_vectors, "gb-aare-ctx-wrong")
    client = Client(ClientSettings(client_sap=1), BareLink(), count(1).__next__)
    client.send(Associate())
    rejected = hears(client, octets)
    assert isinstance(rejected, AssociationRejected)
    assert rejected.result is AssociationResult.REJECTED_PERMANENT
    assert rejected.diagnostic.code == UserDiagnostic.APPLICATION_CONTEXT_NAME_NOT_SUPPORTED
    assert Aare.decode(octets).encode() == octets


@pytest.mark.conformance("confirmed-service-error", "vector")
@pytest.mark.conformance("aarq-aare", "vector")
def test_a_version_that_is_refused(hes_vectors: Path) -> None:
    octets = octets_of(hes_vectors, "gb-aare-version")
    aare = Aare.decode(octets)
    assert aare.encode() == octets
    assert aare.user_information is not None
    error = decode_apdu(aare.user_information)
    assert isinstance(error, ConfirmedServiceError)
    assert error.encode() == aare.user_information
    assert error.value == InitiateError.DLMS_VERSION_TOO_LOW
    client = Client(ClientSettings(client_sap=1), BareLink(), count(1).__next__)
    client.send(Associate())
    rejected = hears(client, octets)
    assert isinstance(rejected, AssociationRejected)
    assert rejected.initiate_error == InitiateError.DLMS_VERSION_TOO_LOW


@pytest.mark.conformance("rlrq-rlre", "vector")
@pytest.mark.parametrize(
    ("name", "reason", "information"),
    [
        ("gb-rlrq-ciphered", 0, 0x21),
        ("gb-rlre-plain", 0, 0x08),
        ("gb-rlre-short", 0, None),
    ],
)
def test_releases(name: str, reason: int, information: int | None, hes_vectors: Path) -> None:
    octets = octets_of(hes_vectors, name)
    release = decode_apdu(octets)
    assert isinstance(release, Rlrq | Rlre)
    assert release.reason == reason
    carried = release.user_information
    assert (None if carried is None else carried[0]) == information
    assert release.encode() == octets
