from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hes_protocol.errors import (
    FramingError,
    LimitError,
    LocalProtocolError,
    RemoteProtocolError,
)
from hes_protocol.hdlc import (
    Control,
    ControlKind,
    HdlcAddress,
    HdlcFrame,
    HdlcLink,
    HdlcReceiver,
    HdlcServerLink,
    LinkParameters,
)
from tests.hdlc_line import HdlcLine

CLIENT = HdlcAddress(1)
PUBLIC = HdlcAddress(16)
SERVER = HdlcAddress(1, 17)
WIDE = LinkParameters(2030, 2030, 7, 7)
NARROW = LinkParameters(40, 40, 3, 3)

pytestmark = [pytest.mark.conformance("llc", "client", "server")]


def line(
    client: LinkParameters | None = None, server: LinkParameters | None = None, **more: Any
) -> HdlcLine:
    return HdlcLine(HdlcLink(CLIENT, SERVER, client), HdlcServerLink(SERVER, server), **more)


def frames(octets: bytes) -> list[HdlcFrame]:
    receiver = HdlcReceiver()
    receiver.receive_data(octets)
    return list(iter(receiver.next_frame, None))  # type: ignore[arg-type]


def kinds(octets: bytes) -> list[str]:
    """Kind, N(S), N(R) and the bit of each frame, as an analyser prints them."""
    names = []
    for frame in frames(octets):
        control = frame.control
        name = control.kind.value
        if control.kind is ControlKind.I:
            name += f"{control.send_sequence}"
        if control.kind in (ControlKind.I, ControlKind.RR, ControlKind.RNR):
            name += f"/{control.receive_sequence}"
        names.append(name + ("+" if control.poll_final else ""))
    return names


def from_server(
    kind: ControlKind, information: bytes = b"", *, segmented: bool = False, **control: Any
) -> bytes:
    return HdlcFrame(CLIENT, SERVER, Control(kind, **control), segmented, information).to_octets()


def from_client(
    kind: ControlKind, information: bytes = b"", *, source: HdlcAddress = CLIENT, **control: Any
) -> bytes:
    segmented = control.pop("segmented", False)
    return HdlcFrame(SERVER, source, Control(kind, **control), segmented, information).to_octets()


def connected(client: LinkParameters | None = None, **more: Any) -> HdlcLink:
    """A client whose server has agreed to everything."""
    link = HdlcLink(CLIENT, SERVER, client, **more)
    link.connect()
    theirs = LinkParameters(2030, 2030, 7, 7).to_information() if client else b""
    link.receive_data(from_server(ControlKind.UA, theirs))
    assert link.connected
    return link


# --- setting up -------------------------------------------------------------------------------

PROPOSALS = [
    # client proposes, server offers; then what the client may transmit and receive
    (None, None, LinkParameters()),
    (None, WIDE, LinkParameters()),
    (WIDE, None, LinkParameters()),
    (WIDE, WIDE, WIDE),
    (LinkParameters(500, 600, 2, 3), WIDE, LinkParameters(500, 600, 2, 3)),
    (WIDE, LinkParameters(500, 600, 2, 3), LinkParameters(600, 500, 3, 2)),
    (LinkParameters(64, 2030, 7, 1), LinkParameters(300, 32, 1, 7), LinkParameters(32, 300, 7, 1)),
    (LinkParameters(127, 255, 1, 1), LinkParameters(256, 128, 1, 1), LinkParameters(127, 255)),
]


@pytest.mark.conformance("hdlc-parameters", "client", "server")
@pytest.mark.parametrize(("client", "server", "agreed"), PROPOSALS)
def test_both_keep_to_the_less_of_each_direction(
    client: LinkParameters | None, server: LinkParameters | None, agreed: LinkParameters
) -> None:
    pair = line(client, server)
    pair.connect()
    assert pair.client.parameters == agreed
    assert pair.ask(bytes(range(256)) * 9) == bytes(range(256)) * 9
    for who, octets in pair.sent[2:]:
        longest = (
            agreed.max_information_transmit if who == "client" else (agreed.max_information_receive)
        )
        window = agreed.window_transmit if who == "client" else agreed.window_receive
        assert len(frames(octets)) <= window
        assert all(len(frame.information) <= longest for frame in frames(octets))


