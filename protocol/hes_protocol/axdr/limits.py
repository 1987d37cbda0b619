"""Bounds that the decoder keeps, whatever the octets claim."""

from __future__ import annotations

from typing import Final

from hes_protocol.errors import LimitError

MAX_DEPTH: Final = 16
"""Containers within each other; the deepest object of IEC 62056-6-2 needs six."""

LEAF_COST: Final = 1
CONTAINER_COST: Final = 4
_ALLOWANCE: Final = 1024
_COST_PER_OCTET: Final = 6


class Budget:
    """
    What the compact arrays of one buffer may expand to, all of them together.

    Their elements may take no octets at all (null-data, and arrays of it 65535 wide), so the
    octets alone bound nothing. A value costs one, a container four: about their share of memory.

    Args: octets: size of the whole buffer.
    """

    __slots__ = ("_left",)

    def __init__(self, octets: int) -> None:
        self._left = _ALLOWANCE + _COST_PER_OCTET * octets

    @property
    def left(self) -> int:
        """What may still be spent."""
        return self._left

    def spend(self, cost: int, offset: int) -> None:
        """
        Take `cost` off the budget.

        Raises: LimitError: "too-large": that much is not left.
        """
        if cost > self._left:
            raise LimitError("too-large", "a compact array expands too far", offset=offset)
        self._left -= cost
