"""Both roles in memory: every service, whole and by blocks, alone and in lists."""

from __future__ import annotations

from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hes_protocol.acse import Mechanism
from hes_protocol.axdr import NULL, Data, DataTag, decode_all, encode
from hes_protocol.client import (
    Access,
    AccessCompleted,
    Action,
    ActionCompleted,
    ActionList,
    ActionListCompleted,
    Associate,
    AssociationAccepted,
    ContinueNeeded,
    ExceptionReceived,
    Get,
    GetCompleted,
    GetList,
    GetListCompleted,
    NotificationReceived,
    Set,
    SetCompleted,
    SetList,
    SetListCompleted,
)
from hes_protocol.cosem import Obis
from hes_protocol.cosem.objects import Attribute, EntrySelection, Method
from hes_protocol.errors import LocalProtocolError
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
from hes_protocol.wrapper import HEADER_OCTETS
from hes_protocol.xdlms import (
    ActionResultCode,
    ActionReturn,
    DataAccessResult,
    DataNotification,
    EventNotification,
    GetDataResult,
)
from hes_protocol.xdlms.ciphered import CipherForm
from tests.connection_pair import (
    BUFFER,
    CLIENT_SAP,
    PROTECTIONS,
    ConnectionPair,
    answer_of,
    client_settings,
    events_of,
    server_association,
)
from tests.strategies import trees

DENIED = DataAccessResult.READ_WRITE_DENIED
UNDEFINED = DataAccessResult.OBJECT_UNDEFINED
ECHO = Method(9999, Obis.parse("0.0.1.2.3.255"), 1)
PUSH = DataNotification(0x40000007, None, Data(DataTag.UNSIGNED, 7))


def attribute(number: int) -> Attribute:
    return Attribute(1, Obis(bytes((0, 0, 96, 1, number, 255))), 2)


def octets(length: int, fill: int = 7) -> Data:
    return Data(DataTag.OCTET_STRING, bytes((fill,)) * length)


@attrs.define
class Meter:
    """What is behind the server: attributes that may be written, and a method that echoes."""

    stored: dict[Attribute, Data] = attrs.field(factory=dict)
    denied: set[Attribute] = attrs.field(factory=set)
    invoked: list[Data | None] = attrs.field(factory=list)

    def __call__(self, event: ServerEvent) -> ServerReply | None:
        match event:
            case GetRequested():
                value = self.stored.get(event.attribute)
                if value is None:
                    return GetResult(event.invoke_id, UNDEFINED)
                return GetResult(event.invoke_id, octets=encode(value))
            case SetRequested():
                if event.attribute in self.denied:
                    return SetResult(event.invoke_id, DENIED)
                self.stored[event.attribute] = event.data
                return SetResult(event.invoke_id)
            case ActionRequested():
                self.invoked.append(event.data)
                returned = b"" if event.data is None else encode(event.data)
                return ActionResult(event.invoke_id, octets=returned)
            case _:
                return answer_of(event)


def made_pair(
    pdu_size: int = 0xFFFF,
    protection: Protection = Protection.PLAIN,
    mechanism: Mechanism = Mechanism.NONE,
    *,
    reply_form: CipherForm | None = None,
    **changes: Any,
) -> tuple[ConnectionPair, Meter]:
    """An open association whose both sides take APDUs of `pdu_size` octets."""
    pair = ConnectionPair.of(
        client_settings(
            mechanism=mechanism, protection=protection, max_receive_pdu_size=pdu_size, **changes
        ),
        server_association(
            mechanism=mechanism,
            minimum_protection=protection,
            max_receive_pdu_size=pdu_size,
            reply_form=reply_form,
        ),
    )
    meter = Meter()
    pair.answer = meter
    assert isinstance(pair.ask(Associate())[-1], AssociationAccepted)
    pair.sent.clear()
    return pair, meter


def longest(pair: ConnectionPair) -> int:
    return max(len(frame) - HEADER_OCTETS for _, frame in pair.sent)


