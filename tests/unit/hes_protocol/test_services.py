"""The server's lists and blocks against APDUs written by hand: what it asks, what it refuses."""

from __future__ import annotations

from typing import Any

import pytest

from hes_protocol.axdr import NULL, Data, DataTag, encode
from hes_protocol.cosem.objects import EntrySelection
from hes_protocol.errors import LocalProtocolError
from hes_protocol.server import (
    ActionRequested,
    ActionResult,
    ContinueNeeded,
    GetRequested,
    GetResult,
    Server,
    SetRequested,
    SetResult,
)
from hes_protocol.xdlms import (
    AccessAction,
    AccessActionResult,
    AccessGet,
    AccessGetResult,
    AccessRequest,
    AccessResponse,
    AccessSelection,
    AccessSet,
    AccessSetResult,
    ActionRequestNextPblock,
    ActionRequestNormal,
    ActionRequestWithFirstPblock,
    ActionRequestWithList,
    ActionRequestWithListAndFirstPblock,
    ActionRequestWithPblock,
    ActionResponseNextPblock,
    ActionResponseNormal,
    ActionResponseWithList,
    ActionResponseWithPblock,
    ActionResultCode,
    ActionReturn,
    AttributeAccess,
    Conformance,
    DataAccessResult,
    DataBlock,
    ExceptionResponse,
    GetDataResult,
    GetRequestNext,
    GetRequestNormal,
    GetRequestWithList,
    GetResponseNormal,
    GetResponseWithDatablock,
    GetResponseWithList,
    ServiceError,
    SetRequestNormal,
    SetRequestWithDatablock,
    SetRequestWithFirstDatablock,
    SetRequestWithList,
    SetRequestWithListAndFirstDatablock,
    SetResponseDatablock,
    SetResponseLastDatablock,
    SetResponseLastDatablockWithList,
    SetResponseNormal,
    SetResponseWithList,
    StateError,
    decode_apdu,
)
from hes_protocol.xdlms.access import (
    BREAK_ON_ERROR,
    DEFAULT_LONG_INVOKE,
    LONG_CONFIRMED,
    SELF_DESCRIPTIVE,
)
from tests.connection_pair import (
    ALL_CONFORMANCE,
    BUFFER,
    CAPTURE,
    CLIENT_SAP,
    CLOCK,
    VALUE,
    apdu_of,
    events_of,
    opened_server,
)
from tests.connection_pair import server_hears as hears
from tests.connection_pair import server_says as says

FIVE = Data(DataTag.UNSIGNED, 5)
RAW = encode(FIVE)
LONG = Data(DataTag.OCTET_STRING, bytes(range(150)))
SUCCESS = DataAccessResult.SUCCESS
DENIED = DataAccessResult.READ_WRITE_DENIED
DONE = ActionResultCode.SUCCESS
BY_ENTRY = AccessSelection(2, EntrySelection(1, 2).to_data())
UNREADABLE = AccessSelection(9, NULL)
NOT_POSSIBLE = ExceptionResponse(
    StateError.SERVICE_NOT_ALLOWED, ServiceError.OPERATION_NOT_POSSIBLE
)
NOT_SUPPORTED = ExceptionResponse(StateError.SERVICE_UNKNOWN, ServiceError.SERVICE_NOT_SUPPORTED)
TOO_LONG = ExceptionResponse(StateError.SERVICE_NOT_ALLOWED, ServiceError.PDU_TOO_LONG)


def given(server: Server, *results: Any) -> Any:
    """The APDU that the last result leads to; those before lead to none."""
    *before, last = results
    for result in before:
        assert server.send(result) == b""
        assert len(events_of(server)) == 1
    octets = server.send(last)
    assert events_of(server) == []
    return decode_apdu(apdu_of(octets))


def still_answers(server: Server) -> None:
    (event,) = hears(server, GetRequestNormal(CLOCK))
    assert isinstance(event, GetRequested)
    assert isinstance(given(server, GetResult(1, octets=RAW)), GetResponseNormal)


