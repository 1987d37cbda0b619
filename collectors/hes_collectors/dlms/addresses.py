"""
Where a session may connect to: resolve once, check every answer, connect to a checked literal.

A meter's address comes from the inventory, and an inventory is filled in by people and imports:
without this check it would be a way to make the head-end talk to its own database. Whatever
spelling an address has (decimal, hex, octal, mapped into IPv6), the check sees only the
canonical address that the resolver made of it, and the socket gets that same address.
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
import trio

from hes.domain.errors import AddressNotAllowedError

IPAddress = IPv4Address | IPv6Address
IPNetwork = IPv4Network | IPv6Network

# No zone ids, brackets, white space or non-ASCII: `getaddrinfo` would map the latter to digits.
_HOST: Final = re.compile(r"[A-Za-z0-9._:-]{1,253}")
_NAT64: Final = ip_network("64:ff9b::/96")
_V4_COMPATIBLE: Final = ip_network("::/96")


@attrs.frozen
class Endpoint:
    """A checked address: a literal, never a name."""

    address: IPAddress
    port: int


async def resolve(host: str, port: int, allowed: Iterable[IPNetwork]) -> tuple[Endpoint, ...]:
    """
    Find the addresses of a meter and check them all.

    Args: host: a name or a literal in any spelling. port: TCP port. allowed: where collectors
        may connect to.
    Returns: at least one endpoint, in the resolver's order.
    Raises: AddressNotAllowedError: the host is no sane name, or any of its addresses lies outside
        (one bad answer condemns the name: it may be the one that is used next time).
        OSError: the name cannot be resolved.
    """
    if not _HOST.fullmatch(host) or not 0 < port <= 65535:
        raise AddressNotAllowedError("host or port is malformed")
    networks = tuple(allowed)
    answers = await trio.socket.getaddrinfo(host, port, type=trio.socket.SOCK_STREAM)
    endpoints: list[Endpoint] = []
    for _family, _type, _protocol, _name, sockaddr in answers:
        address = canonical(str(sockaddr[0]))
        if not is_allowed(address, networks):
            raise AddressNotAllowedError("address lies outside the allowed networks")
        endpoint = Endpoint(address, port)
        if endpoint not in endpoints:
            endpoints.append(endpoint)
    if not endpoints:
        raise OSError("the name has no address")
    return tuple(endpoints)


async def connect(endpoints: Iterable[Endpoint]) -> trio.SocketStream:
    """
    Connect to the first endpoint that answers. The caller sets the deadline and closes the stream.

    Raises: OSError: none does; the last one's error.
    """
    failure: OSError | None = None
    for endpoint in endpoints:
        family = trio.socket.AF_INET if endpoint.address.version == 4 else trio.socket.AF_INET6
        sock = trio.socket.socket(family, trio.socket.SOCK_STREAM)
        try:
            await sock.connect((str(endpoint.address), endpoint.port))
        except OSError as error:
            sock.close()
            failure = error
        except BaseException:
            sock.close()
            raise
        else:
            return trio.SocketStream(sock)
    raise failure or OSError("no endpoint")


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


def is_allowed(address: IPAddress, networks: Iterable[IPNetwork]) -> bool:
    """
    Whether a canonical address, and any IPv4 address that it carries, lies in `networks`.

    Unspecified, multicast and broadcast addresses never do: Linux connects 0.0.0.0 to itself.
    """
    networks = tuple(networks)
    return all(
        not face.is_unspecified
        and not face.is_multicast
        and face != IPv4Address(0xFFFFFFFF)
        and any(face.version == network.version and face in network for network in networks)
        for face in _faces(address)
    )


def _faces(address: IPAddress) -> Iterator[IPAddress]:
    """The address, and the IPv4 address to which a translator or tunnel would carry it."""
    yield address
    if isinstance(address, IPv4Address):
        return
    if address.sixtofour is not None:
        yield address.sixtofour
    if address.teredo is not None:
        yield from address.teredo
    # ::1 is itself, not the IPv4-compatible form of 0.0.0.1.
    compatible = address in _V4_COMPATIBLE and int(address) > 0xFFFF
    if compatible or address in _NAT64:
        yield IPv4Address(int(address) & 0xFFFFFFFF)
