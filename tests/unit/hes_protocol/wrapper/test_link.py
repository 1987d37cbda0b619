"""The wrapper as a link: who is heard, who is answered, what is dropped."""

import pytest

from hes_protocol.errors import FramingError, LocalProtocolError
from hes_protocol.wrapper import WrapperFrame, WrapperLink

pytestmark = pytest.mark.conformance("wrapper-tcp", "client", "server")


def frame(source: int, destination: int, apdu: bytes = b"\x01\x02") -> bytes:
    return WrapperFrame(source, destination, apdu).to_octets()


def test_between_two_saps() -> None:
    link = WrapperLink(16, 1)
    assert link.wrap(b"\x01\x02") == frame(16, 1)
    link.receive_data(frame(1, 16, b"\x03") + frame(1, 16, b"\x04"))
    assert [link.next_apdu(), link.next_apdu(), link.next_apdu()] == [b"\x03", b"\x04", None]


@pytest.mark.parametrize(("source", "destination"), [(2, 16), (1, 17), (16, 1)])
def test_frames_of_others_are_dropped_and_counted(source: int, destination: int) -> None:
    link = WrapperLink(16, 1)
    link.receive_data(frame(source, destination) + frame(1, 16))
    assert link.next_apdu() == b"\x01\x02"
    assert link.frames_discarded == 1
    assert link.peer_sap == 1


def test_a_server_answers_whoever_asked_last() -> None:
    link = WrapperLink(1)
    with pytest.raises(LocalProtocolError):
        link.wrap(b"\x01")
    for client_sap in (16, 1, 102):
        link.receive_data(frame(client_sap, 1))
        assert link.next_apdu() == b"\x01\x02"
        assert link.peer_sap == client_sap
        assert link.wrap(b"\x03") == frame(1, client_sap, b"\x03")


def test_an_apdu_that_is_too_long() -> None:
    link = WrapperLink(16, 1, max_apdu=10)
    link.receive_data(frame(1, 16, bytes(11))[:8])
    with pytest.raises(FramingError):
        link.next_apdu()


def test_in_pieces() -> None:
    link = WrapperLink(16, 1)
    for octet in frame(1, 16):
        assert link.next_apdu() is None
        link.receive_data(bytes((octet,)))
    assert link.next_apdu() == b"\x01\x02"