@pytest.mark.conformance("hdlc-parameters", "client")
@pytest.mark.parametrize(
    ("answer", "agreed"),
    [
        (b"", LinkParameters()),
        (bytes.fromhex("818000"), LinkParameters()),
        (bytes.fromhex("818003050140"), LinkParameters(128, 64)),
        (bytes.fromhex("818004060200f0"), LinkParameters(240, 128)),
        # one octet and four say the same window; an unknown parameter is passed over
        (bytes.fromhex("818009070105080400000003"), LinkParameters(128, 128, 3, 5)),
        (bytes.fromhex("81800a0902ffff08047fffffff"), LinkParameters(128, 128, 7, 1)),
    ],
)
def test_a_ua_may_say_little(answer: bytes, agreed: LinkParameters) -> None:
    link = HdlcLink(CLIENT, SERVER, WIDE)
    link.connect()
    link.receive_data(from_server(ControlKind.UA, answer))
    assert link.parameters == agreed


@pytest.mark.conformance("hdlc-parameters", "client")
def test_defaults_are_proposed_by_saying_nothing() -> None:
    [frame] = frames(HdlcLink(CLIENT, SERVER).connect())
    assert (frame.control.kind, frame.information) == (ControlKind.SNRM, b"")
    [frame] = frames(HdlcLink(CLIENT, SERVER, WIDE).connect())
    assert frame.information == bytes.fromhex("81801405 0207ee 060207ee 070400000007 080400000007")


@pytest.mark.conformance("hdlc-parameters", "client", "server")
def test_a_link_is_given_up_by_disc() -> None:
    pair = line()
    assert pair.client.disconnect() == b""
    pair.connect()
    pair.play(pair.client.disconnect())
    assert not pair.client.connected
    assert pair.server.connected_saps == ()
    assert [kinds(octets) for _, octets in pair.sent] == [
        ["SNRM+"], ["UA+"], ["DISC+"], ["UA+"],
    ]  # fmt: skip
    pair.server.receive_data(from_client(ControlKind.DISC))
    assert kinds(pair.server.data_to_send()) == ["DM+"]
    assert pair.ask(b"again") == b"again"


@pytest.mark.conformance("hdlc-parameters", "client", "server")
def test_who_has_no_link_is_told_so() -> None:
    pair = line()
    pair.server.receive_data(from_client(ControlKind.RR))
    pair.server.receive_data(from_client(ControlKind.I, b"\xe6\xe6\x00x", poll_final=False))
    assert kinds(pair.server.data_to_send()) == ["DM+"]
    assert pair.server.next_apdu() is None
    link = connected()
    link.wrap(b"x")
    link.receive_data(from_server(ControlKind.DM))
    with pytest.raises(FramingError, match="disconnected"):
        link.next_apdu()
    assert not link.connected
    with pytest.raises(FramingError, match="link-lost"):
        link.wrap(b"x")
    assert kinds(link.connect()) == ["SNRM+"]


@pytest.mark.conformance("hdlc-parameters", "client", "server")
def test_the_first_apdu_sets_the_link_up() -> None:
    pair = line(WIDE, WIDE)
    assert kinds(pair.client.wrap(b"one")) == ["SNRM+"]
    assert pair.client.wrap(b"two") == b""
    pair.play(pair.client.handle_timeout())
    assert kinds(pair.client.data_to_send()) == ["I0/0", "I1/0+"]


@pytest.mark.parametrize(
    "information", [b"\x00", bytes.fromhex("818003050100"), bytes.fromhex("8180010501")]
)
@pytest.mark.conformance("hdlc-parameters", "client", "server")
def test_parameters_without_sense_make_no_link(information: bytes) -> None:
    link = HdlcLink(CLIENT, SERVER)
    link.connect()
    link.receive_data(from_server(ControlKind.UA, information))
    with pytest.raises(FramingError, match="bad-parameters"):
        link.next_apdu()
    assert not link.connected
    server = HdlcServerLink(SERVER)
    server.receive_data(from_client(ControlKind.SNRM, information))
    assert (server.data_to_send(), server.connected_saps) == (b"", ())


