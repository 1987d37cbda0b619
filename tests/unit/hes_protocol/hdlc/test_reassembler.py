"""Segments of information fields."""

from __future__ import annotations

import pytest

from hes_protocol.errors import FramingError, LimitError, LocalProtocolError
from hes_protocol.hdlc import Control, ControlKind, HdlcAddress, HdlcFrame, HdlcReassembler

pytestmark = pytest.mark.conformance("hdlc-segmentation", "client", "server")

K = ControlKind
CLIENT, METER, OTHER = HdlcAddress(16), HdlcAddress(1, 17), HdlcAddress(1, 18)


def _ui(information: bytes, *, more: bool, source: HdlcAddress = METER) -> HdlcFrame:
    return HdlcFrame(CLIENT, source, Control(K.UI), more, information)


def _i(sequence: int, information: bytes, *, more: bool) -> HdlcFrame:
    return HdlcFrame(CLIENT, METER, Control(K.I, True, sequence), more, information)


def test_one_frame_is_a_whole_field() -> None:
    reassembler = HdlcReassembler()
    assert reassembler.receive_frame(_ui(b"one", more=False)) == b"one"
    assert reassembler.receive_frame(_i(5, b"two", more=False)) == b"two"
    assert reassembler.pending_octets == 0


def test_pairs_do_not_mix() -> None:
    reassembler = HdlcReassembler()
    assert reassembler.receive_frame(_ui(b"a", more=True)) is None
    assert reassembler.receive_frame(_ui(b"x", more=True, source=OTHER)) is None
    assert reassembler.receive_frame(_ui(b"b", more=True)) is None
    assert reassembler.pending_octets == 3
    assert reassembler.receive_frame(_ui(b"y", more=False, source=OTHER)) == b"xy"
    assert reassembler.receive_frame(_ui(b"c", more=False)) == b"abc"
    assert reassembler.pending_octets == 0


def test_i_frames_go_round_after_seven() -> None:
    reassembler = HdlcReassembler()
    assert reassembler.receive_frame(_i(7, b"a", more=True)) is None
    assert reassembler.receive_frame(_i(0, b"b", more=False)) == b"ab"


@pytest.mark.parametrize(
    "second", [_i(1, b"b", more=False), _i(3, b"b", more=False), _ui(b"b", more=False)]
)
def test_out_of_order(second: HdlcFrame) -> None:
    reassembler = HdlcReassembler()
    reassembler.receive_frame(_i(1, b"a", more=True))
    with pytest.raises(FramingError) as caught:
        reassembler.receive_frame(second)
    assert caught.value.code == "bad-sequence"
    assert reassembler.pending_octets == 0
    assert reassembler.fields_discarded == 1


def test_a_push_whose_end_was_lost_gives_way_to_the_next() -> None:
    reassembler = HdlcReassembler()
    reassembler.receive_frame(_ui(b"\xe6\xe7\x00old", more=True))
    assert reassembler.receive_frame(_ui(b"\xe6\xe7\x00new", more=True)) is None
    assert reassembler.receive_frame(_ui(b"er", more=False)) == b"\xe6\xe7\x00newer"
    assert reassembler.fields_discarded == 1


def test_limits() -> None:
    reassembler = HdlcReassembler(max_octets=10)
    reassembler.receive_frame(_ui(b"12345", more=True))
    with pytest.raises(LimitError):
        reassembler.receive_frame(_ui(b"678901", more=True))
    assert reassembler.pending_octets == 0
    with pytest.raises(LimitError):
        reassembler.receive_frame(_ui(bytes(11), more=False))
    for upper in range(100):
        reassembler.receive_frame(_ui(b"1234567890", more=True, source=HdlcAddress(upper)))
    assert reassembler.pending_octets <= 80


def test_a_segment_without_information_brings_a_field_no_further() -> None:
    reassembler = HdlcReassembler()
    for begun in (False, True):
        if begun:
            reassembler.receive_frame(_ui(b"a", more=True))
        with pytest.raises(FramingError) as caught:
            reassembler.receive_frame(_ui(b"", more=True))
        assert caught.value.code == "empty-segment"
        assert not reassembler.pending_pairs
    # Nothing follows the last one, so it may be empty.
    reassembler.receive_frame(_ui(b"a", more=True))
    assert reassembler.pending_pairs == {(CLIENT, METER)}
    assert reassembler.receive_frame(_ui(b"", more=False)) == b"a"


def test_reset() -> None:
    reassembler = HdlcReassembler()
    reassembler.receive_frame(_ui(b"old", more=True))
    reassembler.reset()
    assert reassembler.receive_frame(_ui(b"new", more=False)) == b"new"


def test_other_frames_carry_no_segments() -> None:
    with pytest.raises(LocalProtocolError):
        HdlcReassembler().receive_frame(HdlcFrame(CLIENT, METER, Control(K.RR)))
