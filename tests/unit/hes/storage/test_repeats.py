"""What is new of several statements about one instant."""

from __future__ import annotations

from itertools import groupby, product

import pytest

from hes.storage.repeats import unsaid


@pytest.mark.parametrize(
    ("said", "told", "new"),
    [
        ("a", "a", ""),
        ("a", "b", "b"),
        ("a", "ab", "b"),
        ("ab", "ab", ""),
        ("ab", "b", ""),
        ("ab", "a", "a"),  # a value that comes back
        ("a", "aabb", "b"),
        ("a", "aba", "ba"),
        ("aba", "aba", ""),
        ("ab", "bab", "ab"),
        ("ab", "cd", "cd"),
    ],
)
def test_only_what_follows_what_is_known(said: str, told: str, new: str) -> None:
    assert unsaid([(one, 0) for one in said], [(one, 0) for one in told]) == [
        (one, 0) for one in new
    ]


def test_a_buffer_that_is_read_again_adds_nothing_whatever_it_holds() -> None:
    for length in (1, 2, 3, 4):
        for told in product([(1, 0), (2, 0), (1, 32)], repeat=length):
            said = list(told[:1])
            said += unsaid(said, told)
            assert unsaid(said, told) == []


def test_the_longest_end_is_found_as_by_trying_each() -> None:
    for length, other in product(range(1, 5), range(1, 5)):
        for said, told in product(product("ab", repeat=length), product("ab", repeat=other)):
            once = [one for one, _ in groupby(told)]
            known = max(n for n in range(len(once) + 1) if list(said[length - n :]) == once[:n])
            assert unsaid([(x, 0) for x in said], [(x, 0) for x in told]) == [
                (x, 0) for x in once[known:]
            ]


def test_a_buffer_of_one_time_alone_costs_no_more_than_its_rows() -> None:
    told = [(n % 2, 0) for n in range(40_000)]
    assert unsaid(told, told) == []
    assert unsaid([*told[:-1], (7, 0)], told) == told


def test_another_quality_is_another_statement() -> None:
    assert unsaid([(1, 0)], [(1, 0), (1, 4)]) == [(1, 4)]
