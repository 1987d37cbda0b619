"""
Both roles in memory: every mechanism with every protection, and every way to break in.

A failed verification is tested by what it leaves behind: `ConnectionPair.state()` before and
after, and that the right APDU is still taken.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import attrs
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given, settings
from hypothesis import strategies as st

from hes_protocol.acse import (
    Aare,
    Aarq,
    AssociationResult,
    Diagnostic,
    DiagnosticSource,
    Mechanism,
    Rlre,
    Rlrq,
    UserDiagnostic,
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
)
from hes_protocol.cosem import Obis
from hes_protocol.cosem.objects import Method
from hes_protocol.errors import RemoteProtocolError, SecurityError
from hes_protocol.security import Protection, SuiteKeys, gmac_token, protect, unprotect
from hes_protocol.server import AssociationOpened, AssociationRefused, Notify
from hes_protocol.wrapper import HEADER_OCTETS
from hes_protocol.xdlms import (
    ActionRequestNormal,
    ActionResponseNormal,
    ActionResultCode,
    ActionReturn,
    Ciphered,
    DataAccessResult,
    DataNotification,
    ExceptionResponse,
    GetDataResult,
    GetRequestNormal,
    GetResponseNormal,
    InitiateResponse,
    ServiceError,
    StateError,
    decode_apdu,
)
from hes_protocol.xdlms.ciphered import GLO_TAGS, CipherForm
from tests.connection_pair import (
    AUTHENTICATION_KEY,
    BUFFER,
    CAPTURE,
    CLIENT_SAP,
    CLIENT_TITLE,
    CLOCK,
    CTOS,
    ENCRYPTION_KEY,
    FIRST_CLIENT_COUNTER,
    FIRST_SERVER_COUNTER,
    PROTECTED,
    PROTECTIONS,
    SERVER_TITLE,
    STOC,
    VALUE,
    ConnectionPair,
    apdu_of,
    client_settings,
    events_of,
    make_client,
    make_server,
    server_association,
    to_client,
    to_server,
)

REPLY_TO_HLS = Method(15, Obis.parse("0.0.40.0.0.255"), 1)
MECHANISMS = (Mechanism.NONE, Mechanism.LLS, Mechanism.HLS_GMAC)
KEYS = SuiteKeys(ENCRYPTION_KEY, AUTHENTICATION_KEY)
PUSH = DataNotification(1, None, Data(DataTag.UNSIGNED, 7))


def by_server(
    apdu: bytes,
    counter: int,
    protection: Protection = Protection.AUTHENTICATED_ENCRYPTED,
    *,
    keys: SuiteKeys = KEYS,
    title: bytes = SERVER_TITLE,
) -> bytes:
    """An APDU as a server with the keys would cipher it, framed."""
    content = protect(keys, title, protection, counter, apdu)
    tag = GLO_TAGS.get(apdu[0])
    general = Ciphered(0xDB, content, title)
    return to_client((general if tag is None else Ciphered(tag, content)).encode())


def by_client(
    apdu: bytes,
    counter: int,
    protection: Protection = Protection.AUTHENTICATED_ENCRYPTED,
    *,
    keys: SuiteKeys = KEYS,
    title: bytes = CLIENT_TITLE,
) -> bytes:
    """An APDU as a client with the keys would cipher it, framed."""
    content = protect(keys, title, protection, counter, apdu)
    return to_server(Ciphered(GLO_TAGS[apdu[0]], content).encode())


def refused_by_client(pair: ConnectionPair, frame: bytes, code: str | None = None) -> None:
    """The client refuses the frame, and stands where it stood."""
    before = pair.state()
    pair.client.receive_data(frame)
    with pytest.raises(RemoteProtocolError) as caught:
        pair.client.next_event()
    assert code is None or caught.value.code == code
    assert pair.client.next_event() is None
    assert pair.state() == before


def refused_by_server(pair: ConnectionPair, frame: bytes, code: str | None = None) -> Any:
    """The server refuses the frame, and stands where it stood; the exception-response it sends."""
    before = pair.state()
    pair.server.receive_data(frame)
    event = pair.server.next_event()
    assert isinstance(event, ContinueNeeded)
    assert code is None or event.reply.detail == code
    answer = decode_apdu(apdu_of(pair.server.send(event.reply)))
    assert pair.server.next_event() is None
    assert pair.state() == before
    return answer


def answer_to(pair: ConnectionPair, request: Any) -> bytes:
    """The server's frame that answers a request, not yet given to the client."""
    pair.server.receive_data(pair.client.send(request))
    (frame,) = pair.server_answers()
    return frame