LENGTHS = pytest.mark.parametrize("length", [1, 40, 127, 128, 500, 2000])
SIZES = pytest.mark.parametrize("pdu_size", [64, 200, 0xFFFF])
BY_PROTECTION = pytest.mark.parametrize("protection", PROTECTIONS)


@BY_PROTECTION
@SIZES
@LENGTHS
class TestEveryLength:
    @pytest.mark.conformance("set-normal", "client", "server")
    @pytest.mark.conformance("set-blocks", "client", "server")
    @pytest.mark.conformance("get-blocks", "client", "server")
    def test_what_was_set_is_got(self, protection: Protection, pdu_size: int, length: int) -> None:
        pair, _ = made_pair(pdu_size, protection)
        written = pair.ask(Set(attribute(1), octets(length)))[-1]
        assert isinstance(written, SetCompleted)
        assert written.result == DataAccessResult.SUCCESS
        read = pair.ask(Get(attribute(1)))[-1]
        assert isinstance(read, GetCompleted)
        assert read.data() == octets(length)
        assert longest(pair) <= pdu_size

    @pytest.mark.conformance("action-normal", "client", "server")
    @pytest.mark.conformance("action-blocks", "client", "server")
    def test_what_is_invoked_is_returned(
        self, protection: Protection, pdu_size: int, length: int
    ) -> None:
        pair, meter = made_pair(pdu_size, protection)
        done = pair.ask(Action(ECHO, octets(length)))[-1]
        assert isinstance(done, ActionCompleted)
        assert (done.result, done.data()) == (ActionResultCode.SUCCESS, octets(length))
        assert meter.invoked == [octets(length)]
        assert longest(pair) <= pdu_size


@BY_PROTECTION
@pytest.mark.parametrize("pdu_size", [128, 0xFFFF])
@pytest.mark.parametrize("length", [1, 100, 1000])
class TestLists:
    @pytest.mark.conformance("set-list", "client", "server")
    @pytest.mark.conformance("set-list-blocks", "client", "server")
    @pytest.mark.conformance("get-list", "client", "server")
    @pytest.mark.conformance("get-list-blocks", "client", "server")
    def test_set_and_get(self, protection: Protection, pdu_size: int, length: int) -> None:
        pair, meter = made_pair(pdu_size, protection)
        meter.denied.add(attribute(2))
        sets = tuple(Set(attribute(number), octets(length, number)) for number in (1, 2, 3))
        written = pair.ask(SetList(sets))[-1]
        assert isinstance(written, SetListCompleted)
        assert written.results == (DataAccessResult.SUCCESS, DENIED, DataAccessResult.SUCCESS)
        read = pair.ask(GetList(tuple(Get(one.attribute) for one in sets)))[-1]
        assert isinstance(read, GetListCompleted)
        assert read.results == (
            GetDataResult(octets=encode(octets(length, 1))),
            GetDataResult(UNDEFINED),
            GetDataResult(octets=encode(octets(length, 3))),
        )
        assert longest(pair) <= pdu_size

    @pytest.mark.conformance("action-list", "client", "server")
    @pytest.mark.conformance("action-list-blocks", "client", "server")
    def test_action(self, protection: Protection, pdu_size: int, length: int) -> None:
        pair, meter = made_pair(pdu_size, protection)
        done = pair.ask(ActionList((Action(ECHO, octets(length)), Action(ECHO))))[-1]
        assert isinstance(done, ActionListCompleted)
        assert done.results == (
            ActionReturn(ActionResultCode.SUCCESS, GetDataResult(octets=encode(octets(length)))),
            ActionReturn(ActionResultCode.SUCCESS),
        )
        assert meter.invoked == [octets(length), None]
        assert longest(pair) <= pdu_size


