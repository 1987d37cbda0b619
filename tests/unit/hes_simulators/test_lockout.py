"""Wrong secrets are counted and lock out; replays and foreign keys raise events; over restarts."""

from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import attrs
import pytest

from hes_protocol.acse import Aare
from hes_protocol.client import Associate, Client, ContinueNeeded
from hes_protocol.cosem import Obis
from hes_protocol.cosem.objects import Attribute, Method
from hes_protocol.security import Protection, SuiteKeys, protect, unprotect
from hes_protocol.security.key_wrap import KeyId, KeyTransfer, key_transfer_data, wrap_key
from hes_protocol.wrapper import WrapperFrame, WrapperLink
from hes_protocol.xdlms import (
    ActionRequestNormal,
    ActionResponseNormal,
    ActionResultCode,
    Ciphered,
    ExceptionResponse,
    GetRequestNormal,
    GetResponseNormal,
    decode_apdu,
)
from hes_protocol.xdlms.ciphered import GLO_TAGS
from hes_simulators.keys import Keyring, context_of
from hes_simulators.known_models import simulated_model
from hes_simulators.meter import Meter, MeterKind, Security
from hes_simulators.persistence import plain, state_of
from tests.attacker import NOW, Attacker
from tests.attacker import TITLE as CLIENT_TITLE

MANAGEMENT = 1
ATTEMPTS, LOCKED_S = 5, 300
TITLE = Attribute(64, Obis.parse("0.0.43.0.0.255"), 5)
TRANSFER = (64, Obis.parse("0.0.43.0.0.255"), 2)
NEW_KEY = bytes(range(0x60, 0x70))


