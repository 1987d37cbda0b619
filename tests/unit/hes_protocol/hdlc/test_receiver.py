"""Streams of frames: split, truncated, with noise, begun in the middle."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hes_protocol.errors import FramingError
from hes_protocol.hdlc import Control, ControlKind, HdlcAddress, HdlcFrame, HdlcReceiver, fcs16
from tests.cost import assert_within_budget

K = ControlKind
CLIENT = HdlcAddress(16)
SERVER = HdlcAddress(1, 17)
FRAMES = [
    HdlcFrame(SERVER, CLIENT, Control(K.SNRM)),
    HdlcFrame(CLIENT, SERVER, Control(K.I), True, b"\xe6\xe7\x00\x7e\xa0\x7e\x7e" * 9),
    HdlcFrame(CLIENT, SERVER, Control(K.RR)),
    HdlcFrame(CLIENT, SERVER, Control(K.UI), False, bytes(range(256))),
]
STREAM = b"".join(frame.to_octets() for frame in FRAMES)

Outcome = HdlcFrame | tuple[str, int | None]


def _drain(receiver: HdlcReceiver) -> list[Outcome]:
    outcomes: list[Outcome] = []
    while True:
        try:
            frame = receiver.next_frame()
        except FramingError as error:
            outcomes.append((error.code, error.offset))
            continue
        if frame is None:
            return outcomes
        outcomes.append(frame)


def _receive(stream: bytes, size: int = 1 << 20, *, end: bool = False) -> list[Outcome]:
    receiver = HdlcReceiver()
    outcomes: list[Outcome] = []
    for begin in range(0, len(stream), size):
        receiver.receive_data(stream[begin : begin + size])
        outcomes += _drain(receiver)
    if end:
        receiver.receive_end()
        outcomes += _drain(receiver)
        assert receiver.next_frame() is None
    return outcomes


@pytest.mark.parametrize("size", [1, 2, 3, 11, 1000])
def test_any_split_gives_the_same_frames(size: int) -> None:
    assert _receive(STREAM, size, end=True) == FRAMES


@pytest.mark.parametrize("size", [1, 1000])
def test_shared_missing_and_repeated_flags(size: int) -> None:
    inner = [frame.to_octets()[1:-1] for frame in FRAMES]
    for stream in (
        b"\x7e" + b"\x7e".join(inner) + b"\x7e",
        b"\x7e\x7e\x7e" + b"\x7e\x7e\x7e\x7e".join(inner) + b"\x7e\x7e",
        b"".join(inner),
    ):
        assert _receive(stream, size, end=True) == FRAMES


def test_a_frame_is_given_with_its_last_octet() -> None:
    receiver = HdlcReceiver()
    receiver.receive_data(FRAMES[0].to_octets()[:-2])
    assert receiver.next_frame() is None
    assert receiver.buffered_octets
    receiver.receive_data(FRAMES[0].to_octets()[-2:-1])
    assert receiver.next_frame() == FRAMES[0]
    assert receiver.buffered_octets == 0


def test_truncated_at_each_octet() -> None:
    for end in range(len(STREAM)):
        outcomes = _receive(STREAM[:end], end=True)
        frames = [outcome for outcome in outcomes if isinstance(outcome, HdlcFrame)]
        assert frames == FRAMES[: len(frames)]
        # The end is at a frame's border, or one frame is truncated.
        assert [outcome[0] for outcome in outcomes[len(frames) :]] in ([], ["truncated"])  # type: ignore[index]


@pytest.mark.conformance("hdlc-resynchronisation", "client", "server")
def test_beginning_in_the_middle() -> None:
    """Whatever is left of the first frame, the others are found; nothing else is made up."""
    first = FRAMES[3].to_octets()
    for begin in range(1, len(first)):
        outcomes = _receive(first[begin:] + STREAM, end=True)
        frames = [outcome for outcome in outcomes if isinstance(outcome, HdlcFrame)]
        assert frames in (FRAMES, [FRAMES[3], *FRAMES])


@pytest.mark.conformance("hdlc-resynchronisation", "client", "server")
@pytest.mark.parametrize("size", [1, 5, 10_000])
@pytest.mark.parametrize(
    "noise", [b"\x00", b"\xff\x7e\x00", b"\x7e\xa0", b"\x7e\xa7\xff\x03", b"\xa0"]
)
def test_noise_between_frames_costs_no_frame(noise: bytes, size: int) -> None:
    stream = b"".join(frame.to_octets() + noise for frame in FRAMES)
    outcomes = _receive(stream, size, end=True)
    assert [outcome for outcome in outcomes if isinstance(outcome, HdlcFrame)] == FRAMES
    assert outcomes == _receive(stream, end=True)


@pytest.mark.conformance("hdlc-resynchronisation", "client", "server")
@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_each_changed_octet_costs_one_frame_and_one_error(size: int) -> None:
    octets = FRAMES[1].to_octets()
    for place in range(1, len(octets) - 1):
        changed = bytearray(octets)
        changed[place] ^= 0x04
        stream = FRAMES[0].to_octets() + changed + FRAMES[2].to_octets() * 300
        outcomes = _receive(stream, size)
        errors = [outcome for outcome in outcomes if not isinstance(outcome, HdlcFrame)]
        assert outcomes[0] == FRAMES[0]
        assert outcomes[-1] == FRAMES[2]
        assert [outcome[1] for outcome in errors] == [len(FRAMES[0].to_octets()) + 1]
        assert len(outcomes) == 302


@pytest.mark.conformance("hdlc-resynchronisation", "client", "server")
def test_a_frame_cut_short_is_followed_by_whole_ones() -> None:
    cut = FRAMES[3].to_octets()[:100]
    outcomes = _receive(cut + FRAMES[1].to_octets() * 4, end=True)
    assert outcomes == [("bad-fcs", 1)] + [FRAMES[1]] * 4


def test_longer_than_is_taken() -> None:
    receiver = HdlcReceiver(max_frame=128)
    receiver.receive_data(FRAMES[3].to_octets() + FRAMES[1].to_octets())
    assert _drain(receiver) == [("too-long", 1), FRAMES[1]]


def test_the_end_within_a_frame() -> None:
    receiver = HdlcReceiver()
    receiver.receive_data(FRAMES[0].to_octets() + FRAMES[3].to_octets()[:50])
    assert receiver.next_frame() == FRAMES[0]
    assert receiver.next_frame() is None
    assert receiver.buffered_octets == 49
    receiver.receive_end()
    with pytest.raises(FramingError) as caught:
        receiver.next_frame()
    assert (caught.value.code, caught.value.offset) == ("truncated", 11)
    assert receiver.next_frame() is None


def test_only_noise_is_silent_until_a_flag() -> None:
    receiver = HdlcReceiver()
    receiver.receive_data(b"\x00\x01\xa0\x02" * 100)
    receiver.receive_end()
    assert receiver.next_frame() is None
    assert receiver.octets_skipped == 400


@given(
    st.lists(st.sampled_from([b"\x7e", b"\xa0", b"\x03", STREAM, b"\x00"]) | st.binary(max_size=30))
)
def test_any_stream_gives_the_same_however_it_is_split(parts: list[bytes]) -> None:
    stream = b"".join(parts)
    whole = _receive(stream, end=True)
    assert _receive(stream, 1, end=True) == whole
    assert _receive(stream, 13, end=True) == whole


def _nested_headers() -> bytes:
    header = b"\xaf\xff\x03\x21\x10"
    return b"\x7e" + header + fcs16(header).to_bytes(2, "little")


@pytest.mark.parametrize(
    "stream",
    [
        FRAMES[2].to_octets() * 6500,
        b"\x7e" * 65_000,
        b"\x7e\xa0" * 32_500,
        b"\x7e\x00" * 32_500,
        b"\x7e\xa7\xff\x03\x21\x10\x00\x00" * 8000,
        _nested_headers() * 8000,
        bytes(range(256)) * 256,
    ],
    ids=["frames", "flags", "formats", "noise", "bad headers", "good headers", "ramp"],
)
def test_time(stream: bytes) -> None:
    def receive() -> None:
        receiver = HdlcReceiver()
        receiver.receive_data(stream)
        done = False
        while not done:
            with suppress(FramingError):
                done = receiver.next_frame() is None

    assert_within_budget(receive, len(stream))
