"""The client's lists and blocks against APDUs written by hand: what it sends, what it believes."""

from __future__ import annotations

from typing import Any

import pytest

from hes_protocol.axdr import NULL, Data, DataTag, encode
from hes_protocol.client import (
    Access,
    AccessCompleted,
    Action,
    ActionCompleted,
    ActionList,
    ActionListCompleted,
    AnswerDiscarded,
    Client,
    ContinueNeeded,
    ExceptionReceived,
    Get,
    GetList,
    GetListCompleted,
    Set,
    SetCompleted,
    SetList,
    SetListCompleted,
)
from hes_protocol.cosem.objects import EntrySelection
from hes_protocol.errors import (
    AssociationError,
    EncodingError,
    LimitError,
    LocalProtocolError,
    RemoteProtocolError,
)
from hes_protocol.xdlms import (
    AccessActionResult,
    AccessGetResult,
    AccessRequest,
    AccessResponse,
    AccessSetResult,
    ActionRequestNextPblock,
    ActionRequestWithFirstPblock,
    ActionRequestWithListAndFirstPblock,
    ActionRequestWithPblock,
    ActionResponseNextPblock,
    ActionResponseNormal,
    ActionResponseWithList,
    ActionResponseWithPblock,
    ActionResultCode,
    ActionReturn,
    Conformance,
    DataAccessResult,
    DataBlock,
    ExceptionResponse,
    GetDataResult,
    GetRequestNext,
    GetRequestWithList,
    GetResponseNormal,
    GetResponseWithDatablock,
    GetResponseWithList,
    ServiceError,
    SetRequestNormal,
    SetRequestWithDatablock,
    SetRequestWithFirstDatablock,
    SetRequestWithListAndFirstDatablock,
    SetResponseDatablock,
    SetResponseLastDatablock,
    SetResponseLastDatablockWithList,
    SetResponseNormal,
    SetResponseWithList,
    StateError,
    decode_apdu,
)
from tests.connection_pair import ALL_CONFORMANCE, BUFFER, CAPTURE, CLOCK, apdu_of, opened_client
from tests.connection_pair import client_hears as hears

FIVE = Data(DataTag.UNSIGNED, 5)
LONG = Data(DataTag.OCTET_STRING, bytes(range(150)))
SUCCESS = DataAccessResult.SUCCESS
DENIED = DataAccessResult.READ_WRITE_DENIED
DONE = ActionResultCode.SUCCESS
GOT_FIVE = GetDataResult(octets=encode(FIVE))
INVOKED = {"invoke_id_and_priority": 0xC1}

EVERY: dict[str, Any] = {
    "get-list": GetList((Get(CLOCK), Get(BUFFER))),
    "set": Set(CLOCK, FIVE),
    "set-list": SetList((Set(CLOCK, FIVE), Set(BUFFER, FIVE))),
    "action": Action(CAPTURE, FIVE),
    "action-list": ActionList((Action(CAPTURE, FIVE), Action(CAPTURE))),
    "access": Access((Get(CLOCK), Set(CLOCK, FIVE), Action(CAPTURE))),
}
RIGHT: dict[str, Any] = {
    "get-list": GetResponseWithList((GOT_FIVE, GetDataResult(DENIED)), **INVOKED),
    "set": SetResponseNormal(SUCCESS, **INVOKED),
    "set-list": SetResponseWithList((SUCCESS, DENIED), **INVOKED),
    "action": ActionResponseNormal(ActionReturn(DONE), **INVOKED),
    "action-list": ActionResponseWithList((ActionReturn(DONE),) * 2, **INVOKED),
    "access": AccessResponse(
        (encode(FIVE), b"\x00", b"\x00"),
        (AccessGetResult(SUCCESS), AccessSetResult(DENIED), AccessActionResult(DONE)),
        long_invoke_id_and_priority=1,
    ),
}


def sent(octets: bytes) -> Any:
    return decode_apdu(apdu_of(octets))


def asked(request: Any, **changes: Any) -> Client:
    """A client that has sent its first request, with invoke_id 1."""
    client = opened_client(**changes)
    client.send(request)
    assert client.pending_invoke_id == 1
    return client


