"""
Segments, windows and noise of real lines, and sessions that end with the link.

The recordings lie in HES_VECTORS and are never committed. APDUs are taken from them as they are;
addresses, numbers, bits, segments and check sequences are our own.
"""

from __future__ import annotations

from contextlib import suppress
from itertools import count
from pathlib import Path

import attrs
import pytest

from hes_protocol.acse import Aarq, Mechanism, Rlrq
from hes_protocol.client import (
    Associate,
    AssociationAccepted,
    AssociationReleased,
    Client,
    ClientSettings,
    ContinueNeeded,
    Release,
)
from hes_protocol.errors import FramingError
from hes_protocol.hdlc import (
    ControlKind,
    HdlcAddress,
    HdlcFrame,
    HdlcLink,
    HdlcReceiver,
    HdlcServerLink,
    LinkParameters,
    llc,
)
from hes_protocol.server import AssociationOpened, Server, ServerAssociation
from hes_protocol.xdlms import InitiateRequest, decode_apdu
from tests.captures import capture, hdlc_frames, octets_of

pytestmark = pytest.mark.vectors

PROFILE = "sess-wireshark-hdlc-profile"
FIRST = 5  # the number that both sides have reached where the GET of the profile begins


def frames_of(folder: Path, name: str) -> list[tuple[str, HdlcFrame]]:
    frames = []
    for part in capture(folder, name)["frames"]:
        # The AARQ of one session was changed before it was published.
        with suppress(FramingError):
            frames += [(part["dir"], frame) for frame in hdlc_frames(bytes.fromhex(part["hex"]))]
    return frames


def fields(frames: list[tuple[str, HdlcFrame]], sender: str) -> list[bytes]:
    """The APDUs of one side, joined."""
    joined, apdus = b"", []
    for who, frame in frames:
        if who == sender and frame.control.kind is ControlKind.I:
            joined += frame.information
            if not frame.segmented:
                apdus.append(llc.strip(joined))
                joined = b""
    return apdus


@attrs.define
class Line:
    """Our client's link and our server's, which have set themselves up and counted to `first`."""

    client: HdlcLink
    server: HdlcServerLink

    @classmethod
    def between(
        cls, client: HdlcAddress, server: HdlcAddress, parameters: LinkParameters, first: int
    ) -> Line:
        line = cls(HdlcLink(client, server, parameters), HdlcServerLink(server, parameters))
        line.server.receive_data(line.client.connect())
        line.client.receive_data(line.server.data_to_send())
        for _ in range(first):
            line.server.receive_data(line.client.wrap(b"x"))
            assert line.server.next_apdu() == b"x"
            line.client.receive_data(line.server.wrap(b"y"))
            assert line.client.next_apdu() == b"y"
        return line


@pytest.fixture
def profile(hes_vectors: Path) -> tuple[Line, list[tuple[str, HdlcFrame]]]:
    """A line just before the GET of a profile by blocks, and all frames from it on."""
    frames = frames_of(hes_vectors, PROFILE)
    agreed = LinkParameters.from_information(frames[1][1].information)
    client, server = frames[0][1].source, frames[0][1].destination
    first = next(
        place
        for place, (who, frame) in enumerate(frames)
        if who == "tx" and frame.control.send_sequence == FIRST and frame.source == client
    )
    return Line.between(client, server, agreed, FIRST), frames[first:]


Profile = tuple[Line, list[tuple[str, HdlcFrame]]]


@pytest.mark.conformance("hdlc-segmentation", "client", "vector")
def test_our_client_asks_for_every_segment(profile: Profile) -> None:
    line, frames = profile
    apdus, segments = [], 0
    for who, frame in frames:
        if who == "rx":
            line.client.receive_data(frame.to_octets())
            segments += frame.segmented
            if (apdu := line.client.next_apdu()) is not None:
                apdus.append(apdu)
        elif frame.control.kind is ControlKind.RR:
            assert line.client.data_to_send() == frame.to_octets()
        elif frame.control.kind is ControlKind.I:
            assert line.client.wrap(llc.strip(frame.information)) == frame.to_octets()
    assert apdus == fields(frames, "rx")
    assert segments == 8
    assert line.client.disconnect() == frames[-1][1].to_octets()