@attrs.define
class Place:
    """A meter, its clock, and what it tells its journal."""

    security: Security = Security.LLS
    at: datetime = NOW
    events: list[str] = attrs.field(factory=list)
    meter: Meter = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.meter = Meter.of(self._kind(), 0)

    def _kind(self) -> MeterKind:
        return MeterKind(
            seed=1,
            zone=ZoneInfo("Europe/Berlin"),
            now=lambda: self.at,
            next_challenge=lambda: b"challenge of the meter",
            first_counter=1,
            model=simulated_model("idis-single-phase"),
            security=self.security,
            profile_days=1,
            journal=self,
        )

    def note(self, kind: str, at: datetime, serial: str, **facts: object) -> None:
        if kind == "event":
            self.events.append(str(facts["name"]))

    def restart(self) -> None:
        """The fleet ends, and another begins from what was kept of this one."""
        state = state_of(plain(self.meter.state))
        self.meter = Meter.of(self._kind(), 0, state)

    def attacker(self) -> Attacker:
        return Attacker(self.meter, self.meter.clients[MANAGEMENT])

    def associates(self, **changes: object) -> bool:
        return self.attacker().associate(**changes)

    def wait(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


WRONG = {
    Security.LLS: {"secret": b"12345678"},
    Security.MD5: {"secret": b"12345678"},
    Security.SHA256: {"secret": b"12345678"},
    Security.GMAC: {"encryption_key": bytes(16)},
}


@pytest.mark.parametrize("security", WRONG)
def test_after_the_last_attempt_the_client_is_locked_out_for_a_while(security: Security) -> None:
    place = Place(security)
    event = "decryption_failed" if security is Security.GMAC else "wrong_password"
    for attempt in range(1, ATTEMPTS + 1):
        assert not place.associates(**WRONG[security])
        assert place.events.count(event) == attempt
    assert place.events[-1] == "locked_out"
    assert not place.associates()
    place.wait(LOCKED_S - 1)
    assert not place.associates()
    assert place.events.count("locked_out") == 1
    assert place.events.count(event) == ATTEMPTS  # nobody looks at a secret meanwhile
    place.wait(1)
    assert place.associates()
    assert context_of(MANAGEMENT) not in place.meter.state.objects


def test_a_right_secret_lets_the_count_begin_anew() -> None:
    place = Place()
    for _ in range(3):
        for _ in range(ATTEMPTS - 1):
            assert not place.associates(**WRONG[Security.LLS])
        assert place.associates()
    assert "locked_out" not in place.events


def test_a_restart_forgives_nothing() -> None:
    place = Place()
    for _ in range(ATTEMPTS - 1):
        place.associates(**WRONG[Security.LLS])
    place.restart()
    place.associates(**WRONG[Security.LLS])
    assert place.events[-1] == "locked_out"
    place.restart()
    assert not place.associates()
    place.wait(LOCKED_S)
    assert place.associates()


def test_many_handshakes_at_once_have_no_more_attempts_than_one() -> None:
    """Ten are challenged before the first of them proves himself; the eleventh knows the secret."""
    place = Place(Security.MD5)
    challenged = []
    for number in range(ATTEMPTS * 2 + 1):
        attacker = place.attacker()
        secret = {} if number == ATTEMPTS * 2 else {"secret": b"guess %d" % number}
        client = Client(
            attacker.settings(**secret),
            WrapperLink(MANAGEMENT, place.meter.server_sap),
            lambda: 1,
        )
        for answer in attacker.frame(client.send(Associate())):
            client.receive_data(answer)
        event = client.next_event()
        assert isinstance(event, ContinueNeeded)
        challenged.append((attacker, client, event))
    for attacker, client, event in challenged:
        attacker.frame(client.send(event.reply))
        assert not attacker.conversation.server.is_associated(MANAGEMENT)
    assert place.events == ["wrong_password"] * ATTEMPTS + ["locked_out"]


def test_others_are_not_locked_out_with_a_client() -> None:
    place = Place()
    for _ in range(ATTEMPTS):
        place.associates(**WRONG[Security.LLS])
    assert not place.associates()
    assert Attacker(place.meter, place.meter.clients[16]).associate()


def test_replays_and_forgeries_in_a_session_raise_events_and_lock_nobody_out() -> None:
    place = Place(Security.GMAC)
    attacker = place.attacker()
    assert attacker.associate()
    request = attacker.ciphered(GetRequestNormal(TITLE).encode())
    frame = WrapperFrame(MANAGEMENT, place.meter.server_sap, request).to_octets()
    attacker.frame(frame)
    before = place.meter.state.counters.copy()
    for _ in range(ATTEMPTS * 2):
        [answer] = attacker.frame(frame)
        assert isinstance(decode_apdu(answer[8:]), ExceptionResponse)
    forged = bytearray(attacker.ciphered(GetRequestNormal(TITLE).encode()))
    forged[-1] ^= 1
    for _ in range(ATTEMPTS * 2):
        assert isinstance(
            decode_apdu(attacker.say(bytes(forged), protected=False)), ExceptionResponse
        )
    assert place.events.count("replay") == place.events.count("decryption_failed") == ATTEMPTS * 2
    assert "locked_out" not in place.events
    assert place.meter.state.counters == before
    assert attacker.say(GetRequestNormal(TITLE).encode())
    again = Attacker(place.meter, attacker.client, attacker.counters)
    assert again.associate()


def test_a_replayed_association_is_no_attempt() -> None:
    place = Place(Security.GMAC)
    attacker = place.attacker()
    sent: list[bytes] = []
    plain_frame = attacker.frame

    class Listener(Attacker):
        def frame(self, octets: bytes) -> list[bytes]:
            sent.append(octets)
            return plain_frame(octets)

    listener = Listener(place.meter, attacker.client)
    assert listener.associate()
    for _ in range(ATTEMPTS * 2):
        [answer] = place.attacker().frame(sent[0])
        assert isinstance(Aare.decode(answer[8:]), Aare)
    assert place.events.count("replay") == ATTEMPTS * 2
    assert "locked_out" not in place.events


def test_a_key_changed_over_the_line_is_the_next_associations_and_survives_a_restart() -> None:
    place = Place(Security.GMAC)
    attacker = place.attacker()
    assert attacker.associate()
    client = place.meter.clients[MANAGEMENT]
    keyring = Keyring.of(place.meter)
    old = keyring.key(client, KeyId.GLOBAL_UNICAST_ENCRYPTION)
    wrapped = wrap_key(keyring.key(client, KeyId.MASTER), NEW_KEY)
    transfer = KeyTransfer(KeyId.GLOBAL_UNICAST_ENCRYPTION, wrapped)

    action = ActionRequestNormal(Method(*TRANSFER), key_transfer_data([transfer])).encode()
    settings = attacker.settings()
    # The answer, and all else in this association, goes by the key that it began with.
    suite = settings.suite_keys
    assert suite is not None
    request = _ciphered(suite, next(attacker.counters), action)
    answer = attacker.say(request, protected=False)
    opened = _opened(suite, place.meter, answer)
    response = decode_apdu(opened)
    assert isinstance(response, ActionResponseNormal)
    assert response.outcome.result is ActionResultCode.SUCCESS
    more = _ciphered(suite, next(attacker.counters), GetRequestNormal(TITLE).encode())
    got = decode_apdu(_opened(suite, place.meter, attacker.say(more, protected=False)))
    assert isinstance(got, GetResponseNormal)
    # The next one goes by the new key, whose counters begin anew; the old key is of no use.
    assert not place.associates(encryption_key=old)
    assert place.associates()
    place.restart()
    kept = Keyring.of(place.meter).key(client, KeyId.GLOBAL_UNICAST_ENCRYPTION)
    assert kept == NEW_KEY
    assert not place.associates(encryption_key=old)
    attacker = place.attacker()
    for _ in range(100):
        next(attacker.counters)
    assert attacker.associate()
    assert place.events.count("key_changed") == 1


def _ciphered(suite: SuiteKeys, counter: int, apdu: bytes) -> bytes:

    content = protect(suite, CLIENT_TITLE, Protection.AUTHENTICATED_ENCRYPTED, counter, apdu)
    return Ciphered(GLO_TAGS[apdu[0]], content, None).encode()


def _opened(suite: SuiteKeys, meter: Meter, octets: bytes) -> bytes:

    ciphered = decode_apdu(octets)
    assert isinstance(ciphered, Ciphered)
    return unprotect(suite, meter.identity.system_title, ciphered.content).plaintext


def test_counters_do_not_go_back_over_a_restart() -> None:
    place = Place(Security.GMAC)
    attacker = place.attacker()
    assert attacker.associate()
    attacker.say(GetRequestNormal(TITLE).encode())
    own, accepted = place.meter.next_counter, place.meter.state.counters.copy()
    place.restart()
    assert place.meter.next_counter >= own
    assert place.meter.state.counters == accepted
    assert not place.associates()  # the first counters have been used
    assert Attacker(place.meter, attacker.client, attacker.counters).associate()
