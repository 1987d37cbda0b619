"""The translator shows whatever can be read, of any octets whatsoever, and never raises."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hes_protocol.axdr import Data, DataTag, encode, structure
from hes_protocol.hdlc import Control, HdlcAddress, HdlcFrame, llc
from hes_protocol.security import Protection, SuiteKeys, protect
from hes_protocol.translator import TranslatorKeys, TransportKind, translate
from hes_protocol.xdlms import Ciphered, DataNotification, GeneralBlockTransfer

EK, AK, TITLE = bytes(range(16)), bytes(range(16, 32)), b"HES\0\0\0\0\1"
KEYS = TranslatorKeys(EK, AK)
ENERGY = Data(DataTag.OCTET_STRING, bytes((1, 0, 1, 8, 0, 255)))
BODY = structure(ENERGY, Data(DataTag.DOUBLE_LONG_UNSIGNED, 4711))
PUSH = DataNotification(1, None, BODY).encode()


def frame(information: bytes, *, segmented: bool = False) -> bytes:
    return HdlcFrame(
        destination=HdlcAddress(1),
        source=HdlcAddress(1),
        control=Control.from_octet(0x13),
        information=information,
        segmented=segmented,
    ).to_octets()


def general_blocks(apdu: bytes, size: int) -> list[bytes]:
    cuts = [apdu[start : start + size] for start in range(0, len(apdu), size)]
    return [
        GeneralBlockTransfer(
            last_block=number == len(cuts),
            streaming=number != len(cuts),
            window=0,
            block_number=number,
            block_number_ack=0,
            block_data=cut,
        ).encode()
        for number, cut in enumerate(cuts, 1)
    ]


def test_segments_are_joined() -> None:
    information = llc.add(PUSH, response=True)
    octets = frame(information[:10], segmented=True) + frame(information[10:])
    translation = translate(octets)
    assert translation.frames == 2
    assert [reading.data.value for reading in translation.readings] == [4711]
    assert translate(frame(information[:10], segmented=True)).complete is False


def test_general_blocks_are_joined_with_the_llc_header_before_the_first_only() -> None:
    first, *rest = general_blocks(PUSH, 8)
    octets = frame(llc.add(first, response=True)) + b"".join(map(frame, rest))
    translation = translate(octets)
    assert translation.error is None
    assert [reading.data.value for reading in translation.readings] == [4711]
    # An interrupted transfer before it changes nothing; alone it is incomplete.
    assert translate(frame(llc.add(first, response=True)) + octets).readings == translation.readings
    assert translate(frame(llc.add(first, response=True))).complete is False
    assert translate(frame(rest[-1])).complete is False


def test_ciphered_in_ciphered_is_opened_within_bounds() -> None:
    keys = SuiteKeys(EK, AK)
    apdu = PUSH
    for counter in range(3):
        content = protect(keys, TITLE, Protection.AUTHENTICATED_ENCRYPTED, counter, apdu)
        apdu = Ciphered(0xDB, content, TITLE).encode()
    assert len(translate(apdu, TransportKind.APDU, KEYS).readings) == 1
    for counter in range(20):
        content = protect(keys, TITLE, Protection.AUTHENTICATED_ENCRYPTED, counter, apdu)
        apdu = Ciphered(0xDB, content, TITLE).encode()
    assert len(translate(apdu, TransportKind.APDU, KEYS).apdus) < 10


@pytest.mark.parametrize("kind", list(TransportKind))
@given(octets=st.binary(max_size=400))
def test_any_octets_are_answered(kind: TransportKind, octets: bytes) -> None:
    translate(octets, kind, KEYS)


@given(cut=st.integers(0, 200), flip=st.integers(0, 200), bit=st.integers(0, 7))
def test_frames_cut_and_flipped_are_answered(cut: int, flip: int, bit: int) -> None:
    content = protect(SuiteKeys(EK, AK), TITLE, Protection.AUTHENTICATED_ENCRYPTED, 1, PUSH)
    octets = bytearray(frame(llc.add(Ciphered(0xDB, content, TITLE).encode(), response=True)))
    octets[flip % len(octets)] ^= 1 << bit
    translate(bytes(octets[: cut % len(octets)]), TransportKind.AUTO, KEYS)
    translation = translate(bytes(octets), TransportKind.AUTO, KEYS)
    # Whatever was flipped, nothing but the true value may come out as verified.
    assert all(reading.data.value == 4711 for reading in translation.readings)


def test_long_hostile_octets_cost_little() -> None:
    for octets in (b"\x7e" * 50_000, b"\x7e\xa8\xff" * 20_000, b"\x0f\0\0\0\0\0\x01\x82" * 8_000):
        start = time.process_time()
        translate(octets)
        assert time.process_time() - start < 1.0


def test_bare_data_is_read_where_nothing_frames_it() -> None:
    translation = translate(encode(BODY), TransportKind.APDU)
    assert translation.apdus[0].content == BODY
