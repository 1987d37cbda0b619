"""
Our codecs against dlms-cosem 25.1.0 (dependency group `peers`), for what both accept.

A difference is a fault of one of us. What the peer does wrong is in `PEER_BUGS`, with an example
that shows that it still does; everything else must be the same, octet for octet or value for value.
"""

from __future__ import annotations

from typing import Any

import attrs
import pytest
from dlms_cosem import enumerations, security
from dlms_cosem.connection import XDlmsApduFactory
from dlms_cosem.cosem import CosemAttribute
from dlms_cosem.cosem.obis import Obis as PeerObis
from dlms_cosem.hdlc import address, frames
from dlms_cosem.parsers import ProfileGenericBufferParser
from dlms_cosem.protocol import acse
from dlms_cosem.protocol.xdlms import GetResponseNormal as PeerGetResponse
from dlms_cosem.utils import parse_as_dlms_data
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hes_protocol.acse import Mechanism
from hes_protocol.axdr import Data, DataTag, array, encode, structure
from hes_protocol.client import Action, Get, Release
from hes_protocol.cosem import Obis
from hes_protocol.cosem.objects import Attribute, CaptureObject, Method
from hes_protocol.hdlc import Control, HdlcAddress, HdlcFrame
from hes_protocol.hdlc.control import ControlKind
from hes_protocol.profile import NullMeaning, decode_profile
from hes_protocol.security import Protection, SuiteKeys, gmac_token, protect
from hes_protocol.xdlms import (
    ActionRequestNormal,
    ActionResponseNormal,
    ActionResultCode,
    ActionReturn,
    Ciphered,
    DataAccessResult,
    DataNotification,
    GetDataResult,
    GetRequestNext,
    GetRequestNormal,
    GetResponseNormal,
    GetResponseWithDatablock,
    InitiateRequest,
    SetRequestNormal,
    SetResponseNormal,
    decode_apdu,
)
from hes_protocol.xdlms.results import DEFAULT_CONFORMANCE, Conformance
from tests.connection_pair import BUFFER, CAPTURE, CLOCK, ConnectionPair, apdu_of

busy = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
EK, AK, TITLE = bytes(range(16)), bytes(range(16, 32)), b"HESpeer1"
ACSE = {
    0x60: acse.ApplicationAssociationRequest,
    0x61: acse.ApplicationAssociationResponse,
    0x62: acse.ReleaseRequest,
    0x63: acse.ReleaseResponse,
}


def by_peer(octets: bytes) -> Any:
    """The peer's object for an APDU."""
    kind = ACSE.get(octets[0])
    return kind.from_bytes(octets) if kind else XDlmsApduFactory.apdu_from_bytes(octets)


# --- A-XDR --------------------------------------------------------------------------------------

_RANGES = {
    DataTag.INTEGER: (-(2**7), 2**7 - 1),
    DataTag.LONG: (-(2**15), 2**15 - 1),
    DataTag.DOUBLE_LONG: (-(2**31), 2**31 - 1),
    DataTag.LONG64: (-(2**63), 2**63 - 1),
    DataTag.UNSIGNED: (0, 2**8 - 1),
    DataTag.LONG_UNSIGNED: (0, 2**16 - 1),
    DataTag.DOUBLE_LONG_UNSIGNED: (0, 2**32 - 1),
    DataTag.LONG64_UNSIGNED: (0, 2**64 - 1),
    DataTag.ENUM: (0, 2**8 - 1),
}
_leaves = st.one_of(
    st.just(Data(DataTag.NULL_DATA)),
    st.booleans().map(lambda value: Data(DataTag.BOOLEAN, value)),
    *(
        st.integers(*bounds).map(lambda value, tag=tag: Data(tag, value))
        for tag, bounds in _RANGES.items()
    ),
    st.binary(max_size=300).map(lambda octets: Data(DataTag.OCTET_STRING, octets)),
    st.text("0123456789 ABCxyz", max_size=40).map(
        lambda text: Data(DataTag.VISIBLE_STRING, text.encode())
    ),
)
_trees = st.recursive(
    _leaves,
    lambda inner: st.builds(
        Data,
        st.sampled_from((DataTag.ARRAY, DataTag.STRUCTURE)),
        st.lists(inner, max_size=5).map(tuple),
    ),
    max_leaves=20,
)


def _plain(data: Data) -> Any:
    if data.tag in (DataTag.ARRAY, DataTag.STRUCTURE):
        return [_plain(element) for element in data.value]
    if data.tag is DataTag.VISIBLE_STRING:
        return data.value.decode()
    return data.value


@busy
@given(_trees)
def test_values(data: Data) -> None:
    peer = parse_as_dlms_data(encode(data))
    assert peer == _plain(data)


# --- APDUs --------------------------------------------------------------------------------------

