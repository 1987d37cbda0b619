"""Wrapper frames, split in every way, and headers that are wrong."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hes_protocol.errors import FramingError, LocalProtocolError
from hes_protocol.wrapper import WrapperFrame, WrapperReceiver

pytestmark = pytest.mark.conformance("wrapper-tcp", "client", "server")

FRAMES = [
    WrapperFrame(1, 16, b"\xc4"),
    WrapperFrame(16, 1, bytes(range(256)) * 3),
    WrapperFrame(0xFFFF, 0, b"\x00\x01\x00\x10\x00\x01\x00\x02"),
]
STREAM = b"".join(frame.to_octets() for frame in FRAMES)


def _receive(receiver: WrapperReceiver) -> list[WrapperFrame]:
    return list(iter(receiver.next_frame, None))


def _feed(
    receiver: WrapperReceiver, stream: bytes, size: int, received: list[WrapperFrame]
) -> None:
    for begin in range(0, len(stream), size):
        receiver.receive_data(stream[begin : begin + size])
        received.extend(iter(receiver.next_frame, None))


def test_octets_of_a_frame() -> None:
    frame = WrapperFrame(1, 16, b"\xc4\x01\xc1")
    assert frame.to_octets() == bytes.fromhex("0001 0001 0010 0003 c401c1")


@pytest.mark.parametrize("size", [1, 2, 7, 8, 9, 100, len(STREAM)])
def test_any_split_gives_the_same_frames(size: int) -> None:
    receiver = WrapperReceiver(1024)
    received: list[WrapperFrame] = []
    _feed(receiver, STREAM, size, received)
    assert received == FRAMES
    assert receiver.offset == len(STREAM)
    assert receiver.buffered_octets == 0


def test_truncated_at_each_octet_gives_whole_frames_only() -> None:
    for end in range(len(STREAM)):
        receiver = WrapperReceiver(1024)
        receiver.receive_data(STREAM[:end])
        received = _receive(receiver)
        assert received == FRAMES[: len(received)]
        assert receiver.offset + receiver.buffered_octets == end


@pytest.mark.parametrize(
    ("header", "code", "place"),
    [
        ("0002000100100001", "bad-version", 0),
        ("7ea0", "bad-version", 0),
        ("01", "bad-version", 0),
        ("0001000100100000", "bad-length", 6),
        ("0001000100100401", "too-long", 6),
    ],
)
def test_a_wrong_header_ends_the_stream(header: str, code: str, place: int) -> None:
    stream = FRAMES[0].to_octets() + bytes.fromhex(header) + STREAM
    for size in (1, len(stream)):
        receiver = WrapperReceiver(1024)
        received: list[WrapperFrame] = []
        with pytest.raises(FramingError) as caught:
            _feed(receiver, stream, size, received)
        assert received == FRAMES[:1]
        assert (caught.value.code, caught.value.offset) == (code, 9 + place)
        receiver.receive_data(STREAM)
        with pytest.raises(FramingError) as again:
            receiver.next_frame()
        assert again.value is caught.value
        assert receiver.buffered_octets == 0


@given(st.binary(max_size=100), st.integers(1, 20))
def test_arbitrary_octets(octets: bytes, size: int) -> None:
    receiver = WrapperReceiver(50)
    for begin in range(0, len(octets), size):
        receiver.receive_data(octets[begin : begin + size])
        try:
            _receive(receiver)
        except FramingError as error:
            lost = error
            break
    else:
        return
    assert lost.offset is not None
    assert lost.offset < len(octets)


@pytest.mark.parametrize(
    "frame",
    [
        WrapperFrame(-1, 1, b"\x00"),
        WrapperFrame(1, 0x10000, b"\x00"),
        WrapperFrame(1, 1, b""),
        WrapperFrame(1, 1, bytes(0x10000)),
    ],
)
def test_what_is_no_frame(frame: WrapperFrame) -> None:
    with pytest.raises(LocalProtocolError):
        frame.to_octets()
