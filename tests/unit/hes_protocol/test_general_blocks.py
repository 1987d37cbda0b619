"""general-block-transfer: both sides against each other over a medium that loses, and hostile."""

from collections.abc import Callable

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hes_protocol._general_blocks import BlockExchange, block_octets, one_way
from hes_protocol.errors import AssociationError, LimitError, LocalProtocolError
from hes_protocol.xdlms import GeneralBlockTransfer, decode_apdu

MANY = 1 << 20
apdus = st.binary(min_size=1, max_size=700)
windows = st.integers(1, 63)
limits = st.integers(8, 120)
Medium = Callable[[tuple[GeneralBlockTransfer, ...]], list[GeneralBlockTransfer]]


def block(
    number: int,
    acknowledged: int = 0,
    data: bytes = b"",
    *,
    last: bool = False,
    streaming: bool = False,
    window: int = 5,
) -> GeneralBlockTransfer:
    return GeneralBlockTransfer(last, streaming, window, number, acknowledged, data)


def exchange(window: int = 5, *, answering: bool = False, **bounds: int) -> BlockExchange:
    return BlockExchange(
        window,
        bounds.get("max_octets", MANY),
        bounds.get("max_blocks", MANY),
        answering=answering,
    )


def perfect(blocks: tuple[GeneralBlockTransfer, ...]) -> list[GeneralBlockTransfer]:
    return list(blocks)


@attrs.define
class Talk:
    """A client that asks and a server that answers, and the medium between them."""

    client: BlockExchange
    server: BlockExchange
    answer: bytes
    limit: int
    medium: Medium = perfect
    asked: list[bytes] = attrs.field(factory=list)
    answered: list[bytes] = attrs.field(factory=list)
    spoken: list[tuple[str, GeneralBlockTransfer]] = attrs.field(factory=list)
    silences: int = 0

    def ask_plainly(self) -> None:
        """The request went as it is; only its answer goes by blocks."""
        self.server.answering = False
        self.server.load(self.answer, self.limit)
        self._play([], list(self._say("server", self.server)))

    def ask(self, request: bytes) -> None:
        self.client.load(request, self.limit)
        self._play(list(self._say("client", self.client)), [])

    def _say(self, who: str, side: BlockExchange) -> list[GeneralBlockTransfer]:
        blocks = side.blocks()
        self.spoken += [(who, one) for one in blocks]
        return self.medium(blocks)

    def _play(
        self, to_server: list[GeneralBlockTransfer], to_client: list[GeneralBlockTransfer]
    ) -> None:
        while not self.answered:
            for one in to_server:
                whole = self.server.take(decoded(one))
                if whole is not None:
                    self.asked.append(whole)
                    self.server.load(self.answer, self.limit)
            if self.server.is_due:
                to_client += self._say("server", self.server)
            for one in to_client:
                whole = self.client.take(decoded(one))
                if whole is not None:
                    self.answered.append(whole)
            to_server, to_client = [], []
            if self.client.is_due:
                to_server = self._say("client", self.client)
            elif not self.answered:
                self.silences += 1
                assert self.silences < 3000
                to_server = self.medium(self.client.resend())
                if not to_server:
                    to_client = self.medium(self.server.resend())


def decoded(one: GeneralBlockTransfer) -> GeneralBlockTransfer:
    again = decode_apdu(one.encode())
    assert isinstance(again, GeneralBlockTransfer)
    return again


def talk(
    answer: bytes, limit: int = 40, ours: int = 5, theirs: int = 5, medium: Medium = perfect
) -> Talk:
    return Talk(
        exchange(ours), exchange(theirs, answering=True), answer=answer, limit=limit, medium=medium
    )


def test_the_published_course_of_a_get() -> None:
    # Window 5, as in the standard's figure: one block, its acknowledgement, then windows of five.
    run = talk(bytes(range(1, 17)), limit=9)
    run.ask_plainly()
    course = [
        (who, one.block_number, one.block_number_ack, one.streaming, one.last_block)
        for who, one in run.spoken
    ]
    assert course == [
        ("server", 1, 0, False, False),
        ("client", 1, 1, False, True),
        *(("server", number, 1, number < 6, False) for number in range(2, 7)),
        ("client", 2, 6, False, True),
        ("server", 7, 2, True, False),
        ("server", 8, 2, False, True),
    ]
    assert run.answered == [run.answer]


def test_the_octets_of_an_acknowledgement() -> None:
    side = exchange()
    side.take(block(1, data=b"\xc4\x02"))
    assert side.blocks()[0].encode() == bytes.fromhex("e0 85 0001 0001 00")


