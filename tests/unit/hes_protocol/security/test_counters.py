"""Blocks of counters: each once, ever higher, never more than were reserved."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hes_protocol.errors import LocalProtocolError
from hes_protocol.security.counters import BlockCounters, CounterBlock

pytestmark = pytest.mark.conformance("counter-blocks", "client", "server")


def test_a_block_is_drawn_one_by_one_to_its_end() -> None:
    counters = BlockCounters()
    counters.add(CounterBlock(5, 8))
    assert counters.left == 3
    assert [counters(), counters(), counters()] == [5, 6, 7]
    assert counters.left == 0
    for _ in range(2):
        with pytest.raises(LocalProtocolError):
            counters()


def test_without_a_block_there_is_none() -> None:
    counters = BlockCounters()
    assert (counters.left, counters.highest) == (0, -1)
    with pytest.raises(LocalProtocolError):
        counters()


def test_what_is_left_is_lost_with_the_next_block() -> None:
    counters = BlockCounters()
    counters.add(CounterBlock(0, 10))
    assert counters() == 0
    counters.add(CounterBlock(10, 12))
    assert (counters(), counters.left, counters.highest) == (10, 1, 10)


def test_a_rest_can_be_discarded() -> None:
    counters = BlockCounters()
    counters.add(CounterBlock(3, 9))
    counters.discard()
    assert (counters.left, counters.highest) == (0, 8)
    with pytest.raises(LocalProtocolError):
        counters()


@pytest.mark.parametrize("first", [0, 7, 9])
def test_blocks_never_go_back(first: int) -> None:
    counters = BlockCounters()
    counters.add(CounterBlock(5, 10))
    with pytest.raises(LocalProtocolError):
        counters.add(CounterBlock(first, 20))
    assert (counters.left, counters()) == (5, 5)


@pytest.mark.parametrize(("first", "behind"), [(-1, 1), (0, 0), (5, 4), (0, 2**32 + 1)])
def test_blocks_that_are_none(first: int, behind: int) -> None:
    with pytest.raises(LocalProtocolError):
        CounterBlock(first, behind)


def test_the_very_last_counter() -> None:
    counters = BlockCounters()
    counters.add(CounterBlock(2**32 - 1, 2**32))
    assert counters() == 2**32 - 1


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(1, 6), st.integers(0, 8)), max_size=8))
def test_whatever_is_drawn_rises(blocks: list[tuple[int, int, int]]) -> None:
    counters, behind, drawn = BlockCounters(), 0, []
    for gap, size, draws in blocks:
        counters.add(CounterBlock(behind + gap, behind + gap + size))
        behind += gap + size
        drawn += [counters() for _ in range(min(draws, counters.left))]
        assert not drawn or counters.highest >= drawn[-1]
    assert drawn == sorted(set(drawn))
