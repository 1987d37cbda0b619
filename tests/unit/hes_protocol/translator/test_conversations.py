"""Sessions of one or several pairs: answers find their requests, registers their units."""

from __future__ import annotations

import attrs
import pytest

from hes_protocol.acse import Rlrq
from hes_protocol.axdr import NULL, Data, DataTag, array, encode, structure
from hes_protocol.cosem import Attribute, CosemDateTime, Obis
from hes_protocol.hdlc import Control, HdlcAddress, HdlcFrame, llc
from hes_protocol.mbus import MBusFragmenter
from hes_protocol.security import Protection, SuiteKeys, protect
from hes_protocol.translator import Translation, TranslatorKeys, TransportKind, translate
from hes_protocol.wrapper import WrapperFrame
from hes_protocol.xdlms import (
    AccessGet,
    AccessGetResult,
    AccessRequest,
    AccessResponse,
    AccessSelection,
    AttributeAccess,
    Ciphered,
    Conformance,
    DataAccessResult,
    DataNotification,
    EventNotification,
    GeneralBlockTransfer,
    GetDataResult,
    GetRequestNormal,
    GetRequestWithList,
    GetResponseNormal,
    GetResponseWithDatablock,
    InitiateRequest,
)
from hes_protocol.xdlms.get import encode_data_results

ENERGY, POWER = Obis.parse("1.0.1.8.0.255"), Obis.parse("1.0.1.7.0.255")
PROFILE, CLOCK = Obis.parse("1.0.99.1.0.255"), Obis.parse("0.0.1.0.0.255")
NOON = CosemDateTime(2026, 7, 1, 3, 12, 0, 0, 0xFF, -120, 0x80)
EK, AK = bytes(range(16)), bytes(range(16, 32))
CLIENT, SERVER = b"HES\0\0\0\0\1", b"MTR\0\0\0\0\2"
INITIATE = InitiateRequest(conformance=Conformance.GET, client_max_receive_pdu_size=512)
KEYS = TranslatorKeys(EK, AK, CLIENT, SERVER)


def u32(value: int) -> Data:
    return Data(DataTag.DOUBLE_LONG_UNSIGNED, value)


def ask(
    attribute: Attribute, invoke: int = 0xC1, selection: AccessSelection | None = None
) -> bytes:
    return GetRequestNormal(attribute, selection, invoke_id_and_priority=invoke).encode()


def answer(data: Data, invoke: int = 0xC1) -> bytes:
    result = GetDataResult(octets=encode(data))
    return GetResponseNormal(result, invoke_id_and_priority=invoke).encode()


def said(*apdus: bytes, keys: TranslatorKeys | None = None) -> Translation:
    return translate(apdus, TransportKind.APDU, keys)


def found(translation: Translation) -> list[tuple[str, int]]:
    return [(str(reading.obis), reading.data.value) for reading in translation.readings]


def frame(apdu: bytes, client: int, *, request: bool, segmented: bool = False) -> bytes:
    ends = (HdlcAddress(1), HdlcAddress(client))
    destination, source = ends if request else ends[::-1]
    information = llc.add(apdu, response=not request)
    return HdlcFrame(
        destination, source, Control.from_octet(0x13), segmented, information
    ).to_octets()


def test_conversations_of_several_pairs_do_not_mix() -> None:
    one, two = Attribute(3, ENERGY, 2), Attribute(3, POWER, 2)
    octets = (
        frame(ask(one), 16, request=True)
        + frame(ask(two), 17, request=True)
        + frame(answer(u32(7)), 16, request=False)
        + frame(answer(u32(5)), 17, request=False)
    )
    assert found(translate(octets)) == [(str(ENERGY), 7), (str(POWER), 5)]
    wrapped = (
        WrapperFrame(16, 1, ask(one)).to_octets()
        + WrapperFrame(17, 1, ask(two)).to_octets()
        + WrapperFrame(1, 16, answer(u32(7))).to_octets()
        + WrapperFrame(1, 17, answer(u32(5))).to_octets()
    )
    assert found(translate(wrapped)) == [(str(ENERGY), 7), (str(POWER), 5)]