@pytest.mark.parametrize(
    "parameters",
    [LinkParameters(0), LinkParameters(128, 2031), LinkParameters(window_transmit=8)],
)
def test_we_offer_only_what_we_can_do(parameters: LinkParameters) -> None:
    with pytest.raises(LocalProtocolError):
        HdlcLink(CLIENT, SERVER, parameters)
    with pytest.raises(LocalProtocolError):
        HdlcServerLink(SERVER, parameters)


def test_what_cannot_be_sent_is_refused() -> None:
    link = connected()
    with pytest.raises(LocalProtocolError):
        link.wrap(b"")
    link.disconnect()
    with pytest.raises(LocalProtocolError):
        link.wrap(b"x")
    with pytest.raises(LocalProtocolError):
        HdlcServerLink(SERVER).wrap(b"x")
    with pytest.raises(LocalProtocolError):
        HdlcLink(CLIENT, HdlcAddress(1, None, 4))


@pytest.mark.conformance("hdlc-parameters", "client")
def test_a_server_may_send_more_than_was_agreed() -> None:
    """Meters answer an SNRM without parameters by a UA with 248 octets, and mean it."""
    link = HdlcLink(CLIENT, SERVER)
    link.connect()
    link.receive_data(from_server(ControlKind.UA, bytes.fromhex("8180060501f80601f0")))
    assert link.parameters == LinkParameters()
    link.wrap(b"x")
    link.receive_data(from_server(ControlKind.I, b"\xe6\xe7\x00" + bytes(245), receive_sequence=1))
    assert link.next_apdu() == bytes(245)


# --- windows and segments -----------------------------------------------------------------------


@pytest.mark.conformance("hdlc-windows", "client", "server")
@pytest.mark.conformance("hdlc-segmentation", "client", "server")
def test_windows_and_turns() -> None:
    pair = line(NARROW, NARROW, answer=lambda apdu: apdu * 2)
    pair.connect()
    del pair.sent[:]
    assert pair.ask(bytes(197)) == bytes(394)  # 5 segments there, 10 back
    assert [kinds(octets) for _, octets in pair.sent] == [
        ["I0/0", "I1/0", "I2/0+"],
        ["RR/3+"],
        ["I3/0", "I4/0+"],
        ["I0/5", "I1/5", "I2/5+"],
        ["RR/3+"],
        ["I3/5", "I4/5", "I5/5+"],
        ["RR/6+"],
        ["I6/5", "I7/5", "I0/5+"],
        ["RR/1+"],
        ["I1/5+"],
    ]


@pytest.mark.conformance("hdlc-windows", "client")
def test_an_answer_that_takes_its_time_is_polled_for() -> None:
    link = connected()
    assert kinds(link.wrap(b"x")) == ["I0/0+"]
    assert link.timeout_s == 5
    link.receive_data(from_server(ControlKind.RR, receive_sequence=1))
    assert (link.data_to_send(), link.timeout_s) == (b"", 0.5)
    for _ in range(20):  # alive is alive
        assert kinds(link.handle_timeout()) == ["RR/0+"]
        link.receive_data(from_server(ControlKind.RR, receive_sequence=1))
    link.receive_data(from_server(ControlKind.I, b"\xe6\xe7\x00y", receive_sequence=1))
    assert link.next_apdu() == b"y"


@pytest.mark.conformance("hdlc-windows", "server")
def test_a_server_is_held_back_once_for_its_answer() -> None:
    server = HdlcServerLink(SERVER)
    server.receive_data(from_client(ControlKind.SNRM))
    server.receive_data(from_client(ControlKind.I, b"\xe6\xe6\x00x"))
    assert kinds(server.data_to_send()) == ["UA+"]
    assert server.next_apdu() == b"x"
    assert server.data_to_send() == b""
    server.receive_data(from_client(ControlKind.RR))
    assert kinds(server.data_to_send()) == ["RR/1+"]
    assert server.wrap(b"y") == b""  # out of turn
    server.receive_data(from_client(ControlKind.RR))
    assert kinds(server.data_to_send()) == ["I0/1+"]