@settings(max_examples=150, deadline=None)
@given(apdus, apdus, windows, windows, limits)
@pytest.mark.conformance("gbt-windows", "client", "server")
@pytest.mark.conformance("gbt-streaming", "client", "server")
def test_both_ways_with_any_windows(
    request_octets: bytes, answer: bytes, ours: int, theirs: int, limit: int
) -> None:
    run = talk(answer, limit, ours, theirs)
    run.ask(request_octets)
    assert (run.asked, run.answered, run.silences) == ([request_octets], [answer], 0)
    assert all(len(one.encode()) <= limit for _, one in run.spoken)
    in_a_row, speaker = 0, ""
    for who, one in run.spoken:
        in_a_row = in_a_row + 1 if who == speaker else 1
        speaker = who
        assert in_a_row <= (theirs if who == "client" else ours)
        in_a_row *= one.streaming


@settings(max_examples=300, deadline=None)
@given(apdus, apdus, windows, windows, limits, st.data())
@pytest.mark.conformance("gbt-recovery", "client", "server")
def test_what_is_lost_doubled_or_overtaken_arrives_once(
    request_octets: bytes, answer: bytes, ours: int, theirs: int, limit: int, data: st.DataObject
) -> None:
    faults = data.draw(st.lists(st.sampled_from("...ldo"), max_size=60))
    plainly = data.draw(st.booleans())

    def medium(blocks: tuple[GeneralBlockTransfer, ...]) -> list[GeneralBlockTransfer]:
        arrived: list[GeneralBlockTransfer] = []
        for one in blocks:
            match faults.pop() if faults else ".":
                case "l":
                    continue
                case "d":
                    arrived += [one, one]
                case "o":
                    arrived.insert(max(0, len(arrived) - 1), one)
                case _:
                    arrived.append(one)
        return arrived

    run = talk(answer, limit, ours, theirs, medium)
    if plainly:
        run.ask_plainly()
        assert run.answered == [answer]
    else:
        run.ask(request_octets)
        assert (run.asked, run.answered) == ([request_octets], [answer])


def test_a_lost_block_is_asked_for_again_from_where_it_was_due() -> None:
    side = exchange()
    for number in (1, 2, 4):
        assert side.take(block(number, data=b"x", streaming=True)) is None
        assert not side.is_due
    assert side.take(block(5, data=b"x")) is None
    (ack,) = side.blocks()
    assert (ack.block_number_ack, ack.window, ack.block_data) == (2, 5, b"")
    for number in (3, 4):
        side.take(block(number, ack.block_number, b"x", streaming=True))
    assert side.take(block(5, ack.block_number, b"y", last=True)) == b"xxxxy"
    assert not side.is_due


def test_a_sender_goes_on_where_it_is_told_with_the_window_it_is_told() -> None:
    # So Energyict's client asks for one lost block: window 1, then goes on behind what it had kept.
    side = exchange()
    side.load(bytes(9 * 2), 9)
    side.blocks()
    side.take(block(1, 1, window=5))
    assert [one.block_number for one in side.blocks()] == [2, 3, 4, 5, 6]
    side.take(block(2, 3, window=1))
    assert [(one.block_number, one.streaming) for one in side.blocks()] == [(4, False)]
    side.take(block(3, 6, window=5))
    assert [one.block_number for one in side.blocks()] == [7, 8, 9]


def test_an_unanswered_acknowledgement_keeps_its_number() -> None:
    side = exchange()
    side.take(block(1, data=b"x"))
    first = side.blocks()
    assert side.resend() == first
    assert side.resend() == first


def test_nothing_is_said_after_the_end_or_before_the_beginning() -> None:
    side = exchange()
    assert side.resend() == ()
    side.take(block(1, data=b"x", last=True))
    assert side.resend() == ()
    with pytest.raises(LocalProtocolError):
        side.blocks()


def test_an_acknowledgement_is_not_acknowledged_by_a_server() -> None:
    server = exchange(answering=True)
    server.take(block(1, data=b"x"))
    server.blocks()
    server.take(block(2, 1))
    assert not server.is_due


def test_a_silent_server_that_only_acknowledges_gets_its_turn_back() -> None:
    client = exchange()
    client.load(b"x", 40)
    client.blocks()
    client.take(block(1, 1))
    (ack,) = client.blocks()
    assert (ack.block_number_ack, ack.last_block, ack.block_data) == (1, True, b"")


