"""Whole sessions in which what is long goes by general blocks, plain and ciphered."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hes_protocol.acse import Mechanism
from hes_protocol.axdr import Data, DataTag, encode
from hes_protocol.client import (
    Access,
    AccessCompleted,
    Action,
    ActionCompleted,
    Associate,
    AssociationAccepted,
    ClientEvent,
    ContinueNeeded,
    Get,
    GetCompleted,
    NotificationReceived,
    Release,
    Set,
    SetCompleted,
)
from hes_protocol.errors import (
    AssociationError,
    LimitError,
    LocalProtocolError,
    RemoteProtocolError,
)
from hes_protocol.hdlc import HdlcAddress, HdlcLink, HdlcServerLink, LinkParameters
from hes_protocol.security import Protection
from hes_protocol.server import (
    ActionRequested,
    ActionResult,
    GetRequested,
    GetResult,
    NotificationConfirmed,
    Notify,
    ServerEvent,
    ServerReply,
    SetRequested,
    SetResult,
)
from hes_protocol.wrapper import WrapperReceiver
from hes_protocol.xdlms import (
    DEFAULT_CONFORMANCE,
    ActionReturn,
    Conformance,
    DataAccessResult,
    DataNotification,
    EventNotification,
    GeneralBlockTransfer,
    GetDataResult,
    decode_apdu,
)
from tests.connection_pair import (
    BUFFER,
    CAPTURE,
    CLIENT_SAP,
    CLOCK,
    PROTECTIONS,
    ConnectionPair,
    answer_of,
    client_settings,
    events_of,
    make_client,
    make_server,
    server_association,
    to_client,
    to_server,
)

WITH_BLOCKS = DEFAULT_CONFORMANCE | Conformance.SET | Conformance.GENERAL_BLOCK_TRANSFER
LONG = Data(DataTag.OCTET_STRING, bytes(range(256)) * 4)
PUSH = DataNotification(7, None, LONG)


def meter(event: ServerEvent) -> ServerReply | None:
    match event:
        case GetRequested(attribute=attribute):
            octets = encode(LONG if attribute == BUFFER else Data(DataTag.UNSIGNED, 1))
            return GetResult(event.invoke_id, octets=octets)
        case SetRequested(data=data):
            assert data == LONG
            return SetResult(event.invoke_id)
        case ActionRequested():
            return ActionResult(event.invoke_id, octets=encode(event.data or LONG))
        case _:
            return answer_of(event)


def pair(
    protection: Protection = Protection.PLAIN,
    *,
    pdu: int = 128,
    windows: tuple[int, int] = (5, 5),
    conformance: Conformance = WITH_BLOCKS,
    **changes: Any,
) -> ConnectionPair:
    """Both sides take APDUs of `pdu` octets and offer `windows`."""
    mechanism = Mechanism.HLS_GMAC if protection else Mechanism.NONE
    made = ConnectionPair.of(
        client_settings(
            mechanism=mechanism,
            protection=protection,
            max_receive_pdu_size=pdu,
            conformance=conformance,
            general_blocks=windows[0],
            **changes,
        ),
        server_association(
            mechanism=mechanism,
            minimum_protection=protection,
            max_receive_pdu_size=pdu,
            conformance=conformance,
            general_blocks=windows[1],
        ),
    )
    made.answer = meter
    return made


def blocks_of(sent: list[tuple[str, bytes]], who: str) -> list[GeneralBlockTransfer]:
    """The general blocks that one side has sent."""
    receiver = WrapperReceiver(0xFFFF)
    receiver.receive_data(b"".join(octets for sender, octets in sent if sender == who))
    found = []
    while (frame := receiver.next_frame()) is not None:
        if frame.apdu[0] == 0xE0:
            apdu = decode_apdu(frame.apdu)
            assert isinstance(apdu, GeneralBlockTransfer)
            found.append(apdu)
    return found


@pytest.mark.conformance("gbt-windows", "client", "server")
@pytest.mark.conformance("gbt-streaming", "client", "server")
@pytest.mark.parametrize("protection", PROTECTIONS)
@pytest.mark.parametrize("pdu", [96, 128, 512])
@pytest.mark.parametrize("windows", [(1, 1), (5, 3), (63, 63)])
def test_a_session_with_everything_long(
    protection: Protection, pdu: int, windows: tuple[int, int]
) -> None:
    both = pair(protection, pdu=pdu, windows=windows).opened()
    assert isinstance(both.client_events[-1], AssociationAccepted)
    assert both.ask(Get(BUFFER))[-1].data() == LONG  # type: ignore[union-attr]
    assert isinstance(both.ask(Set(BUFFER, LONG))[-1], SetCompleted)
    done = both.ask(Action(CAPTURE, LONG))[-1]
    assert isinstance(done, ActionCompleted)
    assert done.data() == LONG
    assert both.ask(Get(CLOCK))[-1].data() == Data(DataTag.UNSIGNED, 1)  # type: ignore[union-attr]
    assert both.ask(Action(CAPTURE))[-1].data() == LONG  # type: ignore[union-attr]
    assert type(both.ask(Release())[-1]).__name__ == "AssociationReleased"
    for who, window in (("client", windows[0]), ("server", windows[1])):
        blocks = blocks_of(both.sent, who)
        assert blocks
        assert {block.window for block in blocks} == {window}
        assert all(len(block.encode()) <= pdu for block in blocks)
        assert windows == (1, 1) or any(block.streaming for block in blocks)


def test_a_server_that_prefers_the_blocks_of_the_service_uses_them() -> None:
    both = pair(windows=(0, 0)).opened()
    assert both.ask(Get(BUFFER))[-1].data() == LONG  # type: ignore[union-attr]
    assert not blocks_of(both.sent, "server")


def test_where_the_service_has_no_blocks_the_general_ones_do() -> None:
    without = WITH_BLOCKS & ~Conformance.BLOCK_TRANSFER_WITH_GET_OR_READ
    both = pair(windows=(0, 0), conformance=without).opened()
    assert both.ask(Get(BUFFER))[-1].data() == LONG  # type: ignore[union-attr]
    assert {block.window for block in blocks_of(both.sent, "server")} == {1}
    assert isinstance(both.ask(Set(BUFFER, LONG))[-1], SetCompleted)


def test_without_consent_what_is_too_long_is_not_sent() -> None:
    without = Conformance.GENERAL_BLOCK_TRANSFER | Conformance.BLOCK_TRANSFER_WITH_SET_OR_WRITE
    both = pair(conformance=WITH_BLOCKS & ~without).opened()
    with pytest.raises(LocalProtocolError):
        both.client.send(Set(BUFFER, LONG))


def test_without_consent_a_block_is_answered_or_refused() -> None:
    both = pair(conformance=WITH_BLOCKS & ~Conformance.GENERAL_BLOCK_TRANSFER).opened()
    block = GeneralBlockTransfer(True, False, 1, 1, 0, b"\xc4\x01\xc1\x00\x11\x01").encode()
    both.client.receive_data(to_client(block))
    with pytest.raises(AssociationError):
        both.client.next_event()
    both.server.receive_data(to_server(block))
    (due,) = events_of(both.server)
    assert due.reply.detail == "service-not-supported"


@pytest.mark.conformance("gbt-streaming", "client", "server")
@pytest.mark.conformance("data-notification", "client", "server")
@pytest.mark.conformance("push-during-get", "client", "server")
@pytest.mark.parametrize("protection", PROTECTIONS)
def test_a_long_push_between_the_blocks_of_an_answer(protection: Protection) -> None:
    both = pair(protection).opened()
    to_server = both.client.send(Get(BUFFER))
    both.carry_to_server(to_server)
    (due,) = both.take_client_events()
    assert isinstance(due, ContinueNeeded)
    push = both.server.send(Notify(PUSH, CLIENT_SAP, protection))
    both.sent.append(("server", push))
    both.client.receive_data(push)
    # Ciphered after the answer that is still coming, it waits for that: counters must rise.
    pushed = NotificationReceived(PUSH, protection)
    events = both.take_client_events()
    assert events == ([] if protection else [pushed])
    both.carry_to_server(both.client.send(due.reply))
    while isinstance(due := (events := both.take_client_events())[-1], ContinueNeeded):
        both.carry_to_server(both.client.send(due.reply))
    got = events[0]
    assert isinstance(got, GetCompleted)
    assert got.data() == LONG
    assert events[1:] == ([pushed] if protection else [])


@pytest.mark.conformance("data-notification-confirmed", "client", "server")
@pytest.mark.parametrize("protection", PROTECTIONS)
def test_a_confirm_waits_for_the_end_of_the_blocks(protection: Protection) -> None:
    both = pair(protection).opened()
    push = both.server.send(
        Notify(DataNotification(0x40000007, None, LONG), CLIENT_SAP, protection)
    )
    (first, last) = (both.client.send(Set(BUFFER, LONG)), push)
    both.client.receive_data(last)
    (pushed,) = both.take_client_events()
    assert isinstance(pushed, NotificationReceived)
    both.carry_to_server(first)
    confirm = None
    while confirm is None:
        events = both.take_client_events()
        for event in events:
            if isinstance(event, ContinueNeeded) and event.reply.purpose == "confirm":
                confirm = event.reply
            elif isinstance(event, ContinueNeeded):
                both.carry_to_server(both.client.send(event.reply))
    assert any(isinstance(event, SetCompleted) for event in both.client_events)
    both.carry_to_server(both.client.send(confirm))
    assert both.server_events[-1] == NotificationConfirmed(CLIENT_SAP, 7)


def test_a_push_that_waits_for_an_answer_that_is_given_up_is_told() -> None:
    both = pair(Protection.AUTHENTICATED_ENCRYPTED).opened()
    both.carry_to_server(both.client.send(Get(BUFFER)))
    both.take_client_events()
    push = both.server.send(Notify(PUSH, CLIENT_SAP, Protection.AUTHENTICATED_ENCRYPTED))
    both.client.receive_data(push)
    assert both.take_client_events() == []
    both.client.abandon()
    assert len(both.take_client_events()) == 1


def test_what_fails_verification_does_not_end_the_blocks_of_a_request() -> None:
    both = pair(Protection.AUTHENTICATED_ENCRYPTED).opened()
    both.carry_to_server(both.client.send(Set(BUFFER, LONG)))
    (due,) = both.take_client_events()
    assert isinstance(due, ContinueNeeded)
    both.server.receive_data(to_server(bytes.fromhex("c001c1 0008 0000010000ff 02 00")))
    (refused,) = events_of(both.server)
    both.server.send(refused.reply)
    both.carry_to_server(both.client.send(due.reply))
    while isinstance(due := both.take_client_events()[-1], ContinueNeeded):
        both.carry_to_server(both.client.send(due.reply))
    assert isinstance(due, SetCompleted)


@pytest.mark.conformance("gbt-recovery", "client", "server")
@pytest.mark.parametrize("protection", PROTECTIONS)
def test_what_the_line_has_lost_is_said_again(protection: Protection) -> None:
    both = pair(protection).opened()
    lost = both.client.send(Set(BUFFER, LONG))
    assert both.client.resend() == lost
    both.carry_to_server(both.client.resend())
    answered = False
    for turn in range(100):
        events = both.take_client_events()
        if any(isinstance(event, SetCompleted) for event in events):
            answered = True
            break
        dues = [event for event in events if isinstance(event, ContinueNeeded)]
        said = both.client.send(dues[-1].reply) if dues else both.client.resend()
        if turn % 3:
            both.carry_to_server(said)
    assert answered
    assert sum(isinstance(event, SetRequested) for event in both.server_events) == 1


def test_an_abandoned_exchange_leaves_nothing_behind() -> None:
    both = pair().opened()
    both.carry_to_server(both.client.send(Get(BUFFER)))
    (due,) = both.take_client_events()
    assert isinstance(due, ContinueNeeded)
    both.client.abandon()
    assert both.client.resend() == b""
    with pytest.raises(LocalProtocolError):
        both.client.send(due.reply)
    assert both.ask(Set(BUFFER, LONG))[-1] == SetCompleted(2, 0)  # type: ignore[arg-type]


@pytest.mark.parametrize("bound", [{"max_result_octets": 500}, {"max_blocks": 3}])
def test_an_answer_beyond_the_bounds_is_refused(bound: dict[str, Any]) -> None:
    both = pair(**bound).opened()
    with pytest.raises(LimitError):
        both.ask(Get(BUFFER))
    both.client.abandon()
    assert both.ask(Get(CLOCK))[-1].data() == Data(DataTag.UNSIGNED, 1)  # type: ignore[union-attr]


def test_blocks_with_wrong_numbers_change_nothing() -> None:
    both = pair().opened()
    both.carry_to_server(both.client.send(Get(BUFFER)))
    (due,) = both.take_client_events()
    before = both.state()
    for number, acknowledged in ((200, 1), (2, 77)):
        block = GeneralBlockTransfer(False, False, 5, number, acknowledged, b"x").encode()
        both.client.receive_data(to_client(block))
        with pytest.raises(AssociationError):
            both.client.next_event()
    assert both.state() == before
    assert isinstance(due, ContinueNeeded)
    both.carry_to_server(both.client.send(due.reply))
    while isinstance(due := both.take_client_events()[-1], ContinueNeeded):
        both.carry_to_server(both.client.send(due.reply))
    assert isinstance(due, GetCompleted)


@pytest.mark.conformance("access", "client", "server")
@pytest.mark.parametrize("protection", PROTECTIONS)
def test_a_long_access_goes_by_general_blocks_since_it_has_no_others(
    protection: Protection,
) -> None:
    both = pair(protection, windows=(0, 0)).opened()
    done = both.ask(Access((Set(BUFFER, LONG), Get(BUFFER), Action(CAPTURE, LONG))))[-1]
    assert isinstance(done, AccessCompleted)
    written, read, invoked = done.results
    assert written == DataAccessResult.SUCCESS
    assert read == GetDataResult(octets=encode(LONG))
    assert isinstance(invoked, ActionReturn)
    assert blocks_of(both.sent, "client")
    assert blocks_of(both.sent, "server")


@pytest.mark.conformance("event-notification", "client", "server")
def test_a_long_event_goes_one_way() -> None:
    both = pair().opened()
    event = EventNotification(BUFFER, LONG)
    both.client.receive_data(both.server.send(Notify(event, CLIENT_SAP)))
    assert both.take_client_events() == [NotificationReceived(event, Protection.PLAIN)]


def test_a_long_push_needs_no_association() -> None:
    both = pair()
    push = both.server.send(Notify(PUSH, CLIENT_SAP))
    assert blocks_of([("server", push)], "server")
    both.client.receive_data(push)
    assert both.take_client_events() == [NotificationReceived(PUSH, Protection.PLAIN)]


@pytest.mark.parametrize("window", [1, 7])
def test_general_blocks_over_hdlc(window: int) -> None:
    parameters = LinkParameters(128, 128, window, window)
    counters: dict[int, int] = {}
    asking = pair(Protection.AUTHENTICATED_ENCRYPTED).client._settings
    made = make_server(
        server_association(
            mechanism=Mechanism.HLS_GMAC,
            minimum_protection=Protection.AUTHENTICATED_ENCRYPTED,
            max_receive_pdu_size=128,
            conformance=WITH_BLOCKS,
            general_blocks=5,
        ),
        client_counters=counters,
    )
    made._link = HdlcServerLink(HdlcAddress(1), parameters)
    link = HdlcLink(HdlcAddress(CLIENT_SAP), HdlcAddress(1), parameters)
    asker = make_client(asking)
    asker._link = link
    heard: list[ClientEvent] = []
    silences: list[float | None] = []

    def play(octets: bytes, last: type) -> None:
        while not (heard and isinstance(heard[-1], last)) and len(silences) < 200:
            made.receive_data(octets)
            answer = b""
            while (event := made.next_event()) is not None:
                reply = meter(event)
                answer += b"" if reply is None else made.send(reply)
            asker.receive_data(answer + made.data_to_send())
            octets = b""
            for event in events_of(asker):
                heard.append(event)
                if isinstance(event, ContinueNeeded):
                    octets += asker.send(event.reply)
            octets += asker.data_to_send()
            if not octets:
                # A secondary station may speak only when it is polled: between streamed blocks.
                silences.append(asker.timeout_s)
                octets = asker.handle_timeout()

    octets = link.connect()
    made.receive_data(octets)
    assert made.next_event() is None
    asker.receive_data(made.data_to_send())
    assert asker.next_event() is None
    play(asker.send(Associate()), AssociationAccepted)
    play(asker.send(Set(BUFFER, LONG)), SetCompleted)
    play(asker.send(Get(BUFFER)), GetCompleted)
    done = heard[-1]
    assert isinstance(done, GetCompleted)
    assert done.data() == LONG
    assert len(silences) < 10


blocks = st.builds(
    GeneralBlockTransfer,
    st.booleans(),
    st.booleans(),
    st.sampled_from([0, 1, 5, 63]),
    st.integers(0, 5) | st.integers(0, 0xFFFF),
    st.integers(0, 3) | st.integers(0, 0xFFFF),
    st.sampled_from([b"", b"\xc4\x01\xc1\x00\x11\x01", b"\xc0\x01\xc1"]) | st.binary(max_size=9),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(blocks, max_size=12), st.sampled_from([Get(BUFFER), Set(BUFFER, LONG), None]))
def test_no_blocks_bring_a_client_out_of_order(
    hostile: list[GeneralBlockTransfer], request_now: Get | Set | None
) -> None:
    both = pair().opened()
    if request_now is not None:
        both.client.send(request_now)
    for block in hostile:
        both.client.receive_data(to_client(block.encode()))
        while True:
            try:
                event = both.client.next_event()
            except RemoteProtocolError:
                continue
            if event is None:
                break
            if isinstance(event, ContinueNeeded):
                both.client.send(event.reply)
    both.client.abandon()
    events_of(both.client)
    assert both.ask(Get(CLOCK))[-1].data() == Data(DataTag.UNSIGNED, 1)  # type: ignore[union-attr]


@settings(max_examples=150, deadline=None)
@given(st.lists(blocks, max_size=12))
def test_no_blocks_bring_a_server_out_of_order(hostile: list[GeneralBlockTransfer]) -> None:
    both = pair().opened()
    for block in hostile:
        both.server.receive_data(to_server(block.encode()))
        while True:
            try:
                event = both.server.next_event()
            except RemoteProtocolError:
                continue
            if event is None:
                break
            reply = both.answer(event)
            if reply is not None:
                both.server.send(reply)
    assert both.ask(Get(BUFFER))[-1].data() == LONG  # type: ignore[union-attr]


def test_events_end_where_they_should() -> None:
    both = pair()
    both.ask(Associate())
    assert events_of(both.client) == []
    assert events_of(both.server) == []
