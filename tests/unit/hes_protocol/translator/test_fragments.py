"""What has come of an APDU that ends early is shown, and nothing else."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hes_protocol.axdr import Data, DataTag, array, encode, structure
from hes_protocol.hdlc import Control, HdlcAddress, HdlcFrame, llc
from hes_protocol.security import Protection, SuiteKeys, protect
from hes_protocol.translator import Fragment, TranslatorKeys, TransportKind, translate
from hes_protocol.translator.fragment import decode_beginning
from hes_protocol.xdlms import (
    Ciphered,
    DataNotification,
    GeneralBlockTransfer,
    GetDataResult,
    GetResponseNormal,
    GetResponseWithDatablock,
)
from tests.strategies import trees

EK, AK, TITLE = bytes(range(16)), bytes(range(16, 32)), b"HES\0\0\0\0\1"
KEYS = TranslatorKeys(EK, AK)
BODY = structure(
    *(
        item
        for number in range(1, 9)
        for item in (
            Data(DataTag.OCTET_STRING, bytes((1, 0, number, 8, 0, 255))),
            Data(DataTag.DOUBLE_LONG_UNSIGNED, number),
        )
    )
)
PUSH = DataNotification(1, None, BODY).encode()


@pytest.mark.parametrize("end", range(7, len(PUSH)))
def test_a_push_that_is_cut_gives_what_came(end: int) -> None:
    translation = translate(PUSH[:end], TransportKind.APDU)
    assert not translation.complete
    assert translation.error is None
    [apdu] = translation.apdus or [None]
    values = [reading.data.value for reading in translation.readings if reading.obis is not None]
    assert values == list(range(1, len(values) + 1))
    if end >= 8:
        assert apdu is not None
        assert isinstance(apdu.content, Fragment)
        assert apdu.content.promised_elements == (16,)
        assert len(values) == (end - 8) // 13


@pytest.mark.parametrize("protection", [Protection.ENCRYPTED, Protection.AUTHENTICATED_ENCRYPTED])
def test_a_ciphered_push_that_is_cut_opens_as_far_as_it_goes_unverified(
    protection: Protection,
) -> None:
    apdu = Ciphered(0xDB, protect(SuiteKeys(EK, AK), TITLE, protection, 7, PUSH), TITLE).encode()
    translation = translate(apdu[:80], TransportKind.APDU, KEYS)
    assert not translation.complete
    [shown] = translation.apdus
    assert (shown.tag_verified, shown.invocation_counter) == (None, 7)
    assert [reading.data.value for reading in translation.readings] == [1, 2, 3, 4]
    assert translate(apdu[:80], TransportKind.APDU).readings == ()


def test_the_first_blocks_of_a_push_give_what_came() -> None:
    blocks = [
        GeneralBlockTransfer(number == 3, number != 3, 0, number, 0, PUSH[at : at + 40]).encode()
        for number, at in enumerate((0, 40, 80), 1)
    ]
    translation = translate(blocks[:2], TransportKind.APDU)
    assert not translation.complete
    assert [reading.data.value for reading in translation.readings] == [1, 2, 3, 4, 5]
    assert len(translate(blocks, TransportKind.APDU).readings) == 8
    assert translate(blocks[1:], TransportKind.APDU).readings == ()


def test_segments_without_their_end_show_what_was_promised() -> None:
    buffer = encode(array(*[structure(Data(DataTag.UNSIGNED, 1))] * 26))
    block = GetResponseWithDatablock(False, 1, raw_data=buffer).encode()
    information = llc.add(block, response=True)[:30]
    frame = HdlcFrame(
        HdlcAddress(16), HdlcAddress(1), Control.from_octet(0x10), True, information
    ).to_octets()
    translation = translate(frame)
    [apdu] = translation.apdus
    assert isinstance(apdu.content, Fragment)
    assert apdu.content.apdu == "get-response-with-datablock"
    assert (apdu.content.promised_octets, apdu.content.promised_elements) == (
        len(buffer),
        (26, 1),
    )
    normal = GetResponseNormal(GetDataResult(octets=buffer)).encode()
    assert isinstance(translate(normal[:20], TransportKind.APDU).apdus[-1].content, Fragment)


@given(trees(), st.integers(0, 400))
def test_a_beginning_holds_a_prefix_of_the_value(data: Data, end: int) -> None:
    octets = encode(data)
    cut, promised = decode_beginning(octets[:end])
    if end >= len(octets):
        assert (cut, promised) == (data, ())
    while cut is not None and cut.tag in (DataTag.ARRAY, DataTag.STRUCTURE) and cut.value:
        assert cut.tag is data.tag
        assert cut.value[:-1] == data.value[: len(cut.value) - 1]
        if len(promised) > 0:
            assert promised[0] == len(data.value)
        cut, data, promised = cut.value[-1], data.value[len(cut.value) - 1], promised[1:]


@pytest.mark.parametrize(
    "pattern", [b"\x02\x82\xff\xff", b"\x01\x01", b"\x13", b"\x02\x02\x00\x01"]
)
def test_hostile_beginnings_cost_little(pattern: bytes) -> None:
    octets = b"\x0f\0\0\0\0\0" + b"\x01\x82\xff\xff" + pattern * (60_000 // len(pattern))
    begin = time.process_time()
    translate(octets, TransportKind.APDU)
    assert time.process_time() - begin < 0.5