@BY_PROTECTION
@pytest.mark.conformance("access", "client", "server")
def test_access_reads_writes_and_invokes(protection: Protection) -> None:
    pair, meter = made_pair(protection=protection)
    meter.denied.add(attribute(2))
    done = pair.ask(
        Access(
            (
                Set(attribute(1), octets(3)),
                Set(attribute(2), octets(3)),
                Get(attribute(1)),
                Get(attribute(9)),
                Get(BUFFER, EntrySelection(1, 2)),
                Get(attribute(1), EntrySelection(1, 2)),
                Action(ECHO, octets(2)),
                Action(ECHO),
            )
        )
    )[-1]
    assert isinstance(done, AccessCompleted)
    assert done.invoke_id == 1
    assert done.results == (
        DataAccessResult.SUCCESS,
        DENIED,
        GetDataResult(octets=encode(octets(3))),
        GetDataResult(UNDEFINED),
        GetDataResult(UNDEFINED),
        GetDataResult(DataAccessResult.SCOPE_OF_ACCESS_VIOLATED),
        ActionReturn(ActionResultCode.SUCCESS, GetDataResult(octets=encode(octets(2)))),
        ActionReturn(ActionResultCode.SUCCESS),
    )
    assert [event.selection for event in pair.server_events if isinstance(event, GetRequested)] == [
        None,
        None,
        EntrySelection(1, 2),
    ]


@pytest.mark.conformance("reply-styles", "client", "server")
@pytest.mark.parametrize("reply_form", [None, *CipherForm])
@pytest.mark.parametrize("form", CipherForm)
def test_every_service_in_every_form(form: CipherForm, reply_form: CipherForm | None) -> None:
    pair, meter = made_pair(
        128,
        Protection.AUTHENTICATED_ENCRYPTED,
        cipher_form=form,
        dedicated_key=bytes(range(16)),
        reply_form=reply_form,
    )
    for length in range(1, 100, 7):
        value = octets(length)
        assert pair.ask(Set(attribute(1), value))[-1].result == 0  # type: ignore[union-attr]
        read: Any = pair.ask(GetList((Get(attribute(1)), Get(attribute(2)))))[-1]
        assert read.results[0].data() == value
        done: Any = pair.ask(Action(ECHO, value))[-1]
        assert done.data() == value
    for length in range(40, 100):
        meter.stored[attribute(1)] = octets(length)
        answer = pair.ask(Access((Get(attribute(1)),)))[-1]
        assert isinstance(answer, AccessCompleted | ExceptionReceived)
    assert longest(pair) <= 128


@BY_PROTECTION
@pytest.mark.parametrize("request_", [Set(attribute(1), octets(3), confirmed=False)])
def test_an_unconfirmed_request_is_not_answered(protection: Protection, request_: Set) -> None:
    pair, meter = made_pair(protection=protection)
    assert pair.ask(request_) == []
    assert pair.ask(Action(ECHO, octets(1), confirmed=False)) == []
    assert (meter.stored, meter.invoked) == ({attribute(1): octets(3)}, [octets(1)])
    assert [who for who, _ in pair.sent] == ["client", "client"]
    read = pair.ask(Get(attribute(1)))[-1]
    assert isinstance(read, GetCompleted)
    assert read.invoke_id == 3


def test_what_is_unconfirmed_does_not_go_by_blocks() -> None:
    pair, _ = made_pair(64)
    with pytest.raises(LocalProtocolError):
        pair.ask(Set(attribute(1), octets(100), confirmed=False))
    assert isinstance(pair.ask(Get(attribute(1)))[-1], GetCompleted)


@pytest.mark.parametrize("high_priority", [False, True])
def test_the_priority_is_echoed(high_priority: bool) -> None:
    pair, _ = made_pair(high_priority=high_priority)
    pair.ask(Get(attribute(1)))
    assert [frame[HEADER_OCTETS + 2] >> 7 for _, frame in pair.sent] == [high_priority] * 2


# --- pushes ---------------------------------------------------------------------------------


def pushed(pair: ConnectionPair, protection: Protection, push: Any = PUSH) -> None:
    pair.client.receive_data(pair.server.send(Notify(push, CLIENT_SAP, protection)))


def confirmed(pair: ConnectionPair, event: Any) -> list[ServerEvent]:
    pair.server.receive_data(pair.client.send(event.reply))
    return events_of(pair.server)


