"""M-Bus long frames: both directions, any split, the overflown length, noise, limits."""

from __future__ import annotations

import time
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hes_protocol.errors import FramingError, LimitError, LocalProtocolError
from hes_protocol.mbus import MBusFragmenter, MBusFrame, MBusReassembler, MBusReceiver

pytestmark = pytest.mark.conformance("mbus", "client", "server")

APDU = bytes(range(256)) * 2
STREAM = MBusFragmenter().to_octets(APDU)
LONG = MBusFrame(b"\x0f" * 100, last=False)

Outcome = MBusFrame | tuple[str, int | None]


def overflown(data: bytes, ci: int = 0x00) -> bytes:
    """A frame of more than 255 octets, its length counted modulo 256."""
    body = bytes((0x53, 0xFF, ci, 0x01, 0x67)) + data
    length = len(body) & 0xFF
    return bytes((0x68, length, length, 0x68)) + body + bytes((sum(body) & 0xFF, 0x16))


def receive(stream: bytes, size: int = 1 << 20, *, end: bool = True) -> list[Outcome]:
    receiver = MBusReceiver()
    outcomes: list[Outcome] = []

    def drain() -> None:
        while True:
            try:
                frame = receiver.next_frame()
            except FramingError as error:
                outcomes.append((error.code, error.offset))
                continue
            if frame is None:
                return
            outcomes.append(frame)

    for begin in range(0, len(stream), size):
        receiver.receive_data(stream[begin : begin + size])
        drain()
    if end:
        receiver.receive_end()
        drain()
        assert receiver.buffered_octets == 0
    return outcomes


def test_the_frame_as_kaifa_ma309_sends_it() -> None:
    octets = MBusFrame(b"\xdb\x08", 1, last=True).to_octets()
    assert octets.hex() == "680707685" + "3ff110167db08ae16"
    assert receive(octets) == [MBusFrame(b"\xdb\x08", 1, last=True)]


@given(st.binary(min_size=1, max_size=6000), st.integers(1, 250), st.integers(1, 300))
def test_what_is_cut_is_joined(apdu: bytes, max_data: int, size: int) -> None:
    reassembler = MBusReassembler()
    apdus = []
    for frame in receive(MBusFragmenter(max_data=max_data).to_octets(apdu), size):
        assert isinstance(frame, MBusFrame)
        apdus.append(reassembler.receive_frame(frame))
    assert apdus[-1] == apdu
    assert set(apdus[:-1]) <= {None}
    assert not reassembler.pending


@pytest.mark.parametrize("size", [1, 2, 3, 7, 250, 1000])
@pytest.mark.parametrize("octets", [251, 252, 253, 300, 480, 506])
def test_a_length_that_has_overflown_is_told_by_the_end_of_the_frame(
    octets: int, size: int
) -> None:
    data = (b"\x16\x00\x68\x16\x17" * 150)[:octets]
    stream = overflown(data) + MBusFrame(b"rest", 1).to_octets()
    assert receive(stream, size) == [MBusFrame(data, last=False), MBusFrame(b"rest", 1)]
    assert MBusFrame(data, last=False).to_octets() == overflown(data)


@pytest.mark.parametrize("size", [1, 5, 1000])
def test_noise_before_between_and_behind_is_skipped(size: int) -> None:
    noise = b"\x10\x40\xf0\x30\x16\xe5\x68\x68"
    stream = noise + STREAM + noise + STREAM + noise
    frames = receive(STREAM)
    assert receive(stream, size) == [*frames, *frames]


@pytest.mark.parametrize("at", range(4, 4 + 5 + 100 + 1))
def test_a_flipped_octet_costs_one_frame(at: int) -> None:
    bad = bytearray(LONG.to_octets())
    bad[at] ^= 0x5A
    follower = MBusFrame(b"\x01" * 200, 1)
    outcomes = receive(bytes(bad) + follower.to_octets() * 2)
    assert outcomes[0] == ("bad-checksum", 0)
    assert outcomes[1:] == [follower, follower]


def test_a_bad_frame_is_told_at_once_when_another_begins_behind_it() -> None:
    bad = bytearray(LONG.to_octets())
    bad[20] ^= 1
    outcomes = receive(bytes(bad) + LONG.to_octets(), end=False)
    assert outcomes == [("bad-checksum", 0), LONG]