class TestTalking:
    @pytest.mark.conformance("lowest", "client", "server")
    @pytest.mark.conformance("lls", "client", "server")
    @pytest.mark.conformance("hls-gmac", "client", "server")
    @pytest.mark.conformance("glo", "client", "server")
    @pytest.mark.conformance("general-glo", "client", "server")
    @pytest.mark.conformance("authenticated", "client", "server")
    @pytest.mark.conformance("encrypted", "client", "server")
    @pytest.mark.conformance("authenticated-encrypted", "client", "server")
    @pytest.mark.conformance("get-blocks", "client", "server")
    @pytest.mark.conformance("action-normal", "client", "server")
    @pytest.mark.conformance("rlrq-rlre", "client", "server")
    @pytest.mark.conformance("wrapper-tcp", "client", "server")
    @pytest.mark.parametrize("mechanism", MECHANISMS)
    @pytest.mark.parametrize("protection", PROTECTIONS)
    @pytest.mark.parametrize("form", [CipherForm.GLO, CipherForm.GENERAL_GLO])
    @pytest.mark.parametrize("pdu_size", [64, 200, 0xFFFF])
    def test_a_whole_session(
        self, mechanism: Mechanism, protection: Protection, form: CipherForm, pdu_size: int
    ) -> None:
        pair = ConnectionPair.protected(
            protection,
            mechanism,
            cipher_form=form,
            max_receive_pdu_size=pdu_size,
        )
        accepted = pair.ask(Associate())[-1]
        assert isinstance(accepted, AssociationAccepted)
        assert accepted.protection is protection
        read = pair.ask(Get(BUFFER))[-1]
        assert isinstance(read, GetCompleted)
        assert (read.result, read.octets) == (DataAccessResult.SUCCESS, VALUE)
        done = pair.ask(Action(CAPTURE, Data(DataTag.INTEGER, 0)))[-1]
        assert isinstance(done, ActionCompleted)
        assert done.result is ActionResultCode.SUCCESS
        assert pair.ask(Release()) == [AssociationReleased()]
        assert not pair.server.is_associated(CLIENT_SAP)
        assert all(
            len(octets) - HEADER_OCTETS <= pdu_size
            for who, octets in pair.sent
            if who == "server" and octets[HEADER_OCTETS] not in (Aare.TAG, Rlre.TAG)
        )

    @pytest.mark.conformance("policy", "client", "server")
    @pytest.mark.parametrize("protection", PROTECTED)
    def test_nothing_of_a_protected_session_is_in_the_clear(self, protection: Protection) -> None:
        pair = ConnectionPair.protected(protection).opened()
        pair.ask(Get(CLOCK))
        pair.ask(Release())
        plain = {0x60, 0x61, 0x62, 0x63}
        for _, octets in pair.sent:
            apdu = decode_apdu(apdu_of(octets))
            if octets[HEADER_OCTETS] in plain:
                inner = decode_apdu(apdu.user_information)  # type: ignore[union-attr]
                assert isinstance(inner, Ciphered)
            else:
                assert isinstance(apdu, Ciphered)
                assert apdu.control.protection is protection

    @pytest.mark.conformance("replay", "client", "server")
    def test_counters_rise_and_are_never_used_twice(self) -> None:
        pair = ConnectionPair.protected(Protection.AUTHENTICATED_ENCRYPTED).opened()
        for _ in range(3):
            pair.ask(Get(BUFFER))
        # AARQ, the proof, the ACTION that carries it, three GETs.
        assert pair.client_counters == {CLIENT_SAP: FIRST_CLIENT_COUNTER + 5}
        assert pair.client.server_counter == FIRST_SERVER_COUNTER + 5
        assert pair.client.server_system_title == SERVER_TITLE

    def test_what_is_only_encrypted_moves_no_counter(self) -> None:
        pair = ConnectionPair.protected(Protection.ENCRYPTED, Mechanism.LLS).opened()
        pair.ask(Get(BUFFER))
        assert pair.client_counters == {}
        assert pair.client.server_counter is None

    def test_again_on_the_same_connection(self) -> None:
        pair = ConnectionPair.protected(Protection.AUTHENTICATED_ENCRYPTED).opened()
        pair.ask(Release())
        accepted = pair.ask(Associate(challenge=b"another challenge"))[-1]
        assert isinstance(accepted, AssociationAccepted)
        assert isinstance(pair.ask(Get(CLOCK))[-1], GetCompleted)

    @pytest.mark.conformance("contexts", "client", "server")
    def test_services_plain_after_hls(self) -> None:
        pair = ConnectionPair.of(
            client_settings(
                mechanism=Mechanism.HLS_GMAC,
                initiate_protection=Protection.AUTHENTICATED_ENCRYPTED,
            ),
            server_association(mechanism=Mechanism.HLS_GMAC),
        ).opened()
        assert isinstance(pair.ask(Get(CLOCK))[-1], GetCompleted)
        assert decode_apdu(apdu_of(pair.sent[-2][1])) == GetRequestNormal(
            CLOCK, invoke_id_and_priority=0xC2
        )
        # The proofs, which nothing ciphered carried, have moved the counters.
        assert pair.client_counters == {CLIENT_SAP: FIRST_CLIENT_COUNTER + 1}
        assert pair.client.server_counter == FIRST_SERVER_COUNTER + 1

    @given(data=st.data())
    @settings(max_examples=25)
    def test_any_split_of_the_stream_gives_the_same_events(self, data: st.DataObject) -> None:
        whole = ConnectionPair.protected(
            Protection.AUTHENTICATED_ENCRYPTED, max_receive_pdu_size=200
        )
        split = ConnectionPair.protected(
            Protection.AUTHENTICATED_ENCRYPTED, max_receive_pdu_size=200
        )
        sizes = data.draw(st.lists(st.integers(1, 40), min_size=1, max_size=8))
        for request in (Associate(), Get(BUFFER), Release()):
            whole.ask(request)
            _ask_in_pieces(split, request, sizes)
        assert split.client_events == whole.client_events
        assert split.server_events == whole.server_events
        assert split.sent == whole.sent

    @pytest.mark.conformance("push-during-get", "client", "server")
    @pytest.mark.conformance("data-notification", "client", "server")
    @pytest.mark.parametrize("protection", PROTECTIONS)
    def test_a_push_between_request_and_answer(self, protection: Protection) -> None:
        pair = ConnectionPair.protected(protection).opened()
        request = pair.client.send(Get(BUFFER))
        pair.client.receive_data(pair.server.send(Notify(PUSH, CLIENT_SAP, protection)))
        assert events_of(pair.client) == [NotificationReceived(PUSH, protection)]
        pair.carry_to_server(request)
        assert isinstance(pair.take_client_events()[-1], GetCompleted)