# Priority and confirmed are told apart by both; bits 4 and 5 are reserved, see PEER_BUGS.
_invoke = st.integers(0, 15).flatmap(lambda low: st.sampled_from([low, low | 0x40, low | 0xC0]))
_class_ids = st.sampled_from([1, 3, 4, 5, 7, 8, 15, 70])
_obis = st.binary(min_size=6, max_size=6).map(Obis)
_attributes = st.builds(Attribute, _class_ids, _obis, st.integers(1, 20))
_methods = st.builds(Method, _class_ids, _obis, st.integers(1, 20))
_octets = _leaves.map(encode)
_refusals = st.sampled_from([result for result in DataAccessResult if 0 < result < 20])


def _invoked(kind: Any, *parts: Any) -> Any:
    return st.builds(kind, *parts, invoke_id_and_priority=_invoke)


_apdus = st.one_of(
    _invoked(GetRequestNormal, _attributes),
    _invoked(GetRequestNext, st.integers(0, 2**32 - 1)),
    _invoked(GetResponseNormal, _octets.map(lambda octets: GetDataResult(octets=octets))),
    _invoked(GetResponseNormal, _refusals.map(GetDataResult)),
    _invoked(
        GetResponseWithDatablock, st.booleans(), st.integers(0, 2**32 - 1), st.binary(max_size=300)
    ),
    _invoked(SetRequestNormal, _attributes, st.none(), _leaves),
    _invoked(SetResponseNormal, st.just(DataAccessResult.SUCCESS) | _refusals),
    _invoked(ActionRequestNormal, _methods, st.none() | _leaves),
    _invoked(ActionResponseNormal, st.just(ActionReturn(ActionResultCode.SUCCESS))),
    _invoked(
        ActionResponseNormal,
        _octets.map(
            lambda octets: ActionReturn(ActionResultCode.SUCCESS, GetDataResult(octets=octets))
        ),
    ),
    st.builds(DataNotification, st.integers(0, 2**24 - 1), st.none(), _leaves),
)


@busy
@given(_apdus)
def test_apdus(apdu: Any) -> None:
    octets = apdu.encode()
    peer = by_peer(octets)
    if isinstance(peer, PeerGetResponse):
        # PEER_BUGS: it cannot be written, so what it has read is compared.
        assert apdu.result.octets == bytes(peer.data)
        assert peer.invoke_id_and_priority.invoke_id == apdu.invoke_id
    else:
        assert bytes(peer.to_bytes()) == octets


@pytest.mark.parametrize("mechanism", [Mechanism.NONE, Mechanism.LLS, Mechanism.HLS_GMAC])
@pytest.mark.parametrize("protection", [Protection.PLAIN, Protection.AUTHENTICATED_ENCRYPTED])
def test_every_apdu_of_a_session(mechanism: Mechanism, protection: Protection) -> None:
    pair = ConnectionPair.protected(
        protection,
        mechanism,
        max_receive_pdu_size=400,
        conformance=DEFAULT_CONFORMANCE & ~Conformance.GENERAL_PROTECTION,
    ).opened()
    for request in (Get(CLOCK), Get(BUFFER), Action(CAPTURE, Data(DataTag.INTEGER, 0)), Release()):
        pair.ask(request)
    compared = 0
    for _, frame in pair.sent:
        octets = apdu_of(frame)
        if octets[0] in GLO_OF_SERVICES:
            continue  # the peer has none of these, users-ask 15
        assert bytes(by_peer(octets).to_bytes()) == octets
        compared += 1
    assert compared >= 4


GLO_OF_SERVICES = frozenset({0xC8, 0xC9, 0xCB, 0xCC, 0xCD, 0xCF})


@attrs.frozen
class PeerBug:
    """Octets that the peer reads, and writes otherwise, and why that is wrong."""

    octets: str
    written: str
    reason: str


PEER_BUGS = (
    PeerBug(
        "c002b100000001",
        "c0028100000001",
        "reserved bits of invoke-id-and-priority are dropped, not kept",
    ),
    PeerBug(
        "01000000065f1f0440001e1dffff",
        "01000000065f1f0400001e1dffff",
        "general-protection, bit 1 of conformance, is dropped",
    ),
    PeerBug(
        "0100010000065f1f0400001e1dffff",
        "01000000065f1f0400001e1dffff",
        "response-allowed FALSE is read as TRUE",
    ),
)


@pytest.mark.parametrize("bug", PEER_BUGS, ids=[bug.reason for bug in PEER_BUGS])
def test_what_the_peer_does_wrong(bug: PeerBug) -> None:
    octets = bytes.fromhex(bug.octets)
    assert bytes(by_peer(octets).to_bytes()).hex() == bug.written


def test_what_the_peer_makes_of_response_allowed_is_not_ours() -> None:
    octets = bytes.fromhex(PEER_BUGS[2].octets)
    initiate = decode_apdu(octets)
    assert isinstance(initiate, InitiateRequest)
    assert initiate.response_allowed is False
    assert initiate.encode() == octets


def test_the_peer_cannot_write_a_get_response() -> None:
    with pytest.raises(TypeError):
        by_peer(bytes.fromhex("c401c1001105")).to_bytes()


# --- ciphering ----------------------------------------------------------------------------------


