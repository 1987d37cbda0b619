"""The client against APDUs written by hand: what it asks, what it believes, what it refuses."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from hes_protocol.acse import (
    Aare,
    Aarq,
    ApplicationContext,
    AssociationResult,
    Diagnostic,
    Mechanism,
    Rlre,
    Rlrq,
    UserDiagnostic,
    context_name,
    mechanism_name,
)
from hes_protocol.axdr import Data, DataTag
from hes_protocol.client import (
    Action,
    ActionCompleted,
    AnswerDiscarded,
    Associate,
    AssociationAccepted,
    AssociationRejected,
    AssociationReleased,
    Client,
    ContinueNeeded,
    ExceptionReceived,
    Get,
    GetCompleted,
    NotificationReceived,
    Release,
    Reply,
)
from hes_protocol.cosem.objects import EntrySelection
from hes_protocol.errors import (
    AssociationError,
    EncodingError,
    LimitError,
    LocalProtocolError,
    RemoteProtocolError,
    SecurityError,
)
from hes_protocol.security import Protection
from hes_protocol.xdlms import (
    ActionRequestNormal,
    ActionResponseNormal,
    ActionResultCode,
    ActionReturn,
    ConfirmedServiceError,
    Conformance,
    DataAccessResult,
    DataNotification,
    ExceptionResponse,
    GetDataResult,
    GetRequestNext,
    GetRequestNormal,
    GetResponseNormal,
    GetResponseWithDatablock,
    InitiateRequest,
    InitiateResponse,
    ServiceError,
    StateError,
    decode_apdu,
)
from tests.connection_pair import (
    BUFFER,
    CAPTURE,
    CLIENT_TITLE,
    CLOCK,
    CTOS,
    SECRET,
    apdu_of,
    client_settings,
    events_of,
    make_client,
    to_client,
)
from tests.connection_pair import client_hears as hears

CONFORMANCE = Conformance.GET | Conformance.ACTION
RESPONSE = InitiateResponse(conformance=CONFORMANCE, server_max_receive_pdu_size=500)
ACCEPTED = Aare(
    context_name(ApplicationContext.LOGICAL_NAME),
    AssociationResult.ACCEPTED,
    Diagnostic(UserDiagnostic.NULL),
    user_information=RESPONSE.encode(),
)


def opened(**changes: Any) -> Client:
    """A client with an open plain association."""
    client = make_client(client_settings(**changes))
    client.send(Associate())
    assert isinstance(hears(client, ACCEPTED)[-1], AssociationAccepted)
    return client


def asked(client: Client, request: Get | Action) -> int:
    """Send a request; the invoke id that it got."""
    client.send(request)
    assert client.pending_invoke_id is not None
    return client.pending_invoke_id


def normal(invoke_id: int, octets: bytes = b"\x11\x05") -> GetResponseNormal:
    return GetResponseNormal(GetDataResult(octets=octets), invoke_id_and_priority=0xC0 | invoke_id)


def block(invoke_id: int, number: int, octets: bytes, *, last: bool) -> GetResponseWithDatablock:
    return GetResponseWithDatablock(last, number, octets, invoke_id_and_priority=0xC0 | invoke_id)


@pytest.mark.conformance("aarq-aare", "client")
class TestAarq:
    @pytest.mark.conformance("lowest", "client")
    def test_without_authentication(self) -> None:
        client = make_client(client_settings(system_title=None, conformance=CONFORMANCE))
        aarq = decode_apdu(apdu_of(client.send(Associate())))
        assert aarq == Aarq(
            context_name(ApplicationContext.LOGICAL_NAME),
            user_information=InitiateRequest(
                conformance=CONFORMANCE, client_max_receive_pdu_size=0xFFFF
            ).encode(),
        )

    @pytest.mark.conformance("lls", "client")
    def test_with_lls(self) -> None:
        client = make_client(client_settings(mechanism=Mechanism.LLS))
        aarq = decode_apdu(apdu_of(client.send(Associate())))
        assert isinstance(aarq, Aarq)
        assert aarq.authentication_required
        assert (aarq.mechanism, aarq.authentication_value) == (Mechanism.LLS, SECRET)

    @pytest.mark.conformance("contexts", "client")
    @pytest.mark.conformance("hls-gmac", "client")
    def test_with_hls_and_ciphering(self) -> None:
        client = make_client(
            client_settings(
                mechanism=Mechanism.HLS_GMAC, protection=Protection.AUTHENTICATED_ENCRYPTED
            )
        )
        aarq = decode_apdu(apdu_of(client.send(Associate())))
        assert isinstance(aarq, Aarq)
        assert aarq.context is ApplicationContext.LOGICAL_NAME_CIPHERED
        assert (aarq.calling_ap_title, aarq.authentication_value) == (CLIENT_TITLE, CTOS)
        assert aarq.user_information is not None
        assert aarq.user_information[:7] == bytes.fromhex("21 1f 30 00000064")

    def test_initiate_may_be_protected_more_than_the_rest(self) -> None:
        client = make_client(client_settings(initiate_protection=0x30, minimum_protection=0))
        aarq = decode_apdu(apdu_of(client.send(Associate())))
        assert isinstance(aarq, Aarq)
        assert aarq.context is ApplicationContext.LOGICAL_NAME_CIPHERED


@pytest.mark.parametrize(
    "changes",
    [
        {"mechanism": Mechanism.HLS_ECDSA},
        {"mechanism": Mechanism.LLS, "secret": None},
        {"mechanism": Mechanism.HLS_GMAC, "system_title": None},
        {"mechanism": Mechanism.HLS_GMAC, "encryption_key": None},
        {"mechanism": Mechanism.HLS_GMAC, "authentication_key": None},
        {"protection": Protection.ENCRYPTED, "encryption_key": None},
        {"protection": Protection.AUTHENTICATED, "authentication_key": None},
        {"protection": Protection.ENCRYPTED, "system_title": b"short"},
        {"encryption_key": b"short"},
    ],
)
def test_settings_that_cannot_work(changes: dict[str, Any]) -> None:
    with pytest.raises(LocalProtocolError):
        make_client(client_settings(**changes))


def test_secrets_do_not_print() -> None:
    shown = repr(client_settings(secret=b"Passw0rd", challenge=b"Chall3nge"))
    for secret in ("Passw0rd", "Chall3nge", repr(bytes(range(0x10, 0x20)))):
        assert secret not in shown


@pytest.mark.conformance("aarq-aare", "client")
class TestAssociate:
    def test_accepted(self) -> None:
        client = make_client(client_settings())
        client.send(Associate())
        assert hears(client, ACCEPTED) == [
            AssociationAccepted(CONFORMANCE, 500, None, Protection.PLAIN)
        ]

    def test_rejected_and_tried_again(self) -> None:
        client = make_client(client_settings())
        client.send(Associate())
        error = ConfirmedServiceError(1, 6, 1)
        rejected = attrs.evolve(
            ACCEPTED,
            result=AssociationResult.REJECTED_PERMANENT,
            diagnostic=Diagnostic(2),
            user_information=error.encode(),
        )
        assert hears(client, rejected) == [
            AssociationRejected(AssociationResult.REJECTED_PERMANENT, Diagnostic(2), 1)
        ]
        client.send(Associate())
        assert isinstance(hears(client, ACCEPTED)[0], AssociationAccepted)

    @pytest.mark.parametrize(
        "information", [None, b"", b"\xff", RESPONSE.encode(), b"\x0e\x05\x00\x00"]
    )
    def test_rejected_with_anything_as_information(self, information: bytes | None) -> None:
        client = make_client(client_settings())
        client.send(Associate())
        rejected = attrs.evolve(
            ACCEPTED,
            result=AssociationResult.REJECTED_TRANSIENT,
            user_information=information,
        )
        (event,) = hears(client, rejected)
        assert isinstance(event, AssociationRejected)
        assert event.initiate_error is None

    @pytest.mark.conformance("confirmed-service-error", "client")
    def test_a_confirmed_service_error_in_place_of_an_aare(self) -> None:
        client = make_client(client_settings())
        client.send(Associate())
        (event,) = hears(client, ConfirmedServiceError(1, 6, 3))
        assert isinstance(event, AssociationRejected)
        assert event.initiate_error == 3

    @pytest.mark.parametrize(
        ("changes", "code"),
        [
            (
                {"application_context_name": context_name(ApplicationContext.SHORT_NAME)},
                "policy-violated",
            ),
            ({"application_context_name": b""}, "policy-violated"),
            ({"mechanism_name": mechanism_name(Mechanism.HLS_GMAC)}, "mechanism-mismatch"),
            ({"mechanism_name": b"\x01"}, "mechanism-mismatch"),
            ({"diagnostic": Diagnostic(14)}, "mechanism-mismatch"),
            ({"responding_ap_title": b"another1"}, "system-title-mismatch"),
        ],
    )
    @pytest.mark.parametrize("mechanism", [Mechanism.NONE, Mechanism.LLS])
    def test_not_what_was_asked(
        self, mechanism: Mechanism, changes: dict[str, Any], code: str
    ) -> None:
        client = make_client(client_settings(mechanism=mechanism, server_system_title=b"MTRtest1"))
        client.send(Associate())
        with pytest.raises(SecurityError) as caught:
            hears(client, attrs.evolve(ACCEPTED, **changes))
        assert caught.value.code == code
        # It was never there: the right answer is still taken.
        assert isinstance(hears(client, ACCEPTED)[0], AssociationAccepted)

    def test_lls_with_its_mechanism_named(self) -> None:
        client = make_client(client_settings(mechanism=Mechanism.LLS))
        client.send(Associate())
        named = attrs.evolve(ACCEPTED, mechanism_name=mechanism_name(Mechanism.LLS))
        assert isinstance(hears(client, named)[0], AssociationAccepted)

    @pytest.mark.parametrize("information", [None, b"", b"\x01", GetRequestNext(1).encode()])
    def test_without_an_initiate_response(self, information: bytes | None) -> None:
        client = make_client(client_settings())
        client.send(Associate())
        with pytest.raises(EncodingError):
            hears(client, attrs.evolve(ACCEPTED, user_information=information))

    def test_a_challenge_is_used_once(self) -> None:
        client = make_client(client_settings(mechanism=Mechanism.HLS_GMAC))
        client.send(Associate())
        hears(client, attrs.evolve(ACCEPTED, result=AssociationResult.REJECTED_TRANSIENT))
        with pytest.raises(LocalProtocolError):
            client.send(Associate())
        with pytest.raises(LocalProtocolError):
            client.send(Associate(challenge=b"short"))
        client.send(Associate(challenge=b"another one"))

    @pytest.mark.conformance("exception-response", "client")
    def test_an_exception_response_ends_the_attempt(self) -> None:
        # As a meter of the S-FSK sample answers the first AARQ.
        client = make_client(client_settings())
        client.send(Associate())
        exception = ExceptionResponse(
            StateError.SERVICE_NOT_ALLOWED, ServiceError.OPERATION_NOT_POSSIBLE
        )
        (event,) = hears(client, exception)
        assert event == ExceptionReceived(
            StateError.SERVICE_NOT_ALLOWED, ServiceError.OPERATION_NOT_POSSIBLE, None, True
        )
        client.send(Associate())


@pytest.mark.conformance("get-normal", "client")
class TestGet:
    def test_in_one_piece(self) -> None:
        client = opened()
        sent = decode_apdu(apdu_of(client.send(Get(CLOCK))))
        assert sent == GetRequestNormal(CLOCK, invoke_id_and_priority=0xC1)
        (event,) = hears(client, normal(1))
        assert event == GetCompleted(1, DataAccessResult.SUCCESS, b"\x11\x05")
        assert event.data() == Data(DataTag.UNSIGNED, 5)
        assert client.pending_invoke_id is None

    @pytest.mark.conformance("selective-range", "client")
    def test_selective_access(self) -> None:
        client = opened()
        selection = EntrySelection(1, 4)
        sent = decode_apdu(apdu_of(client.send(Get(BUFFER, selection))))
        assert isinstance(sent, GetRequestNormal)
        assert sent.selection is not None
        assert (sent.selection.selector, sent.selection.parameters) == (2, selection.to_data())

    def test_a_refusal_is_an_answer(self) -> None:
        client = opened()
        invoke_id = asked(client, Get(CLOCK))
        refusal = GetResponseNormal(
            GetDataResult(DataAccessResult.OBJECT_UNDEFINED), invoke_id_and_priority=invoke_id
        )
        assert hears(client, refusal) == [GetCompleted(1, DataAccessResult.OBJECT_UNDEFINED)]

    @pytest.mark.conformance("get-blocks", "client")
    def test_by_blocks(self) -> None:
        client = opened()
        invoke_id = asked(client, Get(BUFFER))
        received = b""
        for number in range(1, 5):
            octets = bytes((number,)) * number
            events = hears(client, block(invoke_id, number, octets, last=number == 4))
            received += octets
            if number < 4:
                (event,) = events
                assert isinstance(event, ContinueNeeded)
                assert event.reply.purpose == "block"
                sent = decode_apdu(apdu_of(client.send(event.reply)))
                assert sent == GetRequestNext(number, invoke_id_and_priority=0xC0 | invoke_id)
        assert events == [GetCompleted(invoke_id, DataAccessResult.SUCCESS, received)]

    @pytest.mark.conformance("get-blocks", "client")
    def test_only_one_block(self) -> None:
        client = opened()
        invoke_id = asked(client, Get(BUFFER))
        assert hears(client, block(invoke_id, 1, b"\x00", last=True)) == [
            GetCompleted(invoke_id, DataAccessResult.SUCCESS, b"\x00")
        ]

    @pytest.mark.conformance("get-blocks", "client")
    def test_a_refusal_in_the_middle(self) -> None:
        client = opened()
        invoke_id = asked(client, Get(BUFFER))
        (event,) = hears(client, block(invoke_id, 1, b"\x00", last=False))
        client.send(event.reply)
        broken_off = GetResponseWithDatablock(
            True,
            2,
            result=DataAccessResult.LONG_GET_ABORTED,
            invoke_id_and_priority=invoke_id,
        )
        assert hears(client, broken_off) == [
            GetCompleted(invoke_id, DataAccessResult.LONG_GET_ABORTED)
        ]
        assert hears(client, normal(asked(client, Get(CLOCK))))

    @pytest.mark.conformance("get-blocks", "client")
    @pytest.mark.parametrize("number", [0, 1, 3, 0xFFFFFFFF])
    def test_a_block_that_is_not_due(self, number: int) -> None:
        client = opened()
        invoke_id = asked(client, Get(BUFFER))
        (event,) = hears(client, block(invoke_id, 1, b"\x01", last=False))
        client.send(event.reply)
        with pytest.raises(AssociationError) as caught:
            hears(client, block(invoke_id, number, b"\xff", last=False))
        assert caught.value.code == "bad-block-number"
        assert hears(client, block(invoke_id, 2, b"\x02", last=True)) == [
            GetCompleted(invoke_id, DataAccessResult.SUCCESS, b"\x01\x02")
        ]

    @pytest.mark.conformance("get-blocks", "client")
    def test_a_block_before_it_is_asked_for(self) -> None:
        client = opened()
        invoke_id = asked(client, Get(BUFFER))
        events = hears(
            client,
            block(invoke_id, 1, b"\x01", last=False),
            block(invoke_id, 2, b"\x02", last=True),
        )
        assert events[1] == AnswerDiscarded(invoke_id)
        client.send(events[0].reply)
        assert hears(client, block(invoke_id, 2, b"\x02", last=True))

    @pytest.mark.conformance("get-blocks", "client")
    def test_one_piece_after_blocks(self) -> None:
        client = opened()
        invoke_id = asked(client, Get(BUFFER))
        (event,) = hears(client, block(invoke_id, 1, b"\x01", last=False))
        client.send(event.reply)
        with pytest.raises(AssociationError):
            hears(client, normal(invoke_id))

    def test_too_many_octets(self) -> None:
        client = opened(max_result_octets=100)
        invoke_id = asked(client, Get(BUFFER))
        (event,) = hears(client, block(invoke_id, 1, bytes(100), last=False))
        client.send(event.reply)
        with pytest.raises(LimitError) as caught:
            hears(client, block(invoke_id, 2, bytes(1), last=False))
        assert caught.value.code == "too-long"

    def test_too_many_blocks(self) -> None:
        client = opened(max_blocks=3)
        invoke_id = asked(client, Get(BUFFER))
        for number in range(1, 4):
            (event,) = hears(client, block(invoke_id, number, b"", last=False))
            client.send(event.reply)
        with pytest.raises(LimitError) as caught:
            hears(client, block(invoke_id, 4, b"", last=False))
        assert caught.value.code == "too-many-blocks"


@pytest.mark.conformance("action-normal", "client")
class TestAction:
    @pytest.mark.parametrize(
        ("outcome", "expected"),
        [
            (ActionReturn(ActionResultCode.SUCCESS), (0, b"", None)),
            (
                ActionReturn(ActionResultCode.SUCCESS, GetDataResult(octets=b"\x11\x05")),
                (0, b"\x11\x05", None),
            ),
            (ActionReturn(ActionResultCode.SUCCESS, GetDataResult()), (0, b"", 0)),
            (ActionReturn(ActionResultCode.READ_WRITE_DENIED), (3, b"", None)),
            (
                ActionReturn(
                    ActionResultCode.OTHER_REASON, GetDataResult(DataAccessResult.TYPE_UNMATCHED)
                ),
                (250, b"", 12),
            ),
        ],
    )
    def test_every_outcome(
        self, outcome: ActionReturn, expected: tuple[int, bytes, int | None]
    ) -> None:
        client = opened()
        sent = decode_apdu(apdu_of(client.send(Action(CAPTURE, Data(DataTag.INTEGER, 0)))))
        assert sent == ActionRequestNormal(
            CAPTURE, Data(DataTag.INTEGER, 0), invoke_id_and_priority=0xC1
        )
        (event,) = hears(client, ActionResponseNormal(outcome, invoke_id_and_priority=1))
        assert isinstance(event, ActionCompleted)
        assert (event.result, event.octets, event.data_result) == expected

    def test_too_long_for_the_server(self) -> None:
        client = opened()
        with pytest.raises(LocalProtocolError):
            client.send(Action(CAPTURE, Data(DataTag.OCTET_STRING, bytes(500))))
        # Nothing was asked, so something else may be.
        assert asked(client, Action(CAPTURE)) == 1


class TestLateAndForeign:
    def test_a_foreign_invoke_id(self) -> None:
        client = opened()
        invoke_id = asked(client, Get(CLOCK))
        assert hears(client, normal(invoke_id + 1)) == [AnswerDiscarded(invoke_id + 1)]
        assert isinstance(hears(client, normal(invoke_id))[0], GetCompleted)

    def test_an_answer_to_nothing(self) -> None:
        client = opened()
        assert hears(client, normal(5)) == [AnswerDiscarded(5)]

    def test_before_any_association(self) -> None:
        assert hears(make_client(client_settings()), normal(5)) == [AnswerDiscarded(5)]

    def test_after_giving_up(self) -> None:
        client = opened()
        late = asked(client, Get(CLOCK))
        client.abandon()
        invoke_id = asked(client, Get(BUFFER))
        assert invoke_id != late
        events = hears(client, normal(late, b"\x11\x01"), normal(invoke_id, b"\x11\x02"))
        assert events == [
            AnswerDiscarded(late),
            GetCompleted(invoke_id, DataAccessResult.SUCCESS, b"\x11\x02"),
        ]

    def test_the_id_of_what_was_given_up_waits_for_its_late_answer(self) -> None:
        client = opened()
        late = asked(client, Get(CLOCK))
        client.abandon()
        for _ in range(20):
            invoke_id = asked(client, Get(BUFFER))
            assert invoke_id != late
            hears(client, normal(invoke_id))
        assert hears(client, normal(late)) == [AnswerDiscarded(late)]
        assert late in [asked_and_answered(client) for _ in range(16)]

    def test_giving_up_without_end(self) -> None:
        client = opened()
        for _ in range(16):
            asked(client, Get(CLOCK))
            client.abandon()
        with pytest.raises(LocalProtocolError, match="given up"):
            client.send(Get(CLOCK))
        hears(client, normal(3))
        assert asked(client, Get(CLOCK)) == 3

    def test_giving_up_between_blocks_expects_no_answer(self) -> None:
        client = opened()
        for _ in range(20):
            invoke_id = asked(client, Get(BUFFER))
            hears(client, block(invoke_id, 1, b"\x01", last=False))
            client.abandon()

    def test_giving_up_between_blocks(self) -> None:
        client = opened()
        invoke_id = asked(client, Get(BUFFER))
        (event,) = hears(client, block(invoke_id, 1, b"\x01", last=False))
        client.abandon()
        with pytest.raises(LocalProtocolError):
            client.send(event.reply)
        client.send(Release())
        assert hears(client, Rlre()) == [AssociationReleased()]

    def test_giving_up_nothing(self) -> None:
        client = opened()
        client.abandon()
        assert asked(client, Get(CLOCK)) == 1

    def test_an_action_answered_by_a_get_response(self) -> None:
        client = opened()
        invoke_id = asked(client, Action(CAPTURE))
        assert hears(client, normal(invoke_id)) == [AnswerDiscarded(invoke_id)]
        assert client.pending_invoke_id == invoke_id

    def test_a_get_answered_by_an_action_response(self) -> None:
        client = opened()
        invoke_id = asked(client, Get(CLOCK))
        response = ActionResponseNormal(
            ActionReturn(ActionResultCode.SUCCESS), invoke_id_and_priority=invoke_id
        )
        assert hears(client, response) == [AnswerDiscarded(invoke_id)]

    def test_a_get_answered_by_a_set_response(self) -> None:
        client = opened()
        invoke_id = asked(client, Get(CLOCK))
        assert hears(client, bytes.fromhex("c501c100")) == [AnswerDiscarded(invoke_id)]

    def test_invoke_ids_go_round(self) -> None:
        client = opened()
        seen = []
        for _ in range(17):
            seen.append(asked(client, Get(CLOCK)))
            hears(client, normal(seen[-1]))
        assert seen == [*range(1, 16), 0, 1]


def asked_and_answered(client: Client) -> int:
    invoke_id = asked(client, Get(CLOCK))
    hears(client, normal(invoke_id))
    return invoke_id


@pytest.mark.conformance("push-during-get", "client")
def test_a_push_while_a_get_is_pending() -> None:
    client = opened()
    invoke_id = asked(client, Get(CLOCK))
    push = DataNotification(1, None, Data(DataTag.UNSIGNED, 1))
    events = hears(client, push, normal(invoke_id))
    assert events[0] == NotificationReceived(push, Protection.PLAIN)
    assert isinstance(events[1], GetCompleted)


@pytest.mark.conformance("exception-response", "client")
def test_an_exception_ends_the_request() -> None:
    client = opened()
    invoke_id = asked(client, Get(CLOCK))
    exception = ExceptionResponse(StateError.SERVICE_UNKNOWN, ServiceError.SERVICE_NOT_SUPPORTED)
    (event,) = hears(client, exception)
    assert event == ExceptionReceived(
        StateError.SERVICE_UNKNOWN, ServiceError.SERVICE_NOT_SUPPORTED, None, True, invoke_id
    )
    assert client.pending_invoke_id is None
    assert asked(client, Get(CLOCK)) == invoke_id + 1


@pytest.mark.conformance("exception-response", "client")
def test_an_exception_when_nothing_is_pending_changes_nothing() -> None:
    client = opened()
    (event,) = hears(client, bytes.fromhex("d80101"))
    assert event.invoke_id is None
    asked(client, Get(CLOCK))


@pytest.mark.parametrize(
    "apdu",
    [
        ACCEPTED.encode(),
        Rlre().encode(),
        Rlrq().encode(),
        Aarq(context_name(ApplicationContext.LOGICAL_NAME)).encode(),
        bytes.fromhex("0e010601"),
        bytes.fromhex("c403c100"),
        bytes.fromhex("c001c1 0008 0000010000ff 02 00"),
        bytes.fromhex("e0c000010000 00"),
        RESPONSE.encode(),
    ],
)
def test_apdus_that_the_state_forbids(apdu: bytes) -> None:
    client = opened()
    invoke_id = asked(client, Get(CLOCK))
    with pytest.raises(AssociationError):
        hears(client, apdu)
    assert isinstance(hears(client, normal(invoke_id))[0], GetCompleted)


@pytest.mark.parametrize("apdu", [b"\xff", b"\xc4", b"\x61\x00", bytes.fromhex("cc0500000000 00")])
def test_broken_apdus_are_consumed(apdu: bytes) -> None:
    client = opened(encryption_key=None, authentication_key=None)
    invoke_id = asked(client, Get(CLOCK))
    with pytest.raises(RemoteProtocolError):
        hears(client, apdu)
    assert isinstance(hears(client, normal(invoke_id))[0], GetCompleted)


class TestOrder:
    @pytest.mark.parametrize("request_", [Get(CLOCK), Action(CAPTURE), Release(), Reply("block")])
    def test_nothing_before_the_association(self, request_: Any) -> None:
        client = make_client(client_settings())
        with pytest.raises(LocalProtocolError):
            client.send(request_)
        client.send(Associate())
        with pytest.raises(LocalProtocolError):
            client.send(request_)

    @pytest.mark.parametrize(
        "request_", [Get(CLOCK), Action(CAPTURE), Release(), Associate(), Reply("block")]
    )
    def test_nothing_while_a_request_is_pending(self, request_: Any) -> None:
        client = opened()
        asked(client, Get(CLOCK))
        with pytest.raises(LocalProtocolError):
            client.send(request_)

    @pytest.mark.conformance("rlrq-rlre", "client")
    def test_release_and_again(self) -> None:
        client = opened()
        sent = decode_apdu(apdu_of(client.send(Release())))
        assert sent == Rlrq(0)
        assert hears(client, Rlre(0)) == [AssociationReleased()]
        client.send(Associate())
        assert hears(client, ACCEPTED)

    def test_counters_must_rise(self) -> None:
        settings = client_settings(protection=Protection.ENCRYPTED)
        client = make_client(settings)
        stuck = Client(settings, client._link, lambda: 5)
        stuck.send(Associate())
        hears_rejected = attrs.evolve(ACCEPTED, result=AssociationResult.REJECTED_PERMANENT)
        stuck.receive_data(to_client(hears_rejected.encode()))
        events_of(stuck)
        with pytest.raises(LocalProtocolError):
            stuck.send(Associate())


def test_frames_of_others_are_dropped() -> None:
    client = opened()
    invoke_id = asked(client, Get(CLOCK))
    frame = bytearray(to_client(normal(invoke_id).encode()))
    frame[3] = 9
    client.receive_data(bytes(frame))
    assert client.next_event() is None
    assert client._link.frames_discarded == 1  # type: ignore[attr-defined]
