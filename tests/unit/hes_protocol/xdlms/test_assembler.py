"""Pushes by blocks that nobody acknowledges."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hes_protocol._general_blocks import one_way
from hes_protocol.errors import LimitError, TruncatedError
from hes_protocol.xdlms import BlockAssembler, GeneralBlockTransfer

APDU = bytes(range(100))
BLOCKS = tuple(one_way(APDU, 37))


def joined(assembler: BlockAssembler, *blocks: GeneralBlockTransfer) -> list[bytes]:
    return [whole for one in blocks if (whole := assembler.take(one)) is not None]


@pytest.mark.conformance("gbt-streaming", "client", "server")
@given(st.lists(st.binary(min_size=1, max_size=300), max_size=4), st.integers(8, 200))
def test_one_push_after_the_other(apdus: list[bytes], limit: int) -> None:
    assembler = BlockAssembler()
    blocks = [one for apdu in apdus for one in one_way(apdu, limit)]
    assert joined(assembler, *blocks) == apdus
    assert (assembler.due, assembler.pending_octets) == (1, 0)


def test_a_block_that_comes_twice_is_passed_over() -> None:
    doubled = [one for one in BLOCKS[:-1] for _ in range(2)]
    assert joined(BlockAssembler(), *doubled, BLOCKS[-1]) == [APDU]


@pytest.mark.parametrize("missing", range(len(BLOCKS) - 1))
def test_a_gap_ends_the_transfer(missing: int) -> None:
    assembler = BlockAssembler()
    for one in BLOCKS[:missing]:
        assembler.take(one)
    with pytest.raises(TruncatedError) as caught:
        assembler.take(BLOCKS[missing + 1])
    assert (caught.value.code, assembler.pending_octets) == ("block-missing", 0)
    assert joined(assembler, *BLOCKS) == [APDU]


def test_another_block_of_the_same_number_is_a_gap() -> None:
    assembler = BlockAssembler()
    joined(assembler, *BLOCKS[:2])
    with pytest.raises(TruncatedError):
        assembler.take(GeneralBlockTransfer(False, True, 0, 2, 0, b"other"))


def test_block_1_begins_anew() -> None:
    assert joined(BlockAssembler(), *BLOCKS[:2], *BLOCKS) == [APDU]


@pytest.mark.parametrize(
    ("assembler", "code"),
    [
        (BlockAssembler(max_octets=99), "too-long"),
        (BlockAssembler(max_blocks=len(BLOCKS) - 1), "too-many-blocks"),
    ],
)
def test_a_transfer_has_bounds(assembler: BlockAssembler, code: str) -> None:
    joined(assembler, *BLOCKS[:-1])
    with pytest.raises(LimitError) as caught:
        assembler.take(BLOCKS[-1])
    assert (caught.value.code, assembler.pending_octets) == (code, 0)