class TestSet:
    def test_asked_and_answered(self) -> None:
        server = opened_server()
        request = SetRequestNormal(BUFFER, BY_ENTRY, FIVE, invoke_id_and_priority=0xC7)
        (event,) = hears(server, request)
        assert event == SetRequested(7, BUFFER, FIVE, EntrySelection(1, 2), CLIENT_SAP)
        answer = given(server, SetResult(7, DENIED))
        assert answer == SetResponseNormal(DENIED, invoke_id_and_priority=0xC7)

    def test_a_selection_that_we_cannot_read(self) -> None:
        server = opened_server()
        answer = says(server, SetRequestNormal(CLOCK, UNREADABLE, FIVE))
        assert answer == SetResponseNormal(DataAccessResult.SCOPE_OF_ACCESS_VIOLATED)
        still_answers(server)

    @pytest.mark.parametrize("wrong", [GetResult(1, octets=RAW), ActionResult(1), SetResult(2)])
    def test_answered_by_something_else(self, wrong: Any) -> None:
        server = opened_server()
        hears(server, SetRequestNormal(CLOCK, None, FIVE))
        with pytest.raises(LocalProtocolError):
            server.send(wrong)
        assert given(server, SetResult(1)) == SetResponseNormal(SUCCESS)

    def test_unconfirmed(self) -> None:
        server = opened_server()
        for request, result in [
            (SetRequestNormal(CLOCK, None, FIVE, invoke_id_and_priority=0x81), SetResult(1)),
            (ActionRequestNormal(CAPTURE, invoke_id_and_priority=0x01), ActionResult(1)),
        ]:
            assert len(hears(server, request)) == 1
            assert server.send(result) == b""  # type: ignore[arg-type]
        unreadable = SetRequestNormal(CLOCK, UNREADABLE, FIVE, invoke_id_and_priority=0x81)
        assert hears(server, unreadable) == []
        still_answers(server)


