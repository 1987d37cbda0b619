"""
Client against server through whatever order somebody may think of, legal or not.

Frames are lost, come twice, late, altered; requests are made in wrong states, given up, answered
by nobody; both are associated and released again and again. Whatever has happened: only the errors
that are documented, no counter twice, and a fresh association works.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from hes_protocol.acse import Mechanism
from hes_protocol.axdr import Data, DataTag
from hes_protocol.client import (
    Action,
    Associate,
    AssociationAccepted,
    Client,
    ClientRequest,
    ContinueNeeded,
    Get,
    GetCompleted,
    GetList,
    Release,
    Set,
)
from hes_protocol.errors import LocalProtocolError, RemoteProtocolError
from hes_protocol.security import Protection
from hes_protocol.server import Notify, Server
from hes_protocol.xdlms import DataNotification, decode_apdu
from hes_protocol.xdlms.ciphered import Ciphered, CipherForm
from hes_protocol.xdlms.results import DEFAULT_CONFORMANCE, Conformance
from tests.connection_pair import (
    BUFFER,
    CAPTURE,
    CLIENT_SAP,
    CLOCK,
    VALUE,
    answer_of,
    apdu_of,
    client_settings,
    make_client,
    make_server,
    server_association,
)
from tests.negative.scene import MECHANISMS, manufacturer

PUSH = DataNotification(1, None, Data(DataTag.UNSIGNED, 7))
REQUESTS: tuple[ClientRequest, ...] = (
    Get(CLOCK),
    Get(BUFFER),
    Set(CLOCK, Data(DataTag.OCTET_STRING, bytes(12))),
    Set(BUFFER, Data(DataTag.OCTET_STRING, bytes(600))),
    Action(CAPTURE, Data(DataTag.INTEGER, 0)),
    GetList((Get(CLOCK), Get(BUFFER))),
    Release(),
)


class Talk(RuleBasedStateMachine):
    """`to_server` and `to_client` are the line: frames that are under way, in order."""

    @initialize(
        mechanism=st.sampled_from(MECHANISMS),
        protection=st.sampled_from(Protection),
        form=st.sampled_from(CipherForm),
        window=st.sampled_from((0, 0, 1, 5)),
        pdu_size=st.sampled_from((128, 200, 0xFFFF)),
    )
    def begin(
        self,
        mechanism: Mechanism,
        protection: Protection,
        form: CipherForm,
        window: int,
        pdu_size: int,
    ) -> None:
        function = {"hls_function": manufacturer} if mechanism is Mechanism.HLS else {}
        if form.dedicated and not protection.encrypted:
            form = CipherForm.GLO  # a dedicated key goes in an enciphered AARQ only
        self.protection = protection
        self.client_counters: dict[int, int] = {}
        self.settings = client_settings(
            mechanism=mechanism,
            protection=protection,
            cipher_form=form,
            general_blocks=window,
            conformance=DEFAULT_CONFORMANCE | Conformance.GENERAL_BLOCK_TRANSFER,
            dedicated_key=bytes(15) + b"\1" if form.dedicated else None,
            max_receive_pdu_size=pdu_size,
            **function,
        )
        self.client: Client = make_client(self.settings)
        self.server: Server = make_server(
            server_association(
                mechanism=mechanism,
                minimum_protection=protection,
                max_receive_pdu_size=pdu_size,
                conformance=DEFAULT_CONFORMANCE | Conformance.GENERAL_BLOCK_TRANSFER,
                **function,
            ),
            client_counters=self.client_counters,
        )
        self.to_server: list[bytes] = []
        self.to_client: list[bytes] = []
        self.sent: set[bytes] = set()
        self.challenges = 0
        self.highest: dict[str, int] = {}

    # --- what may happen ------------------------------------------------------------------------

    @rule()
    def associate(self) -> None:
        self.challenges += 1
        dedicated = bytes(14) + self.challenges.to_bytes(2, "big")
        self._ask(
            Associate(
                challenge=b"client's challenge %03d" % self.challenges,
                dedicated_key=dedicated if self.settings.cipher_form.dedicated else None,
            )
        )

    @rule(request=st.sampled_from(REQUESTS))
    def ask(self, request: ClientRequest) -> None:
        self._ask(request)

    @rule()
    def abandon(self) -> None:
        self.client.abandon()

    @rule()
    def push(self) -> None:
        self._say(self.server, "server", Notify(PUSH, CLIENT_SAP, self.protection))

    @rule(data=st.data())
    @precondition(lambda self: self.to_server or self.to_client)
    def line(self, data: st.DataObject) -> None:
        """Something happens to a frame on the way."""
        way = data.draw(st.sampled_from([way for way in (self.to_server, self.to_client) if way]))
        place = data.draw(st.integers(0, len(way) - 1))
        match data.draw(st.sampled_from(("lose", "repeat", "alter", "swap", "cut"))):
            case "lose":
                del way[place]
            case "repeat":
                way.append(way[place])
            case "swap":
                way.append(way.pop(place))
            case "alter":
                frame = bytearray(way[place])
                bit = data.draw(st.integers(8 * 8, 8 * len(frame) - 1))
                frame[bit // 8] ^= 1 << bit % 8
                way[place] = bytes(frame)
            case _:
                apdu = apdu_of(way[place])[: data.draw(st.integers(1, 12))]
                way[place] = way[place][:6] + len(apdu).to_bytes(2, "big") + apdu

    @rule()
    def reach_server(self) -> None:
        if self.to_server:
            self.server.receive_data(self.to_server.pop(0))
            self._serve()

    @rule()
    def reach_client(self) -> None:
        if self.to_client:
            self.client.receive_data(self.to_client.pop(0))
            self._read()

    @rule()
    def play(self) -> None:
        """Everything on the way arrives, and what it leads to."""
        for _ in range(50):
            if not self.to_server and not self.to_client:
                return
            self.reach_server()
            self.reach_client()

    # --- what must hold -------------------------------------------------------------------------

    @invariant()
    def counters_never_go_back(self) -> None:
        for who, counter in (
            ("server", getattr(self, "client", None) and self.client.server_counter),
            ("client", getattr(self, "client_counters", {}).get(CLIENT_SAP)),
        ):
            if counter is not None:
                assert counter >= self.highest.get(who, -1)
                self.highest[who] = counter

    def teardown(self) -> None:
        """After any mess: a fresh client on a fresh connection is associated, and reads."""
        if not hasattr(self, "client"):
            return
        fresh = make_client(self.settings, first_counter=1_000_000)
        server = make_server(
            self.server._associations[CLIENT_SAP],
            client_counters=self.client_counters,
            first_counter=1_000_000,
        )
        fresh_key = bytes(16) if self.settings.cipher_form.dedicated else None
        again = Associate(challenge=b"a fresh challenge", dedicated_key=fresh_key)
        events = _converse(fresh, server, again)
        assert isinstance(events[-1], AssociationAccepted), events
        events = _converse(fresh, server, Get(BUFFER))
        assert isinstance(events[-1], GetCompleted), events
        assert events[-1].octets == VALUE

    # --- both sides -----------------------------------------------------------------------------

    def _ask(self, request: Any) -> None:
        self._say(self.client, "client", request)

    def _say(self, who: Client | Server, name: str, what: Any) -> None:
        try:
            octets = who.send(what)
        except LocalProtocolError:
            return
        if octets:
            (self.to_server if name == "client" else self.to_client).append(octets)
            self._never_twice(name, apdu_of(octets))

    def _never_twice(self, name: str, apdu: bytes) -> None:
        for counter in _counters(apdu):
            used = name.encode() + counter
            assert used not in self.sent
            self.sent.add(used)

    def _serve(self) -> None:
        for event in _events(self.server.next_event):
            reply = answer_of(event)
            if reply is not None:
                self._say(self.server, "server", reply)

    def _read(self) -> None:
        for event in _events(self.client.next_event):
            if isinstance(event, ContinueNeeded):
                self._say(self.client, "client", event.reply)


def _events(next_event: Callable[[], Any]) -> Any:
    while True:
        try:
            event = next_event()
        except RemoteProtocolError as error:
            assert error.code
            continue
        if event is None:
            return
        yield event


def _counters(apdu: bytes) -> list[bytes]:
    """Invocation counters in the headers of one APDU, that of its user-information included."""
    with suppress(RemoteProtocolError):
        read = decode_apdu(apdu)
        if not isinstance(read, Ciphered):
            information = getattr(read, "user_information", None)
            read = decode_apdu(information) if information else None
        if isinstance(read, Ciphered):
            return [read.content[1:5]]
    return []


def _converse(client: Client, server: Server, request: Any) -> list[Any]:
    seen: list[Any] = []
    octets = client.send(request)
    while octets:
        server.receive_data(octets)
        while (event := server.next_event()) is not None:
            reply = answer_of(event)
            if reply is not None:
                client.receive_data(server.send(reply))
        octets = b""
        while (event := client.next_event()) is not None:
            seen.append(event)
            if isinstance(event, ContinueNeeded):
                octets += client.send(event.reply)
    return seen


@pytest.mark.conformance("policy", "client", "server")
@pytest.mark.conformance("replay", "client", "server")
def test_any_order_of_things() -> None:
    run_state_machine_as_test(Talk, settings=settings(max_examples=60, stateful_step_count=40))