def refuses(client: Client, apdu: Any, code: str | None = None) -> None:
    """The client refuses an APDU, and waits as before."""
    with pytest.raises(RemoteProtocolError) as caught:
        hears(client, apdu)
    assert code is None or caught.value.code == code
    assert client.pending_invoke_id == 1


def goes_on(client: Client, event: Any) -> Any:
    assert isinstance(event, ContinueNeeded)
    assert event.reply.purpose == "block"
    return sent(client.send(event.reply))


class TestEveryService:
    @pytest.mark.parametrize("name", EVERY)
    def test_is_answered(self, name: str) -> None:
        client = asked(EVERY[name])
        (event,) = hears(client, RIGHT[name])
        assert event.invoke_id == 1
        assert client.pending_invoke_id is None
        assert hears(client, RIGHT[name]) == [AnswerDiscarded(1)]

    @pytest.mark.parametrize("name", EVERY)
    def test_is_not_answered_by_another_one(self, name: str) -> None:
        client = asked(EVERY[name])
        service = name.removesuffix("-list")
        for other, answer in RIGHT.items():
            if not other.startswith(service):
                assert hears(client, answer) == [AnswerDiscarded(1)]
        assert len(hears(client, RIGHT[name])) == 1

    @pytest.mark.parametrize("name", EVERY)
    def test_is_given_up(self, name: str) -> None:
        client = asked(EVERY[name])
        client.abandon()
        assert hears(client, RIGHT[name]) == [AnswerDiscarded(1)]
        client.send(Get(CLOCK))

    @pytest.mark.parametrize("name", EVERY)
    def test_is_ended_by_an_exception(self, name: str) -> None:
        client = asked(EVERY[name])
        (event,) = hears(client, ExceptionResponse(StateError(1), ServiceError(2)))
        assert event == ExceptionReceived(StateError(1), ServiceError(2), None, True, 1)
        client.send(EVERY[name])

    @pytest.mark.parametrize("name", ["get-list", "set-list", "action-list", "access"])
    def test_an_empty_list_is_not_sent(self, name: str) -> None:
        client = opened_client()
        with pytest.raises(LocalProtocolError):
            client.send(type(EVERY[name])(()))
        client.send(EVERY[name])

    @pytest.mark.parametrize("name", ["get-list", "set-list", "action-list", "access"])
    def test_a_list_that_the_server_does_not_take(self, name: str) -> None:
        client = opened_client(Conformance.GET | Conformance.SET | Conformance.ACTION)
        with pytest.raises(LocalProtocolError):
            client.send(EVERY[name])
        assert client.pending_invoke_id is None