def test_answers_are_matched_by_their_invoke_ids() -> None:
    translation = said(
        ask(Attribute(3, ENERGY, 2), 0xC1),
        ask(Attribute(3, POWER, 2), 0xC2),
        DataNotification(1, None, u32(1)).encode(),
        answer(u32(5), 0xC2),
        answer(u32(7), 0xC1),
        answer(u32(9), 0xC1),
    )
    assert found(translation) == [("None", 1), (str(POWER), 5), (str(ENERGY), 7)]


def test_registers_get_the_units_that_were_read_before_or_behind_them() -> None:
    unit = structure(Data(DataTag.INTEGER, -1), Data(DataTag.ENUM, 30))
    translation = said(
        ask(Attribute(3, ENERGY, 2)), answer(u32(7)), ask(Attribute(3, ENERGY, 3)), answer(unit),
        ask(Attribute(3, ENERGY, 2)), answer(u32(8)), ask(Attribute(3, POWER, 2)), answer(u32(5)),
    )  # fmt: skip
    assert [(r.data.value, r.scaler, r.unit) for r in translation.readings] == [
        (7, -1, 30),
        (8, -1, 30),
        (5, 0, 255),
    ]


def column(class_id: int, obis: Obis, index: int = 2) -> Data:
    return structure(
        Data(DataTag.LONG_UNSIGNED, class_id),
        Data(DataTag.OCTET_STRING, obis.octets),
        Data(DataTag.INTEGER, index),
        Data(DataTag.LONG_UNSIGNED, 0),
    )


COLUMNS = array(column(8, CLOCK), column(3, ENERGY), column(3, POWER))
ROW = structure(Data(DataTag.OCTET_STRING, NOON.to_octets()), u32(7), u32(5))


@pytest.mark.conformance("get-blocks", "client")
def test_rows_of_a_profile_are_named_by_its_capture_objects_by_blocks_too() -> None:
    buffer = encode(array(ROW, ROW))
    blocks = [
        GetResponseWithDatablock(last, number, raw_data=part).encode()
        for last, number, part in ((False, 1, buffer[:20]), (True, 2, buffer[20:]))
    ]
    translation = said(
        ask(Attribute(7, PROFILE, 3)), answer(COLUMNS), ask(Attribute(7, PROFILE, 2)), *blocks
    )
    assert found(translation) == [(str(ENERGY), 7), (str(POWER), 5)] * 2
    assert {reading.captured_at for reading in translation.readings} == {NOON}
    assert translation.complete
    assert said(ask(Attribute(7, PROFILE, 2)), blocks[0]).complete is False


def test_selected_columns_name_the_rows() -> None:
    restriction = structure(column(8, CLOCK), NULL, NULL, array(column(8, CLOCK), column(3, POWER)))
    request = ask(Attribute(7, PROFILE, 2), selection=AccessSelection(1, restriction))
    row = structure(Data(DataTag.OCTET_STRING, NOON.to_octets()), u32(5))
    assert found(said(request, answer(array(row)))) == [(str(POWER), 5)]
    assert found(said(request, answer(array(ROW)))) == []


@pytest.mark.conformance("get-list-blocks", "client")
def test_the_answers_to_a_list_may_come_by_blocks() -> None:
    accesses = tuple(AttributeAccess(Attribute(3, obis, 2)) for obis in (ENERGY, POWER))
    joined = encode_data_results(
        tuple(GetDataResult(octets=encode(u32(value))) for value in (7, 5))
    )
    blocks = [
        GetResponseWithDatablock(last, number, raw_data=part).encode()
        for last, number, part in ((False, 1, joined[:3]), (True, 2, joined[3:]))
    ]
    translation = said(GetRequestWithList(accesses).encode(), *blocks)
    assert found(translation) == [(str(ENERGY), 7), (str(POWER), 5)]


def test_what_access_reads_is_named() -> None:
    request = AccessRequest(
        (AccessGet(Attribute(3, ENERGY, 2)), AccessGet(Attribute(3, POWER, 2))), (NULL, NULL)
    )
    response = AccessResponse(
        (encode(u32(7)), encode(NULL)),
        (
            AccessGetResult(DataAccessResult.SUCCESS),
            AccessGetResult(DataAccessResult.OBJECT_UNDEFINED),
        ),
    )
    assert found(said(request.encode(), response.encode())) == [(str(ENERGY), 7)]


