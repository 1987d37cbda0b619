"""
Ciphering in every form, in both roles: which key, whose counters, and what is refused.

The counters of each key are kept apart; what is refused leaves `ConnectionPair.state()` as it was.
"""

from __future__ import annotations

from typing import Any, ClassVar

import pytest

from hes_protocol._channel import Channel, KeyKind, room
from hes_protocol.acse import Mechanism
from hes_protocol.axdr import Data, DataTag
from hes_protocol.client import (
    Action,
    ActionCompleted,
    Associate,
    AssociationAccepted,
    AssociationReleased,
    ContinueNeeded,
    Get,
    GetCompleted,
    NotificationReceived,
    Release,
)
from hes_protocol.errors import LocalProtocolError, RemoteProtocolError, SecurityError
from hes_protocol.security import Protection, SuiteKeys, protect
from hes_protocol.security.control import SecurityControl
from hes_protocol.server import GetRequested, Server
from hes_protocol.wrapper import HEADER_OCTETS
from hes_protocol.xdlms import (
    Ciphered,
    DataNotification,
    ExceptionResponse,
    GetDataResult,
    GetRequestNormal,
    GetResponseNormal,
    decode_apdu,
)
from hes_protocol.xdlms.ciphered import DED_TAGS, GLO_TAGS, CipherForm
from tests.connection_pair import (
    AUTHENTICATION_KEY,
    BUFFER,
    CAPTURE,
    CLIENT_SAP,
    CLIENT_TITLE,
    CLOCK,
    ENCRYPTION_KEY,
    FIRST_CLIENT_COUNTER,
    SERVER_TITLE,
    VALUE,
    ConnectionPair,
    apdu_of,
    client_settings,
    make_server,
    server_association,
    to_client,
    to_server,
)

DEDICATED_KEY = bytes(range(0x40, 0x50))
BROADCAST_KEY = bytes(range(0x60, 0x70))
KEYS = SuiteKeys(ENCRYPTION_KEY, AUTHENTICATION_KEY)
FORMS = [
    pytest.param(form, marks=pytest.mark.conformance(form.value, "client", "server"))
    for form in CipherForm
]
KINDS = [
    pytest.param(protection, marks=pytest.mark.conformance(name, "client", "server"))
    for name, protection in (
        ("authenticated", Protection.AUTHENTICATED),
        ("encrypted", Protection.ENCRYPTED),
        ("authenticated-encrypted", Protection.AUTHENTICATED_ENCRYPTED),
    )
]
PUSH = DataNotification(1, None, Data(DataTag.UNSIGNED, 7))
BOTH = Protection.AUTHENTICATED_ENCRYPTED


def pair_of(
    form: CipherForm = CipherForm.GLO, protection: Protection = BOTH, *,
    rules: dict[str, Any] | None = None, **changes: Any,
) -> ConnectionPair:  # fmt: skip
    mechanism = Mechanism.HLS_GMAC if protection.authenticated else Mechanism.LLS
    dedicated = {"dedicated_key": DEDICATED_KEY, "initiate_protection": BOTH}
    return ConnectionPair.of(
        client_settings(
            mechanism=mechanism,
            protection=protection,
            cipher_form=form,
            **((dedicated if form.dedicated else {}) | changes),
        ),
        server_association(
            mechanism=mechanism, minimum_protection=protection, **(rules or {})
        ),
    )  # fmt: skip


def tag_of(frame: bytes) -> int:
    return frame[HEADER_OCTETS]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("protection", KINDS)
@pytest.mark.parametrize("pdu_size", [80, 0xFFFF])
def test_a_session_in_every_form(form: CipherForm, protection: Protection, pdu_size: int) -> None:
    pair = pair_of(form, protection, max_receive_pdu_size=pdu_size)
    assert isinstance(pair.ask(Associate())[-1], AssociationAccepted)
    before = len(pair.sent)
    read = pair.ask(Get(BUFFER))[-1]
    assert isinstance(read, GetCompleted)
    assert read.octets == VALUE
    assert isinstance(pair.ask(Action(CAPTURE))[-1], ActionCompleted)
    for _, octets in pair.sent[before:]:
        ciphered = decode_apdu(apdu_of(octets))
        assert isinstance(ciphered, Ciphered)
        assert ciphered.form is form
        assert ciphered.control == SecurityControl(protection)
        assert len(octets) - HEADER_OCTETS <= pdu_size
    assert pair.ask(Release()) == [AssociationReleased()]