@BY_PROTECTION
@pytest.mark.conformance("data-notification-confirmed", "client", "server")
def test_a_push_is_confirmed(protection: Protection) -> None:
    pair, _ = made_pair(protection=protection)
    pushed(pair, protection)
    received, wanted = events_of(pair.client)
    assert received == NotificationReceived(PUSH, protection)
    assert wanted.reply.purpose == "confirm"
    assert confirmed(pair, wanted) == [NotificationConfirmed(CLIENT_SAP, 7)]
    with pytest.raises(LocalProtocolError):
        pair.client.send(wanted.reply)
    assert isinstance(pair.ask(Get(attribute(1)))[-1], GetCompleted)


@BY_PROTECTION
@pytest.mark.conformance("data-notification-confirmed", "client", "server")
def test_a_push_is_confirmed_without_an_association(protection: Protection) -> None:
    pair = ConnectionPair.protected(protection, Mechanism.NONE)
    pushed(pair, protection)
    _, wanted = events_of(pair.client)
    assert confirmed(pair, wanted) == [NotificationConfirmed(CLIENT_SAP, 7)]
    if protection.authenticated:
        octets_ = pair.client.send(Associate())
        before = pair.state()
        pair.server.receive_data(octets_)
        assert before == pair.state()


@BY_PROTECTION
@pytest.mark.conformance("event-notification", "client", "server")
def test_an_event_is_not_confirmed(protection: Protection) -> None:
    pair, _ = made_pair(protection=protection)
    event = EventNotification(attribute(1), octets(3))
    pushed(pair, protection, event)
    assert events_of(pair.client) == [NotificationReceived(event, protection)]


@pytest.mark.conformance("push-during-get", "client", "server")
@pytest.mark.parametrize("kind", [GetCompleted, SetCompleted, ActionCompleted])
def test_a_push_at_every_step_of_a_long_request(kind: type) -> None:
    protection = Protection.AUTHENTICATED_ENCRYPTED
    pair, meter = made_pair(64, protection)
    meter.stored[attribute(1)] = octets(200)
    request: Any = {
        GetCompleted: Get(attribute(1)),
        SetCompleted: Set(attribute(2), octets(200)),
        ActionCompleted: Action(ECHO, octets(200)),
    }[kind]
    to_send = pair.client.send(request)
    rounds, done = 0, None
    while done is None:
        pushed(pair, protection)
        pair.carry_to_server(to_send)
        replies = []
        for event in events_of(pair.client):
            if isinstance(event, ContinueNeeded) and event.reply.purpose == "confirm":
                assert NotificationConfirmed(CLIENT_SAP, 7) in confirmed(pair, event)
            elif isinstance(event, ContinueNeeded):
                replies.append(event.reply)
            elif isinstance(event, kind):
                done = event
        to_send = b"".join(map(pair.client.send, replies))
        rounds += 1
    assert rounds > 4
    assert done.result == 0


@pytest.mark.conformance("push-during-get", "client")
def test_a_push_in_the_middle_of_the_handshake() -> None:
    protection = Protection.AUTHENTICATED_ENCRYPTED
    pair = ConnectionPair.protected(protection)
    to_send = pair.client.send(Associate())
    seen: list[Any] = []
    while to_send:
        pushed(pair, protection)
        pair.carry_to_server(to_send)
        events = events_of(pair.client)
        seen += events
        replies = [event.reply for event in events if isinstance(event, ContinueNeeded)]
        for reply in replies:
            if reply.purpose == "confirm":
                pair.server.receive_data(pair.client.send(reply))
                assert NotificationConfirmed(CLIENT_SAP, 7) in events_of(pair.server)
        to_send = b"".join(
            pair.client.send(reply) for reply in replies if reply.purpose != "confirm"
        )
    assert sum(isinstance(event, NotificationReceived) for event in seen) == 2
    assert isinstance(seen[-1], AssociationAccepted) or any(
        isinstance(event, AssociationAccepted) for event in seen
    )


def test_not_every_push_is_confirmed() -> None:
    pair, _ = made_pair()
    for _ in range(40):
        pushed(pair, Protection.PLAIN)
    events = events_of(pair.client)
    wanted = [event for event in events if isinstance(event, ContinueNeeded)]
    assert (len(events), len(wanted)) == (40 + 16, 16)
    confirmed(pair, wanted[3])
    pushed(pair, Protection.PLAIN)
    assert isinstance(events_of(pair.client)[-1], ContinueNeeded)


