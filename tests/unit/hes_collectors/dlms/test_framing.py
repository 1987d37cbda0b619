"""Octets of an inbound connection into messages, however they are sliced."""

from __future__ import annotations

import attrs
import pytest

from hes_collectors.dlms import InboundLimits
from hes_collectors.dlms.framing import (
    BlockFramer,
    Framer,
    HdlcFramer,
    Message,
    WrapperFramer,
    framer_for,
)
from hes_protocol._general_blocks import one_way
from hes_protocol.errors import FramingError, LimitError, RemoteProtocolError
from hes_protocol.hdlc import Control, ControlKind, HdlcAddress, HdlcFrame
from hes_protocol.mbus import MBusFragmenter, MBusFrame
from hes_protocol.wrapper import WrapperFrame
from tests.unit.hes_collectors.pushes import hdlc, notification, wrapped

APDU = notification()
LIMITS = InboundLimits()


def read(framer: Framer, octets: bytes, slice_octets: int) -> tuple[list[Message], list[str]]:
    messages: list[Message] = []
    errors: list[str] = []
    for at in range(0, len(octets), slice_octets):
        framer.receive_data(octets[at : at + slice_octets])
        while True:
            try:
                message = framer.next_message()
            except RemoteProtocolError as error:
                errors.append(error.code)
                if framer.bad_frames == 1:
                    return messages, errors
                continue
            if message is None:
                break
            messages.append(message)
    return messages, errors


def blocks(apdu: bytes, size: int) -> list[bytes]:
    """As Landis+Gyr sends them: streaming, window 0, nobody acknowledges."""
    return [block.encode() for block in one_way(apdu, size)]


STREAMS = {
    "wrapper": wrapped(APDU) * 3,
    "hdlc": hdlc(APDU) * 3,
    "segments of UI frames": hdlc(APDU, segment_octets=20) * 3,
    "segments of I frames": hdlc(APDU, segment_octets=20, kind=ControlKind.I) * 3,
    "mbus": MBusFragmenter().to_octets(APDU) * 3,
    "pieces of M-Bus": MBusFragmenter(max_data=20).to_octets(APDU) * 3,
    "blocks on HDLC": b"".join(hdlc(block) for block in blocks(APDU, 30)) * 3,
    "blocks on M-Bus": b"".join(MBusFragmenter().to_octets(b) for b in blocks(APDU, 30)) * 3,
    "blocks in the wrapper": b"".join(wrapped(block) for block in blocks(APDU, 30)) * 3,
}


@pytest.mark.parametrize("name", STREAMS)
@pytest.mark.parametrize("slice_octets", [1, 2, 7, 10_000])
def test_slices_make_no_difference(name: str, slice_octets: int) -> None:
    stream = STREAMS[name]
    framer = framer_for(stream[0], LIMITS)
    messages, errors = read(framer, stream, slice_octets)
    assert [message.apdu for message in messages] == [APDU] * 3
    assert b"".join(message.frames for message in messages) == stream
    assert errors == []
    assert not framer.pending


