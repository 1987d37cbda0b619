"""Requests cut short, with bits flipped, of random shape: an answer, or a closed connection."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hes_protocol.axdr import Data, DataTag, structure
from hes_protocol.cosem import Obis
from hes_protocol.cosem.objects import Attribute, Method
from hes_protocol.errors import RemoteProtocolError
from hes_protocol.wrapper import WrapperFrame
from hes_protocol.xdlms import (
    ActionRequestNormal,
    ExceptionResponse,
    GetRequestNormal,
    SetRequestNormal,
    decode_apdu,
)
from hes_protocol.xdlms.descriptor import AccessSelection, AttributeAccess
from hes_protocol.xdlms.get import GetRequestWithList
from tests.attacker import FAMILIES, Attacker, clients_of, kind_of, meter_of
from tests.strategies import trees

CLOCK = Attribute(8, Obis.parse("0.0.1.0.0.255"), 2)
PROFILE = Attribute(7, Obis.parse("1.0.99.1.0.255"), 2)
NAME = Attribute(1, Obis.parse("0.0.96.1.10.255"), 2)
SETUP = Method(64, Obis.parse("0.0.43.0.0.255"), 2)
ENTRIES = AccessSelection(
    2,
    structure(
        *(Data(DataTag.DOUBLE_LONG_UNSIGNED, number) for number in (1, 2)),
        *(Data(DataTag.LONG_UNSIGNED, number) for number in (1, 0)),
    ),
)
# What they ask for does not matter: every model has some of it.
REQUESTS = tuple(
    request.encode()
    for request in (
        GetRequestNormal(CLOCK),
        GetRequestNormal(PROFILE, ENTRIES),
        GetRequestWithList((AttributeAccess(CLOCK), AttributeAccess(NAME))),
        SetRequestNormal(NAME, None, Data(DataTag.OCTET_STRING, b"a name")),
        ActionRequestNormal(SETUP, Data(DataTag.INTEGER, 0)),
    )
)
FEW = ("prepayment", "is-15959-single-phase")
DRAWN = settings(
    deadline=None, max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def opened(name: str) -> Attacker:
    """The best secured client, associated."""
    client = max(clients_of(name), key=lambda one: (one.mechanism, one.sap))
    attacker = Attacker(meter_of(name), client)
    assert attacker.associate()
    return attacker


def is_answered(attacker: Attacker, apdu: bytes, *, protected: bool | None = None) -> bool:
    """
    Whether there is an answer, which is then whole. Only the protocol's errors are overlooked.

    The meter waits for no answer of ours: what it would go on with is given up by what comes next.
    """
    answer = attacker.tries(apdu, protected=protected)
    if answer:
        decode_apdu(answer)
    return bool(answer)


def is_sound(attacker: Attacker) -> bool:
    """Whether the meter answers the next client as it should."""
    again = Attacker(attacker.meter, attacker.client, counters=attacker.counters)
    if not again.associate():
        return False
    answer = again.say(GetRequestNormal(CLOCK).encode())
    return not isinstance(decode_apdu(answer), ExceptionResponse)


@pytest.mark.parametrize("name", FAMILIES)
def test_a_request_that_ends_too_early_is_answered_or_ends_the_connection(name: str) -> None:
    attacker = opened(name)
    for request in REQUESTS:
        for length in range(1, len(request)):
            is_answered(attacker, request[:length])
        assert is_answered(attacker, request)
    assert is_sound(attacker)


@pytest.mark.parametrize("name", FEW)
def test_a_request_with_a_flipped_bit_is_answered_or_ends_the_connection(name: str) -> None:
    attacker = opened(name)
    for request in REQUESTS:
        for place in range(len(request) * 8):
            octets = bytearray(request)
            octets[place // 8] ^= 1 << place % 8
            is_answered(attacker, bytes(octets))
    assert is_sound(attacker)


@pytest.mark.parametrize("name", FEW[:1])
def test_a_frame_with_a_flipped_bit_does_what_nobody_asked_for_at_no_time(name: str) -> None:
    """Also of what is ciphered: then nothing of it verifies."""
    attacker = opened(name)
    client, server = attacker.client.sap, attacker.meter.server_sap
    before = attacker.meter.state.written.copy()
    request = attacker.ciphered(REQUESTS[3])
    frame = WrapperFrame(client, server, request).to_octets()
    for place in range(len(frame) * 8):
        octets = bytearray(frame)
        octets[place // 8] ^= 1 << place % 8
        fresh = Attacker(attacker.meter, attacker.client, counters=attacker.counters)
        fresh.associate()
        try:
            fresh.frame(bytes(octets))
        except RemoteProtocolError as error:
            assert error.code
    if attacker.is_ciphering:
        assert attacker.meter.state.written == before
    assert is_sound(attacker)


@pytest.mark.parametrize("name", FAMILIES)
@DRAWN
@given(data=st.data())
def test_whatever_is_written_or_invoked_the_meter_goes_on(name: str, data: st.DataObject) -> None:
    """Random objects, attributes, methods and values, some of which are taken."""
    attacker = opened(name)
    served = [
        one
        for one in kind_of(name).model.objects.values()
        if attacker.client.sap in one.clients and one.class_id != 15
    ]
    for _ in range(data.draw(st.integers(1, 6))):
        one = data.draw(st.sampled_from(served))
        value = data.draw(trees())
        writable = [i for i, attribute in one.attributes.items() if attribute.write]
        index = data.draw(st.sampled_from(writable) if writable else st.integers(-3, 20))
        match data.draw(st.integers(0, 2)):
            case 0:
                request = SetRequestNormal(Attribute(one.class_id, one.obis, index), None, value)
                apdu = request.encode()
            case 1:
                method = data.draw(st.integers(0, 9))
                request_ = ActionRequestNormal(Method(one.class_id, one.obis, method), value)
                apdu = request_.encode()
            case _:
                selection = AccessSelection(data.draw(st.integers(0, 3)), value)
                attribute = Attribute(one.class_id, one.obis, data.draw(st.integers(1, 20)))
                apdu = GetRequestNormal(attribute, selection).encode()
        is_answered(attacker, apdu)
    for one in served:
        for index in one.attributes:
            if (one.class_id, index) != (7, 2):  # long, and not what this is about
                read = GetRequestNormal(Attribute(one.class_id, one.obis, index)).encode()
                assert is_answered(attacker, read), (str(one.obis), index)


@pytest.mark.parametrize("name", FEW)
@DRAWN
@given(octets=st.binary(min_size=1, max_size=120), protected=st.booleans())
def test_octets_of_no_meaning_do_no_harm(name: str, octets: bytes, protected: bool) -> None:
    attacker = opened(name)
    is_answered(attacker, octets, protected=protected)
    assert is_sound(attacker)


@pytest.mark.parametrize("name", FAMILIES)
def test_who_is_not_associated_is_told_so_and_nothing_else(name: str) -> None:
    for client in clients_of(name):
        attacker = Attacker(meter_of(name), client)
        for request in REQUESTS:
            answer = attacker.say(request, protected=False)
            assert isinstance(decode_apdu(answer), ExceptionResponse)
        assert attacker.meter.state.is_fresh