@pytest.mark.conformance("hdlc-retransmission", "client", "server")
def test_a_receiver_that_is_full_says_so() -> None:
    pair = line(WIDE, WIDE, answer=lambda _: None)
    pair.connect()
    server = pair.server
    replies = []
    for number in range(8):
        server.receive_data(pair.client.wrap(b"%d" % number))
        pair.client.receive_data(server.data_to_send())
        replies.append(_asked_again(pair))
        pair.client.receive_data(replies[-1])
    assert [kinds(reply) for reply in replies[-2:]] == [["RR/7+"], ["RNR/0+"]]
    assert pair.client.wrap(b"8") == b""
    assert pair.client.data_to_send() == b""
    assert [server.next_apdu() for _ in range(9)] == [b"%d" % n for n in range(8)] + [None]
    pair.client.receive_data(_asked_again(pair))
    octets = pair.client.data_to_send()
    assert kinds(octets) == ["I0/0+"]
    server.receive_data(octets)
    assert server.next_apdu() == b"8"


@pytest.mark.conformance("hdlc-retransmission", "server")
def test_frames_that_come_while_the_server_is_full_are_refused() -> None:
    server = HdlcServerLink(SERVER, WIDE)
    server.receive_data(from_client(ControlKind.SNRM, WIDE.to_information()))
    server.data_to_send()
    for number in range(10):
        octets = from_client(
            ControlKind.I, b"\xe6\xe6\x00x", send_sequence=number % 8, poll_final=number > 8
        )
        server.receive_data(octets)
    assert kinds(server.data_to_send()) == ["RNR/0+"]


def _asked_again(pair: HdlcLine) -> bytes:
    pair.server.receive_data(pair.client.handle_timeout())
    return pair.server.data_to_send()


@pytest.mark.conformance("hdlc-retransmission", "client")
def test_a_client_that_is_full_says_so() -> None:
    link = connected(WIDE)
    link.wrap(b"x")
    for number in range(9):
        link.receive_data(
            from_server(
                ControlKind.I,
                b"\xe6\xe7\x00%d" % number,
                send_sequence=number % 8,
                receive_sequence=1,
                poll_final=number == 8,
            )
        )
    assert link.data_to_send() == b""
    assert kinds(link.handle_timeout()) == ["RNR/0+"]
    assert link.next_apdu() == b"0"
    link.receive_data(from_server(ControlKind.RR, receive_sequence=1))
    assert kinds(link.handle_timeout()) == ["RR/0+"]


# --- what gets lost -----------------------------------------------------------------------------


def nothing_but(*lost: int) -> Any:
    """A way on which the writings of these numbers are lost."""
    numbers = iter(range(1000))

    def way(octets: bytes) -> Iterator[bytes]:
        if next(numbers) not in lost:
            yield octets

    return way


@pytest.mark.conformance("hdlc-retransmission", "client", "server")
@pytest.mark.parametrize("lost", range(6))
@pytest.mark.parametrize("direction", ["to_server", "to_client"])
def test_each_writing_may_be_lost(lost: int, direction: str) -> None:
    pair = line(NARROW, NARROW, **{direction: nothing_but(lost)})
    pair.connect()
    for number in range(3):
        assert pair.ask(b"%d" % number * 150) == b"%d" % number * 150
    pair.play(pair.client.disconnect())
    assert [apdu for _, apdu in pair.requests] == [b"%d" % n * 150 for n in range(3)]


@pytest.mark.conformance("hdlc-retransmission", "client", "server")
@pytest.mark.parametrize("missing", range(3))
def test_a_frame_of_a_window_is_asked_for_again(missing: int) -> None:
    pair = line(NARROW, NARROW)
    pair.connect()
    window = [frame.to_octets() for frame in frames(pair.client.wrap(bytes(100)))]
    assert len(window) == 3
    pair.server.receive_data(b"".join(window[:missing] + window[missing + 1 :]))
    if missing == 2:  # nobody was polled
        assert pair.server.data_to_send() == b""
        pair.server.receive_data(pair.client.handle_timeout())
    reply = pair.server.data_to_send()
    assert kinds(reply) == [f"RR/{missing}+"]
    pair.client.receive_data(reply)
    # One that acknowledges nothing may be late: another may follow.
    again = pair.client.data_to_send() if missing else pair.client.handle_timeout()
    assert [frame.control.send_sequence for frame in frames(again)] == list(range(missing, 3))
    pair.server.receive_data(again)
    assert pair.server.next_apdu() == bytes(100)


