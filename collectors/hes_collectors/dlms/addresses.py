"""
Connecting to a meter: resolve once, check every answer, connect to a checked literal.

What may be connected to is `hes.domain.reach`'s to say. Whatever spelling an address has (decimal,
hex, octal, mapped into IPv6), the check sees only the canonical address that the resolver made of
it, and the socket gets that same address: a name that leads elsewhere the next time it is asked
(DNS rebinding) is not asked again.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Iterable
from typing import Final

import attrs
import trio

from hes.domain.errors import AddressNotAllowedError
from hes.domain.reach import IPAddress, Reach, canonical

# No zone ids, brackets, white space or non-ASCII: `getaddrinfo` would map the latter to digits.
_HOST: Final = re.compile(r"[A-Za-z0-9._:-]{1,253}")


@attrs.frozen
class Endpoint:
    """A checked address: a literal, never a name."""

    address: IPAddress
    port: int


async def resolve(host: str, port: int, reach: Reach) -> tuple[Endpoint, ...]:
    """
    Find the addresses of a meter and check them all.

    Args: host: a name or a literal in any spelling. port: TCP port. reach: where meters are.
    Returns: at least one endpoint, in the resolver's order.
    Raises: AddressNotAllowedError: the host is no sane name, the port is none of meters, or any of
        its addresses is no meter's (one bad answer condemns the name: it may be the one that is
        used next time).
        OSError: the name cannot be resolved.
    """
    if not _HOST.fullmatch(host) or not 0 < port <= 65535:
        raise AddressNotAllowedError("host or port is malformed")
    if not reach.has_port(port):
        raise AddressNotAllowedError("port is none of the allowed ports")
    answers = await trio.socket.getaddrinfo(host, port, type=trio.socket.SOCK_STREAM)
    endpoints: list[Endpoint] = []
    for _family, _type, _protocol, _name, sockaddr in answers:
        address = canonical(str(sockaddr[0]))
        if not reach.has_address(address):
            raise AddressNotAllowedError("address lies outside the allowed networks")
        if port in reach.own_ports and is_own(address):
            raise AddressNotAllowedError("address and port are the head-end's own")
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


def is_own(address: IPAddress) -> bool:
    """
    Whether this machine itself has the address.

    The system is asked from where it would send to it: to its own addresses from themselves.
    Nothing is sent.
    """
    if address.is_loopback:
        return True
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((str(address), 9))
            return canonical(str(probe.getsockname()[0])) == address
    except OSError:  # no way leads there
        return False