@pytest.mark.parametrize(("values", "results"), [(1, 0), (1, 2), (0, 1), (2, 1), (2, 2)])
def test_lists_of_access_that_do_not_fit_name_nothing(values: int, results: int) -> None:
    specification = AccessGet(Attribute(3, ENERGY, 2))
    response = AccessResponse(
        (encode(u32(7)),) * values,
        (AccessGetResult(DataAccessResult.SUCCESS),) * results,
        (specification,),
    )
    assert found(said(response.encode())) == []


def test_the_dedicated_key_of_a_session_opens_what_is_ciphered_with_it() -> None:
    dedicated = bytes(range(50, 66))
    initiate = attrs.evolve(INITIATE, dedicated_key=dedicated).encode()
    content = protect(
        SuiteKeys(dedicated, AK), SERVER, Protection.AUTHENTICATED_ENCRYPTED, 1, answer(u32(7))
    )
    apdus = (ask(Attribute(3, ENERGY, 2)), Ciphered(0xD4, content).encode())
    assert found(said(initiate, *apdus, keys=KEYS)) == [(str(ENERGY), 7)]
    assert said(*apdus, keys=KEYS).error is not None


def test_the_user_information_of_a_release_is_opened() -> None:
    content = protect(
        SuiteKeys(EK, AK),
        CLIENT,
        Protection.AUTHENTICATED_ENCRYPTED,
        1,
        INITIATE.encode(),
    )
    translation = said(Rlrq(0, Ciphered(0x21, content).encode()).encode(), keys=KEYS)
    assert [type(apdu.content).__name__ for apdu in translation.apdus] == [
        "Rlrq",
        "InitiateRequest",
    ]
    assert translation.apdus[1].tag_verified is True


def test_a_request_whose_length_counts_a_tag_that_is_not_there() -> None:
    request = ask(Attribute(3, ENERGY, 2))
    content = protect(SuiteKeys(EK, AK), CLIENT, Protection.ENCRYPTED, 1, request)
    apdu = bytes((0xC8, len(content) + 12)) + content
    assert found(said(apdu, answer(u32(7)), keys=KEYS)) == [(str(ENERGY), 7)]
    assert said(bytes((0xC8, len(content) + 11)) + content, keys=KEYS).complete is False


@pytest.mark.conformance("mbus", "client", "server")
def test_mbus_carries_pushes() -> None:
    body = structure(Data(DataTag.OCTET_STRING, ENERGY.octets), u32(7))
    push = DataNotification(1, None, body).encode()
    octets = MBusFragmenter(max_data=10).to_octets(push)
    translation = translate(octets)
    assert translation.transport is TransportKind.MBUS
    assert (found(translation), translation.complete) == ([(str(ENERGY), 7)], True)
    assert translate(octets[:-1]).complete is False
    rest = translate(octets[10:], TransportKind.MBUS)
    assert rest.error is not None
    assert rest.error.code == "bad-sequence"


def test_an_llc_header_of_power_line_carriers_is_taken_off() -> None:
    attribute = Attribute(3, ENERGY, 2)
    datagrams = [b"\x90\x01\x01" + apdu for apdu in (ask(attribute), answer(u32(7)))]
    translation = translate(datagrams)
    assert translation.transport is TransportKind.LLC
    assert found(translation) == [(str(ENERGY), 7)]


def test_events_carry_their_time() -> None:
    event = EventNotification(Attribute(1, POWER, 2), u32(4), NOON.to_octets()).encode()
    [reading] = said(event).readings
    assert (reading.obis, reading.captured_at) == (POWER, NOON)


def test_acknowledgements_of_blocks_are_no_blocks() -> None:
    push = DataNotification(1, None, u32(7)).encode()
    blocks = [
        GeneralBlockTransfer(False, True, 1, 1, 0, push[:5]).encode(),
        GeneralBlockTransfer(True, False, 1, 1, 1, b"").encode(),
        GeneralBlockTransfer(True, False, 1, 2, 1, push[5:]).encode(),
        GeneralBlockTransfer(True, False, 1, 2, 2, b"").encode(),
    ]
    translation = said(*blocks)
    assert (found(translation), translation.complete) == ([("None", 7)], True)
