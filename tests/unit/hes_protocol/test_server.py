"""The server against APDUs written by hand: whom it admits, what it answers, what it survives."""

from __future__ import annotations

from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

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
from hes_protocol.cosem.objects import EntrySelection
from hes_protocol.errors import EncodingError, LocalProtocolError, RemoteProtocolError
from hes_protocol.security import Protection, SuiteKeys, protect, unprotect
from hes_protocol.server import (
    ActionRequested,
    ActionResult,
    AssociationOpened,
    AssociationRefused,
    AssociationReleased,
    GetRequested,
    GetResult,
    Notify,
    Reply,
    Server,
    ServerAssociation,
)
from hes_protocol.wrapper import WrapperReceiver
from hes_protocol.xdlms import (
    AccessSelection,
    ActionRequestNormal,
    ActionResponseNormal,
    ActionResultCode,
    Ciphered,
    Conformance,
    DataAccessResult,
    DataNotification,
    ExceptionResponse,
    GetRequestNext,
    GetRequestNormal,
    GetResponseNormal,
    GetResponseWithDatablock,
    InitiateRequest,
    ServiceError,
    StateError,
    decode_apdu,
)
from tests.apdus import apdus
from tests.connection_pair import (
    ALL_CONFORMANCE,
    AUTHENTICATION_KEY,
    BUFFER,
    CAPTURE,
    CLIENT_SAP,
    CLIENT_TITLE,
    CLOCK,
    CTOS,
    ENCRYPTION_KEY,
    SECRET,
    SERVER_TITLE,
    STOC,
    VALUE,
    answer_of,
    apdu_of,
    events_of,
    make_server,
    server_association,
    to_server,
)
from tests.connection_pair import server_hears as hears
from tests.connection_pair import server_says as says

INITIATE = InitiateRequest(conformance=ALL_CONFORMANCE, client_max_receive_pdu_size=200)
PLAIN = Aarq(context_name(ApplicationContext.LOGICAL_NAME), user_information=INITIATE.encode())
LLS = attrs.evolve(
    PLAIN,
    authentication_required=True,
    mechanism_name=mechanism_name(Mechanism.LLS),
    authentication_value=SECRET,
)
GMAC = attrs.evolve(
    PLAIN,
    calling_ap_title=CLIENT_TITLE,
    mechanism_name=mechanism_name(Mechanism.HLS_GMAC),
    authentication_value=CTOS,
)
NOT_ASSOCIATED = ExceptionResponse(
    StateError.SERVICE_NOT_ALLOWED, ServiceError.OPERATION_NOT_POSSIBLE
)
NOT_SUPPORTED = ExceptionResponse(StateError.SERVICE_UNKNOWN, ServiceError.SERVICE_NOT_SUPPORTED)
KEYS = SuiteKeys(ENCRYPTION_KEY, AUTHENTICATION_KEY)


def opened(aarq: Aarq = PLAIN, **changes: Any) -> Server:
    """A server with an open plain association."""
    server = make_server(server_association(conformance=ALL_CONFORMANCE, **changes))
    assert says(server, aarq).result is AssociationResult.ACCEPTED
    assert events_of(server) == [AssociationOpened(CLIENT_SAP)]
    return server


def get(invoke_id: int = 1, selection: AccessSelection | None = None) -> GetRequestNormal:
    return GetRequestNormal(BUFFER, selection, invoke_id_and_priority=0xC0 | invoke_id)