@pytest.mark.parametrize("asked", CipherForm)
@pytest.mark.parametrize("answered", CipherForm)
@pytest.mark.conformance("reply-styles", "client", "server")
def test_an_answer_in_another_form(asked: CipherForm, answered: CipherForm) -> None:
    pair = pair_of(
        asked, rules={"reply_form": answered}, dedicated_key=DEDICATED_KEY
    ).opened()  # fmt: skip
    read = pair.ask(Get(CLOCK))[-1]
    assert isinstance(read, GetCompleted)
    request, answer = (decode_apdu(apdu_of(octets)) for _, octets in pair.sent[-2:])
    assert isinstance(request, Ciphered)
    assert isinstance(answer, Ciphered)
    assert (request.form, answer.form) == (asked, answered)


def by_server(
    apdu: bytes, counter: int, form: CipherForm, protection: Protection = BOTH,
    *, key: bytes = ENCRYPTION_KEY,
) -> bytes:  # fmt: skip
    content = protect(SuiteKeys(key, AUTHENTICATION_KEY), SERVER_TITLE, protection, counter, apdu)
    tag = form.tag(apdu[0])
    named = tag in (0xDB, 0xDC)
    return to_client(Ciphered(tag, content, SERVER_TITLE if named else None).encode())


def answer(invoke: int) -> bytes:
    return GetResponseNormal(
        GetDataResult(octets=b"\x11\x05"), invoke_id_and_priority=0xC0 | invoke
    ).encode()


@pytest.mark.conformance("reply-styles", "client")
def test_styles_that_change_from_apdu_to_apdu() -> None:
    pair = pair_of(rules=None, dedicated_key=DEDICATED_KEY, minimum_protection=0x10).opened()
    counter = pair.client.server_counter
    assert counter is not None
    for n, form in enumerate(CipherForm):
        for m, protection in enumerate((Protection.AUTHENTICATED, BOTH)):
            pair.client.send(Get(CLOCK))
            invoke = pair.client.pending_invoke_id
            assert invoke is not None
            key = DEDICATED_KEY if form.dedicated else ENCRYPTION_KEY
            frame = by_server(answer(invoke), counter + 1 + 2 * n + m, form, protection, key=key)
            pair.client.receive_data(frame)
            assert isinstance(pair.client.next_event(), GetCompleted)


def refused(pair: ConnectionPair, frame: bytes, code: str) -> None:
    before = pair.state()
    pair.client.receive_data(frame)
    with pytest.raises(SecurityError) as caught:
        pair.client.next_event()
    assert caught.value.code == code
    assert pair.state() == before