class TestLists:
    def test_get(self) -> None:
        server = opened_server()
        accesses = (
            AttributeAccess(CLOCK),
            AttributeAccess(CLOCK, UNREADABLE),
            AttributeAccess(BUFFER, BY_ENTRY),
        )
        (event,) = hears(server, GetRequestWithList(accesses), GetRequestNormal(CLOCK))
        assert event == GetRequested(1, CLOCK, None, CLIENT_SAP)
        assert server.send(GetResult(1, octets=RAW)) == b""
        (event,) = events_of(server)
        assert event == GetRequested(1, BUFFER, EntrySelection(1, 2), CLIENT_SAP)
        answer = decode_apdu(apdu_of(server.send(GetResult(1, DENIED))))
        assert answer == GetResponseWithList(
            (
                GetDataResult(octets=RAW),
                GetDataResult(DataAccessResult.SCOPE_OF_ACCESS_VIOLATED),
                GetDataResult(DENIED),
            )
        )
        # What came behind the list has waited for its end.
        (event,) = events_of(server)
        assert event == GetRequested(1, CLOCK, None, CLIENT_SAP)

    def test_set(self) -> None:
        server = opened_server()
        accesses = (AttributeAccess(CLOCK), AttributeAccess(CLOCK, UNREADABLE))
        (event,) = hears(server, SetRequestWithList(accesses, (FIVE, LONG)))
        assert event == SetRequested(1, CLOCK, FIVE, None, CLIENT_SAP)
        assert given(server, SetResult(1)) == SetResponseWithList(
            (SUCCESS, DataAccessResult.SCOPE_OF_ACCESS_VIOLATED)
        )

    def test_action(self) -> None:
        server = opened_server()
        (event,) = hears(server, ActionRequestWithList((CAPTURE, CAPTURE), (FIVE, NULL)))
        assert event == ActionRequested(1, CAPTURE, FIVE, CLIENT_SAP)
        server.send(ActionResult(1, octets=RAW))
        assert events_of(server) == [ActionRequested(1, CAPTURE, None, CLIENT_SAP)]
        assert given(server, ActionResult(1, ActionResultCode(3))) == ActionResponseWithList(
            (ActionReturn(DONE, GetDataResult(octets=RAW)), ActionReturn(ActionResultCode(3)))
        )

    def test_nothing_that_can_be_asked(self) -> None:
        server = opened_server()
        answer = says(server, GetRequestWithList((AttributeAccess(CLOCK, UNREADABLE),)))
        refused = GetDataResult(DataAccessResult.SCOPE_OF_ACCESS_VIOLATED)
        assert answer == GetResponseWithList((refused,))
        still_answers(server)

    def test_a_refused_result_changes_nothing(self) -> None:
        server = opened_server()
        hears(server, GetRequestWithList((AttributeAccess(CLOCK), AttributeAccess(BUFFER))))
        for wrong in (GetResult(1), SetResult(1), GetResult(2, octets=RAW)):
            with pytest.raises(LocalProtocolError):
                server.send(wrong)  # type: ignore[arg-type]
        answer = given(server, GetResult(1, octets=RAW), GetResult(1, octets=RAW))
        assert answer == GetResponseWithList((GetDataResult(octets=RAW),) * 2)

    @pytest.mark.parametrize("unconfirmed", [0x01, 0x81])
    def test_unconfirmed(self, unconfirmed: int) -> None:
        server = opened_server()
        accesses = (AttributeAccess(CLOCK), AttributeAccess(BUFFER))
        request = SetRequestWithList(accesses, (FIVE, FIVE), invoke_id_and_priority=unconfirmed)
        assert len(hears(server, request)) == 1
        assert server.send(SetResult(1)) == b""
        assert len(events_of(server)) == 1
        assert server.send(SetResult(1)) == b""
        still_answers(server)

    @pytest.mark.parametrize(
        "request_",
        [
            GetRequestWithList(()),
            GetRequestWithList((AttributeAccess(CLOCK),) * 6),
            SetRequestWithList((), ()),
            SetRequestWithList((AttributeAccess(CLOCK),) * 6, (FIVE,) * 6),
            SetRequestWithList((AttributeAccess(CLOCK),), ()),
            SetRequestWithList((AttributeAccess(CLOCK),), (FIVE, FIVE)),
            SetRequestWithListAndFirstDatablock((), DataBlock(True, 1, b"\x00")),
            ActionRequestWithList((), ()),
            ActionRequestWithList((CAPTURE,) * 6, (FIVE,) * 6),
            ActionRequestWithList((CAPTURE,), (FIVE,) * 2),
            ActionRequestWithListAndFirstPblock((CAPTURE,) * 6, DataBlock(True, 1, b"\x00")),
            AccessRequest((), ()),
            AccessRequest((AccessGet(CLOCK),) * 6, (NULL,) * 6),
            AccessRequest((AccessGet(CLOCK),), ()),
        ],
    )
    def test_lists_that_cannot_be(self, request_: Any) -> None:
        server = opened_server(max_list_elements=5)
        hears(server, GetRequestNormal(BUFFER))
        server.send(GetResult(1, octets=VALUE))
        assert says(server, request_) == NOT_POSSIBLE
        # Nothing has changed: the long answer goes on.
        assert says(server, GetRequestNext(1)).block_number == 2

    @pytest.mark.parametrize(
        "request_",
        [
            SetRequestWithList((AttributeAccess(CLOCK),) * 60, (FIVE,) * 60),
            AccessRequest((AccessGet(CLOCK),) * 20, (NULL,) * 20),
        ],
    )
    def test_lists_whose_answer_would_not_fit(self, request_: Any) -> None:
        server = opened_server(pdu_size=64)
        assert says(server, request_) == TOO_LONG
        still_answers(server)

    @pytest.mark.parametrize(
        "request_",
        [
            GetRequestWithList((AttributeAccess(CLOCK),)),
            SetRequestWithList((AttributeAccess(CLOCK),), (FIVE,)),
            SetRequestWithListAndFirstDatablock(
                (AttributeAccess(CLOCK),), DataBlock(True, 1, b"\x01" + RAW)
            ),
            ActionRequestWithList((CAPTURE,), (FIVE,)),
            ActionRequestWithListAndFirstPblock((CAPTURE,), DataBlock(True, 1, b"\x01" + RAW)),
        ],
    )
    def test_without_multiple_references(self, request_: Any) -> None:
        server = opened_server(ALL_CONFORMANCE & ~Conformance.MULTIPLE_REFERENCES)
        assert says(server, request_) == NOT_SUPPORTED
        still_answers(server)

    @pytest.mark.parametrize("blocks", [True, False])
    def test_a_long_answer(self, blocks: bool) -> None:
        services = ALL_CONFORMANCE
        if not blocks:
            services &= ~Conformance.BLOCK_TRANSFER_WITH_GET_OR_READ
            services &= ~Conformance.BLOCK_TRANSFER_WITH_ACTION
        server = opened_server(services, pdu_size=300)
        accesses = (AttributeAccess(CLOCK), AttributeAccess(BUFFER))
        hears(server, GetRequestWithList(accesses))
        answer = given(server, GetResult(1, octets=VALUE), GetResult(1, DENIED))
        if not blocks:
            refused = GetDataResult(DataAccessResult.OTHER_REASON)
            assert answer == GetResponseNormal(refused)
            hears(server, ActionRequestWithList((CAPTURE, CAPTURE), (NULL, NULL)))
            answer = given(server, ActionResult(1, octets=VALUE), ActionResult(1))
            outcome = ActionReturn(ActionResultCode.OTHER_REASON)
            assert answer == ActionResponseNormal(outcome)
            return
        received = answer.raw_data
        while not answer.last_block:
            answer = says(server, GetRequestNext(answer.block_number))
            received += answer.raw_data
        assert received == b"\x02\x00" + VALUE + b"\x01\x03"