@pytest.mark.conformance("aarq-aare", "server")
class TestAdmission:
    @pytest.mark.conformance("lowest", "server")
    def test_without_authentication(self) -> None:
        server = make_server(server_association(max_receive_pdu_size=1000))
        aare = says(server, PLAIN)
        assert isinstance(aare, Aare)
        assert (aare.result, aare.diagnostic) == (0, Diagnostic(0))
        assert aare.responding_ap_title is None
        assert aare.user_information is not None
        initiate: Any = decode_apdu(aare.user_information)
        assert initiate.conformance == server_association().conformance
        assert initiate.server_max_receive_pdu_size == 1000
        assert server.is_associated(CLIENT_SAP)

    @pytest.mark.conformance("lls", "server")
    def test_with_lls(self) -> None:
        server = make_server(server_association(mechanism=Mechanism.LLS))
        aare = says(server, LLS)
        assert (aare.result, aare.mechanism) == (AssociationResult.ACCEPTED, Mechanism.LLS)

    @pytest.mark.conformance("hls-gmac", "server")
    @pytest.mark.conformance("contexts", "server")
    def test_with_hls_the_challenge_comes_first(self) -> None:
        server = make_server(server_association(mechanism=Mechanism.HLS_GMAC))
        aare = says(server, GMAC)
        assert aare.diagnostic == Diagnostic(UserDiagnostic.AUTHENTICATION_REQUIRED)
        assert (aare.responding_ap_title, aare.authentication_value) == (SERVER_TITLE, STOC)
        assert not server.is_associated(CLIENT_SAP)
        assert says(server, get()) == NOT_ASSOCIATED

    @pytest.mark.parametrize(
        ("rules", "aarq", "diagnostic"),
        [
            (
                {},
                attrs.evolve(PLAIN, application_context_name=context_name(ApplicationContext(2))),
                2,
            ),
            ({}, attrs.evolve(PLAIN, application_context_name=b"\x01"), 2),
            ({"minimum_protection": Protection.AUTHENTICATED}, PLAIN, 2),
            (
                {"encryption_key": None},
                attrs.evolve(PLAIN, application_context_name=context_name(ApplicationContext(3))),
                2,
            ),
            ({"mechanism": Mechanism.LLS}, PLAIN, 12),
            ({}, LLS, 11),
            ({}, attrs.evolve(PLAIN, mechanism_name=b"\x01\x02"), 11),
            ({"mechanism": Mechanism.LLS}, GMAC, 11),
            ({"mechanism": Mechanism.LLS, "secret": b"another!"}, LLS, 13),
            ({"mechanism": Mechanism.LLS}, attrs.evolve(LLS, authentication_value=b""), 13),
            ({"mechanism": Mechanism.LLS}, attrs.evolve(LLS, authentication_value=None), 13),
            (
                {"mechanism": Mechanism.HLS_GMAC},
                attrs.evolve(GMAC, authentication_value=b"1234567"),
                13,
            ),
            ({"mechanism": Mechanism.HLS_GMAC}, attrs.evolve(GMAC, calling_ap_title=None), 3),
            ({"mechanism": Mechanism.HLS_GMAC}, attrs.evolve(GMAC, calling_ap_title=b"short"), 3),
            (
                {"mechanism": Mechanism.HLS_GMAC},
                attrs.evolve(GMAC, calling_ap_title=SERVER_TITLE),
                3,
            ),
        ],
    )
    def test_refused_with_its_diagnostic(
        self, rules: dict[str, Any], aarq: Aarq, diagnostic: int
    ) -> None:
        server = make_server(server_association(**rules))
        events = hears(server, aarq)
        assert events[0] == AssociationRefused(CLIENT_SAP, Diagnostic(diagnostic))
        aare = decode_apdu(apdu_of(server.send(events[1].reply)))
        assert isinstance(aare, Aare)
        assert aare.result is AssociationResult.REJECTED_PERMANENT
        assert aare.diagnostic == Diagnostic(diagnostic)
        assert not server.is_associated(CLIENT_SAP)

    def test_an_unknown_client(self) -> None:
        server = make_server(server_association())
        aare = says(server, PLAIN, client_sap=77)
        assert aare.diagnostic == Diagnostic(UserDiagnostic.CALLING_AP_TITLE_NOT_RECOGNIZED)
        assert says(server, get(), client_sap=77) == NOT_ASSOCIATED

    @pytest.mark.conformance("confirmed-service-error", "server")
    @pytest.mark.parametrize(
        ("changes", "error"),
        [
            ({"dlms_version": 5}, 1),
            ({"conformance": Conformance.READ}, 2),
            ({"client_max_receive_pdu_size": 63}, 3),
        ],
    )
    def test_a_proposal_that_cannot_be(self, changes: dict[str, Any], error: int) -> None:
        server = make_server(server_association())
        initiate = attrs.evolve(INITIATE, **changes)
        aare = says(server, attrs.evolve(PLAIN, user_information=initiate.encode()))
        assert aare.diagnostic == Diagnostic(UserDiagnostic.NO_REASON_GIVEN)
        assert aare.user_information == bytes((0x0E, 1, 6, error))

    @pytest.mark.parametrize("information", [None, b"", b"\x01", get().encode()])
    def test_without_an_initiate_request(self, information: bytes | None) -> None:
        server = make_server(server_association())
        with pytest.raises(EncodingError):
            hears(server, attrs.evolve(PLAIN, user_information=information))
        assert says(server, PLAIN).result is AssociationResult.ACCEPTED

    def test_a_refused_attempt_leaves_the_association_that_stands(self) -> None:
        server = opened(LLS, mechanism=Mechanism.LLS)
        says(server, attrs.evolve(LLS, authentication_value=b"guessing"))
        assert server.is_associated(CLIENT_SAP)
        assert isinstance(hears(server, get())[-1], GetRequested)

    def test_clients_do_not_share_an_association(self) -> None:
        server = make_server(server_association(), server_association(client_sap=16))
        says(server, PLAIN)
        assert says(server, get(), client_sap=16) == NOT_ASSOCIATED
        says(server, PLAIN, client_sap=16)
        assert server.is_associated(16)
        says(server, Rlrq(), client_sap=16)
        assert not server.is_associated(16)
        assert server.is_associated(CLIENT_SAP)


