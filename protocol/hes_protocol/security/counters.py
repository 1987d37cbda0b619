"""
Invocation counters of our own: a block that somebody has reserved, drawn one by one.

Pure: reserving (durably, before the first is drawn) is the caller's, who hands in a block at a
time. Rule 1: no counter is given twice. Rule 2: a block is never given back; what is left of it
when the next one comes, or when the owner goes, is lost. Rule 3: blocks only go up.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import attrs

from hes_protocol.errors import LocalProtocolError
from hes_protocol.security.suite0 import MAX_COUNTER

CounterSource: TypeAlias = Callable[[], int]
"""Gives each counter once, ever higher; what `Client` and `Server` take as `next_counter`."""


@attrs.frozen
class CounterBlock:
    """
    The counters `first` to `behind` - 1, reserved for one owner.

    Raises: LocalProtocolError: empty, or not within 32 bits.
    """

    first: int
    behind: int

    def __attrs_post_init__(self) -> None:
        if not 0 <= self.first < self.behind <= MAX_COUNTER + 1:
            raise LocalProtocolError("no block of invocation counters")


class BlockCounters:
    """Draws from the block at hand: call it, or give it as a `CounterSource`."""

    __slots__ = ("_behind", "_next")

    def __init__(self) -> None:
        self._next = 0
        self._behind = 0

    @property
    def left(self) -> int:
        """How many may be drawn before the next block is needed."""
        return self._behind - self._next

    @property
    def highest(self) -> int:
        """The last one that was drawn, or lost with the rest of a block; -1: none."""
        return self._next - 1

    def discard(self) -> None:
        """Lose what is left of the block at hand."""
        self._next = self._behind

    def add(self, block: CounterBlock) -> None:
        """
        Go on with `block`; what is left of the one at hand is lost.

        Raises: LocalProtocolError: it begins below what has been handed in already.
        """
        if block.first < self._behind:
            raise LocalProtocolError("a block of invocation counters goes back")
        self._next, self._behind = block.first, block.behind

    def __call__(self) -> int:
        """
        The next counter.

        Raises: LocalProtocolError: none is left.
        """
        if self._next >= self._behind:
            raise LocalProtocolError("no invocation counter is reserved")
        counter = self._next
        self._next += 1
        return counter