class TestWholeLists:
    def test_get(self) -> None:
        client = opened_client()
        request = GetList((Get(CLOCK), Get(BUFFER, EntrySelection(1, 2))))
        apdu = sent(client.send(request))
        assert isinstance(apdu, GetRequestWithList)
        assert [access.attribute for access in apdu.accesses] == [CLOCK, BUFFER]
        assert apdu.accesses[1].selection is not None
        (event,) = hears(client, RIGHT["get-list"])
        assert event == GetListCompleted(1, (GOT_FIVE, GetDataResult(DENIED)))

    @pytest.mark.parametrize("name", ["get-list", "set-list", "action-list"])
    @pytest.mark.parametrize("count", [0, 1, 3])
    def test_more_or_fewer_results(self, name: str, count: int) -> None:
        client = asked(EVERY[name])
        wrong = {
            "get-list": GetResponseWithList((GOT_FIVE,) * count, **INVOKED),
            "set-list": SetResponseWithList((SUCCESS,) * count, **INVOKED),
            "action-list": ActionResponseWithList((ActionReturn(DONE),) * count, **INVOKED),
        }
        refuses(client, wrong[name], "bad-list-length")
        assert len(hears(client, RIGHT[name])) == 1

    @pytest.mark.parametrize(
        ("name", "refusal", "results"),
        [
            (
                "get-list",
                GetResponseNormal(GetDataResult(DENIED), **INVOKED),
                (GetDataResult(DENIED),) * 2,
            ),
            (
                "get-list",
                GetResponseWithDatablock(True, 1, b"", DENIED, **INVOKED),
                (GetDataResult(DENIED),) * 2,
            ),
            ("set-list", SetResponseNormal(DENIED, **INVOKED), (DENIED,) * 2),
            ("set-list", SetResponseLastDatablock(DENIED, 1, **INVOKED), (DENIED,) * 2),
            (
                "action-list",
                ActionResponseNormal(ActionReturn(ActionResultCode(3)), **INVOKED),
                (ActionReturn(ActionResultCode(3)),) * 2,
            ),
        ],
    )
    def test_a_list_that_is_refused_as_a_whole(
        self, name: str, refusal: Any, results: tuple[Any, ...]
    ) -> None:
        (event,) = hears(asked(EVERY[name]), refusal)
        assert event.results == results

    @pytest.mark.parametrize(
        ("name", "answer"),
        [
            ("get-list", GetResponseNormal(GOT_FIVE, **INVOKED)),
            ("set-list", SetResponseNormal(SUCCESS, **INVOKED)),
            ("set-list", SetResponseLastDatablock(SUCCESS, 1, **INVOKED)),
            ("set-list", SetResponseLastDatablockWithList((SUCCESS,) * 2, 1, **INVOKED)),
            ("set-list", SetResponseDatablock(1, **INVOKED)),
            ("action-list", ActionResponseNormal(ActionReturn(DONE), **INVOKED)),
            ("action-list", ActionResponseNextPblock(1, **INVOKED)),
            ("set", SetResponseWithList((SUCCESS,), **INVOKED)),
            ("set", SetResponseDatablock(1, **INVOKED)),
            ("set", SetResponseLastDatablock(SUCCESS, 1, **INVOKED)),
            ("set", SetResponseLastDatablockWithList((SUCCESS,), 1, **INVOKED)),
            ("action", ActionResponseWithList((ActionReturn(DONE),), **INVOKED)),
            ("action", ActionResponseNextPblock(1, **INVOKED)),
        ],
    )
    def test_an_answer_of_another_form(self, name: str, answer: Any) -> None:
        client = asked(EVERY[name])
        refuses(client, answer)
        assert len(hears(client, RIGHT[name])) == 1


class TestListsByBlocks:
    RAW = b"\x02" + b"\x00" + encode(LONG) + b"\x01\x03"

    def test_the_blocks_of_an_answer_are_joined(self) -> None:
        client = asked(EVERY["get-list"])
        (event,) = hears(client, GetResponseWithDatablock(False, 1, self.RAW[:70], **INVOKED))
        assert goes_on(client, event) == GetRequestNext(1, **INVOKED)
        (event,) = hears(client, GetResponseWithDatablock(True, 2, self.RAW[70:], **INVOKED))
        assert event == GetListCompleted(
            1, (GetDataResult(octets=encode(LONG)), GetDataResult(DENIED))
        )

    @pytest.mark.parametrize("wrong", [b"", b"\x00", b"\x03", b"\x02\x03"])
    def test_blocks_that_make_no_list(self, wrong: bytes) -> None:
        client = asked(EVERY["get-list"])
        (event,) = hears(client, GetResponseWithDatablock(False, 1, self.RAW[:70], **INVOKED))
        goes_on(client, event)
        with pytest.raises(EncodingError):
            hears(client, GetResponseWithDatablock(True, 2, self.RAW[70:-2] + wrong, **INVOKED))
        (event,) = hears(client, GetResponseWithDatablock(True, 2, self.RAW[70:], **INVOKED))
        assert isinstance(event, GetListCompleted)

    def test_a_list_of_another_length(self) -> None:
        client = asked(EVERY["get-list"])
        refuses(
            client, GetResponseWithDatablock(True, 1, b"\x01\x01\x03", **INVOKED), "bad-list-length"
        )

    def test_a_whole_list_after_blocks(self) -> None:
        client = asked(EVERY["get-list"])
        (event,) = hears(client, GetResponseWithDatablock(False, 1, self.RAW[:70], **INVOKED))
        goes_on(client, event)
        refuses(client, RIGHT["get-list"], "unexpected-apdu")