class TestDedicatedKey:
    @pytest.mark.conformance("replay", "client", "server")
    def test_its_counters_are_its_own(self) -> None:
        pair = pair_of(CipherForm.DED).opened()
        before = pair.client.server_counter
        kept = dict(pair.client_counters)
        for _ in range(3):
            pair.ask(Get(CLOCK))
        # What goes by the dedicated key moves no counter that outlives it.
        assert pair.client.server_counter == before
        assert pair.client_counters == kept

    def test_it_may_count_from_nought_while_the_global_one_does_not(self) -> None:
        pair = pair_of(CipherForm.DED, same_proof_counter=True).opened()
        known = pair.client._channel.verified(KeyKind.DEDICATED)
        assert known is not None
        pair.client._channel.set_verified(KeyKind.DEDICATED, None)
        pair.client.receive_data(
            by_server(PUSH.encode(), 0, CipherForm.GENERAL_DED, key=DEDICATED_KEY)
        )
        assert isinstance(pair.client.next_event(), NotificationReceived)
        refused(
            pair,
            by_server(PUSH.encode(), 0, CipherForm.GENERAL_DED, key=DEDICATED_KEY),
            "counter-replayed",
        )
        refused(pair, by_server(PUSH.encode(), 0, CipherForm.GENERAL_GLO), "counter-replayed")

    @pytest.mark.parametrize("form", [CipherForm.DED, CipherForm.GENERAL_DED])
    def test_the_keys_are_not_taken_for_each_other(self, form: CipherForm) -> None:
        pair = pair_of(form).opened()
        pair.client.send(Get(CLOCK))
        invoke = pair.client.pending_invoke_id
        assert invoke is not None
        refused(pair, by_server(answer(invoke), 9000, form), "tag-mismatch")
        glo = CipherForm.GENERAL_GLO if form.general else CipherForm.GLO
        refused(pair, by_server(answer(invoke), 9000, glo, key=DEDICATED_KEY), "tag-mismatch")

    def test_replayed_and_rolled_back(self) -> None:
        pair = pair_of(CipherForm.DED).opened()
        pair.server.receive_data(pair.client.send(Get(CLOCK)))
        (frame,) = pair.server_answers()
        pair.client.receive_data(frame)
        assert isinstance(pair.client.next_event(), GetCompleted)
        pair.client.send(Get(CLOCK))
        refused(pair, frame, "counter-replayed")

    def test_a_replayed_request(self) -> None:
        pair = pair_of(CipherForm.DED).opened()
        pair.ask(Get(CLOCK))
        request = pair.sent[-2][1]
        before = pair.state()
        pair.server.receive_data(request)
        event = pair.server.next_event()
        assert isinstance(event, ContinueNeeded)
        assert event.reply.detail == "counter-replayed"
        pair.server.send(event.reply)
        assert pair.state() == before

    def test_it_ends_with_the_association(self) -> None:
        pair = pair_of(CipherForm.DED).opened()
        pair.ask(Get(CLOCK))
        pair.ask(Release())
        with pytest.raises(LocalProtocolError):
            pair.client.send(Associate(challenge=b"another challenge"))
        pair.ask(Associate(challenge=b"another challenge", dedicated_key=bytes(16)))
        assert isinstance(pair.ask(Get(CLOCK))[-1], GetCompleted)
        refused(
            pair,
            by_server(PUSH.encode(), 99_999, CipherForm.GENERAL_DED, key=DEDICATED_KEY),
            "tag-mismatch",
        )

    def test_without_one_its_forms_are_refused(self) -> None:
        pair = pair_of().opened()
        for form in (CipherForm.DED, CipherForm.GENERAL_DED):
            frame = by_server(answer(1), 9000, form, key=DEDICATED_KEY)
            refused(pair, frame, "key-missing")

    def test_our_counters_come_from_one_source(self) -> None:
        pair = pair_of(CipherForm.DED).opened()
        pair.ask(Get(CLOCK))
        counters = []
        for who, octets in pair.sent:
            apdu = decode_apdu(apdu_of(octets))
            if who == "client" and isinstance(apdu, Ciphered):
                counters.append(apdu.invocation_counter)
        # AARQ 100, proof 101; what carries the proof, and the GET.
        assert counters == [FIRST_CLIENT_COUNTER + 2, FIRST_CLIENT_COUNTER + 3]

    def test_it_does_not_print(self) -> None:
        settings = client_settings(dedicated_key=DEDICATED_KEY)
        assert repr(DEDICATED_KEY) not in repr(settings)
        assert repr(DEDICATED_KEY) not in repr(Associate(dedicated_key=DEDICATED_KEY))


class TestBroadcastKey:
    """A pre-established association that takes requests for a whole group of meters."""

    RULES: ClassVar[dict[str, Any]] = {
        "pre_established": True,
        "client_system_title": CLIENT_TITLE,
        "minimum_protection": BOTH,
        "broadcast_key": BROADCAST_KEY,
    }

    @staticmethod
    def request(
        counter: int, *, key: bytes = BROADCAST_KEY, control: int = 0x70, tag: int | None = None
    ) -> bytes:
        apdu = GetRequestNormal(CLOCK, invoke_id_and_priority=0x01).encode()
        iv = CLIENT_TITLE + counter.to_bytes(4, "big")
        text = SuiteKeys(key, AUTHENTICATION_KEY).tag(iv, control, b"", apdu)
        content = bytes((control,)) + iv[8:] + text
        return to_server(Ciphered(GLO_TAGS[apdu[0]] if tag is None else tag, content).encode())

    @staticmethod
    def refusal(server: Server, frame: bytes) -> str:
        server.receive_data(frame)
        event = server.next_event()
        assert isinstance(event, ContinueNeeded)
        assert isinstance(decode_apdu(apdu_of(server.send(event.reply))), ExceptionResponse)
        return event.reply.detail

    @pytest.mark.conformance("pre-established", "server")
    def test_its_counters_do_not_move_the_others(self) -> None:
        counters: dict[int, int] = {}
        server = make_server(server_association(**self.RULES), client_counters=counters)
        server.receive_data(self.request(0xFFFF_0000))
        assert isinstance(server.next_event(), GetRequested)
        assert counters == {}
        assert server._broadcast_counters == {CLIENT_SAP: 0xFFFF_0000}

    def test_replayed(self) -> None:
        server = make_server(server_association(**self.RULES))
        server._broadcast_counters[CLIENT_SAP] = 5
        for counter in (0, 5):
            assert self.refusal(server, self.request(counter)) == "counter-replayed"
        server.receive_data(self.request(6))
        assert isinstance(server.next_event(), GetRequested)

    @pytest.mark.parametrize(
        ("changes", "code"),
        [
            ({"key": ENCRYPTION_KEY}, "tag-mismatch"),
            ({"control": 0x30}, "tag-mismatch"),
            ({"tag": DED_TAGS[0xC0]}, "key-missing"),
            ({"control": 0x71}, "suite-unsupported"),
        ],
    )
    def test_refused(self, changes: dict[str, Any], code: str) -> None:
        server = make_server(server_association(**self.RULES))
        assert self.refusal(server, self.request(6, **changes)) == code
        assert server._broadcast_counters == {}

    def test_without_one(self) -> None:
        server = make_server(server_association(**self.RULES | {"broadcast_key": None}))
        assert self.refusal(server, self.request(6)) == "key-missing"

    @pytest.mark.parametrize(
        "changes", [{"pre_established": False}, {"encryption_key": None, "minimum_protection": 0}]
    )
    def test_it_opens_no_other_association(self, changes: dict[str, Any]) -> None:
        with pytest.raises(LocalProtocolError):
            server_association(**self.RULES | changes)