@pytest.mark.parametrize(
    "changes",
    [
        {"mechanism": Mechanism.HLS_ECDSA},
        {"mechanism": Mechanism.LLS, "secret": None},
        {"mechanism": Mechanism.HLS_GMAC, "encryption_key": None},
        {"mechanism": Mechanism.HLS_GMAC, "authentication_key": None},
        {"minimum_protection": Protection.ENCRYPTED, "encryption_key": None},
        {"max_receive_pdu_size": 63},
    ],
)
def test_rules_that_cannot_work(changes: dict[str, Any]) -> None:
    with pytest.raises(LocalProtocolError):
        server_association(**changes)


def test_secrets_do_not_print() -> None:
    assert "Passw0rd" not in repr(server_association(secret=b"Passw0rd"))


def test_a_system_title_has_eight_octets() -> None:
    with pytest.raises(LocalProtocolError):
        make_server(server_association(), system_title=b"short")


@pytest.mark.parametrize("challenge", [b"short", CTOS])
def test_a_challenge_that_is_none_is_our_mistake(challenge: bytes) -> None:
    server = make_server(
        server_association(mechanism=Mechanism.HLS_GMAC), challenge=lambda: challenge
    )
    with pytest.raises(LocalProtocolError):
        hears(server, GMAC)


@pytest.mark.conformance("get-normal", "server")
class TestGet:
    def test_asked_and_answered(self) -> None:
        server = opened()
        (event,) = hears(server, GetRequestNormal(CLOCK, invoke_id_and_priority=0x87))
        assert event == GetRequested(7, CLOCK, None, CLIENT_SAP)
        answer = decode_apdu(apdu_of(server.send(GetResult(7, octets=b"\x11\x05"))))
        assert isinstance(answer, GetResponseNormal)
        assert (answer.invoke_id_and_priority, answer.result.octets) == (0x87, b"\x11\x05")

    def test_refused(self) -> None:
        server = opened()
        hears(server, get())
        answer = decode_apdu(apdu_of(server.send(GetResult(1, DataAccessResult.OBJECT_UNDEFINED))))
        assert isinstance(answer, GetResponseNormal)
        assert answer.result.result is DataAccessResult.OBJECT_UNDEFINED

    @pytest.mark.conformance("selective-entry", "server")
    def test_by_entry(self) -> None:
        selection = EntrySelection(1, 4)
        server = opened()
        (event,) = hears(server, get(selection=AccessSelection(2, selection.to_data())))
        assert event.selection == selection

    @pytest.mark.conformance("selective-range", "server")
    @pytest.mark.parametrize(
        ("request_", "result"),
        [
            (get(selection=AccessSelection(1, Data(DataTag.NULL_DATA))), 12),
            (get(selection=AccessSelection(2, Data(DataTag.STRUCTURE, ()))), 12),
            (get(selection=AccessSelection(9, Data(DataTag.NULL_DATA))), 13),
            (GetRequestNormal(CLOCK, AccessSelection(2, EntrySelection().to_data())), 13),
        ],
    )
    def test_a_selection_that_we_cannot_read(self, request_: GetRequestNormal, result: int) -> None:
        answer = says(opened(), request_)
        assert answer.result.result == result

    @pytest.mark.conformance("get-blocks", "server")
    @pytest.mark.parametrize("pdu_size", [64, 65, 127, 128, 200, 300])
    def test_a_long_answer_is_cut(self, pdu_size: int) -> None:
        server = opened(max_receive_pdu_size=0, aarq=_proposing(pdu_size))
        hears(server, get(3))
        octets = apdu_of(server.send(GetResult(3, octets=VALUE)))
        received, number = b"", 0
        while True:
            assert len(octets) <= pdu_size
            number += 1
            answer = decode_apdu(octets)
            assert isinstance(answer, GetResponseWithDatablock)
            assert (answer.block_number, answer.invoke_id) == (number, 3)
            received += answer.raw_data
            if answer.last_block:
                break
            octets = says(server, GetRequestNext(number, invoke_id_and_priority=0xC3)).encode()
        assert received == VALUE
        assert isinstance(hears(server, get())[-1], GetRequested)

    def test_an_answer_that_just_fits_is_whole(self) -> None:
        server = opened()
        hears(server, get())
        octets = b"\x09\x81" + bytes((200 - 4 - 3,)) + bytes(200 - 4 - 3)
        assert isinstance(
            decode_apdu(apdu_of(server.send(GetResult(1, octets=octets)))), GetResponseNormal
        )

    def test_without_block_transfer_a_long_answer_cannot_be_given(self) -> None:
        server = opened(_proposing(200, Conformance.GET))
        hears(server, get())
        answer = decode_apdu(apdu_of(server.send(GetResult(1, octets=VALUE))))
        assert isinstance(answer, GetResponseNormal)
        assert answer.result.result is DataAccessResult.OTHER_REASON

    @pytest.mark.conformance("get-blocks", "server")
    def test_next_without_a_long_answer(self) -> None:
        answer = says(opened(), GetRequestNext(1))
        assert answer.result is DataAccessResult.NO_LONG_GET_IN_PROGRESS

    @pytest.mark.conformance("get-blocks", "server")
    @pytest.mark.parametrize("wrong", [GetRequestNext(0), GetRequestNext(2)])
    def test_a_wrong_block_number_ends_the_long_answer(self, wrong: GetRequestNext) -> None:
        server = opened()
        hears(server, get())
        server.send(GetResult(1, octets=VALUE))
        assert says(server, wrong).result is DataAccessResult.DATA_BLOCK_NUMBER_INVALID
        answer = says(server, GetRequestNext(1))
        assert answer.result is DataAccessResult.NO_LONG_GET_IN_PROGRESS

    @pytest.mark.conformance("get-blocks", "server")
    def test_another_request_ends_the_long_answer(self) -> None:
        server = opened()
        hears(server, get(1))
        server.send(GetResult(1, octets=VALUE))
        assert isinstance(hears(server, get(2))[-1], GetRequested)
        server.send(GetResult(2, octets=b"\x00"))
        assert says(server, GetRequestNext(1)).result == 16

    @pytest.mark.conformance("get-blocks", "server")
    def test_release_ends_the_long_answer(self) -> None:
        server = opened()
        hears(server, get(1))
        server.send(GetResult(1, octets=VALUE))
        assert says(server, Rlrq()) == Rlre(0)