# --- properties -----------------------------------------------------------------------------

protections = st.sampled_from(PROTECTIONS)
values = st.one_of(trees(), st.integers(0, 3000).map(octets))
# Descriptors of a list are never cut: the smallest size that holds six of them, ciphered.
list_sizes = st.integers(128, 2048)


@given(pdu_size=st.integers(64, 2048), protection=protections, value=values)
@settings(max_examples=60)
def test_any_value_goes_through_any_size(
    pdu_size: int, protection: Protection, value: Data
) -> None:
    pair, meter = made_pair(pdu_size, protection)
    written: Any = pair.ask(Set(attribute(1), value))[-1]
    read: Any = pair.ask(Get(attribute(1)))[-1]
    done: Any = pair.ask(Action(ECHO, value))[-1]
    assert (written.result, read.data(), done.data()) == (0, value, value)
    assert meter.invoked == [value]
    assert longest(pair) <= pdu_size


@given(
    pdu_size=list_sizes,
    protection=protections,
    listed=st.lists(values.filter(lambda value: value != NULL), min_size=1, max_size=6),
    denied=st.sets(st.integers(0, 5)),
)
@settings(max_examples=60)
def test_any_list_goes_through_any_size(
    pdu_size: int, protection: Protection, listed: list[Data], denied: set[int]
) -> None:
    pair, meter = made_pair(pdu_size, protection)
    meter.denied |= set(map(attribute, denied))
    sets = tuple(Set(attribute(number), value) for number, value in enumerate(listed))
    written: Any = pair.ask(SetList(sets))[-1]
    read: Any = pair.ask(GetList(tuple(Get(one.attribute) for one in sets)))[-1]
    done: Any = pair.ask(ActionList(tuple(Action(ECHO, value) for value in listed)))[-1]
    numbers = range(len(listed))
    assert list(written.results) == [DENIED if n in denied else 0 for n in numbers]
    for number, result in enumerate(read.results):
        if number in denied:
            assert result == GetDataResult(UNDEFINED)
        else:
            assert decode_all(result.octets) == listed[number]
    assert [outcome.return_parameters.data() for outcome in done.results] == listed
    assert longest(pair) <= pdu_size


@given(data=st.data(), protection=protections, length=st.integers(0, 600))
@settings(max_examples=40)
def test_any_split_of_the_stream_gives_the_same_events(
    data: st.DataObject, protection: Protection, length: int
) -> None:
    pair, _ = made_pair(128, protection)
    whole: list[Any] = []
    parts: list[Any] = []
    twin, _ = made_pair(128, protection)
    for request in (
        Set(attribute(1), octets(length)),
        GetList((Get(attribute(1)), Get(attribute(2)))),
        Action(ECHO, octets(length)),
    ):
        whole += pair.ask(request)
        parts += _ask_in_parts(twin, request, data)
    assert _comparable(parts) == _comparable(whole)
    assert _comparable(twin.server_events) == _comparable(pair.server_events)


def _ask_in_parts(pair: ConnectionPair, request: Any, data: st.DataObject) -> list[Any]:
    events: list[Any] = []
    to_send = pair.client.send(request)
    while to_send:
        cut = data.draw(st.integers(0, len(to_send)))
        to_client = b""
        for part in (to_send[:cut], to_send[cut:]):
            pair.server.receive_data(part)
            to_client += b"".join(pair.server_answers())
        cut = data.draw(st.integers(0, len(to_client)))
        new: list[Any] = []
        for part in (to_client[:cut], to_client[cut:]):
            pair.client.receive_data(part)
            new += events_of(pair.client)
        events += new
        to_send = b"".join(
            pair.client.send(event.reply) for event in new if isinstance(event, ContinueNeeded)
        )
    return events


def _comparable(events: list[Any]) -> list[Any]:
    return [event.reply.purpose if isinstance(event, ContinueNeeded) else event for event in events]