def _ask_in_pieces(pair: ConnectionPair, request: Any, sizes: list[int]) -> None:
    """As `ConnectionPair.ask`, with every frame cut up on the way."""
    octets = pair.client.send(request)
    while octets:
        pair.sent.append(("client", octets))
        answers: list[bytes] = []
        for piece in _pieces(octets, sizes):
            pair.server.receive_data(piece)
            answers += pair.server_answers()
        octets = b""
        for answer in answers:
            pair.sent.append(("server", answer))
            for piece in _pieces(answer, sizes):
                pair.client.receive_data(piece)
                for event in pair.take_client_events():
                    if isinstance(event, ContinueNeeded):
                        octets += pair.client.send(event.reply)


def _pieces(octets: bytes, sizes: list[int]) -> Iterator[bytes]:
    position = 0
    while octets[position:]:
        for size in sizes:
            yield octets[position : position + size]
            position += size


@pytest.mark.conformance("policy", "client")
class TestAnswersThatAreNotTrue:
    """A man in the middle of an open association, before the client."""

    @pytest.mark.parametrize("protection", PROTECTED)
    def test_every_flipped_bit(self, protection: Protection) -> None:
        pair = ConnectionPair.protected(protection).opened()
        frame = answer_to(pair, Get(CLOCK))
        for bit in range(HEADER_OCTETS * 8, len(frame) * 8):
            flipped = bytearray(frame)
            flipped[bit // 8] ^= 0x80 >> bit % 8
            if frame[HEADER_OCTETS] ^ flipped[HEADER_OCTETS] and flipped[HEADER_OCTETS] == 0xD8:
                continue  # a plaintext exception-response, see below
            refused_by_client(pair, bytes(flipped))
        pair.client.receive_data(frame)
        assert isinstance(pair.take_client_events()[-1], GetCompleted)

    @pytest.mark.parametrize("protection", PROTECTED)
    def test_every_truncation(self, protection: Protection) -> None:
        pair = ConnectionPair.protected(protection).opened()
        apdu = apdu_of(answer_to(pair, Get(CLOCK)))
        for end in range(1, len(apdu)):
            refused_by_client(pair, to_client(apdu[:end]))

    @pytest.mark.conformance("replay", "client")
    @pytest.mark.parametrize("protection", PROTECTED)
    def test_replayed(self, protection: Protection) -> None:
        pair = ConnectionPair.protected(protection).opened()
        frame = answer_to(pair, Get(CLOCK))
        pair.client.receive_data(frame)
        assert isinstance(pair.take_client_events()[-1], GetCompleted)
        refused_by_client(pair, frame, "counter-replayed")
        pair.client.send(Get(CLOCK))
        refused_by_client(pair, frame, "counter-replayed")

    def test_replayed_without_a_tag(self) -> None:
        pair = ConnectionPair.protected(Protection.ENCRYPTED, Mechanism.LLS).opened()
        frame = answer_to(pair, Get(CLOCK))
        pair.client.receive_data(frame)
        assert isinstance(pair.take_client_events()[-1], GetCompleted)
        refused_by_client(pair, frame, "counter-replayed")

    def test_a_counter_without_a_tag_does_not_outlive_the_association(self) -> None:
        pair = ConnectionPair.protected(Protection.ENCRYPTED, Mechanism.LLS).opened()
        pair.client.receive_data(by_server(PUSH.encode(), 0xFFFF_FFFF, Protection.ENCRYPTED))
        assert isinstance(pair.client.next_event(), NotificationReceived)
        assert pair.client.server_counter is None
        refused_by_client(pair, answer_to(pair, Get(CLOCK)), "counter-replayed")
        pair.client.abandon()
        pair.client.send(Release())
        pair.client.receive_data(to_client(Rlre(0).encode()))
        assert isinstance(pair.client.next_event(), AssociationReleased)
        assert isinstance(pair.ask(Associate())[-1], AssociationAccepted)

    @pytest.mark.conformance("replay", "client")
    @pytest.mark.parametrize("behind", [0, 1, 1000])
    def test_rolled_back(self, behind: int) -> None:
        pair = ConnectionPair.protected(Protection.AUTHENTICATED_ENCRYPTED).opened()
        pair.client.send(Get(CLOCK))
        counter = pair.client.server_counter
        assert counter is not None
        answer = GetResponseNormal(
            GetDataResult(octets=b"\x11\x05"), invoke_id_and_priority=0xC2
        ).encode()
        refused_by_client(pair, by_server(answer, counter - behind), "counter-replayed")
        pair.client.receive_data(by_server(answer, counter + 1))
        assert isinstance(pair.client.next_event(), GetCompleted)

    @pytest.mark.conformance("replay", "client")
    def test_the_counter_of_an_earlier_session_counts(self) -> None:
        pair = ConnectionPair.of(
            client_settings(
                mechanism=Mechanism.HLS_GMAC,
                protection=Protection.AUTHENTICATED_ENCRYPTED,
                server_counter=FIRST_SERVER_COUNTER,
            ),
            server_association(mechanism=Mechanism.HLS_GMAC),
        )
        refused_by_client(pair, answer_to(pair, Associate()), "counter-replayed")

    @pytest.mark.parametrize(
        ("minimum", "given_"),
        [
            (minimum, given_)
            for minimum in PROTECTIONS
            for given_ in PROTECTIONS
            if not given_.covers(minimum)
        ],
    )
    @pytest.mark.parametrize(
        "apdu",
        [
            GetResponseNormal(GetDataResult(octets=b"\x00"), invoke_id_and_priority=0xC2),
            ActionResponseNormal(ActionReturn(ActionResultCode.SUCCESS), invoke_id_and_priority=2),
            PUSH,
        ],
    )
    def test_weaker_than_the_policy(
        self, minimum: Protection, given_: Protection, apdu: Any
    ) -> None:
        pair = ConnectionPair.protected(minimum).opened()
        pair.client.send(Get(CLOCK))
        octets = apdu.encode()
        frame = to_client(octets) if not given_ else by_server(octets, 10_000, given_)
        refused_by_client(pair, frame, "policy-violated")

    @pytest.mark.parametrize("given_", list(PROTECTED))
    def test_stronger_than_the_policy(self, given_: Protection) -> None:
        pair = ConnectionPair.protected(Protection.AUTHENTICATED).opened()
        pair.client.send(Get(CLOCK))
        answer = GetResponseNormal(
            GetDataResult(octets=b"\x00"), invoke_id_and_priority=0xC2
        ).encode()
        pair.client.receive_data(by_server(answer, 10_000, given_))
        assert isinstance(pair.client.next_event(), GetCompleted)

    @pytest.mark.parametrize(
        ("changes", "code"),
        [
            ({"keys": SuiteKeys(AUTHENTICATION_KEY, AUTHENTICATION_KEY)}, "tag-mismatch"),
            ({"keys": SuiteKeys(ENCRYPTION_KEY, ENCRYPTION_KEY)}, "tag-mismatch"),
            ({"title": b"another1"}, "system-title-mismatch"),
            ({"title": CLIENT_TITLE}, "system-title-mismatch"),
        ],
    )
    def test_by_somebody_else(self, changes: dict[str, Any], code: str) -> None:
        pair = ConnectionPair.protected(Protection.AUTHENTICATED_ENCRYPTED).opened()
        refused_by_client(pair, by_server(PUSH.encode(), 10_000, **changes), code)

    def test_our_own_request_reflected(self) -> None:
        pair = ConnectionPair.protected(
            Protection.AUTHENTICATED_ENCRYPTED, cipher_form=CipherForm.GENERAL_GLO
        ).opened()
        request = apdu_of(pair.client.send(Get(CLOCK)))
        refused_by_client(pair, to_client(request), "system-title-mismatch")

    def test_our_own_request_reflected_before_we_know_the_server(self) -> None:
        pair = ConnectionPair.protected(
            Protection.AUTHENTICATED_ENCRYPTED, cipher_form=CipherForm.GENERAL_GLO
        )
        own = by_server(PUSH.encode(), 10_000, title=CLIENT_TITLE)
        refused_by_client(pair, own, "system-title-mismatch")

    @pytest.mark.parametrize(
        ("control", "code"),
        [
            (0x31, "suite-unsupported"),
            (0x32, "suite-unsupported"),
            (0x70, "key-missing"),
            (0xB0, "suite-unsupported"),
        ],
    )
    def test_another_suite_key_or_compression(self, control: int, code: str) -> None:
        # With a tag that is right, so that it is the octet which is refused.
        pair = ConnectionPair.protected(Protection.AUTHENTICATED_ENCRYPTED).opened()
        octet, counter = bytes((control,)), bytes((0, 0, 0xFF, 0xFF))
        ciphertext = AESGCM(ENCRYPTION_KEY).encrypt(
            SERVER_TITLE + counter, PUSH.encode(), octet + AUTHENTICATION_KEY
        )[:-4]
        frame = Ciphered(0xDB, octet + counter + ciphertext, SERVER_TITLE)
        refused_by_client(pair, to_client(frame.encode()), code)

    def test_the_dedicated_key_is_not_ours(self) -> None:
        pair = ConnectionPair.protected(Protection.AUTHENTICATED_ENCRYPTED).opened()
        answer = GetResponseNormal(GetDataResult(octets=b"\x00")).encode()
        content = protect(KEYS, SERVER_TITLE, Protection.AUTHENTICATED_ENCRYPTED, 10_000, answer)
        refused_by_client(pair, to_client(Ciphered(0xD4, content).encode()), "key-missing")

    @pytest.mark.parametrize(
        ("tag", "inner"),
        [
            (0xCC, PUSH.encode()),
            (0xCF, GetResponseNormal(GetDataResult(octets=b"\x00")).encode()),
            (0xCC, b""),
            (0xDB, b""),
            (0xDB, bytes.fromhex("cc0530000000 01")),
        ],
    )
    def test_another_apdu_than_the_tag_says(self, tag: int, inner: bytes) -> None:
        pair = ConnectionPair.protected(Protection.AUTHENTICATED_ENCRYPTED).opened()
        content = protect(KEYS, SERVER_TITLE, Protection.AUTHENTICATED_ENCRYPTED, 10_000, inner)
        title = SERVER_TITLE if tag == 0xDB else None
        refused_by_client(
            pair, to_client(Ciphered(tag, content, title).encode()), "policy-violated"
        )

    @pytest.mark.conformance("exception-response", "client")
    def test_a_plaintext_exception_is_told_and_believed_by_nobody(self) -> None:
        pair = ConnectionPair.protected(Protection.AUTHENTICATED_ENCRYPTED).opened()
        frame = answer_to(pair, Get(CLOCK))
        before = pair.state()
        exception = ExceptionResponse(
            StateError.SERVICE_NOT_ALLOWED, ServiceError.INVOCATION_COUNTER_ERROR, 4_000_000_000
        )
        pair.client.receive_data(to_client(exception.encode()))
        assert events_of(pair.client) == [
            ExceptionReceived(
                StateError.SERVICE_NOT_ALLOWED,
                ServiceError.INVOCATION_COUNTER_ERROR,
                4_000_000_000,
                False,
                2,
            )
        ]
        assert pair.state() == before
        pair.client.receive_data(frame)
        assert isinstance(pair.client.next_event(), GetCompleted)

    def test_a_protected_exception_is_believed(self) -> None:
        pair = ConnectionPair.protected(Protection.AUTHENTICATED_ENCRYPTED).opened()
        pair.client.send(Get(CLOCK))
        pair.client.receive_data(by_server(bytes.fromhex("d80202"), 10_000))
        (event,) = events_of(pair.client)
        assert event.trusted
        assert pair.client.pending_invoke_id is None
        assert pair.client.server_counter == 10_000

    def test_late_answers_move_the_counter_and_nothing_else(self) -> None:
        pair = ConnectionPair.protected(Protection.AUTHENTICATED_ENCRYPTED).opened()
        late = answer_to(pair, Get(CLOCK))
        pair.client.abandon()
        pair.client.send(Get(BUFFER))
        pair.client.receive_data(late)
        assert events_of(pair.client) == [AnswerDiscarded(2)]
        assert pair.client.pending_invoke_id == 3
        refused_by_client(pair, late, "counter-replayed")


@pytest.mark.conformance("rlrq-rlre", "client", "server")
class TestRelease:
    def test_plaintext_information_is_weaker_than_the_policy(self) -> None:
        pair = ConnectionPair.protected(Protection.AUTHENTICATED).opened()
        pair.client.send(Release())
        information = InitiateResponse(
            conformance=0,  # type: ignore[arg-type]
            server_max_receive_pdu_size=0,
        ).encode()
        refused_by_client(pair, to_client(Rlre(0, information).encode()), "policy-violated")

    def test_a_bare_rlre_is_taken_and_not_trusted(self) -> None:
        pair = ConnectionPair.protected(Protection.AUTHENTICATED).opened()
        pair.client.send(Release())
        pair.client.receive_data(to_client(Rlre(0).encode()))
        assert events_of(pair.client) == [AssociationReleased(trusted=False)]

    def test_a_bare_rlrq_closes_nothing(self) -> None:
        pair = ConnectionPair.protected(Protection.AUTHENTICATED).opened()
        answer = refused_by_server(pair, to_server(Rlrq(0).encode()), "policy-violated")
        assert isinstance(answer, ExceptionResponse)
        assert pair.ask(Release()) == [AssociationReleased()]


@pytest.mark.conformance("policy", "server")
class TestRequestsThatAreNotTrue:
    """A man in the middle of an open association, before the server."""

    @pytest.mark.parametrize("protection", PROTECTED)
    def test_every_flipped_bit(self, protection: Protection) -> None:
        pair = ConnectionPair.protected(protection).opened()
        frame = pair.client.send(Get(CLOCK))
        before = pair.state()
        for bit in range(HEADER_OCTETS * 8, len(frame) * 8):
            flipped = bytearray(frame)
            flipped[bit // 8] ^= 0x80 >> bit % 8
            pair.server.receive_data(bytes(flipped))
            try:
                event = pair.server.next_event()
            except RemoteProtocolError:
                pass
            else:
                assert isinstance(event, ContinueNeeded)
                assert event.reply.purpose == "exception"
                pair.server.send(event.reply)
            assert pair.state() == before
        pair.carry_to_server(frame)
        assert isinstance(pair.take_client_events()[-1], GetCompleted)

    @pytest.mark.conformance("replay", "server")
    @pytest.mark.conformance("exception-response", "server")
    @pytest.mark.parametrize("protection", PROTECTED)
    def test_replayed_and_the_expected_counter_told(self, protection: Protection) -> None:
        pair = ConnectionPair.protected(protection).opened()
        frame = pair.client.send(Get(CLOCK))
        pair.carry_to_server(frame)
        answer = refused_by_server(pair, frame, "counter-replayed")
        assert answer == ExceptionResponse(
            StateError.SERVICE_NOT_ALLOWED,
            ServiceError.INVOCATION_COUNTER_ERROR,
            pair.client_counters[CLIENT_SAP] + 1,
        )

    @pytest.mark.conformance("replay", "server")
    def test_the_last_counter_of_all(self) -> None:
        pair = ConnectionPair.protected(Protection.AUTHENTICATED_ENCRYPTED).opened()
        request = GetRequestNormal(CLOCK).encode()
        pair.carry_to_server(by_client(request, 0xFFFF_FFFF))
        assert pair.client_counters == {CLIENT_SAP: 0xFFFF_FFFF}
        refused_by_server(pair, by_client(request, 0xFFFF_FFFF), "counter-replayed")

    @pytest.mark.parametrize("minimum", list(PROTECTED))
    @pytest.mark.parametrize("given_", [Protection.PLAIN, Protection.ENCRYPTED])
    def test_weaker_than_the_policy(self, minimum: Protection, given_: Protection) -> None:
        pair = ConnectionPair.protected(minimum).opened()
        request = GetRequestNormal(CLOCK).encode()
        frame = by_client(request, 10_000, given_) if given_ else to_server(request)
        answer = refused_by_server(pair, frame, "policy-violated")
        assert answer.service_error is ServiceError.OPERATION_NOT_POSSIBLE

    @pytest.mark.parametrize(
        "changes",
        [
            {"keys": SuiteKeys(AUTHENTICATION_KEY, AUTHENTICATION_KEY)},
            {"keys": SuiteKeys(ENCRYPTION_KEY, ENCRYPTION_KEY)},
            {"title": b"another1"},
        ],
    )
    def test_by_somebody_else(self, changes: dict[str, Any]) -> None:
        pair = ConnectionPair.protected(Protection.AUTHENTICATED_ENCRYPTED).opened()
        frame = by_client(GetRequestNormal(CLOCK).encode(), 10_000, **changes)
        answer = refused_by_server(pair, frame, "tag-mismatch")
        assert answer.service_error is ServiceError.DECIPHERING_ERROR

    def test_refusals_of_services_are_protected(self) -> None:
        pair = ConnectionPair.protected(Protection.AUTHENTICATED_ENCRYPTED).opened()
        pair.server.receive_data(by_client(bytes.fromhex("c003c100"), 10_000))
        (frame,) = pair.server_answers()
        pair.client.receive_data(frame)
        (event,) = events_of(pair.client)
        assert isinstance(event, ExceptionReceived)
        assert event.trusted

    @pytest.mark.parametrize("attempt", ["plain", "wrong-key", "replayed"])
    def test_an_aarq_of_somebody_else_leaves_the_association(self, attempt: str) -> None:
        pair = ConnectionPair.protected(Protection.AUTHENTICATED_ENCRYPTED).opened()
        aarq = pair.sent[0][1]
        before = pair.state()
        if attempt == "wrong-key":
            stranger = make_client(
                client_settings(
                    mechanism=Mechanism.HLS_GMAC,
                    protection=Protection.AUTHENTICATED_ENCRYPTED,
                    encryption_key=bytes(16),
                ),
                first_counter=50_000,
            )
            aarq = stranger.send(Associate())
        elif attempt == "plain":
            aarq = make_client(client_settings()).send(Associate())
        pair.server.receive_data(aarq)
        (frame,) = pair.server_answers()
        aare = decode_apdu(apdu_of(frame))
        assert isinstance(aare, Aare)
        assert aare.result is AssociationResult.REJECTED_PERMANENT
        assert pair.state() == before
        assert isinstance(pair.ask(Get(CLOCK))[-1], GetCompleted)


def handshake(**changes: Any) -> tuple[ConnectionPair, Aare, bytes]:
    """A client that has sent its AARQ, and the AARE that is under way, as value and frame."""
    settings_ = {
        "mechanism": Mechanism.HLS_GMAC,
        "protection": Protection.AUTHENTICATED_ENCRYPTED,
    } | changes
    pair = ConnectionPair.of(
        client_settings(**settings_), server_association(mechanism=Mechanism.HLS_GMAC)
    )
    frame = answer_to(pair, Associate())
    aare = decode_apdu(apdu_of(frame))
    assert isinstance(aare, Aare)
    return pair, aare, frame


@pytest.mark.conformance("aarq-aare", "client")
class TestAare:
    @pytest.mark.parametrize(
        ("changes", "code"),
        [
            ({"mechanism_name": mechanism_name(Mechanism.LLS)}, "mechanism-mismatch"),
            ({"mechanism_name": mechanism_name(Mechanism.HLS_MD5)}, "mechanism-mismatch"),
            ({"mechanism_name": None}, "mechanism-mismatch"),
            ({"mechanism_name": b"\x2a"}, "mechanism-mismatch"),
            ({"application_context_name": bytes.fromhex("60857405080101")}, "policy-violated"),
            ({"responding_ap_title": b"another1"}, "tag-mismatch"),
            ({"responding_ap_title": None}, "system-title-mismatch"),
            ({"responding_ap_title": b"short"}, "system-title-mismatch"),
            ({"responding_ap_title": CLIENT_TITLE}, "system-title-mismatch"),
            ({"authentication_value": None}, "authentication-failed"),
            ({"authentication_value": b"short"}, "authentication-failed"),
            ({"authentication_value": CTOS}, "authentication-failed"),
            ({"user_information": None}, "policy-violated"),
            (
                {"user_information": bytes.fromhex("0800065f1f040000101d00c80007")},
                "policy-violated",
            ),
        ],
    )
    def test_not_what_was_asked(self, changes: dict[str, Any], code: str) -> None:
        pair, aare, frame = handshake()
        refused_by_client(pair, to_client(attrs.evolve(aare, **changes).encode()), code)
        pair.client.receive_data(frame)
        assert isinstance(pair.client.next_event(), ContinueNeeded)

    @pytest.mark.conformance("aare-identity", "client")
    def test_the_expected_system_title(self) -> None:
        pair, _, frame = handshake(server_system_title=b"expected")
        refused_by_client(pair, frame, "system-title-mismatch")
        assert pair.client.server_system_title == b"expected"

    def test_our_own_title_where_nothing_is_ciphered(self) -> None:
        pair, aare, _ = handshake(protection=Protection.PLAIN)
        reflected = attrs.evolve(aare, responding_ap_title=CLIENT_TITLE)
        refused_by_client(pair, to_client(reflected.encode()), "system-title-mismatch")

    def test_a_missing_title_is_the_expected_one(self) -> None:
        pair, aare, _ = handshake(server_system_title=SERVER_TITLE, empty_system_title=True)
        pair.client.receive_data(to_client(attrs.evolve(aare, responding_ap_title=None).encode()))
        assert isinstance(pair.client.next_event(), ContinueNeeded)

    def test_every_flipped_bit_of_what_is_protected(self) -> None:
        pair, aare, _ = handshake()
        information = aare.user_information
        assert information is not None
        for bit in range(len(information) * 8):
            flipped = bytearray(information)
            flipped[bit // 8] ^= 0x80 >> bit % 8
            changed = attrs.evolve(aare, user_information=bytes(flipped))
            refused_by_client(pair, to_client(changed.encode()))

    def test_a_challenge_from_the_middle_is_found_out_by_the_server(self) -> None:
        # Nobody vouches for StoC until the proofs: with another one ours is worth nothing.
        pair, aare, _ = handshake()
        pair.client.receive_data(
            to_client(attrs.evolve(aare, authentication_value=b"another challenge").encode())
        )
        (event,) = events_of(pair.client)
        pair.carry_to_server(pair.client.send(event.reply))
        assert isinstance(pair.server_events[-2], AssociationRefused)
        (rejected,) = pair.take_client_events()
        assert isinstance(rejected, AssociationRejected)
        assert not pair.server.is_associated(CLIENT_SAP)

    @given(
        context=st.binary(max_size=10),
        diagnostic=st.integers(0, 20),
        source=st.sampled_from(DiagnosticSource),
        information=st.none() | st.binary(max_size=40),
    )
    def test_no_accepted_aare_opens_anything_without_proof(
        self, context: bytes, diagnostic: int, source: DiagnosticSource, information: bytes | None
    ) -> None:
        pair, aare, _ = handshake()
        forged = Aare(
            context or aare.application_context_name,
            AssociationResult.ACCEPTED,
            Diagnostic(diagnostic, source),
            SERVER_TITLE,
            mechanism_name=aare.mechanism_name,
            authentication_value=STOC,
            user_information=information,
        )
        refused_by_client(pair, to_client(forged.encode()))


def proving() -> tuple[ConnectionPair, bytes, bytes]:
    """A pair with pass 3 under way; its frame, and the server's one with pass 4."""
    pair, _, frame = handshake()
    pair.client.receive_data(frame)
    event = pair.client.next_event()
    assert isinstance(event, ContinueNeeded)
    proof = pair.client.send(event.reply)
    return pair, proof, frame


def pass_four(token: bytes, counter: int, protection: Protection) -> bytes:
    """An action-response with a proof, as a server with the keys would cipher it."""
    proof = GetDataResult(octets=b"\x09" + bytes((len(token),)) + token)
    apdu = ActionResponseNormal(
        ActionReturn(ActionResultCode.SUCCESS, proof), invoke_id_and_priority=0xC1
    ).encode()
    return by_server(apdu, counter, protection) if protection else to_client(apdu)


@pytest.mark.conformance("hls-gmac", "client", "server")
class TestProofs:
    def test_the_proof_and_what_carries_it_have_two_counters(self) -> None:
        pair, proof, _ = proving()
        ciphered = decode_apdu(apdu_of(proof))
        assert isinstance(ciphered, Ciphered)
        action = decode_apdu(unprotect(KEYS, CLIENT_TITLE, ciphered.content).plaintext)
        assert isinstance(action, ActionRequestNormal)
        assert action.parameters is not None
        token_counter = int.from_bytes(action.parameters.value[1:5], "big")
        assert token_counter == FIRST_CLIENT_COUNTER + 1
        assert ciphered.invocation_counter == FIRST_CLIENT_COUNTER + 2
        expected = gmac_token(KEYS, CLIENT_TITLE, token_counter, STOC)
        assert action.parameters.value == expected
        assert pair.client.pending_invoke_id == 1

    @pytest.mark.parametrize(
        ("title", "challenge", "counter", "code"),
        [
            (SERVER_TITLE, b"another challenge", 9000, "authentication-failed"),
            (SERVER_TITLE, STOC, 9000, "authentication-failed"),
            (b"another1", CTOS, 9000, "authentication-failed"),
            (CLIENT_TITLE, CTOS, 9000, "authentication-failed"),
            (SERVER_TITLE, CTOS, FIRST_SERVER_COUNTER, "counter-replayed"),
            (SERVER_TITLE, CTOS, 9001, "counter-replayed"),
        ],
    )
    def test_a_wrong_proof_of_the_server(
        self, title: bytes, challenge: bytes, counter: int, code: str
    ) -> None:
        pair, proof, _ = proving()
        token = gmac_token(KEYS, title, counter, challenge)
        wrong = pass_four(token, 9001, Protection.AUTHENTICATED_ENCRYPTED)
        refused_by_client(pair, wrong, code)
        # The true one is still taken.
        pair.carry_to_server(proof)
        assert isinstance(pair.take_client_events()[-1], AssociationAccepted)

    @pytest.mark.parametrize("token", [b"", b"\x10", bytes(17)])
    def test_no_proof_of_the_server(self, token: bytes) -> None:
        pair, _, _ = proving()
        frame = pass_four(token, 9001, Protection.AUTHENTICATED_ENCRYPTED)
        refused_by_client(pair, frame, "authentication-failed")

    def test_success_without_a_proof(self) -> None:
        pair, _, _ = proving()
        bare = ActionResponseNormal(
            ActionReturn(ActionResultCode.SUCCESS), invoke_id_and_priority=0xC1
        ).encode()
        refused_by_client(pair, by_server(bare, 9001), "authentication-failed")

    def test_our_own_proof_reflected(self) -> None:
        pair, _, _ = proving()
        token = gmac_token(KEYS, CLIENT_TITLE, FIRST_CLIENT_COUNTER + 1, STOC)
        frame = pass_four(token, 9001, Protection.AUTHENTICATED_ENCRYPTED)
        refused_by_client(pair, frame, "authentication-failed")

    def test_a_proof_in_the_clear(self) -> None:
        pair, _, _ = proving()
        token = gmac_token(KEYS, SERVER_TITLE, 9000, CTOS)
        refused_by_client(pair, pass_four(token, 0, Protection.PLAIN), "policy-violated")

    def test_a_proof_by_a_foreign_answer(self) -> None:
        pair, _, _ = proving()
        foreign = ActionResponseNormal(
            ActionReturn(ActionResultCode.SUCCESS), invoke_id_and_priority=0xC7
        ).encode()
        pair.client.receive_data(by_server(foreign, FIRST_SERVER_COUNTER + 1))
        assert events_of(pair.client) == [AnswerDiscarded(7)]
        assert pair.client.server_counter == FIRST_SERVER_COUNTER + 1

    def test_the_server_says_no(self) -> None:
        pair, _, _ = proving()
        denied = ActionResponseNormal(
            ActionReturn(ActionResultCode.OTHER_REASON), invoke_id_and_priority=0xC1
        ).encode()
        pair.client.receive_data(by_server(denied, 9001))
        assert events_of(pair.client) == [
            AssociationRejected(
                AssociationResult.REJECTED_PERMANENT,
                Diagnostic(UserDiagnostic.AUTHENTICATION_FAILURE),
            )
        ]
        assert pair.client.pending_invoke_id is None
        pair.client.send(Associate(challenge=b"another challenge"))

    @pytest.mark.parametrize("protection", PROTECTIONS)
    @pytest.mark.parametrize(
        ("title", "challenge", "counter"),
        [
            (CLIENT_TITLE, b"another challenge", 9000),
            (CLIENT_TITLE, CTOS, 9000),
            (SERVER_TITLE, STOC, 9000),
            (b"another1", STOC, 9000),
            (CLIENT_TITLE, STOC, 9001),
            (CLIENT_TITLE, STOC, 0),
        ],
    )
    def test_a_wrong_proof_of_the_client(
        self, protection: Protection, title: bytes, challenge: bytes, counter: int
    ) -> None:
        pair = ConnectionPair.protected(protection)
        pair.client_counters[CLIENT_SAP] = 50
        pair.client.receive_data(answer_to(pair, Associate()))
        (event,) = events_of(pair.client)
        carrier = 9001 if protection else None
        if carrier is None and counter == 9001:
            return  # in the clear nothing else has a counter
        before = pair.state()
        token = gmac_token(KEYS, title, counter, challenge)
        apdu = ActionRequestNormal(
            REPLY_TO_HLS, Data(DataTag.OCTET_STRING, token), invoke_id_and_priority=0xC1
        ).encode()
        frame = by_client(apdu, carrier, protection) if carrier else to_server(apdu)
        pair.server.receive_data(frame)
        refused, needed = events_of(pair.server)
        assert isinstance(refused, AssociationRefused)
        assert isinstance(needed, ContinueNeeded)
        answer = pair.server.send(needed.reply)
        if not protection:
            response = decode_apdu(apdu_of(answer))
            assert isinstance(response, ActionResponseNormal)
            assert response.outcome.result is not ActionResultCode.SUCCESS
        assert pair.state() == before
        # The handshake of the true client is not spoilt.
        pair.carry_to_server(pair.client.send(event.reply))
        assert isinstance(pair.server_events[-1], AssociationOpened)

    def test_a_replayed_handshake(self) -> None:
        pair = ConnectionPair.protected(Protection.AUTHENTICATED_ENCRYPTED).opened()
        counters = dict(pair.client_counters)
        server = make_server(
            server_association(mechanism=Mechanism.HLS_GMAC), client_counters=counters
        )
        again = attrs.evolve(pair, server=server)
        for who, octets in list(pair.sent):
            if who == "client":
                again.server.receive_data(octets)
                list(again.server_answers())
        assert not server.is_associated(CLIENT_SAP)
        assert counters == pair.client_counters


@pytest.mark.parametrize("wrong", ["encryption_key", "authentication_key"])
def test_a_wrong_key(wrong: str) -> None:
    pair = ConnectionPair.of(
        client_settings(
            mechanism=Mechanism.HLS_GMAC,
            protection=Protection.AUTHENTICATED_ENCRYPTED,
            **{wrong: bytes(16)},
        ),
        server_association(mechanism=Mechanism.HLS_GMAC),
    )
    (rejected,) = pair.ask(Associate())
    assert isinstance(rejected, AssociationRejected)
    assert rejected.diagnostic == Diagnostic(UserDiagnostic.AUTHENTICATION_FAILURE)
    assert pair.client_counters == {}
    assert pair.client.server_counter is None


@pytest.mark.parametrize("mechanism", MECHANISMS)
@pytest.mark.parametrize("protection", PROTECTIONS)
@given(octets=st.lists(st.binary(min_size=1, max_size=60), max_size=4))
@settings(max_examples=20)
def test_any_octets_raise_typed_errors_only(
    mechanism: Mechanism, protection: Protection, octets: list[bytes]
) -> None:
    client = make_client(client_settings(mechanism=mechanism, protection=protection))
    client.send(Associate())
    for apdu in octets:
        client.receive_data(to_client(apdu))
        _drain(client)


def _drain(client: Client) -> None:
    while True:
        try:
            if client.next_event() is None:
                return
        except RemoteProtocolError:
            continue


def test_security_errors_say_which_apdu_and_no_secret() -> None:
    pair = ConnectionPair.protected(Protection.AUTHENTICATED_ENCRYPTED).opened()
    frame = answer_to(pair, Get(CLOCK))
    pair.client.receive_data(to_client(GetResponseNormal(GetDataResult(octets=VALUE)).encode()))
    with pytest.raises(SecurityError) as caught:
        pair.client.next_event()
    assert caught.value.apdu_tag == 0xC4
    for secret in (ENCRYPTION_KEY, AUTHENTICATION_KEY, VALUE):
        assert repr(secret) not in repr(caught.value)
    assert frame


def test_aarq_and_aare_show_no_secret_in_events() -> None:
    pair = ConnectionPair.of(
        client_settings(mechanism=Mechanism.LLS, secret=b"Passw0rd"),
        server_association(mechanism=Mechanism.LLS, secret=b"Passw0rd"),
    ).opened()
    shown = repr((pair.client_events, pair.server_events, decode_apdu(apdu_of(pair.sent[0][1]))))
    assert "Passw0rd" not in shown
    assert isinstance(decode_apdu(apdu_of(pair.sent[0][1])), Aarq)