class TestLongSet:
    def test_goes_by_blocks(self) -> None:
        client = opened_client(pdu_size=64)
        first = sent(client.send(Set(CLOCK, LONG)))
        assert isinstance(first, SetRequestWithFirstDatablock)
        assert (first.attribute, first.selection) == (CLOCK, None)
        received, block, number = first.block.raw_data, first.block, 1
        while not block.last_block:
            assert block.block_number == number
            (event,) = hears(client, SetResponseDatablock(number, **INVOKED))
            later = goes_on(client, event)
            assert isinstance(later, SetRequestWithDatablock)
            assert later.invoke_id_and_priority == 0xC1
            block, number = later.block, number + 1
            received += block.raw_data
        assert received == encode(LONG)
        assert hears(client, SetResponseLastDatablock(SUCCESS, number, **INVOKED)) == [
            SetCompleted(1, SUCCESS)
        ]

    def test_a_list_goes_by_blocks(self) -> None:
        client = opened_client(pdu_size=90)
        first = sent(client.send(SetList((Set(CLOCK, LONG), Set(BUFFER, FIVE)))))
        assert isinstance(first, SetRequestWithListAndFirstDatablock)
        assert [access.attribute for access in first.accesses] == [CLOCK, BUFFER]
        assert first.block.raw_data.startswith(b"\x02" + encode(LONG)[:20])
        (event,) = hears(client, SetResponseDatablock(1, **INVOKED))
        assert goes_on(client, event).block.block_number == 2
        (event,) = hears(client, SetResponseDatablock(2, **INVOKED))
        assert goes_on(client, event).block.last_block
        answer = SetResponseLastDatablockWithList((SUCCESS, DENIED), 3, **INVOKED)
        assert hears(client, answer) == [SetListCompleted(1, (SUCCESS, DENIED))]

    def test_what_just_fits_is_whole(self) -> None:
        whole = len(apdu_of(opened_client(pdu_size=0).send(Set(CLOCK, LONG))))
        assert isinstance(
            sent(opened_client(pdu_size=whole).send(Set(CLOCK, LONG))), SetRequestNormal
        )
        assert isinstance(
            sent(opened_client(pdu_size=whole - 1).send(Set(CLOCK, LONG))),
            SetRequestWithFirstDatablock,
        )

    @pytest.mark.parametrize(
        "request_",
        [
            Set(CLOCK, LONG),
            SetList((Set(CLOCK, LONG),)),
            Action(CAPTURE, LONG),
            ActionList((Action(CAPTURE, LONG),)),
            Access((Set(CLOCK, LONG),)),
            GetList((Get(CLOCK),) * 20),
        ],
    )
    def test_a_server_that_takes_no_blocks(self, request_: Any) -> None:
        services = Conformance.GET | Conformance.SET | Conformance.ACTION | Conformance.ACCESS
        client = opened_client(services | Conformance.MULTIPLE_REFERENCES, pdu_size=100)
        with pytest.raises(LocalProtocolError):
            client.send(request_)
        assert client.pending_invoke_id is None
        client.send(Get(CLOCK))
        assert client.pending_invoke_id == 1

    def test_descriptors_that_do_not_fit(self) -> None:
        client = opened_client(pdu_size=100)
        with pytest.raises(LocalProtocolError):
            client.send(SetList((Set(CLOCK, LONG),) * 10))
        client.send(Get(CLOCK))

    @pytest.mark.parametrize(
        "wrong",
        [
            SetResponseDatablock(0, **INVOKED),
            SetResponseDatablock(2, **INVOKED),
            SetResponseLastDatablock(SUCCESS, 1, **INVOKED),
            SetResponseNormal(SUCCESS, **INVOKED),
        ],
    )
    def test_an_acknowledgement_of_what_was_not_sent(self, wrong: Any) -> None:
        client = asked(Set(CLOCK, LONG), pdu_size=64)
        refuses(client, wrong)
        (event,) = hears(client, SetResponseDatablock(1, **INVOKED))
        assert goes_on(client, event).block.block_number == 2

    def test_success_of_another_block(self) -> None:
        client = asked(Set(CLOCK, LONG), pdu_size=150)
        (event,) = hears(client, SetResponseDatablock(1, **INVOKED))
        assert goes_on(client, event).block.last_block
        refuses(client, SetResponseLastDatablock(SUCCESS, 1, **INVOKED), "bad-block-number")
        refuses(client, SetResponseDatablock(2, **INVOKED), "bad-block-number")
        assert hears(client, SetResponseLastDatablock(SUCCESS, 2, **INVOKED))

    @pytest.mark.parametrize(
        "refusal",
        [
            SetResponseLastDatablock(DataAccessResult.LONG_SET_ABORTED, 1, **INVOKED),
            SetResponseNormal(DataAccessResult.LONG_SET_ABORTED, **INVOKED),
        ],
    )
    def test_a_refusal_in_the_middle(self, refusal: Any) -> None:
        client = asked(Set(CLOCK, LONG), pdu_size=64)
        assert hears(client, refusal) == [SetCompleted(1, DataAccessResult.LONG_SET_ABORTED)]
        client.send(Get(CLOCK))

    def test_given_up_between_blocks(self) -> None:
        client = asked(Set(CLOCK, LONG), pdu_size=64)
        (event,) = hears(client, SetResponseDatablock(1, **INVOKED))
        client.abandon()
        with pytest.raises(LocalProtocolError):
            client.send(event.reply)
        client.send(Get(CLOCK))


