"""Opening and closing in both roles: who is who, keys in the AARQ, and what meters leave out."""

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
    DiagnosticSource,
    Mechanism,
    Rlre,
    Rlrq,
    UserDiagnostic,
    context_name,
)
from hes_protocol.axdr import Data, DataTag
from hes_protocol.client import (
    Access,
    Associate,
    AssociationAccepted,
    AssociationRejected,
    AssociationReleased,
    ContinueNeeded,
    Get,
    GetCompleted,
    NotificationReceived,
    Release,
)
from hes_protocol.errors import AssociationError, LocalProtocolError, SecurityError
from hes_protocol.security import Protection, SuiteKeys, protect, unprotect
from hes_protocol.server import AssociationOpened, AssociationRefused
from hes_protocol.xdlms import (
    Ciphered,
    ConfirmedServiceError,
    Conformance,
    DataNotification,
    ExceptionResponse,
    GetRequestNormal,
    InitiateError,
    InitiateRequest,
    InitiateResponse,
    decode_apdu,
)
from hes_protocol.xdlms.ciphered import CipherForm
from hes_protocol.xdlms.results import DEFAULT_CONFORMANCE
from tests.connection_pair import (
    AUTHENTICATION_KEY,
    CLIENT_SAP,
    CLIENT_TITLE,
    CLOCK,
    ENCRYPTION_KEY,
    PROTECTED,
    PROTECTIONS,
    SERVER_TITLE,
    ConnectionPair,
    apdu_of,
    client_hears,
    client_settings,
    events_of,
    make_client,
    make_server,
    server_association,
    to_client,
    to_server,
)

KEYS = SuiteKeys(ENCRYPTION_KEY, AUTHENTICATION_KEY)
BOTH = Protection.AUTHENTICATED_ENCRYPTED
DEDICATED_KEY = bytes(range(0x40, 0x50))
GMAC = Mechanism.HLS_GMAC


def aare_to(pair: ConnectionPair) -> Aare:
    """The server's AARE, on its way."""
    pair.server.receive_data(pair.client.send(Associate()))
    (frame,) = pair.server_answers()
    aare = decode_apdu(apdu_of(frame))
    assert isinstance(aare, Aare)
    return aare


def refused_by_client(pair: ConnectionPair, aare: Aare, code: str) -> None:
    before = pair.state()
    pair.client.receive_data(to_client(aare.encode()))
    with pytest.raises(SecurityError) as caught:
        pair.client.next_event()
    assert caught.value.code == code
    assert pair.state() == before


class TestIdentity:
    @pytest.mark.conformance("aare-identity", "client", "server")
    @pytest.mark.parametrize("title", [CLIENT_TITLE, None])
    def test_a_meter_that_dialled_in_says_who_it_is(self, title: bytes | None) -> None:
        # The public client: nothing ciphered, nobody authenticated.
        pair = ConnectionPair.of(client_settings(system_title=title))
        accepted = pair.ask(Associate())[-1]
        assert isinstance(accepted, AssociationAccepted)
        assert accepted.server_system_title == (SERVER_TITLE if title else None)

    @pytest.mark.conformance("aare-identity", "client")
    def test_all_that_an_aare_says_of_its_sender(self) -> None:
        pair = ConnectionPair.of()
        aare = attrs.evolve(
            aare_to(pair),
            responding_ap_title=b"METER001",
            responding_ae_qualifier=b"qualifier",
            responding_ae_invocation_id=200,
        )
        pair.client.receive_data(to_client(aare.encode()))
        (accepted,) = events_of(pair.client)
        assert isinstance(accepted, AssociationAccepted)
        assert (
            accepted.server_system_title,
            accepted.ae_qualifier,
            accepted.ae_invocation_id,
        ) == (b"METER001", b"qualifier", 200)

    @pytest.mark.conformance("aarq-aare", "client", "server")
    def test_names_in_the_aarq(self) -> None:
        pair = ConnectionPair.of(
            client_settings(
                user_id=200,
                called_ap_title=SERVER_TITLE,
                called_ae_qualifier=b"q",
                calling_ae_qualifier=b"certificate",
            ),
            server_association(user_ids=frozenset({1, 200})),
        ).opened()
        aarq = decode_apdu(apdu_of(pair.sent[0][1]))
        assert isinstance(aarq, Aarq)
        assert (aarq.calling_ae_invocation_id, aarq.called_ap_title) == (200, SERVER_TITLE)
        assert (aarq.called_ae_qualifier, aarq.calling_ae_qualifier) == (b"q", b"certificate")
        assert pair.server_events[-1] == AssociationOpened(CLIENT_SAP, 200)

    @pytest.mark.parametrize("user_id", [None, 2])
    def test_a_user_who_is_not_known(self, user_id: int | None) -> None:
        pair = ConnectionPair.of(
            client_settings(user_id=user_id), server_association(user_ids=frozenset({1}))
        )
        (rejected,) = pair.ask(Associate())
        assert isinstance(rejected, AssociationRejected)
        assert rejected.diagnostic == Diagnostic(6)
        assert not pair.server.is_associated(CLIENT_SAP)