FIRST = SetRequestWithFirstDatablock(CLOCK, None, DataBlock(False, 1, encode(LONG)[:80]))
LAST = SetRequestWithDatablock(DataBlock(True, 2, encode(LONG)[80:]))
FIRST_ACTION = ActionRequestWithFirstPblock(CAPTURE, DataBlock(False, 1, encode(LONG)[:80]))
LAST_ACTION = ActionRequestWithPblock(DataBlock(True, 2, encode(LONG)[80:]))


def refused_set(result: DataAccessResult, number: int) -> SetResponseLastDatablock:
    return SetResponseLastDatablock(result, number)


NO_LONG_SET = DataAccessResult.NO_LONG_SET_IN_PROGRESS
WRONG_NUMBER = DataAccessResult.DATA_BLOCK_NUMBER_INVALID
SET_ABORTED = DataAccessResult.LONG_SET_ABORTED
NO_LONG_ACTION = ActionResponseNormal(ActionReturn(ActionResultCode.NO_LONG_ACTION_IN_PROGRESS))
ACTION_ABORTED = ActionResponseNormal(ActionReturn(ActionResultCode.LONG_ACTION_ABORTED))


class TestLongRequests:
    def test_set(self) -> None:
        server = opened_server()
        assert says(server, FIRST) == SetResponseDatablock(1)
        (event,) = hears(server, LAST)
        assert event == SetRequested(1, CLOCK, LONG, None, CLIENT_SAP)
        assert given(server, SetResult(1, DENIED)) == SetResponseLastDatablock(DENIED, 2)
        still_answers(server)

    def test_set_in_one_block(self) -> None:
        server = opened_server()
        (event,) = hears(server, SetRequestWithFirstDatablock(CLOCK, None, DataBlock(True, 1, RAW)))
        assert event == SetRequested(1, CLOCK, FIVE, None, CLIENT_SAP)
        assert given(server, SetResult(1)) == SetResponseLastDatablock(SUCCESS, 1)

    def test_a_selection_that_we_cannot_read(self) -> None:
        server = opened_server()
        request = SetRequestWithFirstDatablock(CLOCK, UNREADABLE, DataBlock(True, 1, RAW))
        assert says(server, request) == SetResponseLastDatablock(
            DataAccessResult.SCOPE_OF_ACCESS_VIOLATED, 1
        )
        still_answers(server)

    def test_set_list(self) -> None:
        server = opened_server()
        raw = b"\x02" + RAW + encode(LONG)
        accesses = (AttributeAccess(CLOCK), AttributeAccess(BUFFER))
        first = SetRequestWithListAndFirstDatablock(accesses, DataBlock(False, 1, raw[:5]))
        assert says(server, first) == SetResponseDatablock(1)
        (event,) = hears(server, SetRequestWithDatablock(DataBlock(True, 2, raw[5:])))
        assert event.data == FIVE
        answer = given(server, SetResult(1), SetResult(1, DENIED))
        assert answer == SetResponseLastDatablockWithList((SUCCESS, DENIED), 2)

    def test_action_both_ways(self) -> None:
        server = opened_server(pdu_size=100)
        assert says(server, FIRST_ACTION) == ActionResponseNextPblock(1)
        (event,) = hears(server, LAST_ACTION)
        assert event == ActionRequested(1, CAPTURE, LONG, CLIENT_SAP)
        answer = given(server, ActionResult(1, octets=encode(LONG)))
        assert isinstance(answer, ActionResponseWithPblock)
        received = answer.block.raw_data
        while not answer.block.last_block:
            answer = says(server, ActionRequestNextPblock(answer.block.block_number))
            received += answer.block.raw_data
        assert received == b"\x00\x01\x00" + encode(LONG)
        still_answers(server)

    def test_action_list(self) -> None:
        server = opened_server()
        raw = b"\x02" + RAW + encode(NULL)
        first = ActionRequestWithListAndFirstPblock((CAPTURE,) * 2, DataBlock(False, 1, raw[:2]))
        assert says(server, first) == ActionResponseNextPblock(1)
        (event,) = hears(server, ActionRequestWithPblock(DataBlock(True, 2, raw[2:])))
        assert event.data == FIVE
        server.send(ActionResult(1))
        assert events_of(server) == [ActionRequested(1, CAPTURE, None, CLIENT_SAP)]
        answer = given(server, ActionResult(1))
        assert answer == ActionResponseWithList((ActionReturn(DONE),) * 2)

    @pytest.mark.parametrize(
        ("before", "wrong", "answer"),
        [
            ([], LAST, refused_set(NO_LONG_SET, 2)),
            ([FIRST], SetRequestWithDatablock(DataBlock(False, 1, b"")), (WRONG_NUMBER, 1)),
            ([FIRST], SetRequestWithDatablock(DataBlock(True, 3, b"")), (WRONG_NUMBER, 3)),
            (
                [FIRST],
                SetRequestWithDatablock(DataBlock(True, 2, b""), invoke_id_and_priority=0xC2),
                None,
            ),
            ([FIRST], SetRequestWithDatablock(DataBlock(True, 2, b"")), (SET_ABORTED, 2)),
            ([FIRST], SetRequestWithDatablock(DataBlock(True, 2, bytes(900))), (SET_ABORTED, 2)),
            ([FIRST], SetRequestWithDatablock(DataBlock(False, 2, bytes(999))), (SET_ABORTED, 2)),
            ([FIRST], LAST_ACTION, ACTION_ABORTED),
            (
                [],
                SetRequestWithFirstDatablock(CLOCK, None, DataBlock(False, 2, b"")),
                (WRONG_NUMBER, 2),
            ),
            (
                [],
                SetRequestWithListAndFirstDatablock(
                    (AttributeAccess(CLOCK),), DataBlock(True, 1, b"\x02" + RAW * 2)
                ),
                (SET_ABORTED, 1),
            ),
            ([], LAST_ACTION, NO_LONG_ACTION),
            ([FIRST_ACTION], ActionRequestWithPblock(DataBlock(False, 3, b"")), ACTION_ABORTED),
            ([FIRST_ACTION], ActionRequestWithPblock(DataBlock(True, 2, b"")), ACTION_ABORTED),
            ([FIRST_ACTION], LAST, (WRONG_NUMBER, 2)),
            (
                [FIRST_ACTION],
                ActionRequestWithPblock(DataBlock(False, 2, bytes(999))),
                ACTION_ABORTED,
            ),
            ([], ActionRequestNextPblock(1), NO_LONG_ACTION),
            ([FIRST_ACTION], ActionRequestNextPblock(1), NO_LONG_ACTION),
        ],
    )
    def test_what_ends_it(self, before: list[Any], wrong: Any, answer: Any) -> None:
        server = opened_server(max_request_octets=1000)
        for apdu in before:
            says(server, apdu)
        said = says(server, wrong)
        if isinstance(answer, tuple):
            answer = refused_set(*answer)
        assert answer is None or said == answer
        # It is over: what would have been right is not, and everything else is.
        assert says(server, LAST) == refused_set(NO_LONG_SET, 2)
        assert says(server, LAST_ACTION) == NO_LONG_ACTION
        still_answers(server)

    @pytest.mark.parametrize(
        "other", [GetRequestNormal(BUFFER), SetRequestNormal(CLOCK, None, FIVE)]
    )
    def test_another_request_in_the_middle(self, other: Any) -> None:
        server = opened_server()
        says(server, FIRST)
        (event,) = hears(server, other)
        assert isinstance(event, GetRequested | SetRequested)
        result = GetResult(1, octets=RAW) if isinstance(event, GetRequested) else SetResult(1)
        server.send(result)  # type: ignore[arg-type]
        assert says(server, LAST) == refused_set(NO_LONG_SET, 2)

    def test_another_beginning_in_the_middle(self) -> None:
        server = opened_server()
        says(server, FIRST)
        assert says(server, FIRST) == SetResponseDatablock(1)
        (event,) = hears(server, LAST)
        assert event.data == LONG

    def test_a_long_request_in_the_middle_of_a_long_answer(self) -> None:
        server = opened_server()
        hears(server, GetRequestNormal(BUFFER))
        server.send(GetResult(1, octets=VALUE))
        assert says(server, FIRST) == SetResponseDatablock(1)
        answer = says(server, GetRequestNext(1))
        assert answer.result is DataAccessResult.NO_LONG_GET_IN_PROGRESS
        assert says(server, LAST) == refused_set(NO_LONG_SET, 2)

    @pytest.mark.parametrize(
        "wrong", [ActionRequestNextPblock(2), ActionRequestNextPblock(0), GetRequestNext(1)]
    )
    def test_a_wrong_block_of_a_long_answer(self, wrong: Any) -> None:
        server = opened_server(pdu_size=100)
        hears(server, ActionRequestNormal(CAPTURE))
        server.send(ActionResult(1, octets=VALUE))
        answer = says(server, wrong)
        if isinstance(wrong, GetRequestNext):
            assert isinstance(answer, GetResponseWithDatablock)
            assert answer.result == WRONG_NUMBER
        else:
            assert answer == ACTION_ABORTED
        assert says(server, ActionRequestNextPblock(1)) == NO_LONG_ACTION

    @pytest.mark.parametrize("request_", [FIRST, LAST, FIRST_ACTION, LAST_ACTION])
    def test_without_block_transfer(self, request_: Any) -> None:
        blocks = Conformance.BLOCK_TRANSFER_WITH_SET_OR_WRITE
        server = opened_server(ALL_CONFORMANCE & ~blocks & ~Conformance.BLOCK_TRANSFER_WITH_ACTION)
        assert says(server, request_) == NOT_SUPPORTED
        still_answers(server)