@pytest.mark.conformance("hdlc-segmentation", "server", "vector")
def test_our_server_cuts_where_it_was_cut(profile: Profile) -> None:
    line, frames = profile
    answers = iter(fields(frames, "rx"))
    said, segments = b"", 0
    for who, frame in frames[:-1]:
        if who == "rx":
            assert said == frame.to_octets()
            segments += frame.segmented
            continue
        line.server.receive_data(frame.to_octets())
        asked = line.server.next_apdu()
        said = line.server.data_to_send() if asked is None else line.server.wrap(next(answers))
    assert segments == 8
    assert next(answers, None) is None


@pytest.mark.conformance("hdlc-windows", "client", "server", "vector")
@pytest.mark.conformance("hdlc-segmentation", "vector")
def test_a_window_of_three(hes_vectors: Path) -> None:
    """The recording ends with the window: three segments, of which the last gives the turn."""
    frames = [frame for _, frame in frames_of(hes_vectors, "frag-modem-seg")]
    client, address = frames[0].destination, frames[0].source
    assert [frame.control.send_sequence for frame in frames] == [0, 1, 2]
    assert [frame.control.poll_final for frame in frames] == [False, False, True]
    line = Line.between(client, address, LinkParameters(window_transmit=3, window_receive=3), 0)
    server, asker = line.server, line.client
    server.receive_data(asker.wrap(b"a request"))
    assert server.next_apdu() == b"a request"
    recorded = b"".join(frame.to_octets() for frame in frames)
    begun = b"".join(frame.information for frame in frames)
    assert server.wrap(llc.strip(begun) + bytes(100)) == recorded
    asker.receive_data(recorded)
    assert asker.next_apdu() is None
    [ready] = hdlc_frames(asker.data_to_send())
    assert (ready.control.kind, ready.control.receive_sequence) == (ControlKind.RR, 3)
    server.receive_data(ready.to_octets())
    asker.receive_data(server.data_to_send())
    assert asker.next_apdu() == llc.strip(begun) + bytes(100)


@pytest.mark.conformance("hdlc-segmentation", "server", "vector")
@pytest.mark.parametrize("name", ["push-am550-ch-tasmota", "edp-hdlc_iskra550"])
def test_our_server_pushes_in_the_same_segments(name: str, hes_vectors: Path) -> None:
    octets = octets_of(hes_vectors, name)
    frames = hdlc_frames(octets)
    longest = max(len(frame.information) for frame in frames)
    server = HdlcServerLink(frames[0].source, LinkParameters(longest, longest))
    apdu = llc.strip(b"".join(frame.information for frame in frames))
    ours = hdlc_frames(server.push(frames[0].destination.upper, apdu))
    assert ours == frames
    # Only the last segment gives the turn back.
    assert [frame.control.poll_final for frame in ours] == [False, False, True]


@pytest.mark.conformance("hdlc-resynchronisation", "client", "vector")
@pytest.mark.parametrize(
    ("before", "code"),
    [
        ("ams-kamstrup-gh355-1", "bad-format"),  # begins within a frame
        ("ams-kamstrup-gh362-1", "bad-format"),
        ("ams-kamstrup-gh157-1", "bad-fcs"),
        ("ams-kamstrup-gh175-1", "bad-fcs"),
        ("ams-kamstrup-gh194-2", "bad-fcs"),
    ],
)
def test_a_frame_behind_noise(before: str, code: str, hes_vectors: Path) -> None:
    """Octets of lines where frames were lost, and a whole frame that comes next."""
    sound = octets_of(hes_vectors, "ams-kamstrup-gh741-1")
    [frame] = hdlc_frames(sound)
    noise = octets_of(hes_vectors, before)
    receiver = HdlcReceiver()
    receiver.receive_data(noise + sound)
    with pytest.raises(FramingError, match=code):
        receiver.next_frame()
    while True:
        with suppress(FramingError):
            found = receiver.next_frame()
            break
    assert found == frame
    link = HdlcLink(frame.destination, frame.source)
    link.receive_data(noise + sound)
    assert link.next_apdu() == llc.strip(frame.information)


