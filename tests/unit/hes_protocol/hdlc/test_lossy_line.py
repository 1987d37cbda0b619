"""Two links over a line that loses, doubles, damages and invents: once, in order, or an error."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hes_protocol.errors import FramingError
from hes_protocol.hdlc import HdlcAddress, HdlcLink, HdlcServerLink, LinkParameters
from tests.hdlc_line import HdlcLine

pytestmark = [
    pytest.mark.conformance("hdlc-retransmission", "client", "server"),
    pytest.mark.conformance("hdlc-resynchronisation", "client", "server"),
    pytest.mark.conformance("hdlc-windows", "client", "server"),
]


@attrs.define
class BadWay:
    """
    Each frame meets a fault with `probability`.

    At most three bits of a frame are damaged: the check sequence sees that without exception.
    """

    random: Random
    probability: float
    piece_octets: int

    def __call__(self, octets: bytes) -> Iterator[bytes]:
        arriving = b"".join(map(self._meet, _frames_of(octets)))
        for place in range(0, len(arriving), self.piece_octets):
            yield arriving[place : place + self.piece_octets]

    def _meet(self, frame: bytes) -> bytes:
        if self.random.random() >= self.probability:
            return frame
        match self.random.randrange(5):
            case 0:
                return b""
            case 1:
                return frame + frame
            case 2:
                damaged = bytearray(frame)
                for _ in range(self.random.randint(1, 3)):
                    damaged[self.random.randrange(len(frame))] ^= 1 << self.random.randrange(8)
                return bytes(damaged)
            case 3:
                return frame[: self.random.randrange(len(frame))]
            case _:
                return self.random.randbytes(self.random.randint(1, 20)) + frame


def _frames_of(octets: bytes) -> Iterator[bytes]:
    while octets:
        length = (octets[1] & 7) << 8 | octets[2]
        yield octets[: length + 2]
        octets = octets[length + 2 :]


ADDRESSES = st.sampled_from(
    [HdlcAddress(1), HdlcAddress(16, 17), HdlcAddress(1, 0, 4), HdlcAddress(300, 0x3FFE)]
)
PARAMETERS = st.builds(
    LinkParameters,
    st.integers(8, 300),
    st.integers(8, 300),
    st.integers(1, 7),
    st.integers(1, 7),
)
# In the shortest fields that is eight turns of the sequence numbers, in the longest one frame.
SIZES = st.lists(st.tuples(st.integers(1, 500), st.integers(1, 500)), min_size=1, max_size=5)


@settings(max_examples=150)
@given(
    ADDRESSES, ADDRESSES, PARAMETERS, PARAMETERS, SIZES,
    st.sampled_from([0.0, 0.03, 0.1, 0.3]), st.sampled_from([1, 7, 4096]), st.randoms(),
)  # fmt: skip
def test_each_apdu_arrives_once_and_in_order(
    client: HdlcAddress,
    server: HdlcAddress,
    proposal: LinkParameters,
    offer: LinkParameters,
    sizes: list[tuple[int, int]],
    probability: float,
    piece_octets: int,
    random: Random,
) -> None:
    asked = [bytes([number]) * size for number, (size, _) in enumerate(sizes)]
    answered = [bytes([number]) * size for number, (_, size) in enumerate(sizes)]
    line = HdlcLine(
        HdlcLink(client, server, proposal, max_retries=6),
        HdlcServerLink(server, offer),
        answer=lambda apdu: answered[apdu[0]],
        to_server=BadWay(random, probability, piece_octets),
        to_client=BadWay(random, probability, piece_octets),
    )
    error = None
    try:
        for apdu in asked:
            line.ask(apdu)
    except FramingError as raised:
        error = raised
    assert error is None or error.code == "no-answer"
    assert error is None or probability > 0
    heard = [apdu for _, apdu in line.requests]
    assert heard == asked[: len(heard)]
    assert line.answers == answered[: len(line.answers)]
    assert error is not None or (heard, line.answers) == (asked, answered)


def test_most_links_survive_a_bad_line() -> None:
    """Not only typed errors: a line with a fault in one frame of ten is a working line."""
    lost = 0
    for seed in range(60):
        way = BadWay(Random(seed), 0.1, 4096)
        line = HdlcLine(
            HdlcLink(HdlcAddress(1), HdlcAddress(1), LinkParameters(128, 128, 7, 7)),
            HdlcServerLink(HdlcAddress(1), LinkParameters(128, 128, 7, 7)),
            to_server=way,
            to_client=way,
        )
        try:
            for number in range(5):
                line.ask(bytes([number]) * 2000)
        except FramingError:
            lost += 1
    assert lost <= 1