@pytest.mark.conformance("empty-system-title", "client", "server")
class TestEmptyTitle:
    @pytest.mark.parametrize("mechanism", [GMAC, Mechanism.HLS_SHA256, Mechanism.LLS])
    def test_by_name_it_is_the_expected_one(self, mechanism: Mechanism) -> None:
        pair = ConnectionPair.of(
            client_settings(
                mechanism=mechanism,
                protection=BOTH,
                server_system_title=SERVER_TITLE,
                empty_system_title=True,
            ),
            server_association(mechanism=mechanism, empty_system_title=True),
        )
        accepted = pair.ask(Associate())[-1]
        assert isinstance(accepted, AssociationAccepted)
        assert accepted.server_system_title == SERVER_TITLE
        assert isinstance(pair.ask(Get(CLOCK))[-1], GetCompleted)

    @pytest.mark.parametrize("title", [None, b""])
    @pytest.mark.parametrize(
        "changes",
        [
            {"server_system_title": SERVER_TITLE},
            {"empty_system_title": True},
            {},
        ],
    )
    def test_else_it_is_refused(self, changes: dict[str, Any], title: bytes | None) -> None:
        pair = ConnectionPair.of(
            client_settings(mechanism=GMAC, protection=BOTH, **changes),
            server_association(mechanism=GMAC),
        )
        aare = attrs.evolve(aare_to(pair), responding_ap_title=title)
        refused_by_client(pair, aare, "system-title-mismatch")

    def test_the_tag_still_says_who_it_is(self) -> None:
        pair = ConnectionPair.of(
            client_settings(
                mechanism=GMAC,
                protection=BOTH,
                server_system_title=b"another1",
                empty_system_title=True,
            ),
            server_association(mechanism=GMAC, empty_system_title=True),
        )
        refused_by_client(pair, aare_to(pair), "tag-mismatch")

    def test_where_nobody_needs_one_it_may_be_missing(self) -> None:
        pair = ConnectionPair.of(
            client_settings(server_system_title=SERVER_TITLE),
            server_association(empty_system_title=True),
        )
        assert isinstance(pair.ask(Associate())[-1], AssociationAccepted)


class TestContexts:
    @pytest.mark.conformance("contexts", "server")
    @pytest.mark.parametrize(
        "context", [ApplicationContext.SHORT_NAME, ApplicationContext.SHORT_NAME_CIPHERED, None]
    )
    @pytest.mark.parametrize("minimum", PROTECTIONS)
    def test_short_names_are_not_served(
        self, context: ApplicationContext | None, minimum: Protection
    ) -> None:
        pair = ConnectionPair.of(association=server_association(minimum_protection=minimum))
        name = b"\x2a\x03" if context is None else context_name(context)
        pair.server.receive_data(to_server(Aarq(name, calling_ap_title=CLIENT_TITLE).encode()))
        refused, needed = events_of(pair.server)
        assert isinstance(refused, AssociationRefused)
        aare = decode_apdu(apdu_of(pair.server.send(needed.reply)))
        assert isinstance(aare, Aare)
        assert aare.diagnostic == Diagnostic(UserDiagnostic.APPLICATION_CONTEXT_NAME_NOT_SUPPORTED)
        assert aare.context is (
            ApplicationContext.LOGICAL_NAME_CIPHERED if minimum else ApplicationContext.LOGICAL_NAME
        )

    @pytest.mark.parametrize("context", [1, 2, 4])
    def test_another_context_in_the_aare(self, context: int) -> None:
        pair = ConnectionPair.of(client_settings(mechanism=GMAC, protection=BOTH),
                                 server_association(mechanism=GMAC))  # fmt: skip
        name = context_name(ApplicationContext(context))
        aare = attrs.evolve(aare_to(pair), application_context_name=name)
        refused_by_client(pair, aare, "policy-violated")

    def test_no_common_version(self) -> None:
        server = make_server(server_association())
        aarq = Aarq(context_name(ApplicationContext.LOGICAL_NAME), protocol_version=b"\x07\x00")
        server.receive_data(to_server(aarq.encode()))
        _, needed = events_of(server)
        aare = decode_apdu(apdu_of(server.send(needed.reply)))
        assert isinstance(aare, Aare)
        assert aare.diagnostic == Diagnostic(2, DiagnosticSource.PROVIDER)