@pytest.mark.conformance("hdlc-retransmission", "client")
def test_an_answer_that_is_late_brings_forth_no_frame() -> None:
    """Each that did would be answered in its turn: such a line would never be quiet again."""
    pair = line()
    pair.connect()
    client = pair.client
    client.wrap(bytes(300))  # three frames, one at a time
    acknowledged = from_server(ControlKind.RR, receive_sequence=1)
    client.receive_data(acknowledged)
    assert kinds(client.data_to_send()) == ["I1/0+"]
    for _ in range(5):
        client.receive_data(acknowledged)
        assert client.data_to_send() == b""
    assert client.timeout_s == 0.5
    client.receive_data(from_server(ControlKind.RR, receive_sequence=2))
    assert kinds(client.data_to_send()) == ["I2/0+"]
    # Where none follows, the frame was lost.
    client.receive_data(from_server(ControlKind.RR, receive_sequence=2))
    assert client.data_to_send() == b""
    assert kinds(client.handle_timeout()) == ["I2/0+"]


@pytest.mark.conformance("hdlc-retransmission", "client")
def test_a_frame_that_stays_out_of_order_is_asked_for_at_once_only_once() -> None:
    """At full speed such a meter would be asked until the request had used up all its octets."""
    link = connected(NARROW)
    link.wrap(b"x")
    wrong = from_server(ControlKind.I, b"\xe6\xe7\x00y", send_sequence=1, receive_sequence=1)
    link.receive_data(wrong)
    assert kinds(link.data_to_send()) == ["RR/0+"]
    for _ in range(3):
        link.receive_data(wrong)
        assert link.data_to_send() == b""
        assert link.timeout_s == 0.5
        assert kinds(link.handle_timeout()) == ["RR/0+"]
    link.receive_data(from_server(ControlKind.I, b"\xe6\xe7\x00y", receive_sequence=1))
    assert link.next_apdu() == b"y"
    gap = from_server(ControlKind.I, b"y", send_sequence=2, receive_sequence=1)
    link.receive_data(gap)  # another one
    assert kinds(link.data_to_send()) == ["RR/1+"]
    assert link.next_apdu() is None


@pytest.mark.conformance("hdlc-retransmission", "client")
@pytest.mark.parametrize("asking", ["connect", "ask", "disconnect"])
def test_a_server_that_stays_silent_is_given_up(asking: str) -> None:
    link = HdlcLink(CLIENT, SERVER, max_retries=2)
    if asking != "connect":
        link = connected(max_retries=2)
    said = {"connect": link.connect, "ask": lambda: link.wrap(b"x"), "disconnect": link.disconnect}
    said[asking]()
    for _ in range(2):
        assert link.timeout_s == 5
        assert kinds(link.handle_timeout())[0].startswith(
            {"connect": "SNRM", "ask": "RR", "disconnect": "DISC"}[asking]
        )
    with pytest.raises(FramingError, match="no-answer"):
        link.handle_timeout()
    assert (link.connected, link.timeout_s, link.handle_timeout()) == (False, None, b"")


@pytest.mark.conformance("hdlc-retransmission", "client", "server")
def test_what_comes_twice_is_taken_once() -> None:
    pair = line(NARROW, NARROW, to_server=lambda o: (o, o), to_client=lambda o: (o, o))
    pair.connect()
    for number in range(20):
        assert pair.ask(b"%d" % number * 150) == b"%d" % number * 150
    assert len(pair.requests) == len(pair.answers) == 20


def test_an_answer_to_an_older_poll_takes_no_turn() -> None:
    link = connected()
    link.wrap(b"x")
    link.handle_timeout()  # the meter is slow, and now answers twice
    answer = from_server(ControlKind.I, b"\xe6\xe7\x00y", receive_sequence=1)
    link.receive_data(answer)
    assert link.next_apdu() == b"y"
    assert kinds(link.wrap(b"z")) == ["I1/1+"]
    link.receive_data(answer)
    assert link.data_to_send() == b""
    assert link.next_apdu() is None


