"""
Where the meters of a fleet answer.

On Linux every address of 127.0.0.0/8 is the machine itself, so each meter can have one of its
own without any set-up: `MeterNetwork` counts them. Octets .0 and .255 are left out: they look
like networks and broadcasts to whoever reads a log.
"""

from __future__ import annotations

from functools import cached_property
from ipaddress import IPv4Address, IPv4Network
from socket import inet_ntoa
from typing import Final

import attrs

LOOPBACK: Final = IPv4Network("127.0.0.0/8")
DEFAULT_NETWORK: Final = IPv4Network("127.16.0.0/16")
_BLOCK: Final = 256
_USABLE: Final = 254


class NetworkError(ValueError):
    """A network that no fleet can live in."""


@attrs.frozen
class MeterNetwork:
    """
    The addresses of a network, numbered from 0.

    Raises: NetworkError: outside 127.0.0.0/8.
    """

    network: IPv4Network = attrs.field(default=DEFAULT_NETWORK)

    @network.validator
    def _inside_loopback(self, _: object, network: IPv4Network) -> None:
        if not network.subnet_of(LOOPBACK):
            raise NetworkError(f"{network} is not inside {LOOPBACK}")

    @cached_property
    def capacity(self) -> int:
        """How many meters have room."""
        if self.network.prefixlen <= 24:
            return self.network.num_addresses // _BLOCK * _USABLE
        return sum(address.packed[3] not in (0, 255) for address in self.network)

    def address(self, index: int) -> IPv4Address:
        """
        The address of meter `index`.

        Raises: NetworkError: the network is full before that.
        """
        return IPv4Address(self._number(index))

    def host(self, index: int) -> str:
        """The same as text, in less time. Raises: NetworkError."""
        return inet_ntoa(self._number(index).to_bytes(4, "big"))

    def _number(self, index: int) -> int:
        if not 0 <= index < self.capacity:
            raise NetworkError(f"{self.network} has room for {self.capacity} meters")
        block, within = divmod(index + self._skipped, _USABLE)
        return self._first_block + block * _BLOCK + 1 + within

    def index(self, address: IPv4Address) -> int | None:
        """Which meter has this address; None if it is nobody's."""
        if address not in self.network or address.packed[3] in (0, 255):
            return None
        block, within = divmod(int(address) - self._first_block, _BLOCK)
        return block * _USABLE + within - 1 - self._skipped

    @cached_property
    def _first_block(self) -> int:
        return int(self.network.network_address) & ~(_BLOCK - 1)

    @cached_property
    def _skipped(self) -> int:
        """Usable addresses of the first block that lie before a network smaller than a block."""
        return max(int(self.network.network_address) - self._first_block - 1, 0)