class TestDedicatedKey:
    def test_it_travels_enciphered(self) -> None:
        client = make_client(
            client_settings(protection=BOTH, dedicated_key=DEDICATED_KEY, cipher_form="ded")
        )
        frame = client.send(Associate())
        assert DEDICATED_KEY not in frame
        aarq = decode_apdu(apdu_of(frame))
        assert isinstance(aarq, Aarq)
        inner = decode_apdu(aarq.user_information or b"")
        assert isinstance(inner, Ciphered)
        assert inner.form is CipherForm.GLO
        initiate = decode_apdu(unprotect(KEYS, CLIENT_TITLE, inner.content).plaintext)
        assert isinstance(initiate, InitiateRequest)
        assert initiate.dedicated_key == DEDICATED_KEY

    @pytest.mark.parametrize(
        "changes",
        [
            {"protection": Protection.AUTHENTICATED},
            {"protection": BOTH, "initiate_protection": Protection.AUTHENTICATED},
            {"protection": Protection.PLAIN},
            {"pre_established": True, "server_system_title": SERVER_TITLE},
        ],
    )
    def test_settings_that_would_show_it(self, changes: dict[str, Any]) -> None:
        for more in ({"dedicated_key": DEDICATED_KEY}, {"cipher_form": CipherForm.GENERAL_DED}):
            with pytest.raises(LocalProtocolError):
                make_client(client_settings(**{"protection": BOTH} | changes | more))

    @pytest.mark.parametrize("key", [None, bytes(15), bytes(17), ENCRYPTION_KEY])
    def test_keys_that_are_none(self, key: bytes | None) -> None:
        client = make_client(
            client_settings(protection=BOTH, dedicated_key=key, cipher_form=CipherForm.DED)
        )
        with pytest.raises(LocalProtocolError):
            client.send(Associate())
        client.send(Associate(dedicated_key=DEDICATED_KEY))

    @pytest.mark.parametrize(
        ("key", "protection"),
        [
            (bytes(15), BOTH),
            (bytes(17), BOTH),
            (b"", BOTH),
            (ENCRYPTION_KEY, BOTH),
            (DEDICATED_KEY, Protection.AUTHENTICATED),
            (DEDICATED_KEY, Protection.PLAIN),
        ],
    )
    def test_a_server_takes_no_such_key(self, key: bytes, protection: Protection) -> None:
        counters: dict[int, int] = {}
        server = make_server(server_association(), client_counters=counters)
        initiate = InitiateRequest(
            conformance=DEFAULT_CONFORMANCE, client_max_receive_pdu_size=500, dedicated_key=key
        ).encode()
        if protection:
            content = protect(KEYS, CLIENT_TITLE, protection, 5, initiate)
            initiate = Ciphered(0x21, content).encode()
        name = context_name(ApplicationContext.LOGICAL_NAME_CIPHERED)
        aarq = Aarq(name, calling_ap_title=CLIENT_TITLE, user_information=initiate)
        server.receive_data(to_server(aarq.encode()))
        refused, needed = events_of(server)
        assert isinstance(refused, AssociationRefused)
        aare = decode_apdu(apdu_of(server.send(needed.reply)))
        assert isinstance(aare, Aare)
        error = decode_apdu(aare.user_information or b"")
        assert isinstance(error, ConfirmedServiceError)
        assert error.value == InitiateError.REFUSED_BY_THE_VDE_HANDLER
        assert counters == {}