@pytest.mark.conformance("hdlc-resynchronisation", "client", "server")
def test_noise_between_frames_is_passed_over() -> None:
    noise = [b"\x7e", b"\x7e\x7e\x7e", b"\x00\xff\x7e\xa0", b"\x7e\xa7\xff\x03", b"\x7e\xaf" * 9]

    def way(octets: bytes) -> Iterator[bytes]:
        yield noise[len(octets) % len(noise)]
        yield octets
        yield noise[(len(octets) + 1) % len(noise)]

    pair = line(NARROW, NARROW, to_server=way, to_client=way)
    for number in range(20):
        apdu = b"~" * number * 9 + b"."
        assert pair.ask(apdu) == apdu


@pytest.mark.conformance("hdlc-resynchronisation", "client", "server")
def test_a_frame_that_is_cut_off_swallows_no_other() -> None:
    pair = line(WIDE, WIDE)
    pair.connect()
    octets = pair.client.wrap(bytes(2000))
    pair.server.receive_data(octets[:1000])
    assert pair.server.timeout_s is not None
    pair.server.handle_timeout()
    assert pair.server.timeout_s is None
    pair.play(pair.client.handle_timeout())
    pair.play(pair.client.handle_timeout())
    assert pair.answers == [bytes(2000)]
    # and the other way
    answer = from_server(ControlKind.I, bytes(1500), send_sequence=1, receive_sequence=2)
    pair.client.wrap(b"x")
    pair.client.receive_data(answer[:-9])
    pair.play(pair.client.handle_timeout())
    pair.play(pair.client.handle_timeout())
    assert pair.answers[1:] == [b"x"]


# --- addresses ----------------------------------------------------------------------------------

ADDRESSES = [HdlcAddress(1), HdlcAddress(16, 17), HdlcAddress(1, 0, 4), HdlcAddress(300, 0x3FFE)]


@pytest.mark.conformance("hdlc-addresses", "client", "server")
@pytest.mark.parametrize("client", ADDRESSES, ids=str)
@pytest.mark.parametrize("server", ADDRESSES, ids=str)
def test_addresses_of_every_size(client: HdlcAddress, server: HdlcAddress) -> None:
    pair = HdlcLine(HdlcLink(client, server, WIDE), HdlcServerLink(server, WIDE))
    assert pair.ask(bytes(5000)) == bytes(5000)
    assert pair.requests == [(client.upper, bytes(5000))]


@pytest.mark.conformance("hdlc-addresses", "client", "server")
def test_frames_for_others_are_passed_over() -> None:
    pair = line()
    pair.connect()
    others = HdlcLink(PUBLIC, HdlcAddress(2, 17))
    pair.server.receive_data(others.connect())
    assert (pair.server.data_to_send(), pair.server.connected_saps) == (b"", (1,))
    frame = HdlcFrame(PUBLIC, SERVER, Control(ControlKind.DM))
    pair.client.receive_data(frame.to_octets())
    assert pair.client.connected
    assert (pair.client.frames_discarded, pair.server.frames_discarded) == (1, 1)


@pytest.mark.conformance("hdlc-addresses", "client")
def test_a_meter_may_name_its_physical_device() -> None:
    link = HdlcLink(CLIENT, HdlcAddress(1))
    link.connect()
    link.receive_data(from_server(ControlKind.UA))
    assert link.connected


# --- several clients ----------------------------------------------------------------------------


@pytest.mark.conformance("hdlc-addresses", "server")
def test_two_clients_have_a_link_each() -> None:
    server = HdlcServerLink(SERVER, NARROW)
    first = HdlcLine(HdlcLink(CLIENT, SERVER, NARROW), server)
    second = HdlcLine(HdlcLink(PUBLIC, SERVER), server)
    for number in range(10):
        assert first.ask(b"a" * 100 * (number % 3 + 1))
        assert second.ask(b"b" * 100 * (number % 2 + 1))
    assert {sap for sap, _ in first.requests} == {1}
    assert {sap for sap, _ in second.requests} == {16}
    assert server.connected_saps == (1, 16)