@pytest.mark.parametrize("end", range(4, len(LONG.to_octets())))
def test_a_frame_that_is_cut_is_truncated(end: int) -> None:
    assert receive(LONG.to_octets()[:end]) == [("truncated", 0)]
    assert receive(LONG.to_octets()[:end], end=False) == []


@pytest.mark.parametrize(
    ("octets", "code"),
    [
        ("680303680801727b16", "unknown-ci"),  # a meter's answer with data records
        ("6803036853ff005216", "bad-length"),
        ("6806066853ff0001670fc917", "bad-stop"),
        ("6806066853ff0001670f0016", "bad-checksum"),
        ("6801016853ff0001670fc916", "truncated"),
    ],
)
def test_what_is_no_piece_of_an_apdu(octets: str, code: str) -> None:
    assert receive(bytes.fromhex(octets)) == [(code, 0)]


def test_a_frame_above_the_limit_is_refused() -> None:
    receiver = MBusReceiver(max_frame=100)
    receiver.receive_data(LONG.to_octets())
    with pytest.raises(FramingError, match="too-long"):
        receiver.next_frame()


def test_pieces_of_two_senders_do_not_mix() -> None:
    reassembler = MBusReassembler()
    for destination in (0x67, 0x66):
        frame = MBusFrame(bytes((destination,)), 0, last=False, destination_sap=destination)
        assert reassembler.receive_frame(frame) is None
    assert reassembler.pending_octets == 2
    assert reassembler.receive_frame(MBusFrame(b"!", 1, destination_sap=0x66)) == b"\x66!"
    assert reassembler.receive_frame(MBusFrame(b"?", 1)) == b"\x67?"


def test_a_lost_piece_loses_its_apdu_only() -> None:
    reassembler = MBusReassembler()
    assert reassembler.receive_frame(MBusFrame(b"1", 0, last=False)) is None
    with pytest.raises(FramingError, match="bad-sequence"):
        reassembler.receive_frame(MBusFrame(b"3", 2))
    assert not reassembler.pending
    with pytest.raises(FramingError, match="bad-sequence"):
        reassembler.receive_frame(MBusFrame(b"stray", 1))
    assert reassembler.receive_frame(MBusFrame(b"a", 0, last=False)) is None
    assert reassembler.receive_frame(MBusFrame(b"b", 0, last=False)) is None
    assert reassembler.apdus_discarded == 2
    assert reassembler.receive_frame(MBusFrame(b"c", 1)) == b"bc"
    with pytest.raises(FramingError, match="empty-segment"):
        reassembler.receive_frame(MBusFrame(b"", 0, last=False))


def test_memory_is_bounded() -> None:
    reassembler = MBusReassembler(max_octets=1000)
    for piece in range(4):
        reassembler.receive_frame(MBusFrame(b"x" * 240, piece, last=False))
    with pytest.raises(LimitError, match="too-long"):
        reassembler.receive_frame(MBusFrame(b"x" * 240, 4, last=False))
    assert not reassembler.pending
    for sap in range(100):
        reassembler.receive_frame(MBusFrame(b"x" * 240, 0, last=False, source_sap=sap))
    assert reassembler.pending_octets <= 8 * 240
    reassembler.reset()
    assert not reassembler.pending


def test_what_cannot_be_sent() -> None:
    with pytest.raises(LocalProtocolError):
        MBusFragmenter().to_octets(b"")
    with pytest.raises(LocalProtocolError):
        MBusFragmenter(max_data=251).to_octets(b"x")
    with pytest.raises(LocalProtocolError):
        MBusFrame(bytes(507)).to_octets()


@given(st.lists(st.sampled_from([b"\x68", b"\x16", b"\x68\x16\x16\x68", b"\x01"]), max_size=300))
def test_hostile_streams_raise_framing_errors_only_and_any_split_is_the_same(
    parts: list[bytes],
) -> None:
    stream = b"".join(parts)
    assert receive(stream, 1) == receive(stream, 3)


@pytest.mark.parametrize(
    "pattern", [b"\x68\x16\x16\x68", b"\x68", b"\x68\xff\xff\x68\x16", b"\x16" * 4 + b"\x68"]
)
def test_the_worst_stream_costs_linear_time(pattern: bytes) -> None:
    stream = (pattern * 65_536)[:65_536]
    receiver = MBusReceiver()
    begin = time.process_time()
    receiver.receive_data(stream)
    receiver.receive_end()
    while True:
        with suppress(FramingError):
            if receiver.next_frame() is None:
                break
    assert time.process_time() - begin < 0.5
