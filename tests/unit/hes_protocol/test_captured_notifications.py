"""
What real meters say unasked, and how they refuse.

The recordings lie in HES_VECTORS and are never committed.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from hes_protocol.axdr import Data, DataTag
from hes_protocol.client import (
    ExceptionReceived,
    Get,
    NotificationReceived,
)
from hes_protocol.cosem import CosemDateTime, Obis
from hes_protocol.cosem.objects import Attribute
from hes_protocol.server import (
    Notify,
)
from hes_protocol.wrapper import HEADER_OCTETS
from hes_protocol.xdlms import (
    EventNotification,
    ExceptionResponse,
    ServiceError,
    StateError,
    decode_apdu,
)
from tests.captured_roles import (
    hears,
    opened,
    said,
    standing_client,
)
from tests.captures import octets_of

pytestmark = pytest.mark.vectors

CLOCK = Attribute(8, Obis.parse("0.0.1.0.0.255"), 2)


@pytest.mark.conformance("event-notification", "vector")
@pytest.mark.conformance("push-during-get", "vector")
@pytest.mark.conformance("deviation", "vector")
def test_an_event_while_an_answer_is_awaited(hes_vectors: Path) -> None:
    client, server, apdus = opened(hes_vectors, "sess-wireshark-plc-llc", 2)
    octets = apdus[0][1]
    client.send(Get(CLOCK))
    pending = client.pending_invoke_id
    received = hears(client, octets)
    assert isinstance(received, NotificationReceived)
    assert client.pending_invoke_id == pending
    event = received.apdu
    assert isinstance(event, EventNotification)
    assert event.attribute == Attribute(7, Obis.parse("0.0.99.98.7.255"), 2)
    ((time, code),) = (row.value for row in event.value.value)
    assert CosemDateTime.from_octets(time.value).isoformat() == "2018-03-12T17:48:39+00:00"
    assert code == Data(DataTag.UNSIGNED, 1)
    assert server.send(Notify(event, 1)) == octets


@pytest.mark.conformance("event-notification", "vector")
@pytest.mark.conformance("wrapper-tcp", "vector")
def test_a_last_gasp(hes_vectors: Path) -> None:
    octets = octets_of(hes_vectors, "osgp-mx382-lastgasp")
    received = hears(standing_client(), octets[HEADER_OCTETS:])
    assert isinstance(received, NotificationReceived)
    assert isinstance(received.apdu, EventNotification)
    assert received.apdu.time is not None
    time = CosemDateTime.from_octets(received.apdu.time)
    assert str(time.local())[:19] == "2023-07-06 10:54:38"
    assert received.apdu.value.tag is DataTag.OCTET_STRING


@pytest.mark.conformance("exception-response", "vector")
def test_an_exception(hes_vectors: Path) -> None:
    octets = said(hes_vectors, "sess-wireshark-plc-llc")[1][1]
    exception = decode_apdu(octets)
    assert isinstance(exception, ExceptionResponse)
    assert exception.encode() == octets
    client = standing_client()
    client.send(Get(CLOCK))
    received = hears(client, octets)
    assert isinstance(received, ExceptionReceived)
    assert received.state_error is StateError.SERVICE_NOT_ALLOWED
    assert received.service_error is ServiceError.OPERATION_NOT_POSSIBLE