class TestAccess:
    SPECIFICATIONS = (
        AccessGet(BUFFER, BY_ENTRY),
        AccessSet(CLOCK),
        AccessAction(CAPTURE),
        AccessSet(CLOCK, UNREADABLE),
        AccessGet(CLOCK),
    )
    VALUES = (NULL, FIVE, NULL, FIVE, NULL)
    RESULTS = (
        GetResult(0x234567, octets=RAW),
        SetResult(0x234567, DENIED),
        ActionResult(0x234567, octets=RAW),
        GetResult(0x234567, DENIED),
    )

    def request(self, flags: int = LONG_CONFIRMED) -> AccessRequest:
        return AccessRequest(
            self.SPECIFICATIONS, self.VALUES, long_invoke_id_and_priority=flags | 0x234567
        )

    def test_asked_and_answered(self) -> None:
        server = opened_server()
        events = hears(server, self.request())
        for result in self.RESULTS[:-1]:
            assert server.send(result) == b""  # type: ignore[arg-type]
            events += events_of(server)
        assert events == [
            GetRequested(0x234567, BUFFER, EntrySelection(1, 2), CLIENT_SAP),
            SetRequested(0x234567, CLOCK, FIVE, None, CLIENT_SAP),
            ActionRequested(0x234567, CAPTURE, None, CLIENT_SAP),
            GetRequested(0x234567, CLOCK, None, CLIENT_SAP),
        ]
        assert given(server, self.RESULTS[-1]) == AccessResponse(
            (RAW, b"\x00", RAW, b"\x00", b"\x00"),
            (
                AccessGetResult(SUCCESS),
                AccessSetResult(DENIED),
                AccessActionResult(DONE),
                AccessSetResult(DataAccessResult.SCOPE_OF_ACCESS_VIOLATED),
                AccessGetResult(DENIED),
            ),
            long_invoke_id_and_priority=LONG_CONFIRMED | 0x234567,
        )

    def test_self_descriptive(self) -> None:
        server = opened_server()
        hears(server, self.request(LONG_CONFIRMED | SELF_DESCRIPTIVE))
        assert given(server, *self.RESULTS).specifications == self.SPECIFICATIONS

    def test_break_on_error(self) -> None:
        server = opened_server()
        hears(server, self.request(LONG_CONFIRMED | BREAK_ON_ERROR))
        answer = given(server, *self.RESULTS[:2])
        assert answer.results == (AccessGetResult(SUCCESS), AccessSetResult(DENIED))
        assert answer.values == (RAW, b"\x00")

    def test_break_on_what_we_cannot_read(self) -> None:
        server = opened_server()
        request = AccessRequest(
            (AccessGet(CLOCK, UNREADABLE), AccessGet(CLOCK)),
            (NULL, NULL),
            long_invoke_id_and_priority=LONG_CONFIRMED | BREAK_ON_ERROR | 1,
        )
        answer = says(server, request)
        assert answer.results == (AccessGetResult(DataAccessResult.SCOPE_OF_ACCESS_VIOLATED),)
        still_answers(server)

    def test_unconfirmed(self) -> None:
        server = opened_server()
        events = hears(server, self.request(0))
        for result in self.RESULTS:
            assert len(events) == 1
            assert server.send(result) == b""  # type: ignore[arg-type]
            events = events_of(server)
        still_answers(server)

    def test_an_answer_that_does_not_fit(self) -> None:
        server = opened_server()
        hears(server, AccessRequest((AccessGet(CLOCK),), (NULL,)))
        assert given(server, GetResult(0, octets=VALUE)) == TOO_LONG
        still_answers(server)

    def test_not_negotiated(self) -> None:
        server = opened_server(ALL_CONFORMANCE & ~Conformance.ACCESS)
        assert says(server, AccessRequest((AccessGet(CLOCK),), (NULL,))) == NOT_SUPPORTED
        assert DEFAULT_LONG_INVOKE == LONG_CONFIRMED


def test_a_reply_that_is_due_holds_the_next_request_back() -> None:
    server = opened_server()
    (event,) = hears(server, FIRST, LAST)
    assert isinstance(event, ContinueNeeded)
    assert event.reply.purpose == "block"
    server.send(event.reply)
    (event,) = events_of(server)
    assert isinstance(event, SetRequested)
