"""
Where a head-end may connect to: networks, ports, and what is never anybody's meter.

An address of a meter comes from people and imports; unchecked it would be a way to make the
head-end talk to its own database, or to what a cloud tells its machines. Pure: who resolves names
and connects checks what comes of it by these rules. A check of what an inventory says is an early
word to whoever typed it, no more: a name may lead elsewhere tomorrow.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from typing import Final

import attrs

from hes.domain.errors import AddressNotAllowedError

IPAddress = IPv4Address | IPv6Address
IPNetwork = IPv4Network | IPv6Network
PortRange = tuple[int, int]

_ALL_PORTS: Final[tuple[PortRange, ...]] = ((1, 65535),)
_PORTS: Final = re.compile(r"([0-9]{1,5})(?:-([0-9]{1,5}))?", re.ASCII)
# "This network" (Linux connects 0.0.0.0 to itself), link-local with the metadata of clouds, and
# where one of them has put it in IPv6; multicast and broadcast.
_NOBODYS: Final = tuple(
    map(
        ip_network,
        (
            "0.0.0.0/8",
            "169.254.0.0/16",
            "224.0.0.0/4",
            "255.255.255.255/32",
            "::/128",
            "fe80::/10",
            "fd00:ec2::/32",
            "ff00::/8",
        ),
    )
)
# IPv6 networks whose addresses carry an IPv4 address in their last 32 bits: IPv4-compatible and
# -translated, NAT64 (RFC 6052 and 8215).
_CARRIERS: Final = tuple(
    IPv6Network(text) for text in ("::/96", "::ffff:0:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48")
)
_ISATAP: Final = (0x00005EFE, 0x02005EFE)  # RFC 5214, first half of the interface identifier


def parse_ports(text: str) -> PortRange:
    """
    `4059`, or `40000-40999`.

    Raises: ValueError: no port, or a range that ends before it begins.
    """
    match = _PORTS.fullmatch(text)
    if match is not None:
        first = int(match[1])
        last = int(match[2]) if match[2] else first
        if 1 <= first <= last <= 65535:
            return first, last
    raise ValueError(f"{text[:20]!r} is neither a port nor a range of ports such as 40000-40999")


def canonical(text: str) -> IPAddress:
    """
    The address as this house compares it: IPv4-mapped IPv6 is the IPv4 address it stands for.

    Raises: AddressNotAllowedError: no literal, or one with a zone id.
    """
    try:
        address = ip_address(text)
    except ValueError as error:
        raise AddressNotAllowedError("no address literal") from error
    if isinstance(address, IPv6Address):
        if address.scope_id:
            raise AddressNotAllowedError("address with a zone id")
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
    return address


@attrs.frozen
class Reach:
    """
    Where meters are: `networks` and `ports` (from, to), both inclusive.

    `own_ports` are those on which this head-end listens: never on an address of this machine.
    """

    networks: tuple[IPNetwork, ...]
    ports: tuple[PortRange, ...] = _ALL_PORTS
    own_ports: frozenset[int] = frozenset()

    def within(self, networks: Iterable[IPNetwork]) -> Reach:
        """
        Narrowed to what also lies in `networks`, those of a segment; none of them: unchanged.
        """
        others = tuple(networks)
        if not others:
            return self
        common = tuple(narrow for a in self.networks for b in others for narrow in _common(a, b))
        return attrs.evolve(self, networks=common)

    def has_port(self, port: int) -> bool:
        """Whether meters may listen on this port."""
        return any(first <= port <= last for first, last in self.ports)

    def has_address(self, address: IPAddress) -> bool:
        """
        Whether a canonical address, and any IPv4 address that it carries, is a meter's.

        Unspecified, link-local, multicast and broadcast addresses never are.
        """
        return all(
            not any(_in(face, network) for network in _NOBODYS)
            and any(_in(face, network) for network in self.networks)
            for face in _faces(address)
        )


def _in(address: IPAddress, network: IPNetwork) -> bool:
    return address.version == network.version and address in network


def _common(a: IPNetwork, b: IPNetwork) -> Iterator[IPNetwork]:
    """Two networks are disjoint, or one lies in the other."""
    if isinstance(a, IPv4Network) and isinstance(b, IPv4Network):
        if a.subnet_of(b) or b.subnet_of(a):
            yield max(a, b, key=lambda network: network.prefixlen)
    elif (
        isinstance(a, IPv6Network)
        and isinstance(b, IPv6Network)
        and (a.subnet_of(b) or b.subnet_of(a))
    ):
        yield max(a, b, key=lambda network: network.prefixlen)


def _faces(address: IPAddress) -> Iterator[IPAddress]:
    """The address, and the IPv4 addresses to which a translator or tunnel would carry it."""
    yield address
    if isinstance(address, IPv4Address):
        return
    if address.sixtofour is not None:
        yield address.sixtofour
    if address.teredo is not None:
        yield from address.teredo
    number = int(address)
    # :: and ::1 are themselves, not the IPv4-compatible forms of 0.0.0.0 and 0.0.0.1.
    carried = number > 1 and any(address in network for network in _CARRIERS)
    if carried or (number >> 32 & 0xFFFFFFFF) in _ISATAP:
        yield IPv4Address(number & 0xFFFFFFFF)