class TestPreEstablished:
    @staticmethod
    def pair(protection: Protection, form: CipherForm = CipherForm.GLO) -> ConnectionPair:
        return ConnectionPair.of(
            client_settings(
                pre_established=True,
                protection=protection,
                cipher_form=form,
                server_system_title=SERVER_TITLE,
            ),
            server_association(
                pre_established=True,
                minimum_protection=protection,
                client_system_title=CLIENT_TITLE,
            ),
        )

    @pytest.mark.conformance("pre-established", "client", "server")
    @pytest.mark.parametrize("protection", PROTECTIONS)
    @pytest.mark.parametrize("form", [CipherForm.GLO, CipherForm.GENERAL_GLO])
    def test_a_session_without_aarq(self, protection: Protection, form: CipherForm) -> None:
        pair = self.pair(protection, form)
        assert pair.server.is_associated(CLIENT_SAP)
        (accepted,) = pair.ask(Associate())
        assert accepted == AssociationAccepted(
            DEFAULT_CONFORMANCE, 0xFFFF, SERVER_TITLE, protection
        )
        assert pair.sent == []
        assert isinstance(pair.ask(Get(CLOCK))[-1], GetCompleted)
        assert pair.ask(Release()) == [AssociationReleased()]
        assert len(pair.sent) == 2
        assert pair.server.is_associated(CLIENT_SAP)
        assert isinstance(pair.ask(Associate())[-1], AssociationAccepted)
        assert isinstance(pair.ask(Get(CLOCK))[-1], GetCompleted)

    @pytest.mark.parametrize("protection", PROTECTED)
    def test_weaker_and_replayed(self, protection: Protection) -> None:
        pair = self.pair(protection)
        pair.ask(Associate())
        pair.ask(Get(CLOCK))
        plain = to_server(GetRequestNormal(CLOCK, invoke_id_and_priority=0xC1).encode())
        for frame, code in ((plain, "policy-violated"), (pair.sent[0][1], "counter-replayed")):
            before = pair.state()
            pair.server.receive_data(frame)
            event = pair.server.next_event()
            assert isinstance(event, ContinueNeeded)
            assert event.reply.detail == code
            pair.server.send(event.reply)
            assert pair.state() == before

    def test_opening_it_again_forgets_no_counter(self) -> None:
        # It never ended: what was played in it cannot be played again, tag or no tag.
        pair = self.pair(Protection.ENCRYPTED)
        pair.ask(Associate())
        pair.ask(Get(CLOCK))
        answer = pair.sent[-1][1]
        pair.ask(Release())
        pair.ask(Associate())
        pair.client.send(Get(CLOCK))
        before = pair.state()
        pair.client.receive_data(answer)
        with pytest.raises(SecurityError) as caught:
            pair.client.next_event()
        assert caught.value.code == "counter-replayed"
        assert pair.state() == before

    def test_counters_of_an_earlier_connection_count(self) -> None:
        pair = self.pair(BOTH)
        pair.client_counters[CLIENT_SAP] = 1000
        pair.ask(Associate())
        pair.server.receive_data(pair.client.send(Get(CLOCK)))
        event = pair.server.next_event()
        assert isinstance(event, ContinueNeeded)
        assert event.reply.detail == "counter-replayed"

    def test_neither_aarq_nor_rlrq_changes_it(self) -> None:
        pair = self.pair(Protection.PLAIN)
        pair.server.receive_data(make_client(client_settings()).send(Associate()))
        refused, needed = events_of(pair.server)
        assert isinstance(refused, AssociationRefused)
        assert needed.reply.detail == "pre-established"
        pair.server.send(needed.reply)
        pair.server.receive_data(to_server(Rlrq(0).encode()))
        (needed,) = events_of(pair.server)
        assert isinstance(decode_apdu(apdu_of(pair.server.send(needed.reply))), ExceptionResponse)
        assert pair.server.is_associated(CLIENT_SAP)

    @pytest.mark.parametrize(
        "changes",
        [
            {"mechanism": Mechanism.LLS},
            {"mechanism": GMAC},
            {"protection": BOTH, "server_system_title": None},
        ],
    )
    def test_settings_that_cannot_work(self, changes: dict[str, Any]) -> None:
        with pytest.raises(LocalProtocolError):
            make_client(client_settings(pre_established=True, **changes))

    @pytest.mark.parametrize("mechanism", [Mechanism.LLS, GMAC])
    def test_rules_that_cannot_work(self, mechanism: Mechanism) -> None:
        with pytest.raises(LocalProtocolError):
            server_association(pre_established=True, mechanism=mechanism)


