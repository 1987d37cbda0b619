"""
Requests and answers of real meters: ours say, octet for octet, what was recorded.

The recordings lie in HES_VECTORS and are never committed. Where a recording holds both sides, it is
played twice: our client against the recorded server, our server against the recorded client.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from hes_protocol.acse import Aarq
from hes_protocol.axdr import Data, DataTag, decode_all
from hes_protocol.client import (
    Action,
    ActionCompleted,
    ContinueNeeded,
    Get,
    GetCompleted,
    GetList,
    GetListCompleted,
    Set,
    SetCompleted,
)
from hes_protocol.cosem import CosemDateTime, Obis
from hes_protocol.cosem.objects import Attribute, CaptureObject, Method, RangeSelection
from hes_protocol.server import (
    ActionRequested,
    ActionResult,
    GetRequested,
    GetResult,
    SetRequested,
    SetResult,
)
from hes_protocol.xdlms import (
    ActionResultCode,
    DataAccessResult,
    GetRequestNext,
    GetResponseWithDatablock,
    decode_apdu,
)
from tests.captured_roles import (
    asks,
    hears,
    opened,
    said,
    standing_client,
    standing_server,
)
from tests.captures import octets_of

pytestmark = pytest.mark.vectors

CLOCK = Attribute(8, Obis.parse("0.0.1.0.0.255"), 2)


@pytest.mark.conformance("get-normal", "vector")
@pytest.mark.conformance("integers", "vector")
def test_a_get(hes_vectors: Path) -> None:
    request, response = (octets_of(hes_vectors, f"u9n-get-{kind}") for kind in ("req", "resp"))
    counter = Attribute(1, Obis.parse("0.0.43.1.0.255"), 2)
    client, server = standing_client(), standing_server()
    asks(client, Get(counter), request)
    completed = hears(client, response)
    assert isinstance(completed, GetCompleted)
    assert completed.data() == Data(DataTag.DOUBLE_LONG_UNSIGNED, 5009)
    requested = hears(server, request)
    assert isinstance(requested, GetRequested)
    assert requested.attribute == counter
    assert server.send(GetResult(requested.invoke_id, octets=completed.octets)) == response


@pytest.mark.conformance("get-normal", "vector")
@pytest.mark.parametrize(
    ("name", "place"), [("sess-skq", 0), ("sess-circutor-v0411", 0), ("sess-spodes-kpz-m2m", 0)]
)
def test_gets_of_sessions(name: str, place: int, hes_vectors: Path) -> None:
    _, server, apdus = opened(hes_vectors, name, place)
    answered = 0
    for (_, request), (_, response) in zip(apdus[::2], apdus[1::2], strict=False):
        if request[0] != 0xC0:
            break
        assert response[:4] == bytes((0xC4, 1, request[2], 0))
        requested = hears(server, request)
        assert isinstance(requested, GetRequested)
        assert server.send(GetResult(requested.invoke_id, octets=response[4:])) == response
        assert decode_all(response[4:]).tag is DataTag.OCTET_STRING
        answered += 1
    assert answered >= 1


@pytest.mark.conformance("get-list", "vector")
@pytest.mark.conformance("date-time", "vector")
@pytest.mark.conformance("deviation", "vector")
def test_a_get_with_list(hes_vectors: Path) -> None:
    request = octets_of(hes_vectors, "u9n-get-list-req")
    response = octets_of(hes_vectors, "u9n-get-list-resp")
    name = Attribute(1, Obis.parse("0.0.42.0.0.255"), 2)
    client, server = standing_client(), standing_server()
    asks(client, GetList((Get(name), Get(CLOCK))), request)
    completed = hears(client, response)
    assert isinstance(completed, GetListCompleted)
    device, clock = (result.data() for result in completed.results)
    assert (device.tag, len(device.value)) == (DataTag.OCTET_STRING, 16)
    time = CosemDateTime.from_octets(clock.value)
    assert (time.deviation_min, time.clock_status) == (-60, 0)
    assert time.isoformat() == "2021-06-03T14:09:23+01:00"
    answer = b""
    server.receive_data(request)
    for attribute, result in zip((name, CLOCK), completed.results, strict=True):
        requested = server.next_event()
        assert isinstance(requested, GetRequested)
        assert requested.attribute == attribute
        answer += server.send(GetResult(requested.invoke_id, octets=result.octets))
    assert answer == response


@pytest.mark.conformance("get-list", "vector")
@pytest.mark.conformance("counter-bootstrap", "vector")
def test_the_public_client_asks_for_the_counter(hes_vectors: Path) -> None:
    client, server, apdus = opened(hes_vectors, "sess-mikroelektronika-none", 0)
    request, response, aarq = (octets for _, octets in apdus[:3])
    counter = Attribute(1, Obis.parse("0.0.43.1.0.255"), 2)
    another = Attribute(1, Obis.parse("0.0.43.1.1.255"), 2)
    asks(client, GetList((Get(counter), Get(another))), request)
    completed = hears(client, response)
    assert isinstance(completed, GetListCompleted)
    assert [result.data().value for result in completed.results] == [76, 0]
    # The association that follows counts on from it.
    protected = Aarq.decode(aarq).user_information
    assert protected is not None
    assert int.from_bytes(protected[3:7], "big") == 77
    answer = b""
    server.receive_data(request)
    for result in completed.results:
        requested = server.next_event()
        assert isinstance(requested, GetRequested)
        answer += server.send(GetResult(requested.invoke_id, octets=result.octets))
    assert answer == response


@pytest.mark.conformance("get-list", "vector")
@pytest.mark.conformance("nesting", "vector")
@pytest.mark.conformance("integers", "vector")
def test_a_list_of_structures(hes_vectors: Path) -> None:
    octets = octets_of(hes_vectors, "u9n-get-list-resp-compound")
    response = decode_apdu(octets)
    values = [result.data() for result in response.results]  # type: ignore[union-attr]
    assert len(values) == 9
    assert values[0] == Data(DataTag.LONG_UNSIGNED, 50)
    assert {value.tag for value in values} >= {DataTag.LONG_UNSIGNED, DataTag.STRUCTURE}
    assert response.encode() == octets


@pytest.mark.conformance("get-blocks", "vector")
@pytest.mark.conformance("nesting", "vector")
def test_a_get_by_blocks(hes_vectors: Path) -> None:
    client, server = standing_client(), standing_server()  # its AARQ was changed afterwards
    apdus = said(hes_vectors, "sess-wireshark-hdlc-profile")[1:]
    denied = Attribute(15, Obis.parse("0.0.40.0.0.255"), 7)
    asks(client, Get(denied), apdus[0][1])
    refused = hears(client, apdus[1][1])
    assert isinstance(refused, GetCompleted)
    assert refused.result is DataAccessResult.READ_WRITE_DENIED
    requested = hears(server, apdus[0][1])
    assert isinstance(requested, GetRequested)
    assert server.send(GetResult(requested.invoke_id, refused.result)) == apdus[1][1]

    profile = Attribute(7, Obis.parse("0.0.98.1.1.255"), 3)
    blocks = apdus[2:]
    asks(client, Get(profile), blocks[0][1])
    for (_, answer), (_, following) in zip(blocks[1::2], blocks[2::2], strict=False):
        needed = hears(client, answer)
        assert isinstance(needed, ContinueNeeded)
        assert client.send(needed.reply) == following
    assert [who for who, _ in blocks].count("rx") == 9
    completed = hears(client, blocks[-1][1])
    assert isinstance(completed, GetCompleted)
    columns = [CaptureObject.from_data(column) for column in completed.data().value]
    assert len(columns) == 60
    assert columns[0] == CaptureObject(8, CLOCK.obis, 2)
    assert columns[1] == CaptureObject(3, Obis.parse("1.0.1.8.0.255"), 2)


@pytest.mark.conformance("get-blocks", "vector")
def test_blocks(hes_vectors: Path) -> None:
    following = octets_of(hes_vectors, "u9n-get-next")
    assert decode_apdu(following) == GetRequestNext(1)
    assert GetRequestNext(1).encode() == following
    for name, number, last, length, result in (
        ("u9n-get-block1", 1, False, 1182, DataAccessResult.SUCCESS),
        ("u9n-get-lastblock", 19, True, 380, DataAccessResult.SUCCESS),
        ("u9n-get-lastblock-err", 19, True, 0, DataAccessResult.HARDWARE_FAULT),
    ):
        octets = octets_of(hes_vectors, name)
        block = decode_apdu(octets)
        assert isinstance(block, GetResponseWithDatablock)
        assert (block.block_number, block.last_block) == (number, last)
        assert (len(block.raw_data), block.result) == (length, result)
        assert block.encode() == octets


@pytest.mark.conformance("selective-range", "vector")
@pytest.mark.conformance("deviation", "vector")
@pytest.mark.conformance("date-time", "vector")
@pytest.mark.parametrize(
    ("name", "from_", "to"),
    [
        (
            "u9n-get-range",
            CosemDateTime(2018, 6, 1, 0xFF, 0, 3, 0, 0xFF, -120, 0x80),
            CosemDateTime(2021, 1, 6, 0xFF, 0, 3, 0, 0xFF, -60, 0),
        ),
        (
            "u9n-get-range2",
            CosemDateTime(2017, 10, 1, 7, 0, 0, 0, 0, -60, 0x80),
            CosemDateTime(2017, 10, 1, 7, 1, 0, 0, 0, -60, 0x80),
        ),
    ],
)
def test_a_range(name: str, from_: CosemDateTime, to: CosemDateTime, hes_vectors: Path) -> None:
    octets = octets_of(hes_vectors, name)
    buffer = Attribute(7, Obis.parse("1.0.99.1.0.255"), 2)
    selection = RangeSelection.between(CaptureObject(8, CLOCK.obis, 2), from_, to)
    asks(standing_client(), Get(buffer, selection), octets)
    requested = hears(standing_server(), octets)
    assert isinstance(requested, GetRequested)
    assert (requested.attribute, requested.selection) == (buffer, selection)


@pytest.mark.conformance("set-normal", "vector")
@pytest.mark.conformance("date-time", "vector")
def test_a_clock_is_set(hes_vectors: Path) -> None:
    _, _, apdus = opened(hes_vectors, "sess-wireshark-plc-llc", 2)
    request, response = apdus[1][1], apdus[2][1]
    time = CosemDateTime(2018, 2, 6, 0xFF, 9, 29, 2, 0, 0, 0)
    data = Data(DataTag.OCTET_STRING, time.to_octets())
    client, server = standing_client(), standing_server()
    asks(client, Set(CLOCK, data), request)
    completed = hears(client, response)
    assert isinstance(completed, SetCompleted)
    assert completed.result is DataAccessResult.SUCCESS
    requested = hears(server, request)
    assert isinstance(requested, SetRequested)
    assert (requested.attribute, requested.data) == (CLOCK, data)
    assert server.send(SetResult(requested.invoke_id)) == response
    request = octets_of(hes_vectors, "u9n-set-req")
    time = CosemDateTime(2021, 1, 24, 0xFF, 14, 48, 57, 0x50, -60, 0)
    asks(standing_client(), Set(CLOCK, Data(DataTag.OCTET_STRING, time.to_octets())), request)


@pytest.mark.conformance("action-normal", "vector")
def test_a_script_is_executed(hes_vectors: Path) -> None:
    client, server, apdus = opened(hes_vectors, "sess-wireshark-plc-llc", 2)
    request, response = apdus[3][1], apdus[4][1]
    script, number = Method(9, Obis.parse("0.0.10.0.0.255"), 1), Data(DataTag.LONG_UNSIGNED, 1)
    asks(client, Action(script, number), request)
    completed = hears(client, response)
    assert isinstance(completed, ActionCompleted)
    assert completed.result is ActionResultCode.SUCCESS
    requested = hears(server, request)
    assert isinstance(requested, ActionRequested)
    assert (requested.method, requested.data) == (script, number)
    assert server.send(ActionResult(requested.invoke_id)) == response