@pytest.fixture
def session(hes_vectors: Path) -> list[tuple[str, HdlcFrame]]:
    """A session from SNRM to the answer to DISC, of a client that says no RLRQ."""
    frames = frames_of(hes_vectors, "sess-skq")
    kinds = [frame.control.kind for _, frame in frames]
    assert (kinds[0], kinds[-2]) == (ControlKind.SNRM, ControlKind.DISC)
    assert not any(apdu[0] == Rlrq.TAG for apdu in fields(frames, "tx"))
    return frames


def mechanism_of(aarq: Aarq) -> Mechanism:
    return Mechanism.NONE if aarq.mechanism_name is None else Mechanism.LLS


@pytest.mark.conformance("release-without-rlrq", "client", "vector")
def test_our_client_ends_an_association_with_the_link(
    session: list[tuple[str, HdlcFrame]],
) -> None:
    (_, set_up), (_, agreed), (_, asked), (_, answered) = session[:4]
    aarq = Aarq.decode(fields(session, "tx")[0])
    assert aarq.user_information is not None
    initiate = decode_apdu(aarq.user_information)
    assert isinstance(initiate, InitiateRequest)
    settings = ClientSettings(
        client_sap=set_up.source.upper,
        mechanism=mechanism_of(aarq),
        secret=aarq.authentication_value,
        no_rlrq=True,
        max_receive_pdu_size=initiate.client_max_receive_pdu_size,
        conformance=initiate.conformance,
    )
    parameters = LinkParameters.from_information(agreed.information)
    link = HdlcLink(set_up.source, set_up.destination, parameters)
    client = Client(settings, link, count(1).__next__)
    client.send(Associate())
    client.receive_data(agreed.to_octets())
    assert client.next_event() is None
    assert client.data_to_send() == asked.to_octets()
    client.receive_data(answered.to_octets())
    assert isinstance(client.next_event(), AssociationAccepted)
    assert client.send(Release()) == b""
    assert isinstance(client.next_event(), AssociationReleased)
    assert link.disconnect() == session[-2][1].to_octets()


@pytest.mark.conformance("release-without-rlrq", "server", "vector")
def test_our_server_ends_an_association_with_the_link(
    session: list[tuple[str, HdlcFrame]],
) -> None:
    (_, set_up), (_, agreed), (_, asked), _ = session[:4]
    aarq = Aarq.decode(fields(session, "tx")[0])
    sap = set_up.source.upper
    rules = ServerAssociation(
        client_sap=sap, mechanism=mechanism_of(aarq), secret=aarq.authentication_value
    )
    parameters = LinkParameters.from_information(agreed.information)
    server = Server(
        {sap: rules},
        HdlcServerLink(set_up.destination, parameters),
        server_sap=1,
        system_title=bytes(8),
        next_counter=count(1).__next__,
        next_challenge=lambda: b"no challenge",
        client_counters={},
    )
    for frame in (set_up, asked):
        server.receive_data(frame.to_octets())
        event = server.next_event()
        server.data_to_send()
    assert isinstance(event, ContinueNeeded)
    server.send(event.reply)
    assert server.next_event() == AssociationOpened(sap)
    server.receive_data(session[-2][1].to_octets())
    assert server.next_event() == AssociationReleased()
    assert not server.is_associated(sap)
    assert [frame.control for frame in hdlc_frames(server.data_to_send())] == [
        session[-1][1].control
    ]