class TestRelease:
    @pytest.mark.conformance("release-without-rlrq", "client")
    @pytest.mark.conformance("no-rlrq", "client")
    @pytest.mark.parametrize("protection", PROTECTIONS)
    def test_without_rlrq(self, protection: Protection) -> None:
        pair = ConnectionPair.protected(protection, no_rlrq=True).opened()
        before = len(pair.sent)
        assert pair.ask(Release()) == [AssociationReleased()]
        assert len(pair.sent) == before
        with pytest.raises(LocalProtocolError):
            pair.client.send(Get(CLOCK))
        again = pair.ask(Associate(challenge=b"another challenge"))[-1]
        assert isinstance(again, AssociationAccepted)

    @pytest.mark.conformance("no-rlrq", "server")
    def test_a_meter_that_does_not_answer(self) -> None:
        pair = ConnectionPair.of(association=server_association(no_rlrq=True)).opened()
        assert pair.ask(Release()) == []
        assert pair.server.is_associated(CLIENT_SAP)

    def test_before_there_is_an_association(self) -> None:
        for changes in ({"no_rlrq": True}, {"pre_established": True}):
            with pytest.raises(LocalProtocolError):
                make_client(client_settings(**changes)).send(Release())

    @pytest.mark.conformance("rlrq-rlre", "client", "server")
    @pytest.mark.parametrize("protection", PROTECTED)
    @pytest.mark.parametrize("plain", [False, True])
    def test_with_and_without_user_information(self, protection: Protection, plain: bool) -> None:
        pair = ConnectionPair.of(
            client_settings(mechanism=GMAC, protection=protection, plain_rlrq=plain),
            server_association(
                mechanism=GMAC, minimum_protection=protection, plain_rlrq=plain
            ),
        ).opened()  # fmt: skip
        assert pair.ask(Release()) == [AssociationReleased(trusted=not plain)]
        rlrq, rlre = (decode_apdu(apdu_of(octets)) for _, octets in pair.sent[-2:])
        assert isinstance(rlrq, Rlrq)
        assert isinstance(rlre, Rlre)
        assert (rlrq.user_information is None) is plain
        assert (rlre.user_information is None) is plain
        assert not pair.server.is_associated(CLIENT_SAP)

    @pytest.mark.conformance("policy", "server")
    @pytest.mark.parametrize("protection", PROTECTED)
    def test_nobody_else_ends_an_association(self, protection: Protection) -> None:
        pair = ConnectionPair.protected(protection).opened()
        before = pair.state()
        pair.server.receive_data(to_server(Rlrq(0).encode()))
        (needed,) = events_of(pair.server)
        assert needed.reply.detail == "policy-violated"
        pair.server.send(needed.reply)
        assert pair.state() == before

    @pytest.mark.conformance("rlrq-rlre", "server")
    @pytest.mark.parametrize("protection", PROTECTED)
    def test_a_request_that_was_put_into_an_rlrq_ends_nothing(self, protection: Protection) -> None:
        pair = ConnectionPair.protected(protection).opened()
        request = apdu_of(pair.client.send(Get(CLOCK)))
        before = pair.state()
        pair.server.receive_data(to_server(Rlrq(0, request).encode()))
        (needed,) = events_of(pair.server)
        assert needed.reply.detail == "policy-violated"
        pair.server.send(needed.reply)
        assert pair.state() == before
        pair.carry_to_server(to_server(request))
        assert isinstance(pair.take_client_events()[-1], GetCompleted)

    @pytest.mark.conformance("rlrq-rlre", "client")
    @pytest.mark.parametrize("protection", PROTECTED)
    def test_an_answer_that_was_put_into_an_rlre_is_not_believed(
        self, protection: Protection
    ) -> None:
        pair = ConnectionPair.protected(protection).opened()
        pair.server.receive_data(pair.client.send(Get(CLOCK)))
        (answer,) = pair.server_answers()
        pair.client.abandon()
        pair.client.send(Release())
        pair.client.receive_data(to_client(Rlre(0, apdu_of(answer)).encode()))
        assert pair.take_client_events() == [AssociationReleased(trusted=False)]


