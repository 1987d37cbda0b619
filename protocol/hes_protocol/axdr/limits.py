"""Bounds that the decoder keeps, whatever the octets claim."""

from __future__ import annotations

from typing import Final

from hes_protocol.errors import LimitError

MAX_DEPTH: Final = 16
"""Containers within each other; the deepest object of IEC 62056-6-2 needs six."""

MAX_VALUES: Final = 100_000
"""
Values in one buffer, containers and members of a compact array's type included; what stands in
a compact array counts as what it costs.

A value that is read takes about a hundred octets of memory, so that any buffer stays below 16 MB,
its strings aside. The object list of a meter with a thousand objects has half as many; a profile
whose rows have a few shapes is no such buffer, since its columns are read without values
(`hes_protocol.profile`).
"""

LEAF_COST: Final = 1
BIT_STRING_COST: Final = 2
CONTAINER_COST: Final = 4
_ARRAY_COST: Final = 48
_ALLOWANCE: Final = 1024
_COST_PER_OCTET: Final = 6


class Budget:
    """
    What the compact arrays of one buffer may expand to, all of them together.

    Their elements may take no octets at all (null-data, and arrays of it 65535 wide), so the
    octets alone bound nothing. A value costs one, a container four, a bit string two: about their
    shares of time and memory; an array as much as eight octets are worth, which it has unless it
    is all but empty.

    Args: octets: size of the whole buffer.
    """

    __slots__ = ("_left", "values_left")

    def __init__(self, octets: int) -> None:
        self._left = _ALLOWANCE + _COST_PER_OCTET * octets
        self.values_left = MAX_VALUES

    def begin(self, offset: int) -> None:
        """
        One more compact array.

        Raises: LimitError: "too-large": too many that are all but empty.
        """
        self._left -= _ARRAY_COST
        if self._left < 0:
            raise LimitError("too-large", "too many compact arrays", offset=offset)

    def describe(self, members: int, offset: int) -> None:
        """
        A type of so many members.

        Raises: LimitError: "too-many-values".
        """
        self.values_left -= members
        if self.values_left < 0:
            raise LimitError("too-many-values", f"above {MAX_VALUES}", offset=offset)

    def spend(self, cost: int, offset: int) -> None:
        """
        An element whose values cost `cost`.

        Raises: LimitError: "too-large": that much is not left. "too-many-values".
        """
        if cost > self._left:
            raise LimitError("too-large", "a compact array expands too far", offset=offset)
        self._left -= cost
        self.values_left -= cost
        if self.values_left < 0:
            raise LimitError("too-many-values", f"above {MAX_VALUES}", offset=offset)
