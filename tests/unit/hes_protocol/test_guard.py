"""Who may try, and what a server says of what did not verify; counters that belong to keys."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from hes_protocol.acse import AssociationResult, Mechanism, UserDiagnostic
from hes_protocol.client import (
    Associate,
    AssociationAccepted,
    AssociationRejected,
    Get,
    GetCompleted,
    Release,
)
from hes_protocol.security import Protection
from hes_protocol.server import Server
from hes_protocol.wrapper import WrapperLink
from tests.connection_pair import (
    CLIENT_SAP,
    CLOCK,
    SERVER_SAP,
    SERVER_TITLE,
    STOC,
    ConnectionPair,
    client_settings,
    make_client,
    server_association,
)

CIPHERED = Protection.AUTHENTICATED_ENCRYPTED
NEW_KEY = bytes(range(0x40, 0x50))


@attrs.define
class Recorder:
    """A guard that writes down what it hears, and admits while it is told to."""

    heard: list[Any] = attrs.field(factory=list)
    open: bool = True

    def admits(self, client_sap: int) -> bool:
        assert client_sap == CLIENT_SAP
        return self.open

    def failed(self, client_sap: int, code: str, *, opening: bool) -> None:
        self.heard.append((code, opening))

    def succeeded(self, client_sap: int) -> None:
        self.heard.append("succeeded")


def pair(guard: Recorder, client: dict[str, Any], server: dict[str, Any]) -> ConnectionPair:
    counters: dict[int, int] = {}
    numbers = iter(range(7000, 9000))
    made = Server(
        {CLIENT_SAP: server_association(**server)},
        WrapperLink(SERVER_SAP),
        server_sap=SERVER_SAP,
        system_title=SERVER_TITLE,
        next_counter=lambda: next(numbers),
        next_challenge=lambda: STOC,
        client_counters=counters,
        guard=guard,
    )
    return ConnectionPair(make_client(client_settings(**client)), made, counters)


HLS = (Mechanism.HLS_MD5, Mechanism.HLS_SHA1, Mechanism.HLS_SHA256)


@pytest.mark.parametrize("mechanism", [Mechanism.LLS, *HLS])
def test_a_wrong_secret_is_told_and_a_right_one_as_well(mechanism: Mechanism) -> None:
    guard = Recorder()
    there = pair(guard, {"mechanism": mechanism, "secret": b"wrong"}, {"mechanism": mechanism})
    assert not isinstance(there.ask(Associate())[-1], AssociationAccepted)
    assert guard.heard == [("authentication-failed", True)]
    guard.heard.clear()
    there = pair(guard, {"mechanism": mechanism}, {"mechanism": mechanism})
    assert isinstance(there.ask(Associate())[-1], AssociationAccepted)
    assert guard.heard == ["succeeded"]


def test_a_wrong_key_is_told_as_such() -> None:
    guard = Recorder()
    rules = {"mechanism": Mechanism.HLS_GMAC, "minimum_protection": CIPHERED}
    settings = {"mechanism": Mechanism.HLS_GMAC, "protection": CIPHERED, "encryption_key": NEW_KEY}
    there = pair(guard, settings, rules)
    [rejected] = there.ask(Associate())
    assert isinstance(rejected, AssociationRejected)
    assert guard.heard == [("tag-mismatch", True)]


def test_a_replayed_request_is_no_attempt_to_associate() -> None:
    guard = Recorder()
    there = pair(
        guard,
        {"mechanism": Mechanism.HLS_GMAC, "protection": CIPHERED},
        {"mechanism": Mechanism.HLS_GMAC, "minimum_protection": CIPHERED},
    ).opened()
    there.ask(Get(CLOCK))
    request = [octets for who, octets in there.sent if who == "client"][-1]
    there.server.receive_data(request)
    list(there.server_answers())
    assert guard.heard == ["succeeded", ("counter-replayed", False)]


@pytest.mark.conformance("lock-out", "client", "server")
@pytest.mark.parametrize("mechanism", [Mechanism.LLS, Mechanism.HLS_MD5])
def test_who_is_locked_out_is_refused_for_now_whatever_he_knows(mechanism: Mechanism) -> None:
    guard = Recorder(open=False)
    there = pair(guard, {"mechanism": mechanism}, {"mechanism": mechanism})
    [rejected] = there.ask(Associate())
    assert isinstance(rejected, AssociationRejected)
    assert rejected.result is AssociationResult.REJECTED_TRANSIENT
    assert rejected.diagnostic.code == UserDiagnostic.AUTHENTICATION_FAILURE
    assert guard.heard == []
    guard.open = True
    again = Associate(challenge=b"another challenge")
    assert isinstance(there.ask(again)[-1], AssociationAccepted)


def test_who_was_challenged_before_he_was_locked_out_cannot_prove_himself() -> None:
    guard = Recorder()
    rules = {"mechanism": Mechanism.HLS_MD5}
    there = pair(guard, rules, rules)
    asked = there.client.send(Associate())
    there.carry_to_server(asked)
    guard.open = False
    proof = there.client.send(there.take_client_events()[-1].reply)
    there.carry_to_server(proof)
    assert not isinstance(there.take_client_events()[-1], AssociationAccepted)
    assert not there.server.is_associated(CLIENT_SAP)
    assert guard.heard == []


@pytest.mark.conformance("key-change", "client", "server")
def test_another_key_holds_from_the_next_association_on_and_counts_anew() -> None:
    rules = {"mechanism": Mechanism.HLS_GMAC, "minimum_protection": CIPHERED}
    settings = {"mechanism": Mechanism.HLS_GMAC, "protection": CIPHERED}
    there = pair(Recorder(), settings, rules).opened()
    associations = there.server._associations
    assert isinstance(associations, dict)
    changed = server_association(**rules, encryption_key=NEW_KEY, counter_id=CLIENT_SAP + (1 << 16))
    associations[CLIENT_SAP] = changed
    [answered] = there.ask(Get(CLOCK))  # the one under way goes on with its own
    assert isinstance(answered, GetCompleted)
    there.ask(Release())
    old = there.client_counters[CLIENT_SAP]
    there.client = make_client(client_settings(**settings, encryption_key=NEW_KEY), first_counter=1)
    assert isinstance(there.ask(Associate(challenge=b"another challenge"))[-1], AssociationAccepted)
    assert there.client_counters[CLIENT_SAP] == old > there.client_counters[CLIENT_SAP + (1 << 16)]
