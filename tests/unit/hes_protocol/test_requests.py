"""Requests cut into blocks: each fits, and together they are what was cut."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hes_protocol._incoming import Incoming
from hes_protocol._invocations import Confirms, Invocations
from hes_protocol._long_answer import LongAnswer, action_block
from hes_protocol._requests import by_blocks, whole
from hes_protocol.axdr import NULL, Data, DataTag
from hes_protocol.client import Access, Action, ActionList, Get, GetList, Reply, Set, SetList
from hes_protocol.errors import LocalProtocolError
from hes_protocol.security import Protection
from hes_protocol.xdlms import (
    ActionRequestNextPblock,
    Conformance,
    DataNotification,
    GetRequestNext,
    decode_apdu,
)
from hes_protocol.xdlms.get import encode_datablock
from tests.connection_pair import ALL_CONFORMANCE, BUFFER, CAPTURE, CLOCK
from tests.strategies import trees

values = st.one_of(
    trees(), st.binary(max_size=2000).map(lambda octets: Data(DataTag.OCTET_STRING, octets))
)


def long_requests() -> st.SearchStrategy[Any]:
    """Whatever may go by blocks, with the values that it carries."""
    return st.one_of(
        values.map(lambda value: (Set(CLOCK, value), (value,))),
        values.map(lambda value: (Action(CAPTURE, value), (value,))),
        st.lists(values, min_size=1, max_size=4).map(
            lambda listed: (SetList(tuple(Set(BUFFER, value) for value in listed)), tuple(listed))
        ),
        st.lists(values, min_size=1, max_size=4).map(
            lambda listed: (
                ActionList(tuple(Action(CAPTURE, value) for value in listed)),
                tuple(listed),
            )
        ),
    )


@given(asked=long_requests(), room=st.integers(64, 2048), invoke=st.integers(0, 255))
def test_blocks_fit_and_make_the_request(asked: Any, room: int, invoke: int) -> None:
    request, carried = asked
    long_request = by_blocks(request, invoke, room, ALL_CONFORMANCE)
    incoming: Incoming | None = None
    while not long_request.finished:
        octets = long_request.block()
        assert octets == long_request.block()
        assert len(octets) <= room
        apdu: Any = decode_apdu(octets)
        assert apdu.invoke_id_and_priority == invoke
        incoming = incoming or Incoming(apdu, 1_000_000)
        assert incoming.continues(apdu)
        assert incoming.fits(apdu.block)
        assert incoming.take(apdu.block)
        long_request.advance()
        assert apdu.block.last_block is long_request.finished
    assert incoming is not None
    assert incoming.values() == carried


@given(octets=st.binary(min_size=1, max_size=3000), room=st.integers(20, 2048))
@pytest.mark.parametrize(
    ("make", "asked_by"),
    [(encode_datablock, GetRequestNext), (action_block, ActionRequestNextPblock)],
)
def test_blocks_of_an_answer_fit_and_make_it(
    make: Any, asked_by: Any, octets: bytes, room: int
) -> None:
    answer = LongAnswer(make, asked_by, 0xC5, octets, room)
    received = b""
    while not answer.finished:
        assert answer.expects(asked_by(answer.given_blocks, invoke_id_and_priority=0x05))
        assert not answer.expects(asked_by(answer.given_blocks, invoke_id_and_priority=0x06))
        assert not answer.expects(asked_by(answer.given_blocks + 1, invoke_id_and_priority=0x05))
        block = answer.block()
        assert len(block) <= room
        apdu: Any = decode_apdu(block)
        received += apdu.raw_data if make is encode_datablock else apdu.block.raw_data
        answer.advance()
    assert received == octets


@pytest.mark.parametrize(
    ("request_", "conformance"),
    [
        (Get(CLOCK), ALL_CONFORMANCE),
        (GetList((Get(CLOCK),)), ALL_CONFORMANCE),
        (Access((Get(CLOCK),)), ALL_CONFORMANCE),
        (Set(CLOCK, NULL), Conformance.BLOCK_TRANSFER_WITH_ACTION),
        (SetList((Set(CLOCK, NULL),)), Conformance.BLOCK_TRANSFER_WITH_ACTION),
        (Action(CAPTURE), Conformance.BLOCK_TRANSFER_WITH_SET_OR_WRITE),
        (ActionList((Action(CAPTURE),)), Conformance.BLOCK_TRANSFER_WITH_SET_OR_WRITE),
    ],
)
def test_what_has_no_blocks(request_: Any, conformance: Conformance) -> None:
    with pytest.raises(LocalProtocolError):
        by_blocks(request_, 0xC1, 200, conformance)


@pytest.mark.parametrize("room", [-20, 0, 18, 19])
def test_no_room_behind_the_descriptors(room: int) -> None:
    with pytest.raises(LocalProtocolError):
        by_blocks(Set(CLOCK, NULL), 0xC1, room, ALL_CONFORMANCE)


def test_empty_blocks_count() -> None:
    apdu: Any = decode_apdu(by_blocks(Set(CLOCK, NULL), 0xC1, 99, ALL_CONFORMANCE).block())
    incoming = Incoming(apdu, 10)
    empty = type(apdu.block)(False, 1, b"")
    assert [incoming.take(empty) for _ in range(12)] == [True] * 10 + [False] * 2


def test_ids_are_used_up_only_when_they_are_sent() -> None:
    invocations = Invocations(high_priority=True)
    first, apdu = invocations.prepare(Get(CLOCK), ALL_CONFORMANCE, None)
    assert (first.invoke_id, apdu) == (1, whole(Get(CLOCK), 0xC1))
    assert invocations.next(Get(CLOCK)).invoke_id == 1
    invocations.use(first)
    assert invocations.next(Set(CLOCK, NULL, confirmed=False)).invoke == 0x82
    assert invocations.next(Access((Get(CLOCK),))).invoke == 0xC0000001
    assert Invocations(high_priority=False).next(None).invoke == 0x41


def test_confirms_are_found_by_the_reply_itself() -> None:
    confirms = Confirms()
    push = DataNotification(0x40000001, None, NULL)
    one, two = (confirms.add(push, Protection.PLAIN) for _ in range(2))
    assert one == two
    assert one is not None
    assert two is not None
    confirms.remove(confirms.find(two))
    assert confirms.find(one).reply is one
    for reply in (two, Reply("confirm")):
        with pytest.raises(LocalProtocolError):
            confirms.find(reply)