@busy
@given(counter=st.integers(0, 2**32 - 1), plaintext=st.binary(min_size=1, max_size=400))
def test_ciphering(counter: int, plaintext: bytes) -> None:
    control = security.SecurityControlField(security_suite=0, authenticated=True, encrypted=True)
    peer = security.encrypt(control, TITLE, counter, EK, plaintext, AK)
    ours = protect(SuiteKeys(EK, AK), TITLE, Protection.AUTHENTICATED_ENCRYPTED, counter, plaintext)
    assert ours == control.to_bytes() + counter.to_bytes(4, "big") + peer
    general = Ciphered(0xDB, ours, TITLE).encode()
    assert bytes(by_peer(general).to_bytes()) == general


@busy
@given(counter=st.integers(0, 2**32 - 1), challenge=st.binary(min_size=8, max_size=64))
def test_gmac_proofs(counter: int, challenge: bytes) -> None:
    control = security.SecurityControlField(security_suite=0, authenticated=True)
    peer = security.gmac(control, TITLE, counter, EK, AK, challenge)
    ours = gmac_token(SuiteKeys(EK, AK), TITLE, counter, challenge)
    assert ours == control.to_bytes() + counter.to_bytes(4, "big") + peer


# --- HDLC ---------------------------------------------------------------------------------------


def _addresses(client: int, logical: int, physical: int | None) -> tuple[Any, Any]:
    return (
        address.HdlcAddress(client, None, "client"),
        address.HdlcAddress(logical, physical, "server"),
    )


@busy
@given(
    client=st.integers(1, 127),
    logical=st.integers(1, 127),
    physical=st.none() | st.integers(1, 127),
    send=st.integers(0, 7),
    receive=st.integers(0, 7),
    information=st.binary(min_size=1, max_size=200),
    segmented=st.booleans(),
    final=st.booleans(),
)
def test_hdlc_frames(
    client: int,
    logical: int,
    physical: int | None,
    send: int,
    receive: int,
    information: bytes,
    segmented: bool,
    final: bool,
) -> None:
    there, here = HdlcAddress(logical, physical), HdlcAddress(client)
    peer_client, peer_server = _addresses(client, logical, physical)
    numbers = {"send_sequence_number": send, "receive_sequence_number": receive}
    for theirs, ours in (
        (
            frames.InformationFrame(
                peer_server, peer_client, information, segmented=segmented, final=final, **numbers
            ),
            HdlcFrame(
                there,
                here,
                Control(ControlKind.I, final, send_sequence=send, receive_sequence=receive),
                segmented,
                information,
            ),
        ),
        (
            frames.SetNormalResponseModeFrame(peer_server, peer_client),
            HdlcFrame(there, here, Control(ControlKind.SNRM, True)),
        ),
        (
            frames.ReceiveReadyFrame(peer_server, peer_client, receive_sequence_number=receive),
            HdlcFrame(there, here, Control(ControlKind.RR, True, receive_sequence=receive)),
        ),
        (
            frames.DisconnectFrame(peer_server, peer_client),
            HdlcFrame(there, here, Control(ControlKind.DISC, True)),
        ),
    ):
        assert theirs.to_bytes() == ours.to_octets()


# --- profiles -----------------------------------------------------------------------------------


@busy
@given(
    values=st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=30),
    minutes=st.sampled_from([15, 60]),
)
def test_profile_buffers(values: list[int], minutes: int) -> None:
    clock = bytes.fromhex("07ea0b1506000000ff000000")
    rows = [
        structure(
            Data(DataTag.OCTET_STRING, clock) if number == 0 else Data(DataTag.NULL_DATA),
            Data(DataTag.DOUBLE_LONG_UNSIGNED, value),
        )
        for number, value in enumerate(values)
    ]
    octets = encode(array(*rows))
    ours = decode_profile(
        octets,
        (
            CaptureObject(8, Obis.parse("0.0.1.0.0.255"), 2, 0),
            CaptureObject(3, Obis.parse("1.0.1.8.0.255"), 2, 0),
        ),
        capture_period_s=minutes * 60,
        null_means=NullMeaning.MISSING,
    )
    theirs = ProfileGenericBufferParser(
        capture_objects=[
            CosemAttribute(
                enumerations.CosemInterface.CLOCK, PeerObis.from_string("0.0.1.0.0.255"), 2
            ),
            CosemAttribute(
                enumerations.CosemInterface.REGISTER, PeerObis.from_string("1.0.1.8.0.255"), 2
            ),
        ],
        capture_period=minutes,
    ).parse_bytes(octets)
    assert ours.clock is not None
    local = [row[0].value.replace(tzinfo=None) for row in theirs]
    first = local[0]
    assert [(at - first).total_seconds() for at in local] == [
        (int(at) - int(ours.clock.local_us[0])) / 1e6 for at in ours.clock.local_us
    ]
    assert ours.columns[0].integers is not None
    assert [row[1].value for row in theirs] == ours.columns[0].integers.tolist()
