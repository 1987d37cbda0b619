"""An answer that cannot be ciphered has not been given: the request is still open."""

from collections.abc import Callable
from typing import Any

import pytest

from hes_protocol.client import Get, GetCompleted, GetList, GetListCompleted
from hes_protocol.errors import LocalProtocolError
from hes_protocol.security import Protection
from hes_protocol.server import GetRequested, GetResult
from tests.connection_pair import CLOCK, VALUE, ConnectionPair

BOTH = Protection.AUTHENTICATED_ENCRYPTED


def exhausted(pair: ConnectionPair) -> Callable[[], None]:
    """Let the server's counters stand still, until what is returned is called."""
    channel: Any = next(iter(pair.server._sessions.values())).channel
    draw = channel._next_counter
    channel._next_counter = lambda: 0
    return lambda: setattr(channel, "_next_counter", draw)


def asked(pair: ConnectionPair, request: Get | GetList) -> GetRequested:
    pair.server.receive_data(pair.client.send(request))
    event = pair.server.next_event()
    assert isinstance(event, GetRequested)
    return event


def test_a_long_answer_begins_anew() -> None:
    pair = ConnectionPair.protected(BOTH).opened()
    event = asked(pair, Get(CLOCK))
    go_on = exhausted(pair)
    for _ in range(2):
        with pytest.raises(LocalProtocolError):
            pair.server.send(GetResult(event.invoke_id, octets=b"\x09\x82\x20\x00" + bytes(0x2000)))
        assert pair.server.next_event() is None
    go_on()
    pair.client.receive_data(pair.server.send(GetResult(event.invoke_id, octets=VALUE)))
    (completed,) = pair.take_client_events()
    assert isinstance(completed, GetCompleted)
    assert completed.octets == VALUE


def test_what_a_list_has_already_is_kept_and_its_last_answer_given_again() -> None:
    pair = ConnectionPair.protected(BOTH).opened()
    event = asked(pair, GetList((Get(CLOCK),) * 3))
    go_on = exhausted(pair)
    for _ in range(2):
        assert pair.server.send(GetResult(event.invoke_id, octets=VALUE)) == b""
        assert isinstance(pair.server.next_event(), GetRequested)
    for _ in range(2):
        with pytest.raises(LocalProtocolError):
            pair.server.send(GetResult(event.invoke_id, octets=VALUE))
    go_on()
    pair.client.receive_data(pair.server.send(GetResult(event.invoke_id, octets=VALUE)))
    (completed,) = pair.take_client_events()
    assert isinstance(completed, GetListCompleted)
    assert [one.octets for one in completed.results] == [VALUE] * 3