class TestLongAction:
    def test_goes_and_comes_by_blocks(self) -> None:
        client = opened_client(pdu_size=150)
        first = sent(client.send(Action(CAPTURE, LONG)))
        assert isinstance(first, ActionRequestWithFirstPblock)
        (event,) = hears(client, ActionResponseNextPblock(1, **INVOKED))
        later = goes_on(client, event)
        assert isinstance(later, ActionRequestWithPblock)
        assert first.block.raw_data + later.block.raw_data == encode(LONG)
        raw = b"\x00\x01\x00" + encode(LONG)
        (event,) = hears(client, ActionResponseWithPblock(DataBlock(False, 1, raw[:80]), **INVOKED))
        assert goes_on(client, event) == ActionRequestNextPblock(1, **INVOKED)
        answer = ActionResponseWithPblock(DataBlock(True, 2, raw[80:]), **INVOKED)
        assert hears(client, answer) == [ActionCompleted(1, DONE, encode(LONG))]

    def test_a_list_goes_and_comes_by_blocks(self) -> None:
        client = opened_client(pdu_size=120)
        first = sent(client.send(ActionList((Action(CAPTURE, LONG), Action(CAPTURE)))))
        assert isinstance(first, ActionRequestWithListAndFirstPblock)
        (event,) = hears(client, ActionResponseNextPblock(1, **INVOKED))
        later = goes_on(client, event)
        assert later.block.last_block
        raw = first.block.raw_data + later.block.raw_data
        assert raw == b"\x02" + encode(LONG) + encode(NULL)
        raw = b"\x02" + b"\x00\x01\x00" + encode(LONG) + b"\x03\x00"
        (event,) = hears(client, ActionResponseWithPblock(DataBlock(False, 1, raw[:80]), **INVOKED))
        goes_on(client, event)
        (event,) = hears(client, ActionResponseWithPblock(DataBlock(True, 2, raw[80:]), **INVOKED))
        assert event == ActionListCompleted(
            1,
            (
                ActionReturn(DONE, GetDataResult(octets=encode(LONG))),
                ActionReturn(ActionResultCode.READ_WRITE_DENIED),
            ),
        )

    @pytest.mark.parametrize(
        ("raw", "expected"),
        [
            (b"\x00\x01\x00" + encode(LONG), ActionCompleted(1, DONE, encode(LONG))),
            (b"\x00\x00", ActionCompleted(1, DONE)),
            (b"\x03\x00", ActionCompleted(1, ActionResultCode.READ_WRITE_DENIED)),
            (b"\x00\x01\x01\x0c", ActionCompleted(1, DONE, b"", DataAccessResult(12))),
            # As openmuc's jDLMS has it: no result, which is success.
            (b"\x00" + encode(LONG), ActionCompleted(1, DONE, encode(LONG))),
        ],
    )
    def test_what_the_blocks_carry(self, raw: bytes, expected: ActionCompleted) -> None:
        client = asked(EVERY["action"])
        answer = ActionResponseWithPblock(DataBlock(True, 1, raw), **INVOKED)
        assert hears(client, answer) == [expected]

    @pytest.mark.parametrize(
        "raw", [b"", b"\x00", b"\x00\x01\x00\x09", encode(LONG), b"\x00\x01\x02"]
    )
    def test_blocks_that_carry_no_answer(self, raw: bytes) -> None:
        client = asked(EVERY["action"])
        refuses(client, ActionResponseWithPblock(DataBlock(True, 1, raw), **INVOKED))

    @pytest.mark.parametrize("name", ["action", "action-list"])
    def test_limits(self, name: str) -> None:
        def block(number: int, length: int) -> ActionResponseWithPblock:
            return ActionResponseWithPblock(DataBlock(False, number, bytes(length)), **INVOKED)

        client = asked(EVERY[name], max_result_octets=100, max_blocks=2)
        (event,) = hears(client, block(1, 60))
        goes_on(client, event)
        for wrong, kind in [(block(2, 41), LimitError), (block(1, 1), AssociationError)]:
            with pytest.raises(kind):
                hears(client, wrong)
        (event,) = hears(client, block(2, 40))
        goes_on(client, event)
        with pytest.raises(LimitError):
            hears(client, block(3, 0))

    def test_an_answer_before_everything_was_sent(self) -> None:
        client = asked(Action(CAPTURE, LONG), pdu_size=64)
        for early in (
            ActionResponseNormal(ActionReturn(DONE), **INVOKED),
            ActionResponseWithPblock(DataBlock(True, 1, b"\x00\x00"), **INVOKED),
            ActionResponseNextPblock(2, **INVOKED),
        ):
            refuses(client, early)
        (event,) = hears(client, ActionResponseNextPblock(1, **INVOKED))
        goes_on(client, event)

    def test_an_answer_in_one_piece_after_blocks(self) -> None:
        client = asked(EVERY["action"])
        (event,) = hears(client, ActionResponseWithPblock(DataBlock(False, 1, b"\x00"), **INVOKED))
        goes_on(client, event)
        refuses(client, ActionResponseNormal(ActionReturn(DONE), **INVOKED), "unexpected-apdu")
        refused = ActionReturn(ActionResultCode.LONG_ACTION_ABORTED)
        assert hears(client, ActionResponseNormal(refused, **INVOKED)) == [
            ActionCompleted(1, ActionResultCode.LONG_ACTION_ABORTED)
        ]