def _proposing(pdu_size: int, conformance: Conformance = ALL_CONFORMANCE) -> Aarq:
    initiate = InitiateRequest(conformance=conformance, client_max_receive_pdu_size=pdu_size)
    return attrs.evolve(PLAIN, user_information=initiate.encode())


@pytest.mark.conformance("action-normal", "server")
class TestAction:
    def test_asked_and_answered(self) -> None:
        server = opened()
        parameter = Data(DataTag.INTEGER, 0)
        (event,) = hears(server, ActionRequestNormal(CAPTURE, parameter))
        assert event == ActionRequested(1, CAPTURE, parameter, CLIENT_SAP)
        answer = decode_apdu(apdu_of(server.send(ActionResult(1, octets=b"\x11\x05"))))
        assert isinstance(answer, ActionResponseNormal)
        assert answer.outcome.return_parameters is not None
        assert answer.outcome.return_parameters.octets == b"\x11\x05"

    def test_a_return_value_that_is_too_long(self) -> None:
        server = opened(_proposing(200, Conformance.ACTION))
        hears(server, ActionRequestNormal(CAPTURE))
        answer = decode_apdu(apdu_of(server.send(ActionResult(1, octets=VALUE))))
        assert isinstance(answer, ActionResponseNormal)
        assert answer.outcome.result is ActionResultCode.OTHER_REASON


