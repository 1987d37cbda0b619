"""What goes whole and what goes by general blocks, and which blocks are whose."""

import pytest

from hes_protocol._block_layer import BlockLayer
from hes_protocol._general_blocks import one_way
from hes_protocol.errors import AssociationError, LimitError, LocalProtocolError, TruncatedError
from hes_protocol.xdlms import GeneralBlockTransfer

SHORT = b"\xc0 short"
LONG = b"\xc8" + bytes(range(200))
PUSH = b"\x0f" + bytes(range(100))


def layer(
    *, server: bool = False, window: int = 3, limit: int = 64, negotiated: bool = True
) -> BlockLayer:
    made = BlockLayer(window, 4000, 500, server=server)
    made.begin(negotiated=negotiated, limit=limit)
    return made


def carry(apdus: tuple[bytes, ...], to: BlockLayer) -> list[bytes]:
    return [whole for apdu in apdus if (whole := to.enter(apdu)) is not None]


def exchange(client: BlockLayer, server: BlockLayer, request: bytes, answer: bytes) -> list[bytes]:
    """Everything that both have been given, to the end."""
    given: list[bytes] = []
    to_server = client.ask(request)
    while to_server:
        if to_server[0][0] != 0xE0:
            server.abandon()
        asked = carry(to_server, server)
        given += asked
        to_client = server.answer(answer) if asked else server.blocks() if server.is_due else ()
        given += carry(to_client, client)
        to_server = client.blocks() if client.is_due else ()
    return given


@pytest.mark.parametrize("request_octets", [SHORT, LONG])
@pytest.mark.parametrize("answer", [SHORT, LONG])
@pytest.mark.parametrize("windows", [(1, 1), (0, 5), (63, 2)])
def test_one_exchange_after_the_other(
    request_octets: bytes, answer: bytes, windows: tuple[int, int]
) -> None:
    client, server = layer(window=windows[0]), layer(server=True, window=windows[1])
    for counter in range(3):
        # No two ciphered requests are the same.
        asked = request_octets[:1] + bytes((counter,)) + request_octets[1:]
        assert exchange(client, server, asked, answer) == [asked, answer]


def test_the_same_plain_request_may_be_asked_again() -> None:
    client, server = layer(), layer(server=True)
    plain = b"\xc1" + LONG
    for _ in range(3):
        assert exchange(client, server, plain, SHORT) == [plain, SHORT]


def test_what_fits_goes_whole_unless_it_was_asked_by_blocks() -> None:
    client, server = layer(), layer(server=True)
    assert client.ask(SHORT) == (SHORT,)
    assert server.enter(SHORT) == SHORT
    assert server.answer(SHORT) == (SHORT,)
    (first,) = client.ask(LONG)
    assert first[0] == 0xE0
    server.enter(first)


def test_the_answer_to_blocks_goes_by_blocks_even_if_it_is_short() -> None:
    client, server = layer(window=0), layer(server=True, window=0)
    before = server.is_preferred
    to_server = client.ask(LONG)
    while not carry(to_server, server):
        client.enter(server.blocks()[0])
        to_server = client.blocks()
    assert (before, server.is_preferred) == (False, True)
    assert [apdu[0] for apdu in server.answer(SHORT)] == [0xE0]


def test_without_consent_nothing_long_goes_and_blocks_pass_through() -> None:
    client, server = layer(negotiated=False), layer(server=True, negotiated=False)
    with pytest.raises(LocalProtocolError):
        client.ask(LONG)
    assert server.answer(LONG) == (LONG,)
    assert server.push(PUSH) == (PUSH,)
    block = GeneralBlockTransfer(True, False, 1, 1, 0, SHORT).encode()
    assert client.enter(block) == block
    assert server.enter(block) == block


def test_a_push_between_the_blocks_of_an_answer() -> None:
    client, server = layer(), layer(server=True)
    server.enter(SHORT)
    assert client.ask(SHORT) == (SHORT,)
    first = server.answer(LONG)
    push = tuple(block.encode() for block in one_way(PUSH, 64))
    assert carry((first[0], *push[:1]), client) == []
    carry(client.blocks(), server)
    later = server.blocks()
    mixed = (later[0], push[1], *later[1:], *push[2:])
    assert sorted(carry(mixed, client)) == sorted([PUSH, LONG])


def test_a_push_needs_no_consent_and_a_gap_in_it_touches_no_exchange() -> None:
    client = layer(negotiated=False)
    push = layer(server=True).push(PUSH)
    assert carry(push, client) == [PUSH]
    client.enter(push[0])
    with pytest.raises(TruncatedError):
        client.enter(GeneralBlockTransfer(False, True, 0, 3, 0, b"x").encode())
    assert layer(server=True, limit=0).push(PUSH) == (PUSH,)


def test_blocks_in_blocks_are_refused() -> None:
    inner = GeneralBlockTransfer(True, False, 1, 1, 0, SHORT).encode()
    for window, streaming in ((1, False), (0, True)):
        outer = GeneralBlockTransfer(True, streaming, window, 1, 0, inner).encode()
        with pytest.raises(AssociationError) as caught:
            layer().enter(outer)
        assert caught.value.code == "unexpected-apdu"


def test_an_aborted_or_endless_exchange_is_over() -> None:
    client = layer()
    client.enter(GeneralBlockTransfer(False, False, 1, 1, 0, b"x").encode())
    due = [client.is_due]
    with pytest.raises(AssociationError):
        client.enter(GeneralBlockTransfer(True, False, 0, 0, 0, b"").encode())
    assert [*due, client.is_due] == [True, False]
    with pytest.raises(LimitError):
        client.enter(GeneralBlockTransfer(False, False, 1, 1, 0, bytes(5000)).encode())
    assert client.resend() == ()
    with pytest.raises(LocalProtocolError):
        client.blocks()


def test_what_is_abandoned_is_not_said_again() -> None:
    client = layer()
    (first,) = client.ask(LONG)
    assert client.resend() == (first,)
    client.abandon()
    assert client.resend() == ()


@pytest.mark.parametrize("window", [-1, 64])
def test_no_such_window(window: int) -> None:
    with pytest.raises(LocalProtocolError):
        layer(window=window)


def test_a_late_block_of_an_exchange_that_was_given_up_is_passed_over() -> None:
    client = layer()
    client.ask(SHORT)
    assert client.enter(GeneralBlockTransfer(False, False, 5, 5, 2, b"x").encode()) is None
    assert not client.is_due


def test_a_push_of_nothing_is_refused() -> None:
    with pytest.raises(AssociationError):
        layer().enter(GeneralBlockTransfer(True, True, 0, 1, 0, b"").encode())