class TestChannel:
    """The parts, alone."""

    @staticmethod
    def channel(keys: SuiteKeys | None = KEYS, title: bytes | None = CLIENT_TITLE) -> Channel:
        return Channel(keys, title, Protection.PLAIN, iter(range(10)).__next__)

    def test_nothing_is_ciphered_without_keys_or_title(self) -> None:
        for channel in (self.channel(None), self.channel(title=None)):
            assert channel.protect(b"\xc0", Protection.PLAIN) == b"\xc0"
            with pytest.raises(LocalProtocolError):
                channel.protect(b"\xc0", BOTH)
            with pytest.raises(LocalProtocolError):
                channel.begin(DEDICATED_KEY)

    def test_a_dedicated_form_without_its_key(self) -> None:
        channel = self.channel()
        with pytest.raises(LocalProtocolError):
            channel.protect(b"\xc0", BOTH, CipherForm.DED)
        # The counter is still there.
        assert channel.draw_counter() == 0

    def test_a_source_that_repeats_itself(self) -> None:
        channel = Channel(KEYS, CLIENT_TITLE, Protection.PLAIN, lambda: 7)
        assert channel.draw_counter() == 7
        with pytest.raises(LocalProtocolError):
            channel.draw_counter()

    def test_a_source_that_begins_below_zero(self) -> None:
        with pytest.raises(LocalProtocolError):
            Channel(KEYS, CLIENT_TITLE, Protection.PLAIN, lambda: -1).draw_counter()

    @pytest.mark.parametrize(
        ("protection", "form", "overhead"),
        [
            (Protection.PLAIN, CipherForm.GENERAL_GLO, 0),
            (Protection.ENCRYPTED, CipherForm.GLO, 7),
            (Protection.AUTHENTICATED, CipherForm.DED, 19),
            (BOTH, CipherForm.GLO, 19),
            (BOTH, CipherForm.GENERAL_GLO, 28),
            (BOTH, CipherForm.GENERAL_DED, 28),
        ],
    )
    def test_room(self, protection: Protection, form: CipherForm, overhead: int) -> None:
        assert room(100, protection, form) == 100 - overhead
        channel = self.channel()
        channel.begin(DEDICATED_KEY)
        apdu = b"\xc0" + bytes(99 - overhead)
        assert len(channel.protect(apdu, protection, form)) == 100

    @pytest.mark.parametrize("inner", [b"", b"\xc8\x00", b"\xdb", b"\x21"])
    def test_ciphered_within_ciphered(self, inner: bytes) -> None:
        content = protect(KEYS, SERVER_TITLE, BOTH, 1, inner)
        octets = Ciphered(0xDB, content, SERVER_TITLE).encode()
        with pytest.raises(SecurityError) as caught:
            self.channel().open(octets)
        assert caught.value.code == "policy-violated"

    @pytest.mark.parametrize("cut", range(1, 20))
    def test_cut_off(self, cut: int) -> None:
        content = protect(KEYS, SERVER_TITLE, BOTH, 1, b"\xc4\x01")
        octets = Ciphered(0xDB, content, SERVER_TITLE).encode()
        with pytest.raises(RemoteProtocolError):
            self.channel().open(octets[:-cut])
        with pytest.raises(RemoteProtocolError):
            self.channel().open(octets + bytes(cut))