@pytest.mark.conformance("hdlc-parameters", "server")
def test_a_link_that_is_set_up_again_forgets() -> None:
    server = HdlcServerLink(SERVER, WIDE)
    server.receive_data(from_client(ControlKind.SNRM))
    assert server.ended_saps() == (1,)
    server.receive_data(from_client(ControlKind.I, b"\xe6\xe6\x00x"))
    server.receive_data(from_client(ControlKind.SNRM))
    assert server.next_apdu() is None
    assert (server.ended_saps(), server.ended_saps()) == ((1,), ())
    server.receive_data(from_client(ControlKind.I, b"\xe6\xe6\x00y"))
    assert server.next_apdu() == b"y"
    server.receive_data(from_client(ControlKind.DISC))
    assert server.ended_saps() == (1,)


def test_the_client_that_was_silent_for_longest_makes_room() -> None:
    server = HdlcServerLink(SERVER, max_clients=3)
    for sap in (1, 2, 3):
        server.receive_data(from_client(ControlKind.SNRM, source=HdlcAddress(sap)))
    server.receive_data(from_client(ControlKind.RR, source=HdlcAddress(1)))
    server.ended_saps()
    server.receive_data(from_client(ControlKind.SNRM, source=HdlcAddress(4)))
    assert server.connected_saps == (3, 1, 4)
    assert set(server.ended_saps()) == {2, 4}


# --- pushes -------------------------------------------------------------------------------------


@pytest.mark.conformance("hdlc-segmentation", "client", "server")
@pytest.mark.parametrize("linked", [False, True])
def test_pushes_go_unnumbered_at_any_time(linked: bool) -> None:
    pair = line(NARROW, NARROW)
    if linked:
        pair.connect()
    octets = pair.server.push(1, bytes(100))
    assert kinds(octets) == ["UI", "UI", "UI+"]
    pair.client.receive_data(octets)
    assert pair.client.next_apdu() == bytes(100)
    assert pair.ask(b"x") == b"x"
    assert [frame.destination for frame in frames(pair.server.push(300, b"x"))] == [
        HdlcAddress(300, 0)
    ]


@pytest.mark.conformance("hdlc-segmentation", "client")
def test_pushes_in_numbered_frames_are_taken_where_there_is_no_link() -> None:
    link = HdlcLink(CLIENT, SERVER)
    link.receive_data(from_server(ControlKind.I, b"\xe6\xe7\x00ab", segmented=True))
    link.receive_data(from_server(ControlKind.I, b"cd", send_sequence=1))
    assert link.next_apdu() == b"abcd"


@pytest.mark.conformance("gbt-without-llc", "client")
def test_later_general_blocks_may_lack_the_llc_header() -> None:
    link = connected()
    link.wrap(b"x")
    link.receive_data(
        from_server(ControlKind.I, bytes.fromhex("e040000100000101"), receive_sequence=1)
    )
    assert link.next_apdu() == bytes.fromhex("e040000100000101")
    server = HdlcServerLink(SERVER)
    server.receive_data(from_client(ControlKind.UI, bytes.fromhex("e040000100000101")))
    assert server.next_apdu() == bytes.fromhex("e040000100000101")
    assert kinds(server.wrap(b"x")) == ["UI+"]


# --- hostile peers ------------------------------------------------------------------------------


@pytest.mark.conformance("hdlc-retransmission", "client", "server")
@pytest.mark.parametrize(
    ("octets", "rejection"),
    [
        (from_client(ControlKind.RR, receive_sequence=3), "710008"),
        (from_client(ControlKind.I, bytes(200)), "100004"),
        (from_client(ControlKind.I, bytes(200), receive_sequence=1), "30000c"),
    ],
)
def test_a_server_rejects_frames_until_the_link_is_set_up_again(
    octets: bytes, rejection: str
) -> None:
    pair = line()
    pair.connect()
    pair.server.receive_data(octets)
    [frame] = frames(reply := pair.server.data_to_send())
    assert frame.control.kind is ControlKind.FRMR
    assert frame.information.hex() == rejection
    pair.server.receive_data(from_client(ControlKind.RR))
    assert frames(pair.server.data_to_send()) == [frame]
    pair.client.receive_data(reply)
    with pytest.raises(FramingError, match="frame-rejected"):
        pair.client.next_apdu()
    pair.connect()
    assert pair.ask(b"x") == b"x"