class TestNewExchange:
    def test_block_1_once_more_is_a_repetition_while_we_answer(self) -> None:
        server = exchange(answering=True)
        request = block(1, data=b"\xc0 request", last=True)
        server.take(request)
        assert server.follows(request)
        server.load(bytes(300), 40)
        server.blocks()
        assert server.follows(request)
        assert not server.follows(block(1, data=b"\xc0 another", last=True))
        assert server.follows(block(2))

    @pytest.mark.parametrize(("tag", "repetition"), [(0xC0, False), (0xC8, True)])
    def test_when_the_answer_is_out_only_ciphered_octets_are(
        self, tag: int, repetition: bool
    ) -> None:
        server = exchange(answering=True)
        request = block(1, data=bytes((tag, 7)), last=True)
        server.take(request)
        server.load(b"x", 40)
        server.blocks()
        assert server.follows(request) is repetition


class TestHostile:
    def test_a_number_that_cannot_be(self) -> None:
        side = exchange()
        for bad in (block(65, data=b"x"), block(1, 1, b"x"), block(1, 65535)):
            before = attrs.asdict(side)
            with pytest.raises(AssociationError) as caught:
                side.take(bad)
            assert caught.value.code == "bad-block-number"
            assert attrs.asdict(side) == before

    @pytest.mark.parametrize("number", [0, 1])
    def test_an_empty_last_block_aborts(self, number: int) -> None:
        side = exchange()
        with pytest.raises(AssociationError) as caught:
            side.take(block(number, last=True))
        assert caught.value.code == "transfer-aborted"

    def test_an_empty_last_block_amid_data_aborts(self) -> None:
        side = exchange(answering=True)
        side.take(block(1, data=b"x"))
        with pytest.raises(AssociationError) as caught:
            side.take(block(2, last=True))
        assert caught.value.code == "transfer-aborted"

    def test_blocks_without_end(self) -> None:
        side = exchange(max_octets=100)
        for number in range(1, 11):
            side.take(block(number, data=bytes(10), streaming=True))
        with pytest.raises(LimitError) as caught:
            side.take(block(11, data=bytes(10), streaming=True))
        assert caught.value.code == "too-long"

    def test_empty_blocks_without_end(self) -> None:
        side = exchange(max_blocks=50)
        for number in range(1, 51):
            side.take(block(number, streaming=True))
        with pytest.raises(LimitError) as caught:
            side.take(block(51, streaming=True))
        assert caught.value.code == "too-many-blocks"

    def test_the_same_block_without_end(self) -> None:
        side = exchange(max_blocks=50)
        for _ in range(50):
            side.take(block(1, data=b"x"))
        with pytest.raises(LimitError):
            side.take(block(1, data=b"x"))

    def test_blocks_out_of_order_are_not_kept(self) -> None:
        side = exchange(window=63)
        for number in range(2, 64):
            side.take(block(number, data=bytes(1000), streaming=True))
        assert not side._received

    @given(
        st.lists(
            st.builds(
                GeneralBlockTransfer,
                st.booleans(),
                st.booleans(),
                st.integers(0, 63),
                st.integers(0, 6) | st.integers(0, 0xFFFF),
                st.integers(0, 4) | st.integers(0, 0xFFFF),
                st.binary(max_size=5),
            ),
            max_size=30,
        ),
        st.booleans(),
        st.booleans(),
    )
    def test_any_blocks_raise_typed_errors_only(
        self, blocks: list[GeneralBlockTransfer], answering: bool, loaded: bool
    ) -> None:
        side = exchange(answering=answering, max_octets=40, max_blocks=25)
        if loaded:
            side.load(bytes(90), 20)
            side.blocks()
        for one in blocks:
            try:
                whole = side.take(one)
            except (AssociationError, LimitError):
                continue
            assert whole is None or 0 < len(whole) <= 40
            if side.is_due:
                assert 1 <= len(side.blocks()) <= 63


class TestOurOwnFault:
    @pytest.mark.parametrize("window", [0, 64])
    def test_no_such_window(self, window: int) -> None:
        with pytest.raises(LocalProtocolError):
            exchange(window)

    def test_two_apdus_at_once(self) -> None:
        side = exchange()
        side.load(b"x", 40)
        with pytest.raises(LocalProtocolError):
            side.load(b"x", 40)

    def test_more_blocks_than_numbers(self) -> None:
        with pytest.raises(LocalProtocolError):
            exchange().load(bytes(0x10000), 1)
        with pytest.raises(LocalProtocolError):
            list(one_way(bytes(0x10000), 1))


@given(apdus, limits)
def test_one_way_blocks_fit_and_join(apdu: bytes, limit: int) -> None:
    blocks = list(one_way(apdu, limit))
    assert b"".join(one.block_data for one in blocks) == apdu
    assert all(one.streaming and one.window == 0 for one in blocks)
    assert all(len(one.encode()) <= limit for one in blocks)
    assert [one.last_block for one in blocks] == [False] * (len(blocks) - 1) + [True]


def test_no_limit_is_as_long_as_a_wrapper_frame() -> None:
    assert block_octets(None) == 0xFFFF - 6 - 3