class TestAccess:
    def test_request(self) -> None:
        client = opened_client()
        apdu = sent(client.send(EVERY["access"]))
        assert isinstance(apdu, AccessRequest)
        assert apdu.long_invoke_id_and_priority == 0xC0000001
        assert apdu.values == (NULL, FIVE, NULL)
        (event,) = hears(client, RIGHT["access"])
        assert event == AccessCompleted(1, (GOT_FIVE, DENIED, ActionReturn(DONE)))

    def test_its_invoke_ids_are_its_own(self) -> None:
        client = asked(EVERY["access"])
        hears(client, RIGHT["access"])
        client.send(Get(CLOCK))
        assert client.pending_invoke_id == 1
        hears(client, GetResponseNormal(GOT_FIVE, **INVOKED))
        client.send(EVERY["access"])
        assert client.pending_invoke_id == 2

    @pytest.mark.parametrize(
        ("values", "results"),
        [
            ((b"\x00",) * 2, (AccessGetResult(SUCCESS), AccessSetResult(SUCCESS))),
            ((b"\x00",) * 2, RIGHT["access"].results),
            ((b"\x00",) * 3, RIGHT["access"].results[::-1]),
            ((b"\x00",) * 4, (*RIGHT["access"].results, AccessGetResult(SUCCESS))),
        ],
    )
    def test_results_of_something_else(self, values: Any, results: Any) -> None:
        client = asked(EVERY["access"])
        refuses(client, AccessResponse(values, results, long_invoke_id_and_priority=1))
        assert len(hears(client, RIGHT["access"])) == 1

    def test_a_value_beside_a_refusal_is_dropped(self) -> None:
        client = asked(Access((Get(CLOCK),)))
        answer = AccessResponse(
            (encode(FIVE),), (AccessGetResult(DENIED),), long_invoke_id_and_priority=1
        )
        assert hears(client, answer) == [AccessCompleted(1, (GetDataResult(DENIED),))]


def test_without_a_limit_nothing_is_cut() -> None:
    client = opened_client(ALL_CONFORMANCE, 0)
    value = Data(DataTag.OCTET_STRING, bytes(20_000))
    assert isinstance(sent(client.send(Set(CLOCK, value))), SetRequestNormal)
