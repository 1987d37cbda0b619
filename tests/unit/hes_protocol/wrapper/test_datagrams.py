"""The wrapper over UDP: what is one frame is taken, and nothing else does any harm."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hes_protocol.client import Associate, AssociationAccepted, Client, Get, GetCompleted
from hes_protocol.errors import FramingError
from hes_protocol.server import Server
from hes_protocol.wrapper import WrapperDatagramLink, WrapperFrame
from tests import connection_pair as pairs
from tests.connection_pair import ConnectionPair

pytestmark = pytest.mark.conformance("wrapper-udp", "client", "server")


def frame(source: int, destination: int, apdu: bytes = b"\x01\x02") -> bytes:
    return WrapperFrame(source, destination, apdu).to_octets()


@pytest.mark.parametrize(
    ("datagram", "code"),
    [
        (b"", "truncated"),
        (frame(1, 16)[:7], "truncated"),
        (frame(1, 16)[:-1], "truncated"),
        (frame(1, 16) + b"\x00", "left-over"),
        (frame(1, 16) * 2, "left-over"),
        (b"\x00\x02" + frame(1, 16)[2:], "bad-version"),
        (frame(1, 16)[:6] + bytes(2), "bad-length"),
        (frame(1, 16, bytes(101)), "too-long"),
    ],
)
def test_a_datagram_is_one_frame(datagram: bytes, code: str) -> None:
    with pytest.raises(FramingError, match=code):
        WrapperFrame.from_datagram(datagram, 100)
    link = WrapperDatagramLink(16, 1, max_apdu=100)
    link.receive_data(datagram)
    link.receive_data(frame(1, 16))
    assert (link.next_apdu(), link.next_apdu()) == (b"\x01\x02", None)
    assert link.frames_discarded == 1


@given(st.lists(st.binary(max_size=40), max_size=40))
def test_datagrams_of_any_kind_do_no_harm(datagrams: list[bytes]) -> None:
    link = WrapperDatagramLink(16)
    for datagram in datagrams:
        link.receive_data(datagram)
    link.receive_data(frame(7, 16, b"x"))
    apdus = list(iter(link.next_apdu, None))
    assert apdus[-1] == b"x"
    assert (link.peer_sap, link.wrap(b"y")) == (7, frame(16, 7, b"y"))


def test_frames_of_others_and_what_nobody_fetches_is_dropped() -> None:
    link = WrapperDatagramLink(16, 1)
    for datagram in (frame(2, 16), frame(1, 17)):
        link.receive_data(datagram)
    assert (link.next_apdu(), link.frames_discarded) == (None, 2)
    for number in range(20):
        link.receive_data(frame(1, 16, bytes([number])))
    assert link.frames_discarded == 6
    assert list(iter(link.next_apdu, None)) == [bytes([n]) for n in range(4, 20)]


def test_a_session_by_datagrams() -> None:
    settings = pairs.client_settings()
    counters: dict[int, int] = {}
    server = Server(
        {1: pairs.server_association()},
        WrapperDatagramLink(1),
        server_sap=1,
        system_title=pairs.SERVER_TITLE,
        next_counter=lambda: 1,
        next_challenge=lambda: pairs.STOC,
        client_counters=counters,
    )
    client = Client(settings, WrapperDatagramLink(1, 1), lambda: 1)
    pair = ConnectionPair(client, server, counters)
    assert isinstance(pair.ask(Associate())[-1], AssociationAccepted)
    octets = client.send(Get(pairs.CLOCK))  # it gets lost
    client.abandon()
    server.receive_data(octets[:-1])
    assert isinstance(pair.ask(Get(pairs.CLOCK))[-1], GetCompleted)