class TestOrder:
    @pytest.mark.conformance("exception-response", "server")
    @pytest.mark.parametrize(
        "apdu",
        [get(), GetRequestNext(1), ActionRequestNormal(CAPTURE), Rlrq(), b"\xff", b"\xcc\x00"],
    )
    def test_requests_before_an_association(self, apdu: Any) -> None:
        assert says(make_server(server_association()), apdu) == NOT_ASSOCIATED

    @pytest.mark.conformance("rlrq-rlre", "server")
    def test_requests_after_release(self) -> None:
        server = opened()
        assert says(server, Rlrq(0)) == Rlre(0)
        assert events_of(server) == [AssociationReleased()]
        assert says(server, get()) == NOT_ASSOCIATED

    @pytest.mark.conformance("rlrq-rlre", "server")
    def test_a_release_with_information_is_answered_with_information(self) -> None:
        answer = says(opened(), Rlrq(0, INITIATE.encode()))
        assert answer.user_information[0] == 0x08

    @pytest.mark.conformance("exception-response", "server")
    @pytest.mark.parametrize(
        "apdu",
        [
            bytes.fromhex("c401c1 00 00"),
            bytes.fromhex("d80101"),
            bytes.fromhex("c601"),
            bytes.fromhex("05 01"),
        ],
    )
    def test_services_that_we_do_not_offer(self, apdu: bytes) -> None:
        server = opened()
        assert says(server, apdu) == NOT_SUPPORTED
        assert isinstance(hears(server, get())[-1], GetRequested)

    def test_a_service_that_was_not_negotiated(self) -> None:
        server = opened(_proposing(200, Conformance.ACTION))
        assert says(server, get()) == NOT_SUPPORTED
        assert says(server, GetRequestNext(1)) == NOT_SUPPORTED
        server = opened(_proposing(200, Conformance.GET))
        assert says(server, ActionRequestNormal(CAPTURE)) == NOT_SUPPORTED

    def test_later_apdus_wait_for_the_answer(self) -> None:
        server = opened()
        events = hears(server, get(1), get(2))
        assert [event.invoke_id for event in events] == [1]
        server.send(GetResult(1, octets=b"\x00"))
        assert [event.invoke_id for event in events_of(server)] == [2]

    def test_later_apdus_wait_for_the_reply(self) -> None:
        server = make_server(server_association())
        (event,) = hears(server, PLAIN, get())
        server.send(event.reply)
        assert [type(event) for event in events_of(server)] == [AssociationOpened, GetRequested]

    @pytest.mark.parametrize(
        "reply",
        [
            GetResult(2, octets=b"\x00"),
            GetResult(1),
            GetResult(1, DataAccessResult.HARDWARE_FAULT, b"\x00"),
            ActionResult(1),
            Reply("association"),
            Notify(DataNotification(1, None, Data(DataTag.NULL_DATA)), 99),
        ],
    )
    def test_what_nobody_asked(self, reply: Any) -> None:
        server = opened()
        hears(server, get(1))
        with pytest.raises(LocalProtocolError):
            server.send(reply)
        server.send(GetResult(1, octets=b"\x00"))
        with pytest.raises(LocalProtocolError):
            server.send(GetResult(1, octets=b"\x00"))

    def test_an_action_is_not_answered_by_another_service(self) -> None:
        server = opened()
        hears(server, ActionRequestNormal(CAPTURE))
        for wrong in (GetResult(1, octets=b"\x00"), ActionResult(2)):
            with pytest.raises(LocalProtocolError):
                server.send(wrong)
        server.send(ActionResult(1))