@pytest.mark.parametrize("segment", [b"", b"\xe6", b"\xe6\xe7"])
def test_a_field_without_llc_header_is_an_error_in_its_place(segment: bytes) -> None:
    link = connected(WIDE)
    link.wrap(b"x")
    for number, information in enumerate([b"\xe6\xe7\x00a", segment, b"\xe6\xe7\x00b"]):
        link.receive_data(
            from_server(
                ControlKind.I, information, send_sequence=number, receive_sequence=1,
                poll_final=number == 2,
            )
        )  # fmt: skip
    assert link.next_apdu() == b"a"
    with pytest.raises(FramingError, match="bad-llc"):
        link.next_apdu()
    assert link.next_apdu() == b"b"


def test_segments_without_end_are_given_up_once() -> None:
    server = HdlcServerLink(SERVER, max_apdu=300)
    server.receive_data(from_client(ControlKind.SNRM))
    numbers = iter(range(100))

    def say(information: bytes, *, segmented: bool) -> None:
        number = next(numbers)
        server.receive_data(
            from_client(ControlKind.I, information, segmented=segmented, send_sequence=number % 8)
        )
        server.data_to_send()

    for _ in range(20):
        say(b"\xe6\xe6\x00" + bytes(100), segmented=True)
    say(b"the end", segmented=False)
    say(b"\xe6\xe6\x00next", segmented=False)
    with pytest.raises(LimitError, match="too-long"):
        server.next_apdu()
    assert server.next_apdu() == b"next"
    assert server.next_apdu() is None


def test_who_asks_without_taking_answers_is_held_back() -> None:
    server = HdlcServerLink(SERVER)
    server.receive_data(from_client(ControlKind.SNRM))
    taken = 0
    for number in range(100):
        server.receive_data(from_client(ControlKind.I, b"\xe6\xe6\x00x", send_sequence=taken % 8))
        if server.next_apdu() is not None:
            taken += 1
            server.wrap(bytes(1000))
        assert number < 8 or kinds(server.data_to_send()) in (["I0/4+"], [])
    assert taken == 4


@settings(max_examples=60)
@given(st.binary(max_size=400), st.booleans())
def test_octets_of_any_kind_do_no_harm(octets: bytes, linked: bool) -> None:
    pair = line(NARROW, NARROW)
    if linked:
        pair.connect()
    pair.client.receive_data(octets)
    pair.server.receive_data(octets)
    for link in (pair.client, pair.server):
        for _ in range(20):
            try:
                if link.next_apdu() is None:
                    break
            except RemoteProtocolError:
                pass
        link.handle_timeout()


@st.composite
def exchanged_frames(draw: st.DrawFn) -> bytes:
    kind = draw(st.sampled_from(list(ControlKind)))
    control = Control(kind, draw(st.booleans()), draw(st.integers(0, 7)), draw(st.integers(0, 7)))
    to_server = draw(st.booleans())
    information = draw(st.sampled_from([b"", b"\xe6\xe7\x00x", b"\xe6\xe6\x00" + bytes(60)]))
    ends = (SERVER, CLIENT) if to_server else (CLIENT, SERVER)
    return HdlcFrame(*ends, control, draw(st.booleans()), information).to_octets()


@settings(max_examples=60)
@given(st.lists(exchanged_frames(), max_size=60))
def test_frames_in_any_order_do_no_harm(said: list[bytes]) -> None:
    pair = line(NARROW, NARROW)
    pair.connect()
    for octets in said:
        for link in (pair.client, pair.server):
            link.receive_data(octets)
            try:
                link.next_apdu()
                link.wrap(b"answer")
            except (RemoteProtocolError, LocalProtocolError):
                pass
            assert len(link.data_to_send()) < 1000