@pytest.mark.parametrize("name", STREAMS)
def test_what_has_begun_is_pending(name: str) -> None:
    stream = STREAMS[name][: len(STREAMS[name]) // 3]
    for end in range(2, len(stream)):
        framer = framer_for(stream[0], LIMITS)
        messages, errors = read(framer, stream[:end], end)
        complete = messages != []
        assert framer.pending is not complete, end
        assert errors == []


@pytest.mark.parametrize("first", [0x01, 0x16, 0x47, 0xFF])
def test_other_framings_are_refused(first: int) -> None:
    with pytest.raises(FramingError) as caught:
        framer_for(first, LIMITS)
    assert (caught.value.code, caught.value.offset) == ("unknown-framing", 0)


@pytest.mark.parametrize(
    ("octets", "code"),
    [
        (b"\x00\x02\x00\x01\x00\x10\x00\x05hello", "bad-version"),
        (b"\x00\x01\x00\x01\x00\x10\x00\x00", "bad-length"),
        (b"\x00\x01\x00\x01\x00\x10\xff\xff", "too-long"),
    ],
)
def test_a_bad_wrapper_header_loses_the_stream(octets: bytes, code: str) -> None:
    framer = WrapperFramer(InboundLimits(max_apdu_octets=1000))
    framer.receive_data(octets + wrapped(APDU))
    for _ in range(2):
        with pytest.raises(FramingError) as caught:
            framer.next_message()
        assert caught.value.code == code
    assert framer.bad_frames == 1


def test_a_bad_hdlc_frame_is_dropped_and_the_next_one_read() -> None:
    bad = bytearray(hdlc(APDU))
    bad[-3] ^= 1
    messages, errors = read(HdlcFramer(LIMITS), bytes(bad) + hdlc(APDU), 10_000)
    assert errors == ["bad-fcs"]
    assert [message.apdu for message in messages] == [APDU]


def test_a_lost_segment_loses_its_message_only() -> None:
    frames = hdlc(APDU, segment_octets=20).split(b"\x7e\x7e")
    assert len(frames) > 3
    rest = b"\x7e" + b"\x7e\x7e".join(frames[:-2]).lstrip(b"\x7e") + b"\x7e"
    messages, errors = read(HdlcFramer(LIMITS), rest + hdlc(APDU), 10_000)
    assert [message.apdu for message in messages] == [APDU]
    # The octets of the lost message do not stand with the next one.
    assert messages[0].frames == hdlc(APDU)
    assert errors == []


def test_information_without_llc_is_a_bad_frame() -> None:
    frame = HdlcFrame(HdlcAddress(16), HdlcAddress(1), Control(ControlKind.UI), information=APDU)
    assert read(HdlcFramer(LIMITS), frame.to_octets(), 10_000) == ([], ["bad-llc"])


def test_later_blocks_may_come_without_llc() -> None:
    block = b"\xe0\x40\x00\x02\x00\x00\x01\xff"
    frame = HdlcFrame(HdlcAddress(16), HdlcAddress(1), Control(ControlKind.UI), information=block)
    messages, errors = read(HdlcFramer(LIMITS), frame.to_octets(), 10_000)
    assert ([message.apdu for message in messages], errors) == ([block], [])


def test_frames_of_the_link_layer_are_passed_over() -> None:
    snrm = HdlcFrame(HdlcAddress(1), HdlcAddress(16), Control(ControlKind.SNRM)).to_octets()
    messages, errors = read(HdlcFramer(LIMITS), snrm + hdlc(APDU), 3)
    assert ([message.apdu for message in messages], errors) == ([APDU], [])


def test_noise_without_frames_has_an_end() -> None:
    framer = HdlcFramer(InboundLimits(max_frame_octets=200))
    messages, errors = read(framer, b"\x7e" + b"\x55" * 700, 10)
    assert messages == []
    assert errors[0] == "bad-format"
    assert errors.count("no-frame") == 3


def test_segments_do_not_add_up_without_end() -> None:
    framer = HdlcFramer(InboundLimits(max_apdu_octets=50))
    framer.receive_data(hdlc(APDU, segment_octets=20))
    with pytest.raises(LimitError):
        framer.next_message()
    assert framer._frames.octets == 0


def _segment(information: bytes, upper: int = 1) -> bytes:
    return HdlcFrame(
        HdlcAddress(16), HdlcAddress(upper), Control(ControlKind.UI), True, information
    ).to_octets()


def test_segments_without_information_are_refused() -> None:
    framer = HdlcFramer(LIMITS)
    messages, errors = read(framer, _segment(b"") * 100, 1000)
    assert (messages, set(errors)) == ([], {"empty-segment"})
    assert len(errors) == 100
    assert not framer.pending
    assert framer._frames.octets == 0


def test_the_frames_of_a_message_have_a_budget() -> None:
    """Segments of one octet: their frames are thirteen times what they carry."""
    framer = HdlcFramer(InboundLimits(max_apdu_octets=1000))
    held = []
    for _ in range(2000):
        framer.receive_data(_segment(b"x"))
        try:
            assert framer.next_message() is None
        except LimitError:
            assert framer._frames.octets == 0
            assert framer._reassembler.pending_octets == 0
        held.append(framer._frames.octets)
    assert max(held) <= 2 * 1000 + LIMITS.max_frame_octets


def test_frames_are_collected_in_place() -> None:
    """Joining them anew with each segment would cost the square of their number."""
    framer = HdlcFramer(LIMITS)
    collected = set()
    for _ in range(100):
        framer.receive_data(_segment(b"x"))
        assert framer.next_message() is None
        [frames] = framer._frames._frames.values()
        collected.add(id(frames))
    assert len(frames) == 100 * len(_segment(b"x"))
    assert len(collected) == 1


def test_fields_that_others_displaced_are_not_pending() -> None:
    framer = HdlcFramer(LIMITS)
    for upper in range(1, 40):
        framer.receive_data(_segment(b"x", upper))
        assert framer.next_message() is None
    assert framer._frames.octets == 8 * len(_segment(b"x"))
    assert framer._frames._frames.keys() == framer._reassembler.pending_pairs


def test_segments_of_i_frames_that_look_like_llc_keep_their_frames() -> None:
    def segment(number: int, information: bytes) -> bytes:
        return HdlcFrame(
            HdlcAddress(16),
            HdlcAddress(1),
            Control(ControlKind.I, True, number, 0),
            number < 1,
            information,
        ).to_octets()

    octets = segment(0, b"\xe6\xe7\x00a") + segment(1, b"\xe6\xe7\x00b")
    messages, errors = read(HdlcFramer(LIMITS), octets, 10_000)
    assert errors == []
    assert messages == [Message(b"a\xe6\xe7\x00b", octets)]


@pytest.mark.conformance("mbus", "client")
def test_a_lost_piece_of_mbus_costs_its_push_only() -> None:
    pieces = list(MBusFragmenter(max_data=20).frames(APDU))
    stream = b"".join(piece.to_octets() for piece in pieces[:1] + pieces[2:] + pieces)
    framer = framer_for(0x68, LIMITS)
    messages, errors = read(framer, stream, 7)
    assert [message.apdu for message in messages] == [APDU]
    assert errors == ["bad-sequence"] * (len(pieces) - 2)
    assert messages[0].frames == MBusFragmenter(max_data=20).to_octets(APDU)


def test_an_interrupted_push_of_mbus_leaves_nothing_behind() -> None:
    pieces = list(MBusFragmenter(max_data=20).frames(APDU))
    stream = b"".join(piece.to_octets() for piece in pieces[:2] + pieces)
    messages, errors = read(framer_for(0x68, LIMITS), stream, 1000)
    assert [message.frames for message in messages] == [
        b"".join(piece.to_octets() for piece in pieces)
    ]
    assert errors == []


def test_pieces_of_mbus_that_never_end_are_refused() -> None:
    limits = attrs.evolve(LIMITS, max_apdu_octets=1000)
    stream = b"".join(
        MBusFrame(b"x" * 200, number % 16, last=False).to_octets() for number in range(10)
    )
    framer = framer_for(0x68, limits)
    _, errors = read(framer, stream, 1000)
    assert errors[0] == "too-long"


def test_blocks_of_two_senders_do_not_mix_and_a_gap_costs_one_push() -> None:
    ours, theirs = blocks(APDU, 40), blocks(notification(date_time=bytes(12)), 40)
    mixed = b""
    for one, other in zip(ours, theirs, strict=False):
        mixed += wrapped(one) + WrapperFrame(2, 16, other).to_octets()
    mixed += b"".join(WrapperFrame(2, 16, block).to_octets() for block in theirs[len(ours) :])
    framer = framer_for(0, LIMITS)
    messages, errors = read(framer, mixed, 1000)
    assert [m.apdu for m in messages] == [APDU, notification(date_time=bytes(12))]
    assert errors == []
    gap = b"".join(hdlc(block) for block in ours[:1] + ours[2:3] + ours)
    messages, errors = read(framer_for(0x7E, LIMITS), gap, 1000)
    assert [m.apdu for m in messages] == [APDU]
    assert errors == ["block-missing"]


def test_blocks_that_never_end_are_refused() -> None:
    limits = attrs.evolve(LIMITS, max_apdu_octets=1000)
    stream = b"".join(hdlc(block) for block in blocks(bytes(3000), 200)[:-1])
    _, errors = read(framer_for(0x7E, limits), stream, 10_000)
    assert errors[0] == "too-long"


@pytest.mark.parametrize("number", [2, 1000])
def test_blocks_of_many_senders_share_one_budget(number: int) -> None:
    limits = attrs.evolve(LIMITS, max_apdu_octets=1000)
    framer = framer_for(0x00, limits)
    assert isinstance(framer, BlockFramer)
    first, *_ = blocks(bytes(900), 800)
    refused = 0
    for sender in range(number):
        framer.receive_data(WrapperFrame(sender, 16, first).to_octets())
        try:
            assert framer.next_message() is None
        except LimitError:
            refused += 1
            assert not framer.pending
        assert framer._frames.octets <= 2 * 1000 + LIMITS.max_frame_octets
    assert bool(refused) is (number > 2)