@pytest.mark.conformance("data-notification", "server")
class TestNotify:
    PUSH = DataNotification(1, None, Data(DataTag.UNSIGNED, 7))

    def test_without_an_association(self) -> None:
        server = make_server(server_association())
        frame = server.send(Notify(self.PUSH, CLIENT_SAP))
        assert decode_apdu(apdu_of(frame)) == self.PUSH

    @pytest.mark.conformance("general-glo", "server")
    @pytest.mark.parametrize("protection", list(Protection)[1:])
    def test_protected(self, protection: Protection) -> None:
        server = make_server(server_association())
        ciphered = decode_apdu(apdu_of(server.send(Notify(self.PUSH, CLIENT_SAP, protection))))
        assert isinstance(ciphered, Ciphered)
        assert ciphered.system_title == SERVER_TITLE
        opened = unprotect(KEYS, SERVER_TITLE, ciphered.content)
        assert decode_apdu(opened.plaintext) == self.PUSH

    @pytest.mark.conformance("push-during-get", "server")
    def test_to_another_client_while_a_request_is_open(self) -> None:
        server = make_server(server_association(), server_association(client_sap=102))
        says(server, PLAIN)
        hears(server, get())
        receiver = WrapperReceiver()
        receiver.receive_data(server.send(Notify(self.PUSH, 102)))
        receiver.receive_data(server.send(GetResult(1, octets=b"\x00")))
        destinations = []
        while (frame := receiver.next_frame()) is not None:
            destinations.append(frame.destination)
        assert destinations == [102, CLIENT_SAP]


def _fed(server: Server, octets: bytes) -> None:
    """Whatever comes, the server answers or raises what it may raise."""
    server.receive_data(octets)
    while True:
        try:
            event = server.next_event()
        except RemoteProtocolError:
            continue
        if event is None:
            return
        reply = answer_of(event)
        if reply is not None:
            server.send(reply)


HOSTILE = st.lists(
    st.one_of(
        apdus().map(lambda apdu: apdu.encode()),
        st.binary(min_size=1, max_size=60),
        st.sampled_from([PLAIN, LLS, GMAC, get(), GetRequestNext(1), Rlrq()]).map(
            lambda apdu: apdu.encode()
        ),
    ),
    max_size=6,
)


@pytest.mark.parametrize("mechanism", [Mechanism.NONE, Mechanism.LLS, Mechanism.HLS_GMAC])
@given(apdus=HOSTILE)
def test_a_hostile_client_gets_answers_or_typed_errors(
    mechanism: Mechanism, apdus: list[bytes]
) -> None:
    server = make_server(server_association(mechanism=mechanism, conformance=ALL_CONFORMANCE))
    for apdu in apdus:
        _fed(server, to_server(apdu))


@given(apdus=HOSTILE, protection=st.sampled_from(list(Protection)))
def test_a_hostile_client_that_has_the_keys(apdus: list[bytes], protection: Protection) -> None:
    server = make_server(
        server_association(minimum_protection=protection, conformance=ALL_CONFORMANCE)
    )
    information, title = INITIATE.encode(), None
    name = context_name(ApplicationContext.LOGICAL_NAME)
    if protection:
        name, title = context_name(ApplicationContext.LOGICAL_NAME_CIPHERED), CLIENT_TITLE
        content = protect(KEYS, CLIENT_TITLE, protection, 1, information)
        information = Ciphered(0x21, content).encode()
    _fed(
        server,
        to_server(Aarq(name, calling_ap_title=title, user_information=information).encode()),
    )
    assert server.is_associated(CLIENT_SAP)
    for counter, apdu in enumerate(apdus, start=2):
        if protection:
            content = protect(KEYS, CLIENT_TITLE, protection, counter, apdu)
            apdu = Ciphered(0xDB, content, CLIENT_TITLE).encode()
        _fed(server, to_server(apdu))


def test_an_unconfigured_association_is_whole_by_default() -> None:
    rules = ServerAssociation(client_sap=16)
    assert (rules.mechanism, rules.minimum_protection) == (Mechanism.NONE, Protection.PLAIN)