@pytest.mark.conformance("aarq-aare", "client")
@pytest.mark.parametrize(
    ("protection", "least"), [(Protection.PLAIN, 13), (Protection.AUTHENTICATED, 32), (BOTH, 32)]
)
def test_a_server_that_takes_nothing_is_not_asked(protection: Protection, least: int) -> None:
    for limit in (0, least, least - 1, 1):
        pair = ConnectionPair.of(client_settings(protection=protection))
        pair.client.send(Associate())
        response = InitiateResponse(
            conformance=DEFAULT_CONFORMANCE, server_max_receive_pdu_size=limit
        ).encode()
        context = ApplicationContext.LOGICAL_NAME
        if protection:
            context = ApplicationContext.LOGICAL_NAME_CIPHERED
            response = Ciphered(0x28, protect(KEYS, SERVER_TITLE, protection, 5, response)).encode()
        aare = Aare(
            context_name(context),
            AssociationResult.ACCEPTED,
            Diagnostic(UserDiagnostic.NULL),
            responding_ap_title=SERVER_TITLE,
            user_information=response,
        )
        if limit in (0, least):
            assert isinstance(client_hears(pair.client, aare)[-1], AssociationAccepted)
            assert pair.client.send(Get(CLOCK))
            continue
        before = pair.state()
        with pytest.raises(AssociationError, match="pdu-size-too-short"):
            client_hears(pair.client, aare)
        assert pair.state() == before


@pytest.mark.conformance("replay", "client")
def test_the_push_of_another_meter_with_our_keys_moves_no_counter() -> None:
    pair = ConnectionPair.protected(BOTH)
    aarq = pair.client.send(Associate())
    push = DataNotification(1, None, Data(DataTag.UNSIGNED, 1)).encode()
    another = b"MTRtest2"
    content = protect(KEYS, another, BOTH, 1_000_000, push)
    (received,) = client_hears(pair.client, Ciphered(0xDB, content, another).encode())
    assert isinstance(received, NotificationReceived)
    assert pair.client.server_counter is None
    pair.carry_to_server(aarq)
    (event,) = pair.take_client_events()
    assert isinstance(event, ContinueNeeded)
    assert isinstance(pair.ask(event.reply)[-1], AssociationAccepted)


@pytest.mark.conformance("aarq-aare", "client")
def test_what_was_not_proposed_is_not_negotiated() -> None:
    proposed = Conformance.GET | Conformance.SET
    client = make_client(client_settings(conformance=proposed))
    client.send(Associate())
    offered = Conformance.GET | Conformance.ACCESS | Conformance.GENERAL_BLOCK_TRANSFER
    name = context_name(ApplicationContext.LOGICAL_NAME)
    response = InitiateResponse(conformance=offered, server_max_receive_pdu_size=100)
    accepted = Diagnostic(UserDiagnostic.NULL)
    (event,) = client_hears(
        client,
        Aare(name, AssociationResult.ACCEPTED, accepted, user_information=response.encode()),
    )
    assert isinstance(event, AssociationAccepted)
    assert event.conformance == Conformance.GET
    with pytest.raises(LocalProtocolError):
        client.send(Access((Get(CLOCK),)))


@pytest.mark.parametrize(
    "changes",
    [
        {"mechanism": Mechanism.HLS_ECDSA},
        {"mechanism": Mechanism.HLS},
        {"mechanism": Mechanism.HLS_MD5, "secret": None},
        {"mechanism": Mechanism.HLS_SHA1, "secret": None},
        {"mechanism": Mechanism.HLS_SHA256, "secret": None},
    ],
)
def test_a_mechanism_that_lacks_what_it_needs(changes: dict[str, Any]) -> None:
    with pytest.raises(LocalProtocolError):
        make_client(client_settings(**changes))
    with pytest.raises(LocalProtocolError):
        server_association(**changes)


@pytest.mark.parametrize("title", [None, b"short", bytes(9)])
@pytest.mark.parametrize("mechanism", [GMAC, Mechanism.HLS_SHA256])
def test_mechanisms_that_need_our_title(mechanism: Mechanism, title: bytes | None) -> None:
    with pytest.raises(LocalProtocolError):
        make_client(client_settings(mechanism=mechanism, system_title=title))


@pytest.mark.parametrize("title", [None, b"", b"short", SERVER_TITLE])
@pytest.mark.parametrize("mechanism", [GMAC, Mechanism.HLS_SHA256])
def test_a_server_needs_the_clients_title(mechanism: Mechanism, title: bytes | None) -> None:
    pair = ConnectionPair.of(
        client_settings(mechanism=mechanism), server_association(mechanism=mechanism)
    )
    aarq = decode_apdu(apdu_of(pair.client.send(Associate())))
    assert isinstance(aarq, Aarq)
    wrong = attrs.evolve(aarq, calling_ap_title=title)
    pair.server.receive_data(to_server(wrong.encode()))
    refused, _ = events_of(pair.server)
    assert isinstance(refused, AssociationRefused)
    assert refused.diagnostic == Diagnostic(UserDiagnostic.CALLING_AP_TITLE_NOT_RECOGNIZED)
