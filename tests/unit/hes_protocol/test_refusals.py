"""exception-response and confirmed-service-error in every state, believed or not, in both roles."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from hes_protocol._state import State
from hes_protocol.acse import Mechanism
from hes_protocol.axdr import Data, DataTag
from hes_protocol.client import (
    Associate,
    AssociationRejected,
    ContinueNeeded,
    ExceptionReceived,
    Get,
    GetCompleted,
    Release,
    Set,
    SetCompleted,
)
from hes_protocol.errors import AssociationError, LocalProtocolError
from hes_protocol.security import Protection, SuiteKeys, protect
from hes_protocol.xdlms import (
    Ciphered,
    ConfirmedServiceError,
    Conformance,
    DataAccessResult,
    DataNotification,
    ExceptionResponse,
    GetRequestNext,
    GetRequestNormal,
    InitiateError,
    ServiceError,
    SetResponseNormal,
    StateError,
)
from hes_protocol.xdlms.access import LONG_CONFIRMED
from tests.connection_pair import (
    AUTHENTICATION_KEY,
    BUFFER,
    CLOCK,
    ENCRYPTION_KEY,
    SERVER_TITLE,
    ConnectionPair,
    client_hears,
    client_settings,
    events_of,
    opened_client,
    opened_server,
    server_association,
    to_client,
    to_server,
)
from tests.connection_pair import server_says as says

FULL = Protection.AUTHENTICATED_ENCRYPTED
KEYS = SuiteKeys(ENCRYPTION_KEY, AUTHENTICATION_KEY)
EXCEPTION = ExceptionResponse(StateError.SERVICE_NOT_ALLOWED, ServiceError.OTHER_REASON)
SERVICE_ERROR = ConfirmedServiceError(1, 6, InitiateError.REFUSED_BY_THE_VDE_HANDLER)
LONG = Data(DataTag.OCTET_STRING, bytes(300))


def made_pair(protection: Protection) -> ConnectionPair:
    """A pair with HLS, whose policy asks for `protection`; long answers go by blocks."""
    return ConnectionPair.of(
        client_settings(
            mechanism=Mechanism.HLS_GMAC, protection=protection, max_receive_pdu_size=200
        ),
        server_association(
            mechanism=Mechanism.HLS_GMAC, minimum_protection=protection, max_receive_pdu_size=200
        ),
    )


def _idle(_: ConnectionPair) -> None:
    return None


def _associating(pair: ConnectionPair) -> None:
    pair.client.send(Associate())


def _challenged(pair: ConnectionPair) -> Any:
    pair.carry_to_server(pair.client.send(Associate()))
    (event,) = pair.take_client_events()
    assert isinstance(event, ContinueNeeded)
    return event.reply


def _proving(pair: ConnectionPair) -> None:
    pair.client.send(_challenged(pair))


def _open(pair: ConnectionPair) -> None:
    pair.opened()


def _awaiting(pair: ConnectionPair) -> None:
    pair.opened().client.send(Get(CLOCK))


def _asking_for_a_block(pair: ConnectionPair) -> None:
    pair.opened().carry_to_server(pair.client.send(Get(BUFFER)))
    pair.take_client_events()


def _sending_blocks(pair: ConnectionPair) -> None:
    pair.opened().carry_to_server(pair.client.send(Set(BUFFER, LONG)))
    pair.take_client_events()


def _releasing(pair: ConnectionPair) -> None:
    pair.opened().client.send(Release())


# How to get there, where that is, and where an exception that is believed leads.
STATES: dict[str, tuple[Callable[[ConnectionPair], object], State, State]] = {
    "idle": (_idle, State.IDLE, State.IDLE),
    "associating": (_associating, State.ASSOCIATING, State.IDLE),
    "challenged": (_challenged, State.CHALLENGED, State.CHALLENGED),
    "proving": (_proving, State.PROVING, State.IDLE),
    "open": (_open, State.OPEN, State.OPEN),
    "awaiting": (_awaiting, State.AWAITING, State.OPEN),
    "asking-for-a-block": (_asking_for_a_block, State.BLOCKWISE, State.BLOCKWISE),
    "sending-blocks": (_sending_blocks, State.BLOCKWISE, State.BLOCKWISE),
    "releasing": (_releasing, State.RELEASING, State.IDLE),
}


@pytest.mark.conformance("exception-response", "client")
@pytest.mark.parametrize("name", STATES)
class TestExceptionsToTheClient:
    def test_believed_where_nothing_is_protected(self, name: str) -> None:
        bring, there, then = STATES[name]
        pair = made_pair(Protection.PLAIN)
        bring(pair)
        assert pair.client._state.current is there
        invoke_id = pair.client.pending_invoke_id
        pair.client.receive_data(to_client(EXCEPTION.encode()))
        assert events_of(pair.client) == [
            ExceptionReceived(EXCEPTION.state_error, EXCEPTION.service_error, None, True, invoke_id)
        ]
        assert pair.client._state.current is then

    def test_told_and_not_believed_in_plaintext(self, name: str) -> None:
        bring, there, _ = STATES[name]
        pair = made_pair(FULL)
        bring(pair)
        before = pair.state()
        pair.client.receive_data(to_client(EXCEPTION.encode()))
        (event,) = events_of(pair.client)
        assert not event.trusted
        assert pair.state() == before
        assert pair.client._state.current is there

    def test_believed_when_protected(self, name: str) -> None:
        bring, _, then = STATES[name]
        pair = made_pair(FULL)
        bring(pair)
        content = protect(KEYS, SERVER_TITLE, FULL, 90_000, EXCEPTION.encode())
        ciphered = Ciphered(0xDB, content, SERVER_TITLE)
        pair.client.receive_data(to_client(ciphered.encode()))
        (event,) = events_of(pair.client)
        assert event.trusted
        nobody_known = pair.client.server_system_title is None
        assert nobody_known is (name in ("idle", "associating"))
        assert pair.client.server_counter == (None if nobody_known else 90_000)
        assert pair.client._state.current is then


@pytest.mark.conformance("exception-response", "client", "server")
@pytest.mark.parametrize("protection", [Protection.PLAIN, FULL])
def test_after_an_exception_something_else_is_asked(protection: Protection) -> None:
    pair = made_pair(protection).opened()
    frame = pair.client.send(Get(CLOCK))
    pair.server.receive_data(frame)
    refusal = EXCEPTION.encode()
    if protection:
        content = protect(KEYS, SERVER_TITLE, FULL, 7_100, refusal)
        refusal = Ciphered(0xDB, content, SERVER_TITLE).encode()
    pair.client.receive_data(to_client(refusal))
    (event,) = events_of(pair.client)
    assert event.trusted
    pair.client.send(Release())
    with pytest.raises(LocalProtocolError):
        pair.client.send(Get(CLOCK))


@pytest.mark.conformance("exception-response", "client")
@pytest.mark.parametrize(
    "end",
    [EXCEPTION, SetResponseNormal(DataAccessResult.OTHER_REASON)],
    ids=["exception", "answer"],
)
def test_what_ends_a_request_amid_its_general_blocks_ends_them(end: Any) -> None:
    every = Conformance(0xFFFFFF)
    client = opened_client(every, pdu_size=100, general_blocks=4)
    client.send(Set(CLOCK, LONG))
    assert client.resend()
    (event,) = client_hears(client, end)
    assert isinstance(event, ExceptionReceived | SetCompleted)
    assert client.resend() == b""
    push = DataNotification(LONG_CONFIRMED | 1, None, LONG)
    _, needed = client_hears(client, push)
    assert client.send(needed.reply)


@pytest.mark.conformance("confirmed-service-error", "client")
@pytest.mark.parametrize("protection", [Protection.PLAIN, FULL])
@pytest.mark.parametrize("name", STATES)
def test_a_service_error_rejects_the_association_and_nothing_else(
    name: str, protection: Protection
) -> None:
    bring, there, _ = STATES[name]
    pair = made_pair(protection)
    bring(pair)
    before = pair.state()
    pair.client.receive_data(to_client(SERVICE_ERROR.encode()))
    if there is State.ASSOCIATING:
        (event,) = events_of(pair.client)
        assert isinstance(event, AssociationRejected)
        assert event.initiate_error == InitiateError.REFUSED_BY_THE_VDE_HANDLER
        assert pair.client._state.current is State.IDLE
        return
    with pytest.raises(AssociationError):
        events_of(pair.client)
    assert pair.state() == before


@pytest.mark.conformance("exception-response", "server")
@pytest.mark.conformance("confirmed-service-error", "server")
@pytest.mark.parametrize("refusal", [EXCEPTION, SERVICE_ERROR])
class TestRefusalsToTheServer:
    def test_in_the_middle_of_a_long_answer(self, refusal: Any) -> None:
        server = opened_server()
        pair = ConnectionPair(made_pair(Protection.PLAIN).client, server, {})
        server.receive_data(to_server(GetRequestNormal(BUFFER).encode()))
        tuple(pair.server_answers())
        answer = says(server, refusal)
        assert answer.service_error is ServiceError.SERVICE_NOT_SUPPORTED
        assert says(server, GetRequestNext(1)).block_number == 2

    def test_in_the_middle_of_the_handshake(self, refusal: Any) -> None:
        pair = made_pair(Protection.PLAIN)
        reply = _challenged(pair)
        answer = says(pair.server, refusal)
        assert answer.service_error is ServiceError.OPERATION_NOT_POSSIBLE
        pair.carry_to_server(pair.client.send(reply))
        pair.take_client_events()
        assert isinstance(pair.ask(Get(CLOCK))[-1], GetCompleted)
